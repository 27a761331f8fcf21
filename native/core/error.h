// The one exception type of the native engine. The addon turns it into a JavaScript Error with `code`.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace apollo {

class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, std::string code = "APOLLO_NATIVE")
      : std::runtime_error(message), code_(std::move(code)) {}
  const std::string& code() const { return code_; }

 private:
  std::string code_;
};

// Checks what the TypeScript layer has promised; a failure is a bug above, not a user's mistake.
inline void require(bool condition, const std::string& message) {
  if (!condition) throw Error(message, "APOLLO_INTERNAL");
}

}  // namespace apollo
