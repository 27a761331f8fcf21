// The sizes of appendToCache and cachedAttention, from their descriptors: B sequences, L positions of the cache, T new
// tokens, C width. Inputs of both: qkv [B | 1, T, 3C], keys [B, L, C], values [B, L, C], positions i32 [B | 1, T].
#pragma once

#include <cstdint>

#include "core/op.h"

namespace apollo {

struct CacheShape {
  std::int64_t batch, rows, length, tokens, width;  // rows: sequences of qkv, B or 1

  explicit CacheShape(const OpDesc& desc) {
    require(desc.inputs.size() == 4, desc.op + ": takes qkv, keys, values and positions");
    const TensorDesc &qkv = desc.inputs[0], &keys = desc.inputs[1], &values = desc.inputs[2],
                     &positions = desc.inputs[3];
    require(qkv.shape.size() == 3 && keys.shape.size() == 3 && keys.shape == values.shape,
            desc.op + ": qkv, keys and values must be [B, T, 3C] and [B, L, C]");
    rows = qkv.shape[0];
    tokens = qkv.shape[1];
    batch = keys.shape[0];
    length = keys.shape[1];
    width = keys.shape[2];
    require(qkv.shape[2] == 3 * width && (rows == batch || rows == 1) && positions.elements() == rows * tokens,
            desc.op + ": sizes do not fit each other");
  }
};

}  // namespace apollo
