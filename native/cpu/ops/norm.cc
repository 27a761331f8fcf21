// Layer norm over the last axis (Ba et al., arXiv 1607.06450), alone and fused with the residual addition and dropout
// before it. Statistics are f32 and taken from the values as stored, so that the backward pass sees the same x.
#include "cpu/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/ops/norm.cc"
#include "hwy/foreach_target.h"

#include <cmath>

#include "cpu/cpu.h"
#include "cpu/parallel.h"
#include "cpu/partition.h"
#include "cpu/simd/random-inl.h"

#ifndef APOLLO_CPU_NORM_ARGS_
#define APOLLO_CPU_NORM_ARGS_
namespace apollo::cpu {

struct NormArgs {
  std::int64_t rows, columns;
  bool bf16, drop;
  float epsilon;
  Dropout dropout;
  RngState rng;

  // Forward. `residual` and `sum` are null for plain layer norm, which normalises x itself.
  const void *x, *residual;
  const float *weight, *bias;
  void *y, *sum;
  float *mean, *rstd;

  // Backward, with x the normalised tensor and mean, rstd, weight from above. `dsum` may be null; `dropped` is the
  // gradient of the dropped branch, null without dropout.
  const void *dy, *dsum;
  void *dx, *dropped;
};

constexpr std::int64_t kNormChunk = 512;  // columns between two refills of the dropout multipliers
constexpr int kNormRows = 4;              // rows whose weight gradients are summed in registers

}  // namespace apollo::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace apollo::cpu::HWY_NAMESPACE {

// Sum over a row in four chains (additions have a latency of four cycles): add(sum, i, part) returns sum plus a term.
template <class Add>
HWY_INLINE float sum_over(F32 d, std::size_t count, const Add& add) {
  const std::size_t lanes = hn::Lanes(d);
  auto s0 = hn::Zero(d), s1 = hn::Zero(d), s2 = hn::Zero(d), s3 = hn::Zero(d);
  std::size_t i = 0;
  for (; i + 4 * lanes <= count; i += 4 * lanes) {
    s0 = add(s0, i, Full());
    s1 = add(s1, i + lanes, Full());
    s2 = add(s2, i + 2 * lanes, Full());
    s3 = add(s3, i + 3 * lanes, Full());
  }
  for (; i + lanes <= count; i += lanes) s0 = add(s0, i, Full());
  if (i < count) s1 = add(s1, i, Tail{count - i});
  return sum_lanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3)));
}

// sum = residual + x * multiplier for one row.
template <class T>
HWY_INLINE void add_residual(const NormArgs& args, const Multipliers& multipliers, std::int64_t row, const T* x,
                             const T* residual, T* sum) {
  const F32 d;
  if (!args.drop) {
    for_vectors(d, static_cast<std::size_t>(args.columns), [&](std::size_t i, auto part) HWY_ATTR {
      store(hn::Add(load(d, x + i, part), load(d, residual + i, part)), d, sum + i, part);
    });
    return;
  }
  HWY_ALIGN float buffer[kNormChunk];
  std::uint32_t block = first_block(row, args.columns);
  for (std::int64_t begin = 0; begin < args.columns; begin += kNormChunk, block += kNormChunk / 8) {
    const std::int64_t count = std::min(kNormChunk, args.columns - begin);
    fill_multipliers(multipliers, block, count, buffer);
    for_vectors(d, static_cast<std::size_t>(count), [&](std::size_t i, auto part) HWY_ATTR {
      const std::size_t c = static_cast<std::size_t>(begin) + i;
      const auto added = hn::MulAdd(load(d, x + c, part), load(d, buffer + i, part), load(d, residual + c, part));
      store(added, d, sum + c, part);
    });
  }
}

template <class T>
void norm_rows_of(const NormArgs& args, std::int64_t begin, std::int64_t end) {
  const F32 d;
  const Multipliers multipliers(args.dropout, args.rng);
  const auto columns = static_cast<std::size_t>(args.columns);
  const float scale = 1.0f / static_cast<float>(columns);
  for (std::int64_t row = begin; row < end; ++row) {
    const std::int64_t offset = row * args.columns;
    const T* x = static_cast<const T*>(args.x) + offset;
    T* y = static_cast<T*>(args.y) + offset;
    if (args.sum != nullptr) {
      T* sum = static_cast<T*>(args.sum) + offset;
      add_residual(args, multipliers, row, x, static_cast<const T*>(args.residual) + offset, sum);
      x = sum;
    }
    const auto add = [&](hn::Vec<F32> sum, std::size_t i, auto part)
                         HWY_ATTR { return hn::Add(sum, load(d, x + i, part)); };
    const float mean = scale * sum_over(d, columns, add);
    const auto center = hn::Set(d, mean);
    const auto add_square = [&](hn::Vec<F32> sum, std::size_t i, auto part) HWY_ATTR {
      const auto v = keep(d, hn::Sub(load(d, x + i, part), center), part);
      return hn::MulAdd(v, v, sum);
    };
    const float variance = scale * sum_over(d, columns, add_square);
    const float rstd = 1.0f / std::sqrt(variance + args.epsilon);
    args.mean[row] = mean;
    args.rstd[row] = rstd;
    const auto factor = hn::Set(d, rstd);
    for_vectors(d, columns, [&](std::size_t i, auto part) HWY_ATTR {
      const auto v = hn::Mul(hn::Sub(load(d, x + i, part), center), factor);
      store(hn::MulAdd(v, load(d, args.weight + i, part), load(d, args.bias + i, part)), d, y + i, part);
    });
  }
}

// [sum = residual + x * multiplier], mean and rstd of x (or sum) by row, y = (x - mean) * rstd * weight + bias.
// Rows are divided among the threads; a row stays in the first-level cache for its passes, so memory sees each tensor
// once. That is the limit in f32 (about 90 % of a copy's bandwidth); bf16 is limited by instructions (60-80 %), and
// with dropout by Philox (50 %).
void norm_rows(const NormArgs& args, std::int64_t begin, std::int64_t end) {
  args.bf16 ? norm_rows_of<Bf16>(args, begin, end) : norm_rows_of<float>(args, begin, end);
}

// What the backward pass needs of one row: dx = rstd (g - mean(g) - xhat mean(g xhat)), g = dy * weight,
// xhat = (x - mean) rstd, written as dx = rstd * g + slope * (x - mean) + shift.
struct RowTerms {
  float mean, rstd, slope, shift;
};

template <class T>
HWY_INLINE RowTerms row_terms(const NormArgs& args, std::int64_t row) {
  const F32 d;
  const std::size_t columns = static_cast<std::size_t>(args.columns), lanes = hn::Lanes(d);
  const T* dy = static_cast<const T*>(args.dy) + row * args.columns;
  const T* x = static_cast<const T*>(args.x) + row * args.columns;
  const float mean = args.mean[row], rstd = args.rstd[row];
  const auto center = hn::Set(d, mean);
  auto g0 = hn::Zero(d), g1 = hn::Zero(d), gx0 = hn::Zero(d), gx1 = hn::Zero(d);
  const auto add = [&](std::size_t i, auto part, auto& g_sum, auto& gx_sum) HWY_ATTR {
    const auto g = hn::Mul(load(d, dy + i, part), load(d, args.weight + i, part));  // 0 past the tail
    g_sum = hn::Add(g_sum, g);
    gx_sum = hn::MulAdd(g, hn::Sub(load(d, x + i, part), center), gx_sum);
  };
  std::size_t i = 0;
  for (; i + 2 * lanes <= columns; i += 2 * lanes) {
    add(i, Full(), g0, gx0);
    add(i + lanes, Full(), g1, gx1);
  }
  if (i + lanes <= columns) {
    add(i, Full(), g0, gx0);
    i += lanes;
  }
  if (i < columns) add(i, Tail{columns - i}, g1, gx1);
  const float scale = 1.0f / static_cast<float>(columns);
  const float g_mean = scale * sum_lanes(d, hn::Add(g0, g1));
  const float gx_mean = scale * sum_lanes(d, hn::Add(gx0, gx1));
  return {mean, rstd, -rstd * rstd * rstd * gx_mean, -rstd * g_mean};
}

// Rows [row, row + kRows), columns [begin, begin + count): dx (plus dsum), its dropped form, and the sums over the rows
// that go to dw and db.
template <class T, int kRows, bool kDsum, bool kDrop>
HWY_INLINE void backward_tile(const NormArgs& args, const Multipliers& multipliers, const RowTerms* terms,
                              std::int64_t row, std::int64_t begin, std::int64_t count, float* dw, float* db) {
  const F32 d;
  HWY_ALIGN float buffer[kDrop ? kRows * kNormChunk : 1];
  if constexpr (kDrop) {
    for (int r = 0; r < kRows; ++r) {
      const std::uint32_t block = first_block(row + r, args.columns) + static_cast<std::uint32_t>(begin / 8);
      fill_multipliers(multipliers, block, count, buffer + r * kNormChunk);
    }
  }
  const std::int64_t offset = row * args.columns + begin;
  const T *dy = static_cast<const T*>(args.dy) + offset, *x = static_cast<const T*>(args.x) + offset;
  const T* dsum = kDsum ? static_cast<const T*>(args.dsum) + offset : nullptr;
  T* dx = static_cast<T*>(args.dx) + offset;
  T* dropped = kDrop ? static_cast<T*>(args.dropped) + offset : nullptr;
  const float* weight = args.weight + begin;
  const auto columns = static_cast<std::size_t>(args.columns);
  for_vectors(d, static_cast<std::size_t>(count), [&](std::size_t i, auto part) HWY_ATTR {
    const auto w = load(d, weight + i, part);
    auto dw_sum = load(d, dw + begin + i, part), db_sum = load(d, db + begin + i, part);
    for (int r = 0; r < kRows; ++r) {
      const std::size_t at = static_cast<std::size_t>(r) * columns + i;
      const auto g = load(d, dy + at, part);
      const auto rstd = hn::Set(d, terms[r].rstd);
      const auto centered = hn::Sub(load(d, x + at, part), hn::Set(d, terms[r].mean));
      dw_sum = hn::MulAdd(g, hn::Mul(centered, rstd), dw_sum);
      db_sum = hn::Add(db_sum, g);
      auto base = hn::Set(d, terms[r].shift);
      if constexpr (kDsum) base = hn::Add(base, load(d, dsum + at, part));
      const auto slope = hn::MulAdd(hn::Set(d, terms[r].slope), centered, base);
      const auto out = hn::MulAdd(hn::Mul(g, w), rstd, slope);
      store(out, d, dx + at, part);
      if constexpr (kDrop) {
        const auto multiplier = load(d, buffer + static_cast<std::size_t>(r) * kNormChunk + i, part);
        store(hn::Mul(out, multiplier), d, dropped + at, part);
      }
    }
    store(dw_sum, d, dw + begin + i, part);
    store(db_sum, d, db + begin + i, part);
  });
}

template <class T, int kRows, bool kDsum, bool kDrop>
HWY_INLINE void backward_rows(const NormArgs& args, const Multipliers& multipliers, std::int64_t row, float* dw,
                              float* db) {
  RowTerms terms[kRows];
  for (int r = 0; r < kRows; ++r) terms[r] = row_terms<T>(args, row + r);
  const std::int64_t step = kDrop ? kNormChunk : args.columns;
  for (std::int64_t begin = 0; begin < args.columns; begin += step) {
    const std::int64_t count = std::min(step, args.columns - begin);
    backward_tile<T, kRows, kDsum, kDrop>(args, multipliers, terms, row, begin, count, dw, db);
  }
}

template <class T, bool kDsum, bool kDrop>
void backward_range(const NormArgs& args, std::int64_t begin, std::int64_t end, float* dw, float* db) {
  const Multipliers multipliers(args.dropout, args.rng);
  std::fill_n(dw, args.columns, 0.0f);
  std::fill_n(db, args.columns, 0.0f);
  std::int64_t row = begin;
  for (; row + kNormRows <= end; row += kNormRows) {
    backward_rows<T, kNormRows, kDsum, kDrop>(args, multipliers, row, dw, db);
  }
  for (; row < end; ++row) backward_rows<T, 1, kDsum, kDrop>(args, multipliers, row, dw, db);
}

template <class T>
void norm_backward_rows_of(const NormArgs& args, std::int64_t begin, std::int64_t end, float* dw, float* db) {
  if (args.dsum != nullptr) {
    args.drop ? backward_range<T, true, true>(args, begin, end, dw, db)
              : backward_range<T, true, false>(args, begin, end, dw, db);
  } else {
    args.drop ? backward_range<T, false, true>(args, begin, end, dw, db)
              : backward_range<T, false, false>(args, begin, end, dw, db);
  }
}

// dx of rows [begin, end) and these rows' sums dw = sum dy * xhat, db = sum dy, each of `columns` values. Four rows at
// a time: a first pass over them (from memory) finds the two means of each, a second (from the cache) writes dx and
// adds to dw and db once for the four. Limits as above: 85-95 % of a copy's bandwidth in f32, 60-80 % in bf16, and
// 50-70 % with dropout.
void norm_backward_rows(const NormArgs& args, std::int64_t begin, std::int64_t end, float* dw, float* db) {
  args.bf16 ? norm_backward_rows_of<Bf16>(args, begin, end, dw, db)
            : norm_backward_rows_of<float>(args, begin, end, dw, db);
}

// out[i] (+)= partials[0][i] + partials[1][i] + ..., in this order.
void add_partials(const float* partials, std::int64_t parts, std::int64_t stride, std::int64_t count, bool accumulate,
                  float* out) {
  const F32 d;
  for_vectors(d, static_cast<std::size_t>(count), [&](std::size_t i, auto part) HWY_ATTR {
    auto sum = load(d, partials + i, part);
    for (std::int64_t p = 1; p < parts; ++p) sum = hn::Add(sum, load(d, partials + p * stride + i, part));
    if (accumulate) sum = hn::Add(load(d, out + i, part), sum);
    store(sum, d, out + i, part);
  });
}

}  // namespace apollo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apollo::cpu {
namespace {

HWY_EXPORT(norm_rows);
HWY_EXPORT(norm_backward_rows);
HWY_EXPORT(add_partials);

// Shape, dtype and dropout of the op, whose normalised tensor is `x`; all activations must have its dtype.
NormArgs common_args(const OpDesc& desc, const TensorDesc& x) {
  if (x.dtype == DType::I32) unsupported(desc, "cpu");
  NormArgs args{};
  args.rows = x.rows();
  args.columns = x.last();
  args.bf16 = x.dtype == DType::BF16;
  args.epsilon = static_cast<float>(desc.attrs.number("epsilon", 0));
  const double p = desc.attrs.number("p", 0);
  args.drop = p > 0;
  if (args.drop) args.dropout = Dropout::make(p, static_cast<std::uint32_t>(desc.attrs.integer("stream")));
  return args;
}

// layerNorm (x, w, b) -> (y, mean, rstd); residualNorm (x, residual, w, b, [rng]) -> (y, sum, mean, rstd).
template <bool kResidual>
std::unique_ptr<Kernel> make_norm(const OpDesc& desc) {
  const NormArgs common = common_args(desc, desc.inputs[0]);
  const bool same =
      desc.outputs[0].dtype == desc.inputs[0].dtype &&
      (!kResidual || (desc.inputs[1].dtype == desc.inputs[0].dtype && desc.outputs[1].dtype == desc.inputs[0].dtype));
  if (!same) unsupported(desc, "cpu");
  const std::int64_t row_bytes = common.columns * (common.bf16 ? 2 : 4) * (kResidual ? 4 : 2);
  return std::make_unique<FunctionKernel>([common, row_bytes](const RunContext& context) {
    constexpr std::size_t kWeight = kResidual ? 2 : 1, kMean = kResidual ? 2 : 1;
    NormArgs args = common;
    args.x = context.inputs[0];
    args.weight = context.in<float>(kWeight);
    args.bias = context.in<float>(kWeight + 1);
    args.y = context.outputs[0];
    args.mean = context.out<float>(kMean);
    args.rstd = context.out<float>(kMean + 1);
    if constexpr (kResidual) {
      args.residual = context.inputs[1];
      args.sum = context.outputs[1];
      if (args.drop) args.rng = RngState::from(context.in<std::int32_t>(4));
    }
    parallel_rows(args.rows, row_bytes, [&](std::int64_t begin, std::int64_t end) {
      HWY_DYNAMIC_DISPATCH(norm_rows)(args, begin, end);
    });
  });
}

// layerNormBackward (dy, x, mean, rstd, w) -> (dx, dw, db) and residualNormBackward (dy, sum, mean, rstd, w, [dsum],
// [rng]) -> (dResidual, dw, db, [dx]). Every part of the rows sums its own dw and db in scratch.
class NormBackward final : public Kernel {
 public:
  explicit NormBackward(const OpDesc& desc)
      : common_(common_args(desc, desc.inputs[1])),
        has_dsum_(desc.attrs.flag("hasDsum")),
        accumulate_{desc.accumulates(1), desc.accumulates(2)} {
    const DType dtype = desc.inputs[1].dtype;
    bool same = desc.inputs[0].dtype == dtype && desc.outputs[0].dtype == dtype;
    if (has_dsum_) same = same && desc.inputs[5].dtype == dtype;
    if (common_.drop) same = same && desc.outputs[3].dtype == dtype;
    if (!same) unsupported(desc, "cpu");
    constexpr std::int64_t kRowsPerPart = 16;  // fewer would spend more on adding the parts than on the rows
    parts_ = static_cast<int>(std::clamp<std::int64_t>(common_.rows / kRowsPerPart, 1, omp_get_max_threads()));
    stride_ = (common_.columns + 31) / 32 * 32;  // 128 bytes: the unit that neighbouring-line prefetch may share
  }

  std::size_t scratch_bytes() const override { return static_cast<std::size_t>(parts_ * 2 * stride_) * sizeof(float); }

  void run(const RunContext& context) override {
    NormArgs args = common_;
    args.dy = context.inputs[0];
    args.x = context.inputs[1];
    args.mean = const_cast<float*>(context.in<float>(2));
    args.rstd = const_cast<float*>(context.in<float>(3));
    args.weight = context.in<float>(4);
    if (has_dsum_) args.dsum = context.inputs[5];
    args.dx = context.outputs[0];
    if (args.drop) {
      args.rng = RngState::from(context.in<std::int32_t>(has_dsum_ ? 6 : 5));
      args.dropped = context.outputs[3];
    }
    float* partials = static_cast<float*>(context.scratch);  // [parts][dw, db][stride]
    parallel_parts(parts_, [&](int part) {
      const Range rows = part_of(args.rows, part, parts_);
      float* dw = partials + part * 2 * stride_;
      HWY_DYNAMIC_DISPATCH(norm_backward_rows)(args, rows.begin, rows.end, dw, dw + stride_);
    });
    for (std::size_t i = 0; i < 2; ++i) {
      const std::int64_t row_bytes = (parts_ + 1) * 4;
      parallel_elements(args.columns, row_bytes, [&](std::int64_t begin, std::int64_t end) {
        const float* from = partials + static_cast<std::int64_t>(i) * stride_ + begin;
        HWY_DYNAMIC_DISPATCH(add_partials)
        (from, parts_, 2 * stride_, end - begin, accumulate_[i], context.out<float>(i + 1) + begin);
      });
    }
  }

 private:
  NormArgs common_;
  bool has_dsum_;
  bool accumulate_[2];
  int parts_;
  std::int64_t stride_;
};

std::unique_ptr<Kernel> make_norm_backward(const OpDesc& desc) { return std::make_unique<NormBackward>(desc); }

}  // namespace

void register_norm(OpTable& table) {
  table.add("layerNorm", make_norm<false>);
  table.add("layerNormBackward", make_norm_backward);
  table.add("residualNorm", make_norm<true>);
  table.add("residualNormBackward", make_norm_backward);
}

}  // namespace apollo::cpu
#endif  // HWY_ONCE
