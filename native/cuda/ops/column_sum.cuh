// Sums over the rows of a bf16 matrix on the way of another pass over it: a bias gradient that costs no reading of its
// own. Two kernels, the sums' order depending on the shape alone.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cuda/lib/columns.cuh"
#include "cuda/lib/launch.cuh"
#include "cuda/lib/vector.cuh"
#include "cuda/ops/gelu_each.cuh"

namespace apollo::cuda {

constexpr int kColumnSumWarps = 8;

// The summands: a pack of values from element `i` on. A source may compute and store them, too.
struct StoredValues {
  const Bf16* x;
  __device__ void take(std::int64_t i, float (&v)[kPack<Bf16>]) const { load(x + i, v); }
};
template <bool kTanh>
struct GeluGradients {
  GeluBackward<Bf16, kTanh> op;
  __device__ void take(std::int64_t i, float (&v)[kPack<Bf16>]) const {
    float x[kPack<Bf16>];
    load(op.dy + i, v);
    load(op.x + i, x);
#pragma unroll
    for (int k = 0; k < kPack<Bf16>; ++k) v[k] *= gelu_derivative_of<Bf16, kTanh>(x[k]);
    store(v, op.dx + i);
  }
};

// partials[chunk, column] = sum over the chunk's rows. A block has 256 neighbouring columns, a pack a lane, and a chunk
// of rows, every 8th a warp; two rows per thread are in progress. Limited by what the source reads and writes.
template <class Source>
__global__ void __launch_bounds__(kColumnSumWarps* kWarp)
    column_partials_kernel(Source source, std::int64_t rows, std::int64_t columns, std::int64_t chunk_rows,
                           float* partials) {
  constexpr int kWidth = kPack<Bf16>;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const std::int64_t column = (static_cast<std::int64_t>(blockIdx.x) * kWarp + lane) * kWidth;
  const std::int64_t begin = blockIdx.y * chunk_rows, end = min(begin + chunk_rows, rows);
  float sum[kWidth] = {};
  if (column < columns) {
#pragma unroll 2
    for (std::int64_t row = begin + warp; row < end; row += kColumnSumWarps) {
      float v[kWidth];
      source.take(row * columns + column, v);
#pragma unroll
      for (int k = 0; k < kWidth; ++k) sum[k] += v[k];
    }
  }
  __shared__ float shared[kColumnSumWarps][kWidth][kWarp];
#pragma unroll
  for (int k = 0; k < kWidth; ++k) shared[warp][k][lane] = sum[k];
  __syncthreads();
  if (column >= columns) return;
  // One of the pack's columns per warp.
  float total = shared[0][warp][lane];
#pragma unroll
  for (int w = 1; w < kColumnSumWarps; ++w) total += shared[w][warp][lane];
  partials[blockIdx.y * columns + column + warp] = total;
}

// The sums of a [rows, columns] matrix whose rows are whole packs.
class ColumnSum {
 public:
  ColumnSum(std::int64_t rows, std::int64_t columns, bool accumulate)
      : rows_(rows), columns_(columns), accumulate_(accumulate) {
    constexpr std::int64_t kManyBlocks = 528;  // four for each multiprocessor of an H100
    const std::int64_t most = std::max<std::int64_t>(1, rows / (4 * kColumnSumWarps));
    const std::int64_t wanted = std::clamp<std::int64_t>(kManyBlocks / strips(), 1, most);
    chunk_rows_ = ceil_div(rows, wanted);
    chunks_ = ceil_div(rows, chunk_rows_);
  }

  std::int64_t columns() const { return columns_; }
  std::size_t scratch_bytes() const { return static_cast<std::size_t>(chunks_ * columns_) * sizeof(float); }

  template <class Source>
  void run(const Source& source, float* sums, void* scratch, void* stream) const {
    static_assert(kColumnSumWarps == kPack<Bf16>);
    auto* partials = static_cast<float*>(scratch);
    const dim3 grid(static_cast<unsigned>(strips()), static_cast<unsigned>(chunks_));
    launch(column_partials_kernel<Source>, {grid, kColumnSumWarps * kWarp}, stream, source, rows_, columns_,
           chunk_rows_, partials);
    column_sums<float, kPack<float>>({{partials, sums, accumulate_}}, chunks_, columns_, columns_, stream);
  }

 private:
  std::int64_t strips() const { return ceil_div(columns_, kWarp * kPack<Bf16>); }

  std::int64_t rows_, columns_, chunk_rows_ = 0, chunks_ = 0;
  bool accumulate_;
};

}  // namespace apollo::cuda
