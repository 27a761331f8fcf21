// Layer norm over the last axis (Ba et al., arXiv 1607.06450) and RMS norm (Zhang and Sennrich, arXiv 1910.07467),
// alone and fused with the residual addition and dropout before them. RMS norm is layer norm without centring: its mean
// is 0 and it has no bias. Statistics are f32 and taken from the values as stored, so that the backward pass sees the
// same x.
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
  bool bf16, drop, centered;  // centered: layer norm; mean and bias are null for RMS norm
  float epsilon;
  Dropout dropout;
  RngState rng;

  // Forward. `residual` and `sum` are null for a norm without residual, which normalises x itself.
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

// x - mean, which is x for RMS norm.
template <bool kCentered, class T, class Part>
HWY_INLINE hn::Vec<F32> centered_at(F32 d, const T* x, hn::Vec<F32> mean, Part part) {
  if constexpr (kCentered) return hn::Sub(load(d, x, part), mean);
  return load(d, x, part);
}

template <class T, bool kCentered>
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
    float mean = 0.0f;
    if constexpr (kCentered) {
      const auto add = [&](hn::Vec<F32> sum, std::size_t i, auto part)
                           HWY_ATTR { return hn::Add(sum, load(d, x + i, part)); };
      mean = scale * sum_over(d, columns, add);
      args.mean[row] = mean;
    }
    const auto center = hn::Set(d, mean);
    const auto add_square = [&](hn::Vec<F32> sum, std::size_t i, auto part) HWY_ATTR {
      const auto v = keep(d, centered_at<kCentered>(d, x + i, center, part), part);
      return hn::MulAdd(v, v, sum);
    };
    const float variance = scale * sum_over(d, columns, add_square);
    const float rstd = 1.0f / std::sqrt(variance + args.epsilon);
    args.rstd[row] = rstd;
    const auto factor = hn::Set(d, rstd);
    for_vectors(d, columns, [&](std::size_t i, auto part) HWY_ATTR {
      const auto v = hn::Mul(centered_at<kCentered>(d, x + i, center, part), factor);
      const auto weight = load(d, args.weight + i, part);
      if constexpr (kCentered) {
        store(hn::MulAdd(v, weight, load(d, args.bias + i, part)), d, y + i, part);
      } else {
        store(hn::Mul(v, weight), d, y + i, part);
      }
    });
  }
}

// [sum = residual + x * multiplier], [mean] and rstd of x (or sum) by row, y = (x - mean) * rstd * weight [+ bias].
// Rows are divided among the threads; a row stays in the first-level cache for its passes, so memory sees each tensor
// once. That is the limit in f32 (about 90 % of a copy's bandwidth); bf16 is limited by instructions (60-80 %), and
// with dropout by Philox (50 %).
void norm_rows(const NormArgs& args, std::int64_t begin, std::int64_t end) {
  if (args.centered) {
    args.bf16 ? norm_rows_of<Bf16, true>(args, begin, end) : norm_rows_of<float, true>(args, begin, end);
  } else {
    args.bf16 ? norm_rows_of<Bf16, false>(args, begin, end) : norm_rows_of<float, false>(args, begin, end);
  }
}

// Terms of the backward pass for one row: dx = rstd (g - mean(g) - xhat mean(g xhat)), g = dy * weight,
// xhat = (x - mean) rstd, written as dx = rstd * g + slope * (x - mean) + shift. RMS norm has no mean(g), so its shift
// is 0.
struct RowTerms {
  float mean, rstd, slope, shift;
};

template <class T, bool kCentered>
HWY_INLINE RowTerms row_terms(const NormArgs& args, std::int64_t row) {
  const F32 d;
  const std::size_t columns = static_cast<std::size_t>(args.columns), lanes = hn::Lanes(d);
  const T* dy = static_cast<const T*>(args.dy) + row * args.columns;
  const T* x = static_cast<const T*>(args.x) + row * args.columns;
  const float mean = kCentered ? args.mean[row] : 0.0f, rstd = args.rstd[row];
  const auto center = hn::Set(d, mean);
  auto g0 = hn::Zero(d), g1 = hn::Zero(d), gx0 = hn::Zero(d), gx1 = hn::Zero(d);
  const auto add = [&](std::size_t i, auto part, auto& g_sum, auto& gx_sum) HWY_ATTR {
    const auto g = hn::Mul(load(d, dy + i, part), load(d, args.weight + i, part));  // 0 past the tail
    if constexpr (kCentered) g_sum = hn::Add(g_sum, g);
    gx_sum = hn::MulAdd(g, centered_at<kCentered>(d, x + i, center, part), gx_sum);
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
  const float g_mean = kCentered ? scale * sum_lanes(d, hn::Add(g0, g1)) : 0.0f;
  const float gx_mean = scale * sum_lanes(d, hn::Add(gx0, gx1));
  return {mean, rstd, -rstd * rstd * rstd * gx_mean, -rstd * g_mean};
}

// Rows [row, row + kRows), columns [begin, begin + count): dx (plus dsum), its dropped form, and the sums over the rows
// that go to dw and db (null for RMS norm).
template <class T, int kRows, bool kCentered, bool kDsum, bool kDrop>
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
    auto dw_sum = load(d, dw + begin + i, part), db_sum = hn::Zero(d);
    if constexpr (kCentered) db_sum = load(d, db + begin + i, part);
    for (int r = 0; r < kRows; ++r) {
      const std::size_t at = static_cast<std::size_t>(r) * columns + i;
      const auto g = load(d, dy + at, part);
      const auto rstd = hn::Set(d, terms[r].rstd);
      const auto centered = centered_at<kCentered>(d, x + at, hn::Set(d, terms[r].mean), part);
      dw_sum = hn::MulAdd(g, hn::Mul(centered, rstd), dw_sum);
      if constexpr (kCentered) db_sum = hn::Add(db_sum, g);
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
    if constexpr (kCentered) store(db_sum, d, db + begin + i, part);
  });
}

template <class T, int kRows, bool kCentered, bool kDsum, bool kDrop>
HWY_INLINE void backward_rows(const NormArgs& args, const Multipliers& multipliers, std::int64_t row, float* dw,
                              float* db) {
  RowTerms terms[kRows];
  for (int r = 0; r < kRows; ++r) terms[r] = row_terms<T, kCentered>(args, row + r);
  const std::int64_t step = kDrop ? kNormChunk : args.columns;
  for (std::int64_t begin = 0; begin < args.columns; begin += step) {
    const std::int64_t count = std::min(step, args.columns - begin);
    backward_tile<T, kRows, kCentered, kDsum, kDrop>(args, multipliers, terms, row, begin, count, dw, db);
  }
}

template <class T, bool kCentered, bool kDsum, bool kDrop>
void backward_range(const NormArgs& args, std::int64_t begin, std::int64_t end, float* dw, float* db) {
  const Multipliers multipliers(args.dropout, args.rng);
  std::fill_n(dw, args.columns, 0.0f);
  if constexpr (kCentered) std::fill_n(db, args.columns, 0.0f);
  std::int64_t row = begin;
  for (; row + kNormRows <= end; row += kNormRows) {
    backward_rows<T, kNormRows, kCentered, kDsum, kDrop>(args, multipliers, row, dw, db);
  }
  for (; row < end; ++row) backward_rows<T, 1, kCentered, kDsum, kDrop>(args, multipliers, row, dw, db);
}

template <class T, bool kCentered>
void norm_backward_rows_of(const NormArgs& args, std::int64_t begin, std::int64_t end, float* dw, float* db) {
  if (args.dsum != nullptr) {
    args.drop ? backward_range<T, kCentered, true, true>(args, begin, end, dw, db)
              : backward_range<T, kCentered, true, false>(args, begin, end, dw, db);
  } else {
    args.drop ? backward_range<T, kCentered, false, true>(args, begin, end, dw, db)
              : backward_range<T, kCentered, false, false>(args, begin, end, dw, db);
  }
}

// dx of rows [begin, end) and these rows' sums dw = sum dy * xhat, db = sum dy, each of `columns` values. Four rows at
// a time: a first pass over them (from memory) finds the two means of each, a second (from the cache) writes dx and
// adds to dw and db once for the four. Limits as above: 85-95 % of a copy's bandwidth in f32, 60-80 % in bf16, and
// 50-70 % with dropout.
void norm_backward_rows(const NormArgs& args, std::int64_t begin, std::int64_t end, float* dw, float* db) {
  if (args.centered) {
    args.bf16 ? norm_backward_rows_of<Bf16, true>(args, begin, end, dw, db)
              : norm_backward_rows_of<float, true>(args, begin, end, dw, db);
  } else {
    args.bf16 ? norm_backward_rows_of<Bf16, false>(args, begin, end, dw, db)
              : norm_backward_rows_of<float, false>(args, begin, end, dw, db);
  }
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
NormArgs common_args(const OpDesc& desc, const TensorDesc& x, bool centered) {
  if (x.dtype == DType::I32) unsupported(desc, "cpu");
  NormArgs args{};
  args.rows = x.rows();
  args.columns = x.last();
  args.bf16 = x.dtype == DType::BF16;
  args.centered = centered;
  args.epsilon = static_cast<float>(desc.attrs.number("epsilon", 0));
  const double p = desc.attrs.number("p", 0);
  args.drop = p > 0;
  if (args.drop) args.dropout = Dropout::make(p, static_cast<std::uint32_t>(desc.attrs.integer("stream")));
  return args;
}

// layerNorm (x, w, b) -> (y, mean, rstd), residualNorm (x, residual, w, b, [rng]) -> (y, sum, mean, rstd); rmsNorm and
// residualRmsNorm (kCentered false) are the same without b and mean.
template <bool kResidual, bool kCentered>
std::unique_ptr<Kernel> make_norm(const OpDesc& desc) {
  const NormArgs common = common_args(desc, desc.inputs[0], kCentered);
  const bool same =
      desc.outputs[0].dtype == desc.inputs[0].dtype &&
      (!kResidual || (desc.inputs[1].dtype == desc.inputs[0].dtype && desc.outputs[1].dtype == desc.inputs[0].dtype));
  if (!same) unsupported(desc, "cpu");
  const std::int64_t row_bytes = common.columns * (common.bf16 ? 2 : 4) * (kResidual ? 4 : 2);
  return std::make_unique<FunctionKernel>([common, row_bytes](const RunContext& context) {
    constexpr std::size_t kWeight = kResidual ? 2 : 1, kStatistics = kResidual ? 2 : 1;
    NormArgs args = common;
    args.x = context.inputs[0];
    args.weight = context.in<float>(kWeight);
    args.y = context.outputs[0];
    if constexpr (kCentered) {
      args.bias = context.in<float>(kWeight + 1);
      args.mean = context.out<float>(kStatistics);
    }
    args.rstd = context.out<float>(kStatistics + kCentered);
    if constexpr (kResidual) {
      args.residual = context.inputs[1];
      args.sum = context.outputs[1];
      if (args.drop) args.rng = RngState::from(context.in<std::int32_t>(kWeight + 1 + kCentered));
    }
    parallel_rows(args.rows, row_bytes, [&](std::int64_t begin, std::int64_t end) {
      HWY_DYNAMIC_DISPATCH(norm_rows)(args, begin, end);
    });
  });
}

// layerNormBackward (dy, x, mean, rstd, w) -> (dx, dw, db) and residualNormBackward (dy, sum, mean, rstd, w, [dsum],
// [rng]) -> (dResidual, dw, db, [dx]); rmsNormBackward and residualRmsNormBackward (kCentered false) are the same
// without mean and db. Every part of the rows sums its own dw and db in scratch.
template <bool kCentered>
class NormBackward final : public Kernel {
 public:
  explicit NormBackward(const OpDesc& desc)
      : common_(common_args(desc, desc.inputs[1], kCentered)), has_dsum_(desc.attrs.flag("hasDsum")) {
    for (std::size_t i = 0; i < kSums; ++i) accumulate_[i] = desc.accumulates(i + 1);
    const DType dtype = desc.inputs[1].dtype;
    bool same = desc.inputs[0].dtype == dtype && desc.outputs[0].dtype == dtype;
    if (has_dsum_) same = same && desc.inputs[kDsum].dtype == dtype;
    if (common_.drop) same = same && desc.outputs[kDropped].dtype == dtype;
    if (!same) unsupported(desc, "cpu");
    constexpr std::int64_t kRowsPerPart = 16;  // fewer would spend more on adding the parts than on the rows
    parts_ = static_cast<int>(std::clamp<std::int64_t>(common_.rows / kRowsPerPart, 1, omp_get_max_threads()));
    stride_ = (common_.columns + 31) / 32 * 32;  // 128 bytes: the unit that neighbouring-line prefetch may share
  }

  std::size_t scratch_bytes() const override { return static_cast<std::size_t>(parts_ * part_size()) * sizeof(float); }

  void run(const RunContext& context) override {
    NormArgs args = common_;
    args.dy = context.inputs[0];
    args.x = context.inputs[1];
    if constexpr (kCentered) args.mean = const_cast<float*>(context.in<float>(2));
    args.rstd = const_cast<float*>(context.in<float>(kDsum - 2));
    args.weight = context.in<float>(kDsum - 1);
    if (has_dsum_) args.dsum = context.inputs[kDsum];
    args.dx = context.outputs[0];
    if (args.drop) {
      args.rng = RngState::from(context.in<std::int32_t>(has_dsum_ ? kDsum + 1 : kDsum));
      args.dropped = context.outputs[kDropped];
    }
    float* partials = static_cast<float*>(context.scratch);  // [parts][dw, db][stride]
    parallel_parts(parts_, [&](int part) {
      const Range rows = part_of(args.rows, part, parts_);
      float* dw = partials + part * part_size();
      HWY_DYNAMIC_DISPATCH(norm_backward_rows)(args, rows.begin, rows.end, dw, kCentered ? dw + stride_ : nullptr);
    });
    for (std::size_t i = 0; i < kSums; ++i) {
      const std::int64_t row_bytes = (parts_ + 1) * 4;
      parallel_elements(args.columns, row_bytes, [&](std::int64_t begin, std::int64_t end) {
        const float* from = partials + static_cast<std::int64_t>(i) * stride_ + begin;
        HWY_DYNAMIC_DISPATCH(add_partials)
        (from, parts_, part_size(), end - begin, accumulate_[i], context.out<float>(i + 1) + begin);
      });
    }
  }

 private:
  static constexpr std::size_t kSums = kCentered ? 2 : 1;  // dw and db
  static constexpr std::size_t kDsum = kCentered ? 5 : 4;  // input
  static constexpr std::size_t kDropped = 1 + kSums;       // output

  std::int64_t part_size() const { return static_cast<std::int64_t>(kSums) * stride_; }

  NormArgs common_;
  bool has_dsum_;
  bool accumulate_[kSums];
  int parts_;
  std::int64_t stride_;
};

template <bool kCentered>
std::unique_ptr<Kernel> make_norm_backward(const OpDesc& desc) {
  return std::make_unique<NormBackward<kCentered>>(desc);
}

}  // namespace

void register_norm(OpTable& table) {
  table.add("layerNorm", make_norm<false, true>);
  table.add("layerNormBackward", make_norm_backward<true>);
  table.add("residualNorm", make_norm<true, true>);
  table.add("residualNormBackward", make_norm_backward<true>);
  table.add("rmsNorm", make_norm<false, false>);
  table.add("rmsNormBackward", make_norm_backward<false>);
  table.add("residualRmsNorm", make_norm<true, false>);
  table.add("residualRmsNormBackward", make_norm_backward<false>);
}

}  // namespace apollo::cpu
#endif  // HWY_ONCE
