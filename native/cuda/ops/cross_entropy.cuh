// The kernels of cross-entropy over the last axis. Limited by memory: the logits are read once, and backward again,
// where their gradient is written.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/ops/softmax.cuh"

namespace apollo::cuda {

__device__ __forceinline__ bool counts(std::int32_t label, int columns) { return label >= 0 && label < columns; }

// lse[m] = ln(sum_v e^logits[m, v]), losses[m] = lse[m] - logits[m, label]; both 0 and nothing read where the label is
// ignored. One pass over the logits.
template <class T, int kGroup>
__global__ void __launch_bounds__(RowGroup<kGroup>::kBlock, RowGroup<kGroup>::kBlocks)
    cross_entropy_kernel(const T* __restrict__ logits, const std::int32_t* labels, float* lse, double* losses,
                         std::int64_t rows, int columns) {
  using Group = RowGroup<kGroup>;
  const std::int64_t row = Group::row(), first = row * columns;
  if (row >= rows) return;
  const std::int32_t label = labels[row];
  float result = 0.0f;
  double loss = 0.0;
  if (counts(label, columns)) {
    const RowStatistics statistics = row_statistics<T, kGroup>(logits, first, columns);
    result = statistics.maximum + logf(statistics.sum);
    loss = static_cast<double>(result) - static_cast<double>(to_float(logits[first + label]));
  }
  if (Group::thread() != 0) return;
  lse[row] = result;
  losses[row] = loss;
}

// loss = mean of the losses of the rows that count, in double; how many there are. One block: 64 Ki rows take some
// microseconds.
template <int kThreads>
__global__ void __launch_bounds__(kThreads)
    mean_loss_kernel(const double* __restrict__ losses, const std::int32_t* __restrict__ labels, std::int64_t rows,
                     int columns, float* loss, float* count) {
  double sum = 0.0;
  std::int32_t counted = 0;
#pragma unroll 4
  for (std::int64_t row = threadIdx.x; row < rows; row += kThreads) {
    sum += losses[row];
    counted += counts(labels[row], columns) ? 1 : 0;
  }
  sum = block_sum<kThreads>(sum);
  counted = block_sum<kThreads>(counted);
  if (threadIdx.x != 0) return;
  *loss = counted == 0 ? 0.0f : static_cast<float>(sum / counted);
  *count = static_cast<float>(counted);
}

// dlogits[m, v] = g / count (e^(logits[m, v] - lse[m]) - [v == label m]); 0 in rows whose label is ignored. One read
// and one write an element.
template <class T, int kGroup>
__global__ void __launch_bounds__(RowGroup<kGroup>::kBlock, RowGroup<kGroup>::kBlocks)
    cross_entropy_backward_kernel(const float* g, const T* __restrict__ logits, const std::int32_t* labels,
                                  const float* lse, const float* count, T* dx, std::int64_t rows, int columns) {
  using Group = RowGroup<kGroup>;
  const std::int64_t row = Group::row(), first = row * columns;
  if (row >= rows) return;
  const std::int32_t label = labels[row];
  const bool counted = counts(label, columns);
  const float shift = lse[row], factor = *count == 0.0f ? 0.0f : *g / *count;
  for_row<kPack<T>>(first, columns, Group::thread(), kGroup, [&](auto n, int column) {
    constexpr int kCount = decltype(n)::value;
    float v[kCount] = {};
    if (counted) {
      load(logits + first + column, v);
#pragma unroll
      for (int k = 0; k < kCount; ++k) v[k] = factor * exponential<T>(v[k] - shift);
    }
    store(v, dx + first + column);
  });
  if (!counted) return;
  Group::synchronize();  // the label's element is written twice
  // e^(x - lse) - 1 is computed as such, so that a confident row keeps its small gradient.
  if (Group::thread() == 0) {
    dx[first + label] = from_float<T>(factor * expm1f(to_float(logits[first + label]) - shift));
  }
}

}  // namespace apollo::cuda
