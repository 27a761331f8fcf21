// Element types of tensors and what a tensor descriptor says: dtype and shape, no memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace apollo {

enum class DType : std::uint8_t { F32, BF16, I32 };

constexpr std::size_t size_of(DType dtype) { return dtype == DType::BF16 ? 2 : 4; }

constexpr const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::F32: return "f32";
    case DType::BF16: return "bf16";
    case DType::I32: return "i32";
  }
  return "?";
}

// A row-major, contiguous tensor without its memory.
struct TensorDesc {
  DType dtype = DType::F32;
  std::vector<std::int64_t> shape;

  std::int64_t elements() const {
    std::int64_t n = 1;
    for (auto d : shape) n *= d;
    return n;
  }
  std::size_t bytes() const { return static_cast<std::size_t>(elements()) * size_of(dtype); }
  std::int64_t last() const { return shape.empty() ? 1 : shape.back(); }
  // All dimensions but the last folded into one.
  std::int64_t rows() const { return last() == 0 ? 0 : elements() / last(); }
  std::string to_string() const {
    std::string s = std::string(name_of(dtype)) + "[";
    for (std::size_t i = 0; i < shape.size(); ++i) s.append(i ? ", " : "").append(std::to_string(shape[i]));
    return s.append("]");
  }
};

}  // namespace apollo
