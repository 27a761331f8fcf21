// Products with few rows (matmul_rows.h). Limited by memory: w is read once, in the order in which it is there, and
// serves all rows; at one row two FLOPs per element. (oneDNN 2.6 took several times as
// long for one row of a [K, N] matrix.) Threads share the rows of w: of [K, N] each has a sum of its own, and these are
// added in the order of the threads; of [N, K] each has columns of y.
#include "cpu/ops/matmul_rows.h"

#include <algorithm>
#include <vector>

#include "cpu/cpu.h"
#include "cpu/parallel.h"
#include "cpu/partition.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/ops/matmul_rows.cc"
#include "cpu/simd/targets.h"
#include "hwy/foreach_target.h"
// The above must come first.
#include "cpu/simd/gelu-inl.h"
#include "cpu/simd/simd-inl.h"
#include "hwy/highway.h"

#ifndef APOLLO_CPU_MATMUL_ROWS_TYPES_
#define APOLLO_CPU_MATMUL_ROWS_TYPES_
namespace apollo::cpu {

// The vectorised parts for one element type of w.
struct FewRowsParts {
  // sums [M, N] += x[:, begin..end) w[begin..end, :]
  void (*add_rows)(const float* x, std::int64_t rows, std::int64_t inner, const void* w, std::int64_t columns,
                   std::int64_t begin, std::int64_t end, float* sums);
  // sums[m, n] = x[m, :] . w[n, :] for n in [begin, end)
  void (*dot_rows)(const float* x, std::int64_t rows, std::int64_t inner, const void* w, std::int64_t columns,
                   std::int64_t begin, std::int64_t end, float* sums);
  // to = x in f32
  void (*widen)(const void* x, std::int64_t count, float* to);
};

// y[begin..end) of one row = activation(sum over p of sums[p stride + ..] + bias), stored as f32 or bf16.
struct FinishRow {
  const float* sums;
  std::int64_t parts, stride;
  const float* bias;  // or null
  Activation activation;
  void* y;
  bool narrow;
};
using FinishRowRun = void (*)(const FinishRow& row, std::int64_t begin, std::int64_t end);

}  // namespace apollo::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace apollo::cpu::HWY_NAMESPACE {
namespace {

// kCount rows of w from `w` on, for kRows rows of x and of the sums. Each sum is loaded and stored once for kCount
// rows.
template <int kRows, int kCount, class T>
HWY_INLINE void add_block(const float* x, std::int64_t inner, const T* w, std::int64_t columns, float* sums) {
  const F32 d;
  hn::Vec<F32> factor[kRows][kCount];
  for (int m = 0; m < kRows; ++m) {
    for (int k = 0; k < kCount; ++k) factor[m][k] = hn::Set(d, x[m * inner + k]);
  }
  for_vectors(d, static_cast<std::size_t>(columns), [&](std::size_t n, auto part) HWY_ATTR {
    hn::Vec<F32> sum[kRows];
    for (int m = 0; m < kRows; ++m) sum[m] = load(d, sums + m * columns + n, part);
    for (int k = 0; k < kCount; ++k) {
      const auto v = load(d, w + k * columns + n, part);
      for (int m = 0; m < kRows; ++m) sum[m] = hn::MulAdd(factor[m][k], v, sum[m]);
    }
    for (int m = 0; m < kRows; ++m) store(sum[m], d, sums + m * columns + n, part);
  });
}

template <int kCount, class T>
HWY_INLINE void add_block_rows(const float* x, std::int64_t rows, std::int64_t inner, const T* w, std::int64_t columns,
                               float* sums) {
  // Blocks of w stay in the caches while more than two rows use them.
  for (; rows >= 2; rows -= 2, x += 2 * inner, sums += 2 * columns) {
    add_block<2, kCount>(x, inner, w, columns, sums);
  }
  if (rows == 1) add_block<1, kCount>(x, inner, w, columns, sums);
}

template <class T>
void add_rows(const float* x, std::int64_t rows, std::int64_t inner, const void* matrix, std::int64_t columns,
              std::int64_t begin, std::int64_t end, float* sums) {
  const T* w = static_cast<const T*>(matrix);
  std::int64_t k = begin;
  if (rows == 1) {
    for (; k + 8 <= end; k += 8) add_block<1, 8>(x + k, inner, w + k * columns, columns, sums);
  }
  for (; k + 4 <= end; k += 4) add_block_rows<4>(x + k, rows, inner, w + k * columns, columns, sums);
  for (; k < end; ++k) add_block_rows<1>(x + k, rows, inner, w + k * columns, columns, sums);
}

// kCount columns of y, rows `w`, w + inner, .. of the matrix, for kRows rows of x.
template <int kRows, int kCount, class T>
HWY_INLINE void dot_block(const float* x, std::int64_t inner, const T* w, std::int64_t columns, float* to) {
  const F32 d;
  hn::Vec<F32> sum[kRows][kCount];
  for (auto& row : sum) {
    for (auto& s : row) s = hn::Zero(d);
  }
  for_vectors(d, static_cast<std::size_t>(inner), [&](std::size_t i, auto part) HWY_ATTR {
    hn::Vec<F32> v[kRows];
    for (int m = 0; m < kRows; ++m) v[m] = load(d, x + m * inner + i, part);
    for (int n = 0; n < kCount; ++n) {
      const auto u = load(d, w + n * inner + i, part);
      for (int m = 0; m < kRows; ++m) sum[m][n] = hn::MulAdd(v[m], u, sum[m][n]);
    }
  });
  for (int m = 0; m < kRows; ++m) {
    for (int n = 0; n < kCount; ++n) to[m * columns + n] = sum_lanes(d, sum[m][n]);
  }
}

template <int kCount, class T>
HWY_INLINE void dot_block_rows(const float* x, std::int64_t rows, std::int64_t inner, const T* w, std::int64_t columns,
                               float* to) {
  // The rows of w stay in the first-level cache while more than two rows use them.
  for (; rows >= 2; rows -= 2, x += 2 * inner, to += 2 * columns) dot_block<2, kCount>(x, inner, w, columns, to);
  if (rows == 1) dot_block<1, kCount>(x, inner, w, columns, to);
}

template <class T>
void dot_rows(const float* x, std::int64_t rows, std::int64_t inner, const void* matrix, std::int64_t columns,
              std::int64_t begin, std::int64_t end, float* sums) {
  const T* w = static_cast<const T*>(matrix);
  std::int64_t n = begin;
  for (; n + 4 <= end; n += 4) dot_block_rows<4>(x, rows, inner, w + n * inner, columns, sums + n);
  for (; n < end; ++n) dot_block_rows<1>(x, rows, inner, w + n * inner, columns, sums + n);
}

template <class T>
void widen(const void* x, std::int64_t count, float* to) {
  const F32 d;
  const T* from = static_cast<const T*>(x);
  for_vectors(d, static_cast<std::size_t>(count),
              [&](std::size_t i, auto part) HWY_ATTR { store(load(d, from + i, part), d, to + i, part); });
}

void finish_row(const FinishRow& row, std::int64_t begin, std::int64_t end) {
  const F32 d;
  for_vectors(d, static_cast<std::size_t>(end - begin), [&](std::size_t i, auto part) HWY_ATTR {
    const std::size_t n = static_cast<std::size_t>(begin) + i;
    auto y = load(d, row.sums + n, part);
    for (std::int64_t p = 1; p < row.parts; ++p) y = hn::Add(y, load(d, row.sums + p * row.stride + n, part));
    if (row.bias != nullptr) y = hn::Add(y, load(d, row.bias + n, part));
    if (row.activation == Activation::Gelu) y = gelu(d, y);
    if (row.activation == Activation::GeluTanh) y = gelu_tanh(d, y);
    if (row.narrow) {
      store(y, d, static_cast<Bf16*>(row.y) + n, part);
    } else {
      store(y, d, static_cast<float*>(row.y) + n, part);
    }
  });
}

FewRowsParts find_few_rows(DType dtype) {
  if (dtype == DType::F32) return {add_rows<float>, dot_rows<float>, widen<float>};
  return {add_rows<Bf16>, dot_rows<Bf16>, widen<Bf16>};
}
FinishRowRun find_finish_row() { return finish_row; }

}  // namespace
}  // namespace apollo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apollo::cpu {
namespace {

HWY_EXPORT(find_few_rows);
HWY_EXPORT(find_finish_row);

class FewRows final : public Kernel {
 public:
  explicit FewRows(const FewRowsDesc& desc)
      : desc_(desc),
        run_(HWY_DYNAMIC_DISPATCH(find_few_rows)(desc.dtype)),
        finish_(HWY_DYNAMIC_DISPATCH(find_finish_row)()) {
    const std::int64_t bytes = desc.inner * desc.columns * static_cast<std::int64_t>(size_of(desc.dtype));
    parts_ = static_cast<int>(std::clamp<std::int64_t>(bytes / kParallelBytes, 1, omp_get_max_threads()));
  }

  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(wide_size() + (desc_.transposed ? 1 : parts_) * sums_size()) * sizeof(float);
  }

  void run(const RunContext& c) override {
    auto* wide = static_cast<float*>(c.scratch);
    float* sums = wide + wide_size();
    const float* x = c.in<float>(0);
    if (desc_.dtype != DType::F32) {
      run_.widen(c.inputs[0], desc_.rows * desc_.inner, wide);
      x = wide;
    }
    if (desc_.transposed) {
      parallel_parts(parts_, [&](int part) {
        const Range range = part_of(desc_.columns, part, parts_, 16);
        run_.dot_rows(x, desc_.rows, desc_.inner, c.inputs[1], desc_.columns, range.begin, range.end, sums);
        finish(c, sums, 1, range.begin, range.end);
      });
      return;
    }
    parallel_parts(parts_, [&](int part) {
      const Range range = part_of(desc_.inner, part, parts_, 8);
      float* mine = sums + part * sums_size();
      std::fill_n(mine, desc_.rows * desc_.columns, 0.0f);
      run_.add_rows(x, desc_.rows, desc_.inner, c.inputs[1], desc_.columns, range.begin, range.end, mine);
    });
    finish(c, sums, parts_, 0, desc_.columns);
  }

 private:
  static std::int64_t whole(std::int64_t elements) { return (elements + 15) / 16 * 16; }
  std::int64_t wide_size() const { return desc_.dtype == DType::F32 ? 0 : whole(desc_.rows * desc_.inner); }
  std::int64_t sums_size() const { return whole(desc_.rows * desc_.columns); }

  void finish(const RunContext& c, const float* sums, int parts, std::int64_t begin, std::int64_t end) const {
    for (std::int64_t m = 0; m < desc_.rows; ++m) {
      const std::int64_t first = m * desc_.columns;
      FinishRow row{};
      row.sums = sums + first;
      row.parts = parts;
      row.stride = sums_size();
      row.bias = desc_.bias ? c.in<float>(2) : nullptr;
      row.activation = desc_.activation;
      row.y = c.out<std::byte>(0) + first * static_cast<std::int64_t>(size_of(desc_.result));
      row.narrow = desc_.result == DType::BF16;
      finish_(row, begin, end);
    }
  }

  FewRowsDesc desc_;
  FewRowsParts run_;
  FinishRowRun finish_;
  int parts_ = 1;
};

}  // namespace

std::unique_ptr<Kernel> make_few_rows(const FewRowsDesc& desc) { return std::make_unique<FewRows>(desc); }

}  // namespace apollo::cpu
#endif  // HWY_ONCE
