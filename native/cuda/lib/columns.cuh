// Sums over the rows of a matrix, added in an order that depends on its shape only. Limited by memory: one read.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>

#include "cuda/lib/block.cuh"
#include "cuda/lib/launch.cuh"
#include "cuda/lib/vector.cuh"

namespace apollo::cuda {

constexpr int kColumnWarps = 16, kColumnThreads = kColumnWarps * kWarp;

// to[c] = (add: to[c] +) sum over rows of from[row, c]
template <class T>
struct ColumnSums {
  const T* from;
  float* to;
  bool add;
};

// Up to three matrices of one shape at once (blockIdx.y). A block has 32 kWidth neighbouring columns and all rows:
// kWidth columns per lane, every 16th row per warp; the warps' sums are added in order. 4 rows per thread are in
// progress. kWidth > 1 needs rows of whole packs: `stride` a multiple of it.
template <class T, int kWidth>
__global__ void __launch_bounds__(kColumnThreads, 2)
    column_sums_kernel(ColumnSums<T> first, ColumnSums<T> second, ColumnSums<T> third, std::int64_t rows,
                       std::int64_t stride, std::int64_t columns) {
  constexpr int kAhead = 4;
  const T* from = blockIdx.y == 0 ? first.from : blockIdx.y == 1 ? second.from : third.from;
  float* to = blockIdx.y == 0 ? first.to : blockIdx.y == 1 ? second.to : third.to;
  const bool add = blockIdx.y == 0 ? first.add : blockIdx.y == 1 ? second.add : third.add;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const std::int64_t strip = static_cast<std::int64_t>(blockIdx.x) * kWarp * kWidth;

  float sum[kWidth] = {};
  if (strip + lane * kWidth < columns) {
    const T* at = from + warp * stride + strip + lane * kWidth;
    const std::int64_t step = kColumnWarps * stride;
    std::int64_t left = rows - warp;  // of them every 16th is this warp's
    for (; left > (kAhead - 1) * kColumnWarps; left -= kAhead * kColumnWarps, at += kAhead * step) {
      float v[kAhead][kWidth];
#pragma unroll
      for (int a = 0; a < kAhead; ++a) load(at + a * step, v[a]);
#pragma unroll
      for (int a = 0; a < kAhead; ++a) {
#pragma unroll
        for (int k = 0; k < kWidth; ++k) sum[k] += v[a][k];
      }
    }
    for (; left > 0; left -= kColumnWarps, at += step) {
      float v[kWidth];
      load(at, v);
#pragma unroll
      for (int k = 0; k < kWidth; ++k) sum[k] += v[k];
    }
  }

  __shared__ float partial[kColumnWarps][kWidth][kWarp];
#pragma unroll
  for (int k = 0; k < kWidth; ++k) partial[warp][k][lane] = sum[k];
  __syncthreads();
  if (warp >= kWidth) return;  // from here on one thread per column
  const std::int64_t column = strip + lane * kWidth + warp;
  if (column >= columns) return;
  float total = partial[0][warp][lane];
#pragma unroll
  for (int w = 1; w < kColumnWarps; ++w) total += partial[w][warp][lane];
  to[column] = add ? to[column] + total : total;
}

template <class T, int kWidth>
void column_sums(std::initializer_list<ColumnSums<T>> matrices, std::int64_t rows, std::int64_t stride,
                 std::int64_t columns, void* stream) {
  const ColumnSums<T>* matrix = matrices.begin();
  const std::size_t last = matrices.size() - 1;
  const dim3 grid(blocks_for(columns, kWarp * kWidth), static_cast<unsigned>(matrices.size()));
  launch(column_sums_kernel<T, kWidth>, {grid, kColumnThreads}, stream, matrix[0],
         matrix[std::min<std::size_t>(1, last)], matrix[std::min<std::size_t>(2, last)], rows, stride, columns);
}

}  // namespace apollo::cuda
