// Elements of every dtype in registers: f32 and bf16 as f32 (vector.cuh), i32 as itself; and words that are only moved.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "cuda/lib/vector.cuh"

namespace apollo::cuda {

// Type in which elements of type T are computed.
template <class T>
using Lane = std::conditional_t<std::is_same_v<T, std::int32_t>, std::int32_t, float>;

template <class T>
struct alignas(8) HalfPack {
  T values[8 / sizeof(T)];
};

// kCount consecutive elements as they are, under the rules of load() and store() in vector.cuh; also in one access of 8
// bytes, at an address that is a multiple of 8.
template <int kCount, class T>
__device__ __forceinline__ void load_words(const T* p, T (&to)[kCount]) {
  if constexpr (kCount % kPack<T> == 0) {
#pragma unroll
    for (int i = 0; i < kCount; i += kPack<T>) {
      const Pack<T> pack = load_pack(p + i);
#pragma unroll
      for (int k = 0; k < kPack<T>; ++k) to[i + k] = pack.values[k];
    }
  } else if constexpr (kCount * sizeof(T) == sizeof(uint2) && kCount > 1) {
    const uint2 bits = *reinterpret_cast<const uint2*>(p);
    const auto& half = reinterpret_cast<const HalfPack<T>&>(bits);
#pragma unroll
    for (int k = 0; k < kCount; ++k) to[k] = half.values[k];
  } else {
#pragma unroll
    for (int i = 0; i < kCount; ++i) to[i] = p[i];
  }
}
template <int kCount, class T>
__device__ __forceinline__ void store_words(const T (&from)[kCount], T* p) {
  if constexpr (kCount % kPack<T> == 0) {
#pragma unroll
    for (int i = 0; i < kCount; i += kPack<T>) {
      Pack<T> pack;
#pragma unroll
      for (int k = 0; k < kPack<T>; ++k) pack.values[k] = from[i + k];
      store_pack(p + i, pack);
    }
  } else if constexpr (kCount * sizeof(T) == sizeof(uint2) && kCount > 1) {
    HalfPack<T> half;
#pragma unroll
    for (int k = 0; k < kCount; ++k) half.values[k] = from[k];
    *reinterpret_cast<uint2*>(p) = reinterpret_cast<const uint2&>(half);
  } else {
#pragma unroll
    for (int i = 0; i < kCount; ++i) p[i] = from[i];
  }
}

// kCount consecutive elements as lanes.
template <int kCount, class T>
__device__ __forceinline__ void load_lanes(const T* p, Lane<T> (&to)[kCount]) {
  if constexpr (std::is_same_v<T, std::int32_t>) {
    load_words(p, to);
  } else {
    T words[kCount];
    load_words(p, words);
#pragma unroll
    for (int k = 0; k < kCount; ++k) to[k] = to_float(words[k]);
  }
}
template <int kCount, class T>
__device__ __forceinline__ void store_lanes(const Lane<T> (&from)[kCount], T* p) {
  if constexpr (std::is_same_v<T, std::int32_t>) {
    store_words(from, p);
  } else {
    T words[kCount];
#pragma unroll
    for (int k = 0; k < kCount; ++k) words[k] = from_float<T>(from[k]);
    store_words(words, p);
  }
}

}  // namespace apollo::cuda
