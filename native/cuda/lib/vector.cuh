// Elements in memory and in registers: conversions between f32 and the stored type, and access in packs of 16 bytes,
// which is what it takes to reach the memory's bandwidth.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace apollo::cuda {

using Bf16 = __nv_bfloat16;

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(Bf16 x) { return __bfloat162float(x); }

template <class T>
__device__ __forceinline__ T from_float(float x);
template <>
__device__ __forceinline__ float from_float<float>(float x) {
  return x;
}
template <>
__device__ __forceinline__ Bf16 from_float<Bf16>(float x) {
  return __float2bfloat16_rn(x);
}

// Elements of a pack.
template <class T>
constexpr int kPack = 16 / static_cast<int>(sizeof(T));

template <class T>
struct alignas(16) Pack {
  T values[kPack<T>];
};

template <class T>
__device__ __forceinline__ Pack<T> load_pack(const T* p) {
  const uint4 bits = *reinterpret_cast<const uint4*>(p);
  return reinterpret_cast<const Pack<T>&>(bits);
}
template <class T>
__device__ __forceinline__ void store_pack(T* p, const Pack<T>& pack) {
  *reinterpret_cast<uint4*>(p) = reinterpret_cast<const uint4&>(pack);
}

// kCount consecutive elements as f32: packs where the address allows it (`kCount` a multiple of a pack and the address
// of 16 bytes), else one by one (kCount 1).
template <int kCount, class T>
__device__ __forceinline__ void load(const T* p, float (&to)[kCount]) {
  if constexpr (kCount % kPack<T> == 0) {
#pragma unroll
    for (int i = 0; i < kCount; i += kPack<T>) {
      const Pack<T> pack = load_pack(p + i);
#pragma unroll
      for (int k = 0; k < kPack<T>; ++k) to[i + k] = to_float(pack.values[k]);
    }
  } else {
#pragma unroll
    for (int i = 0; i < kCount; ++i) to[i] = to_float(p[i]);
  }
}

template <int kCount, class T>
__device__ __forceinline__ void store(const float (&from)[kCount], T* p) {
  if constexpr (kCount % kPack<T> == 0) {
#pragma unroll
    for (int i = 0; i < kCount; i += kPack<T>) {
      Pack<T> pack;
#pragma unroll
      for (int k = 0; k < kPack<T>; ++k) pack.values[k] = from_float<T>(from[i + k]);
      store_pack(p + i, pack);
    }
  } else {
#pragma unroll
    for (int i = 0; i < kCount; ++i) p[i] = from_float<T>(from[i]);
  }
}

}  // namespace apollo::cuda
