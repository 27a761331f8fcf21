// Shared code of softmax and cross-entropy: exponentials, the threads of a row, its maximum and sum.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <limits>

#include "cuda/lib/block.cuh"
#include "cuda/lib/intrinsics.cuh"
#include "cuda/lib/launch.cuh"
#include "cuda/lib/rows.cuh"
#include "cuda/lib/vector.cuh"

namespace apollo::cuda {

constexpr float kLowest = -std::numeric_limits<float>::infinity();

// e^x to the accuracy of T, with a third of the instructions for bf16.
template <class T>
__device__ __forceinline__ float exponential(float x) {
  return sizeof(T) == 2 ? exp2_fast(x * 1.44269504f) : expf(x);
}

constexpr int kLongThreads = 512;
constexpr int kRowThreads = 1024;  // on a multiprocessor, with up to four packs in progress each

// The threads of a row: kGroup of them, a warp or a block of kLongThreads; blocks of warps have eight.
template <int kGroup>
struct RowGroup {
  static constexpr int kBlock = kGroup == kWarp ? 256 : kGroup, kRows = kBlock / kGroup;
  static constexpr int kBlocks = kRowThreads / kBlock;  // on a multiprocessor
  __device__ static std::int64_t row() {
    return static_cast<std::int64_t>(blockIdx.x) * kRows + threadIdx.x / static_cast<unsigned>(kGroup);
  }
  __device__ static int thread() { return static_cast<int>(threadIdx.x) % kGroup; }
  __device__ static void synchronize() {
    if constexpr (kGroup == kWarp) {
      __syncwarp();
    } else {
      __syncthreads();
    }
  }
  static Launch launch(std::int64_t rows) { return {blocks_for(rows, kRows), kBlock}; }
};

struct RowStatistics {
  float maximum, sum;  // sum of e^(x - maximum)
};

// Value that a thread subtracts: for nothing but -infinity, 0, as the distance of two infinities is a NaN, which the
// rest of the row need not have.
__device__ __forceinline__ float shift_of(float maximum) { return maximum == kLowest ? 0.0f : maximum; }

// In one pass: when a thread meets a larger maximum, it scales what it has summed up (Milakov and Gimelshein, "Online
// normalizer calculation for softmax", 2018).
template <class T, int kGroup>
__device__ __forceinline__ RowStatistics row_statistics(const T* x, std::int64_t first, int columns) {
  float maximum = kLowest, sum = 0.0f;
  for_row<kPack<T>>(first, columns, RowGroup<kGroup>::thread(), kGroup, [&](auto count, int column) {
    constexpr int kCount = decltype(count)::value;
    float v[kCount];
    load(x + first + column, v);
    float larger = maximum, added = 0.0f;
#pragma unroll
    for (int k = 0; k < kCount; ++k) larger = fmaxf(larger, v[k]);
    const float shift = shift_of(larger);
#pragma unroll
    for (int k = 0; k < kCount; ++k) added += exponential<T>(v[k] - shift);
    sum = fmaf(sum, exponential<T>(maximum - shift), added);
    maximum = larger;
  });
  const float most = block_max<kGroup>(maximum);
  return {most, block_sum<kGroup>(sum * exponential<T>(maximum - shift_of(most)))};
}

}  // namespace apollo::cuda
