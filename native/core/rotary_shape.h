// The sizes and settings of rotary, from its descriptor: x [B, T, n * head], of which the first `heads` heads of each
// row are rotated; [positions i32 [B, T]] -> y.
#pragma once

#include <cstdint>
#include <vector>

#include "core/op.h"

namespace apollo {

struct RotaryShape {
  std::int64_t batch, tokens, width, heads, head;
  bool inverse, has_positions;

  explicit RotaryShape(const OpDesc& desc) {
    const TensorDesc& x = desc.inputs[0];
    require(x.shape.size() == 3, "rotary: x must be [B, T, n * headSize]");
    batch = x.shape[0];
    tokens = x.shape[1];
    width = x.shape[2];
    heads = desc.attrs.integer("heads");
    head = desc.attrs.integer("headSize");
    inverse = desc.attrs.flag("inverse");
    has_positions = desc.inputs.size() > 1;
    require(head > 0 && head % 2 == 0 && width % head == 0 && heads >= 0 && heads * head <= width,
            "rotary: the heads do not fit a row");
    require(!has_positions || (desc.inputs[1].dtype == DType::I32 && desc.inputs[1].elements() == batch * tokens),
            "rotary: positions must be i32 [B, T]");
  }
};

// The frequencies of a head's pairs, rounded to f32: angles are f32 products of position and frequency.
inline std::vector<float> rotary_frequencies(const OpDesc& desc, const RotaryShape& shape) {
  const std::vector<double>& given = desc.attrs.numbers("frequencies");
  require(static_cast<std::int64_t>(given.size()) == shape.head / 2, "rotary: a frequency for each pair is needed");
  return {given.begin(), given.end()};
}

}  // namespace apollo
