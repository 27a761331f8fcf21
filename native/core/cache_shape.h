// The sizes of appendToCache and cachedAttention, from their descriptors: B sequences, L positions of the cache, T new
// tokens, C elements of a cached row. Inputs of both: qkv [B | 1, T, nC], keys [B, L, C], values [B, L, C], positions
// i32 [B | 1, T]. A row of qkv is a row of queries, of (n - 2) C elements, one of keys and one of values.
#pragma once

#include <cstdint>

#include "core/op.h"

namespace apollo {

struct CacheShape {
  std::int64_t batch, rows, length, tokens;  // rows: sequences of qkv, B or 1
  std::int64_t width, query_width, row;      // elements of a row of the cache, of queries, of qkv

  explicit CacheShape(const OpDesc& desc) {
    require(desc.inputs.size() == 4, desc.op + ": takes qkv, keys, values and positions");
    const TensorDesc &qkv = desc.inputs[0], &keys = desc.inputs[1], &values = desc.inputs[2],
                     &positions = desc.inputs[3];
    require(qkv.shape.size() == 3 && keys.shape.size() == 3 && keys.shape == values.shape,
            desc.op + ": qkv, keys and values must be [B, T, nC] and [B, L, C]");
    rows = qkv.shape[0];
    tokens = qkv.shape[1];
    batch = keys.shape[0];
    length = keys.shape[1];
    width = keys.shape[2];
    row = qkv.shape[2];
    query_width = row - 2 * width;
    require(query_width >= width && row % width == 0 && (rows == batch || rows == 1) &&
                positions.elements() == rows * tokens,
            desc.op + ": sizes do not fit each other");
  }
};

}  // namespace apollo
