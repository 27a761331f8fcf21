// Reductions over the threads of a warp or a block, always in the same order.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace apollo::cuda {

constexpr unsigned kAllLanes = 0xffffffffu;
constexpr int kWarp = 32;

// f over the lanes of a warp, the same result in each. kLanes: over groups of kLanes neighbours (a power of two).
template <int kLanes = kWarp, class T, class F>
__device__ __forceinline__ T warp_reduce(T value, F f) {
#pragma unroll
  for (int step = kLanes / 2; step > 0; step /= 2) value = f(value, __shfl_xor_sync(kAllLanes, value, step));
  return value;
}

struct Plus {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct Larger {
  __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

template <int kLanes = kWarp, class T>
__device__ __forceinline__ T warp_sum(T value) {
  return warp_reduce<kLanes>(value, Plus());
}
template <int kLanes = kWarp>
__device__ __forceinline__ float warp_max(float value) {
  return warp_reduce<kLanes>(value, Larger());
}

// f over the kThreads threads of a block (a multiple of 32), the same result in each. Every thread must take part.
template <int kThreads, class T, class F>
__device__ __forceinline__ T block_reduce(T value, F f) {
  constexpr int kWarps = kThreads / kWarp;
  static_assert(kThreads % kWarp == 0 && kWarps >= 1 && kWarps <= kWarp);
  value = warp_reduce(value, f);
  if constexpr (kWarps > 1) {
    __shared__ T partial[kWarps];
    __syncthreads();  // the array may still be read from the last call
    const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
    if (lane == 0) partial[warp] = value;
    __syncthreads();
    value = partial[0];
#pragma unroll
    for (int w = 1; w < kWarps; ++w) value = f(value, partial[w]);
  }
  return value;
}

template <int kThreads, class T>
__device__ __forceinline__ T block_sum(T value) {
  return block_reduce<kThreads>(value, Plus());
}
template <int kThreads>
__device__ __forceinline__ float block_max(float value) {
  return block_reduce<kThreads>(value, Larger());
}

}  // namespace apollo::cuda
