// Shared code of the kernels of layer norm and RMS norm: the shape of the op, the widths whose rows fit in registers,
// and parts of rows.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "core/op.h"
#include "cuda/lib/block.cuh"
#include "cuda/lib/random.cuh"
#include "cuda/lib/vector.cuh"

namespace apollo::cuda {

constexpr int kNormWarps = 4;  // of a block whose rows stay in registers
constexpr int kNormThreads = kNormWarps * kWarp;
constexpr int kWideThreads = 256;  // of a block that has one row at a time, of any width

// Rows and dtype of the normalised tensor, and the dropout before it.
struct NormShape {
  std::int64_t rows = 0;
  std::int32_t columns = 0;
  DType dtype = DType::F32;
  bool drops = false;
  Dropout dropout;

  // All activations of the op must have the dtype of `x`, its normalised tensor.
  NormShape(const OpDesc& desc, const TensorDesc& x)
      : rows(x.rows()), columns(static_cast<std::int32_t>(x.last())), dtype(x.dtype) {
    if (dtype == DType::I32) unsupported(desc, "cuda");
    const double p = desc.attrs.number("p", 0);
    drops = p > 0;
    if (drops) dropout = Dropout::make(p, static_cast<std::uint32_t>(desc.attrs.integer("stream")));
  }

  // Rows of whole packs: every row begins at a multiple of 16 bytes.
  bool whole_packs() const { return columns % (16 / static_cast<int>(size_of(dtype))) == 0; }
  DropoutState state(const std::int32_t* rng) const { return {dropout, drops ? rng : nullptr}; }
};

template <int kValue>
using Constant = std::integral_constant<int, kValue>;

// The dropout multipliers of pack `pack` of row `row`; columns [pack * kCount, (pack + 1) * kCount). Two packs of f32
// share a Philox block of 8 elements, which both compute: cheaper than to give a thread both packs, whose stores would
// then fill halves of the memory's 32-byte sectors.
template <int kCount>
__device__ __forceinline__ void fill_multipliers(const Multipliers& multipliers, std::int64_t row, std::int32_t columns,
                                                 std::int32_t pack, float (&to)[kCount]) {
  static_assert(kCount == 4 || kCount == 8);
  const auto first = static_cast<std::uint32_t>(row * ((columns + 7) / 8));
  if constexpr (kCount == 8) {
    multipliers.block(first + static_cast<std::uint32_t>(pack), to);
  } else {
    const uint4 word = multipliers.bits(first + static_cast<std::uint32_t>(pack / 2));
    const std::uint32_t low = pack % 2 == 0 ? word.x : word.z, high = pack % 2 == 0 ? word.y : word.w;
    to[0] = multipliers.multiplier(low & 0xffffu);
    to[1] = multipliers.multiplier(low >> 16);
    to[2] = multipliers.multiplier(high & 0xffffu);
    to[3] = multipliers.multiplier(high >> 16);
  }
}

template <class T>
__device__ __forceinline__ void to_floats(const Pack<T>& pack, float (&to)[kPack<T>]) {
#pragma unroll
  for (int k = 0; k < kPack<T>; ++k) to[k] = to_float(pack.values[k]);
}
template <class T>
__device__ __forceinline__ Pack<T> to_pack(const float (&from)[kPack<T>]) {
  Pack<T> pack;
#pragma unroll
  for (int k = 0; k < kPack<T>; ++k) pack.values[k] = from_float<T>(from[k]);
  return pack;
}

// kCount elements of a row, of which the first `count` exist; kWhole: all do, and the address is aligned.
template <bool kWhole, int kCount, class T>
__device__ __forceinline__ void load_part(const T* p, std::int32_t count, float (&to)[kCount]) {
  if constexpr (kWhole) {
    load(p, to);
  } else {
#pragma unroll
    for (int k = 0; k < kCount; ++k) to[k] = k < count ? to_float(p[k]) : 0.0f;
  }
}
template <bool kWhole, int kCount, class T>
__device__ __forceinline__ void store_part(const float (&from)[kCount], std::int32_t count, T* p) {
  if constexpr (kWhole) {
    store(from, p);
  } else {
#pragma unroll
    for (int k = 0; k < kCount; ++k) {
      if (k < count) p[k] = from_float<T>(from[k]);
    }
  }
}

}  // namespace apollo::cuda
