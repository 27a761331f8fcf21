// The check of ids, labels and row indices on the host, before a kernel starts and outside of any parallel region.
#pragma once

#include <cstdint>
#include <string>

#include "core/indices.h"

namespace apollo::cpu {

// Throws Error naming the op, the first wrong index and its value.
inline void check_indices(const std::string& op, const std::string& what, const std::int32_t* values,
                          std::int64_t count, std::int64_t limit, bool ignore = false) {
  bool valid = true;
  for (std::int64_t i = 0; i < count; ++i) {  // without a branch, so that it vectorises
    valid &= (values[i] >= 0 && values[i] < limit) || (ignore && values[i] == kIgnoredLabel);
  }
  if (valid) return;
  const IndexRule rule{op, what, limit, ignore};
  for (std::int64_t i = 0; i < count; ++i) {
    if (!rule.allows(values[i])) throw rule.error(i, values[i]);
  }
}

}  // namespace apollo::cpu
