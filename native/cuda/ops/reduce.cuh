// The two kernels of every reduction, along rows and down columns, and what they are made of. Both read their input
// once, in packs, and are limited by that; each result is added up in an order that depends on shapes alone.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <limits>

#include "core/dtype.h"
#include "cuda/lib/block.cuh"
#include "cuda/lib/division.cuh"
#include "cuda/lib/lanes.cuh"
#include "cuda/lib/rows.cuh"

namespace apollo::cuda {

// A reduction joins lanes that have entered it.
template <class L>
struct SumOf {
  static constexpr L kInitial = 0;
  __device__ L enter(L value) const { return value; }
  __device__ L leave(L value) const { return value; }
  __device__ L operator()(L a, L b) const { return a + b; }
};

// The largest, or of flipped lanes the smallest. A NaN on either side wins.
template <class L>
struct LargestOf {
  static constexpr L kInitial =
      std::numeric_limits<L>::has_infinity ? -std::numeric_limits<L>::infinity() : std::numeric_limits<L>::lowest();
  bool smallest;
  __device__ static float flip(float value) { return -value; }
  __device__ static std::int32_t flip(std::int32_t value) { return ~value; }

  __device__ L enter(L value) const { return smallest ? flip(value) : value; }
  __device__ L leave(L value) const { return smallest ? flip(value) : value; }
  __device__ L operator()(L a, L b) const { return a > b || a != a ? a : b; }
};

// Where results go: into y as they are asked for, or into scratch, which is f32 or i32.
struct Finish {
  void* y;
  DType dtype;
  float factor = 1.0f;
  bool add = false;  // to an f32 y

  template <int kCount>
  __device__ void operator()(std::int64_t at, std::int32_t (&v)[kCount]) const {
    store_words(v, static_cast<std::int32_t*>(y) + at);
  }
  template <int kCount>
  __device__ void operator()(std::int64_t at, float (&v)[kCount]) const {
#pragma unroll
    for (int i = 0; i < kCount; ++i) v[i] *= factor;
    if (dtype == DType::BF16) {
      store_lanes(v, static_cast<Bf16*>(y) + at);
      return;
    }
    float* to = static_cast<float*>(y) + at;
    if (add) {
      float before[kCount];
      load(to, before);
#pragma unroll
      for (int i = 0; i < kCount; ++i) v[i] += before[i];
    }
    store(v, to);
  }
};

constexpr int kReduceThreads = 256;
constexpr int kReduceBlocks = 4;  // on a multiprocessor: 64 registers per thread

// x [rows, reduced] -> [rows, parts], part p being `part_size` columns from p * part_size on.
struct RowReduction {
  std::int64_t items = 0;  // rows * parts
  std::int64_t reduced = 0, part_size = 0;
  unsigned parts = 1;
  int threads = 0;  // that share an item: a power of two up to a warp, or the block
};

// A block takes one item (kBlock), or each group of neighbouring threads of a warp takes one, a whole row. A thread has
// up to four packs in progress: 64 KiB and more a multiprocessor.
template <class T, class Op, bool kBlock>
__global__ void __launch_bounds__(kReduceThreads, kReduceBlocks)
    reduce_rows_kernel(const T* __restrict__ x, RowReduction plan, Op op, Finish finish) {
  using L = Lane<T>;
  constexpr int kWidth = kPack<T>;
  const int threads = kBlock ? kReduceThreads : plan.threads;
  const int thread = static_cast<int>(threadIdx.x) & (threads - 1);
  std::int64_t item = blockIdx.x, first = 0;
  int columns = 0;
  if constexpr (kBlock) {
    const unsigned row = blockIdx.x / plan.parts, part = blockIdx.x - row * plan.parts;
    const std::int64_t begin = part * plan.part_size;
    first = row * plan.reduced + begin;
    columns = static_cast<int>(min(plan.part_size, plan.reduced - begin));
  } else {
    item = (item * kReduceThreads + threadIdx.x) / static_cast<unsigned>(threads);
    first = item * plan.reduced;
    if (item < plan.items) columns = static_cast<int>(plan.reduced);
  }

  L result[kWidth];
#pragma unroll
  for (int k = 0; k < kWidth; ++k) result[k] = Op::kInitial;
  const auto take = [&](auto count, int column) {
    L v[decltype(count)::value];
    load_lanes(x + first + column, v);
#pragma unroll
    for (int k = 0; k < decltype(count)::value; ++k) result[k] = op(result[k], op.enter(v[k]));
  };
  for_row<kWidth>(first, columns, thread, threads, take);
#pragma unroll
  for (int step = kWidth / 2; step > 0; step /= 2) {
#pragma unroll
    for (int k = 0; k < step; ++k) result[k] = op(result[k], result[k + step]);
  }
  L one[1] = {result[0]};
  if constexpr (kBlock) {
    one[0] = block_reduce<kReduceThreads>(one[0], op);
  } else {
    for (int step = threads / 2; step > 0; step /= 2) one[0] = op(one[0], __shfl_xor_sync(kAllLanes, one[0], step));
  }
  one[0] = op.leave(one[0]);
  if (thread == 0 && item < plan.items) finish(item, one);
}

// x [outer, reduced, inner] -> [outer, parts, inner], part p being `part_size` rows from p * part_size on.
struct ColumnReduction {
  std::int64_t columns = 0;  // packs of columns, of all outer slices
  Divisor packs;             // of one slice
  std::int64_t reduced = 0, inner = 0, part_size = 0;
  int parts = 1;
  int log_width = 0;  // of the threads of a block, 2^log_width take columns side by side; the others other rows
};

// A block takes 2^log_width packs of columns and one part of the rows, which its threads share out row by row; grid
// [tiles of columns, parts]. A thread has four packs in progress, or eight single elements. What threads of one column
// have is joined through shuffles and shared memory.
template <class T, int kWidth, class Op>
__global__ void __launch_bounds__(kReduceThreads, kReduceBlocks)
    reduce_columns_kernel(const T* __restrict__ x, ColumnReduction plan, Op op, Finish finish) {
  using L = Lane<T>;
  constexpr int kAtOnce = kWidth == 1 ? 8 : 4;
  __shared__ L partial[kWidth * kReduceThreads];
  const int width = 1 << plan.log_width, rows = kReduceThreads >> plan.log_width;
  const int thread = static_cast<int>(threadIdx.x), across = thread & (width - 1), down = thread >> plan.log_width;
  const std::int64_t column = (static_cast<std::int64_t>(blockIdx.x) << plan.log_width) + across;
  const bool valid = column < plan.columns;
  const std::int64_t outer = plan.packs.quotient(column), own = (column - outer * plan.packs.value) * kWidth;
  const std::int64_t begin = blockIdx.y * plan.part_size, end = min(begin + plan.part_size, plan.reduced);

  L result[kWidth];
#pragma unroll
  for (int k = 0; k < kWidth; ++k) result[k] = Op::kInitial;
  const auto take = [&](const L(&v)[kWidth]) {
#pragma unroll
    for (int k = 0; k < kWidth; ++k) result[k] = op(result[k], op.enter(v[k]));
  };
  if (valid) {
    const T* from = x + (outer * plan.reduced + begin + down) * plan.inner + own;
    const std::int64_t step = rows * plan.inner;
    auto left = static_cast<int>((end - begin - down + rows - 1) / rows);  // rows of this thread
    for (; left >= kAtOnce; left -= kAtOnce, from += kAtOnce * step) {
      L v[kAtOnce][kWidth];
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) load_lanes(from + i * step, v[i]);
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) take(v[i]);
    }
    for (; left > 0; --left, from += step) {
      L v[kWidth];
      load_lanes(from, v);
      take(v);
    }
  }

  // Within warps that hold several rows, then between the groups of threads that are left.
  for (int lanes = kWarp / 2; lanes >= width; lanes /= 2) {
#pragma unroll
    for (int k = 0; k < kWidth; ++k) result[k] = op(result[k], __shfl_xor_sync(kAllLanes, result[k], lanes));
  }
  const int groups = min(rows, kReduceThreads / kWarp), group = width < kWarp ? thread / kWarp : down;
  const bool leads = thread - group * max(width, kWarp) < width;
  if (groups > 1) {
    if (leads) {
#pragma unroll
      for (int k = 0; k < kWidth; ++k) partial[(group * kWidth + k) * width + across] = result[k];
    }
    __syncthreads();
    if (group != 0) return;
    for (int other = 1; other < groups; ++other) {
#pragma unroll
      for (int k = 0; k < kWidth; ++k) result[k] = op(result[k], partial[(other * kWidth + k) * width + across]);
    }
  }
  if (!valid || !leads) return;
#pragma unroll
  for (int k = 0; k < kWidth; ++k) result[k] = op.leave(result[k]);
  finish((outer * plan.parts + blockIdx.y) * plan.inner + own, result);
}

}  // namespace apollo::cuda
