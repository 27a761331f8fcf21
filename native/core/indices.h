// The rule for ids, labels and row indices that come from data, and the error that names the first wrong one. A backend
// checks before it uses them: a wrong index must become an error of the run and not a write somewhere in memory.
#pragma once

#include <cstdint>
#include <string>

#include "core/error.h"

namespace apollo {

constexpr std::int32_t kIgnoredLabel = -100;

// A count that a kernel keeps in 32 bits. Throws Error when it does not fit.
inline std::int32_t to_int32(std::int64_t count, const std::string& what) {
  require(count >= 0 && count <= INT32_MAX, what + " must be from 0 to 2^31 - 1; got " + std::to_string(count));
  return static_cast<std::int32_t>(count);
}

// Values in [0, limit) and, where `ignore` is allowed, kIgnoredLabel. `what` is the input's name, such as "labels".
struct IndexRule {
  std::string op, what;
  std::int64_t limit = 0;
  bool ignore = false;

  bool allows(std::int32_t value) const { return (value >= 0 && value < limit) || (ignore && value == kIgnoredLabel); }
  Error error(std::int64_t index, std::int32_t value) const {
    return Error(op + ": " + what + "[" + std::to_string(index) + "] is " + std::to_string(value) +
                     "; expected 0 <= value < " + std::to_string(limit) +
                     (ignore ? ", or -100 for a position to ignore." : "."),
                 "APOLLO_BAD_INDEX");
  }
};

}  // namespace apollo
