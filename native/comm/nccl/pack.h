// Elements of a bucket between their buffers and one flat stretch of memory, on a GPU.
#pragma once

#include <cstddef>
#include <vector>

#include "comm/wire.h"

namespace apollo::comm {

// `count` f32 values, and the element of the flat memory at which they are.
struct FlatRange {
  float* values;
  std::size_t count, at;
};

// flat = factor x values, as `wire` has them.
void pack(const std::vector<FlatRange>& ranges, Wire wire, float factor, void* flat, void* stream);
void unpack(const std::vector<FlatRange>& ranges, Wire wire, const void* flat, void* stream);

}  // namespace apollo::comm
