// The check of ids, labels and row indices that come from data: done before a kernel starts, outside of any parallel
// region, because a wrong one must become an error of the run and not a write somewhere in memory.
#pragma once

#include <cstdint>
#include <string>

#include "core/error.h"

namespace apollo::cpu {

constexpr std::int32_t kIgnoredLabel = -100;

// Throws Error naming the op, the first wrong index and its value unless every value is in [0, limit) or, where
// `ignore` is allowed, kIgnoredLabel. `what` is the input's name, such as "labels".
inline void check_indices(const std::string& op, const std::string& what, const std::int32_t* values,
                          std::int64_t count, std::int64_t limit, bool ignore = false) {
  bool valid = true;
  for (std::int64_t i = 0; i < count; ++i) {  // without a branch, so that it vectorises
    valid &= (values[i] >= 0 && values[i] < limit) || (ignore && values[i] == kIgnoredLabel);
  }
  if (valid) return;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int32_t value = values[i];
    if ((value >= 0 && value < limit) || (ignore && value == kIgnoredLabel)) continue;
    throw Error(op + ": " + what + "[" + std::to_string(i) + "] is " + std::to_string(value) +
                    "; expected 0 <= value < " + std::to_string(limit) +
                    (ignore ? ", or -100 for a position to ignore." : "."),
                "APOLLO_BAD_INDEX");
  }
}

}  // namespace apollo::cpu
