// reduce (sum, mean, max, min over any axes), columnSum and argmax. (Softmax and cross-entropy are in softmax.cc.) All
// read their input once and are limited by that. How a sum is cut into parts depends on shapes alone, so results are
// the same for every number of threads.
#include <cmath>
#include <limits>
#include <string_view>

#include "core/op_shapes.h"
#include "cpu/cpu.h"
#include "cpu/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/ops/reduce.cc"
#include "cpu/simd/targets.h"
#include "hwy/foreach_target.h"
// The above must come first.
#include "cpu/simd/simd-i32-inl.h"
#include "cpu/simd/simd-inl.h"
#include "hwy/highway.h"

#ifndef APOLLO_CPU_REDUCE_TYPES_
#define APOLLO_CPU_REDUCE_TYPES_
namespace apollo::cpu {
// result[c] = reduction of x[r * stride + c] over r < rows, for c < columns; result is f32 or, for i32, i32.
using ColumnRun = void (*)(const void* x, std::size_t rows, std::size_t stride, std::size_t columns, void* result);
// *result = reduction of x[0 .. count).
using RowRun = void (*)(const void* x, std::size_t count, void* result);
struct ReduceRuns {
  RowRun row = nullptr;
  ColumnRun columns = nullptr;
};
// y = sums * factor, or y += sums * factor.
using FinishRun = void (*)(const float* sums, std::size_t count, float factor, bool add, void* y);
using ArgmaxRun = std::int32_t (*)(const void* x, std::size_t count);
}  // namespace apollo::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace apollo::cpu::HWY_NAMESPACE {
namespace {

struct Sum {
  template <class L>
  static constexpr L initial() {
    return L{0};
  }
  template <class L>
  static L lane(L a, L b) {
    return a + b;
  }
  template <class V>
  static V vector(V a, V b) {
    return hn::Add(a, b);
  }
};
struct Max {  // a NaN on either side wins
  template <class L>
  static constexpr L initial() {
    using Limits = std::numeric_limits<L>;
    return Limits::has_infinity ? -Limits::infinity() : Limits::lowest();
  }
  template <class L>
  static L lane(L a, L b) {
    return a > b || a != a ? a : b;
  }
  template <class V>
  static V vector(V a, V b) {
    return hn::IfThenElse(hn::Or(hn::Gt(a, b), differ(a, a)), a, b);
  }
};
struct Min {
  template <class L>
  static constexpr L initial() {
    using Limits = std::numeric_limits<L>;
    return Limits::has_infinity ? Limits::infinity() : Limits::max();
  }
  template <class L>
  static L lane(L a, L b) {
    return a < b || a != a ? a : b;
  }
  template <class V>
  static V vector(V a, V b) {
    return hn::IfThenElse(hn::Or(hn::Lt(a, b), differ(a, a)), a, b);
  }
};

// Four accumulators hide the latency of the additions; their lanes are joined in a fixed order at the end.
template <class Op, class T>
hn::TFromD<TagOf<T>> reduce_row(const T* x, std::size_t count) {
  using D = TagOf<T>;
  using Lane = hn::TFromD<D>;
  const D d;
  const std::size_t lanes = hn::Lanes(d);
  const auto initial = hn::Set(d, Op::template initial<Lane>());
  auto a0 = initial, a1 = initial, a2 = initial, a3 = initial;
  std::size_t i = 0;
  for (; i + 4 * lanes <= count; i += 4 * lanes) {
    a0 = Op::vector(a0, load(d, x + i, Full()));
    a1 = Op::vector(a1, load(d, x + i + lanes, Full()));
    a2 = Op::vector(a2, load(d, x + i + 2 * lanes, Full()));
    a3 = Op::vector(a3, load(d, x + i + 3 * lanes, Full()));
  }
  for (; i + lanes <= count; i += lanes) a0 = Op::vector(a0, load(d, x + i, Full()));
  if (i < count) {
    const auto rest = load(d, x + i, Tail{count - i});
    a1 = Op::vector(a1, hn::IfThenElse(hn::FirstN(d, count - i), rest, initial));
  }
  HWY_ALIGN Lane joined[hn::MaxLanes(D())];
  hn::Store(Op::vector(Op::vector(a0, a1), Op::vector(a2, a3)), d, joined);
  for (std::size_t lane = 1; lane < lanes; ++lane) joined[0] = Op::lane(joined[0], joined[lane]);
  return joined[0];
}

template <class Op, class T>
void row_run(const void* x, std::size_t count, void* result) {
  *static_cast<hn::TFromD<TagOf<T>>*>(result) = reduce_row<Op>(static_cast<const T*>(x), count);
}

// Four rows at a time, so that the running result, which stays in L1, is loaded and stored once for four reads of x.
template <class Op, class T>
void column_run(const void* from, std::size_t rows, std::size_t stride, std::size_t columns, void* result) {
  using D = TagOf<T>;
  const D d;
  const T* x = static_cast<const T*>(from);
  auto* out = static_cast<hn::TFromD<D>*>(result);
  const auto initial = hn::Set(d, Op::template initial<hn::TFromD<D>>());
  for_vectors(d, columns, [&](std::size_t c, auto part) HWY_ATTR { store(initial, d, out + c, part); });
  std::size_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    const T *x0 = x + r * stride, *x1 = x0 + stride, *x2 = x1 + stride, *x3 = x2 + stride;
    for_vectors(d, columns, [&](std::size_t c, auto part) HWY_ATTR {
      const auto low = Op::vector(load(d, x0 + c, part), load(d, x1 + c, part));
      const auto high = Op::vector(load(d, x2 + c, part), load(d, x3 + c, part));
      store(Op::vector(load(d, out + c, part), Op::vector(low, high)), d, out + c, part);
    });
  }
  for (; r < rows; ++r) {
    for_vectors(d, columns, [&](std::size_t c, auto part) HWY_ATTR {
      store(Op::vector(load(d, out + c, part), load(d, x + r * stride + c, part)), d, out + c, part);
    });
  }
}

template <class Op>
ReduceRuns runs_of(DType dtype) {
  switch (dtype) {
    case DType::F32: return {row_run<Op, float>, column_run<Op, float>};
    case DType::BF16: return {row_run<Op, Bf16>, column_run<Op, Bf16>};
    case DType::I32: return {row_run<Op, std::int32_t>, column_run<Op, std::int32_t>};
  }
  return {};
}

ReduceRuns find_reduce(std::string_view kind, DType dtype) {
  if (kind == "max") return runs_of<Max>(dtype);
  if (kind == "min") return runs_of<Min>(dtype);
  return runs_of<Sum>(dtype);
}

template <class T>
void finish_run(const float* sums, std::size_t count, float factor, bool add, void* y) {
  const F32 d;
  T* to = static_cast<T*>(y);
  const auto scale = hn::Set(d, factor);
  for_vectors(d, count, [&](std::size_t i, auto part) HWY_ATTR {
    const auto v = hn::Mul(load(d, sums + i, part), scale);
    store(add ? hn::Add(load(d, to + i, part), v) : v, d, to + i, part);
  });
}

FinishRun find_finish(DType dtype) { return dtype == DType::BF16 ? finish_run<Bf16> : finish_run<float>; }

// The first index of the largest element (of the first NaN, if there is one): the maximum, then a search for it.
template <class T>
std::int32_t argmax_run(const void* from, std::size_t count) {
  using D = TagOf<T>;
  const D d;
  const T* x = static_cast<const T*>(from);
  const auto largest = hn::Set(d, reduce_row<Max>(x, count));
  const bool is_nan = !hn::AllTrue(d, hn::Eq(largest, largest));
  for (std::size_t i = 0; i < count; i += hn::Lanes(d)) {
    const std::size_t left = count - i;
    const auto v = left >= hn::Lanes(d) ? load(d, x + i, Full()) : load(d, x + i, Tail{left});
    const auto found = is_nan ? differ(v, v) : hn::Eq(v, largest);
    if (const auto lane = hn::FindFirstTrue(d, found); lane >= 0) {
      return static_cast<std::int32_t>(i + static_cast<std::size_t>(lane));
    }
  }
  return 0;
}

ArgmaxRun find_argmax(DType dtype) {
  return dtype == DType::F32 ? argmax_run<float> : dtype == DType::BF16 ? argmax_run<Bf16> : argmax_run<std::int32_t>;
}

}  // namespace
}  // namespace apollo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apollo::cpu {
namespace {

HWY_EXPORT(find_reduce);
HWY_EXPORT(find_finish);
HWY_EXPORT(find_argmax);

// One reduction of the middle axis: [outer, reduced, inner] -> [outer, parts, inner]. With parts > 1 the next pass
// joins them.
struct Pass {
  std::int64_t outer, reduced, inner, parts;
  std::int64_t part_size() const { return (reduced + parts - 1) / parts; }
  std::int64_t outputs() const { return outer * parts * inner; }
};

constexpr std::int64_t kColumns = 512;  // columns of one work item: its results fit L1 next to four rows of x

// As many parts as give about 64 work items, none of them short of enough work to be worth joining. Long rows get
// more, which also bounds the rounding error of a sum.
std::int64_t parts_for(std::int64_t outer, std::int64_t reduced, std::int64_t inner) {
  const std::int64_t items = std::max<std::int64_t>(1, outer * ((inner + kColumns - 1) / kColumns));
  const std::int64_t most = inner == 1 ? reduced / 8192 : reduced / 64;
  const std::int64_t wanted = std::max(64 / items, inner == 1 ? reduced / 65536 : reduced / 4096);
  const std::int64_t parts = std::clamp<std::int64_t>(wanted, 1, std::max<std::int64_t>(1, most));
  const std::int64_t size = (reduced + parts - 1) / parts;
  return size == 0 ? 1 : (reduced + size - 1) / size;  // without empty parts at the end
}

// Passes that reduce the marked axes, from the last to the first; neighbouring axes of one kind count as one.
std::vector<Pass> plan_passes(const std::vector<std::int64_t>& shape, const std::vector<bool>& reduced) {
  struct Group {
    std::int64_t extent;
    bool reduced;
  };
  std::vector<Group> groups;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    if (shape[d] == 1) continue;
    if (!groups.empty() && groups.back().reduced == reduced[d]) {
      groups.back().extent *= shape[d];
    } else {
      groups.push_back({shape[d], reduced[d]});
    }
  }
  std::vector<Pass> passes;
  std::int64_t inner = 1;
  for (std::size_t g = groups.size(); g-- > 0;) {
    if (!groups[g].reduced) {
      inner *= groups[g].extent;
      continue;
    }
    std::int64_t outer = 1;
    for (std::size_t before = 0; before < g; ++before) outer *= groups[before].extent;
    const std::int64_t extent = groups[g].extent, parts = parts_for(outer, extent, inner);
    passes.push_back({outer, extent, inner, parts});
    if (parts > 1) passes.push_back({outer, parts, inner, 1});
  }
  if (passes.empty()) passes.push_back({1, 1, inner, 1});  // nothing to reduce: y = x
  return passes;
}

// Threads share the work items of a pass: (outer, part, block of columns).
void run_pass(const Pass& pass, const ReduceRuns& runs, const void* x, std::int64_t element_bytes, void* result) {
  const std::int64_t blocks = (pass.inner + kColumns - 1) / kColumns, part_size = pass.part_size();
  const std::int64_t item_bytes = part_size * std::min(pass.inner, kColumns) * element_bytes;
  parallel_rows(pass.outer * pass.parts * blocks, item_bytes, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t item = begin; item < end; ++item) {
      const std::int64_t column = item % blocks * kColumns, part = item / blocks % pass.parts;
      const std::int64_t outer = item / blocks / pass.parts, first = part * part_size;
      const auto rows = static_cast<std::size_t>(std::min(part_size, pass.reduced - first));
      const auto* from =
          static_cast<const std::byte*>(x) + ((outer * pass.reduced + first) * pass.inner + column) * element_bytes;
      auto* to = static_cast<float*>(result) + (outer * pass.parts + part) * pass.inner + column;
      if (pass.inner == 1) {
        runs.row(from, rows, to);
      } else {
        const auto columns = static_cast<std::size_t>(std::min(kColumns, pass.inner - column));
        runs.columns(from, rows, static_cast<std::size_t>(pass.inner), columns, to);
      }
    }
  });
}

// y (+)= factor * reduction of x: the passes, each into its half of scratch (the last one into y where y takes it as
// it is), then scaling, rounding or adding.
class ReduceKernel final : public Kernel {
 public:
  ReduceKernel(const OpDesc& desc, std::string_view kind, const std::vector<bool>& reduced)
      : dtype_(desc.inputs[0].dtype), passes_(plan_passes(desc.inputs[0].shape, reduced)) {
    const DType y = desc.outputs[0].dtype;
    const bool integers = dtype_ == DType::I32;
    add_ = desc.accumulates(0);
    if (integers ? y != DType::I32 || kind == "mean" || add_ : y == DType::I32 || (add_ && y != DType::F32)) {
      unsupported(desc, "cpu");
    }
    count_ = passes_.back().outputs();
    require(count_ == desc.outputs[0].elements(), desc.op + ": y's size is not that of the axes kept");
    if (kind == "mean") {
      factor_ = static_cast<float>(static_cast<double>(count_) / static_cast<double>(desc.inputs[0].elements()));
    }
    direct_ = integers || (y == DType::F32 && !add_ && kind != "mean");
    runs_ = HWY_DYNAMIC_DISPATCH(find_reduce)(kind, dtype_);
    joins_ = integers ? runs_ : HWY_DYNAMIC_DISPATCH(find_reduce)(kind, DType::F32);
    finish_ = HWY_DYNAMIC_DISPATCH(find_finish)(y);
    y_size_ = static_cast<std::int64_t>(size_of(y));
    const std::size_t stored = passes_.size() - (direct_ ? 1 : 0);
    for (std::size_t p = 0; p < stored; ++p) half_ = std::max(half_, (passes_[p].outputs() + 15) / 16 * 16);
  }

  std::size_t scratch_bytes() const override { return static_cast<std::size_t>(half_) * 2 * sizeof(float); }

  void run(const RunContext& c) override {
    if (count_ == 0) return;
    const void* from = c.inputs[0];
    for (std::size_t p = 0; p < passes_.size(); ++p) {
      const bool last = p + 1 == passes_.size();
      void* to = last && direct_ ? c.outputs[0] : static_cast<float*>(c.scratch) + (p % 2 == 0 ? 0 : half_);
      run_pass(passes_[p], p == 0 ? runs_ : joins_, from, p == 0 ? static_cast<std::int64_t>(size_of(dtype_)) : 4, to);
      from = to;
    }
    if (direct_) return;
    const float* sums = static_cast<const float*>(from);
    auto* y = c.out<std::byte>(0);
    parallel_elements(count_, 8, [&](std::int64_t begin, std::int64_t end) {
      finish_(sums + begin, static_cast<std::size_t>(end - begin), factor_, add_, y + begin * y_size_);
    });
  }

 private:
  DType dtype_;
  std::vector<Pass> passes_;
  ReduceRuns runs_, joins_;  // from x; from partial results
  FinishRun finish_ = nullptr;
  std::int64_t count_ = 0, half_ = 0, y_size_ = 4;
  float factor_ = 1.0f;
  bool add_ = false, direct_ = false;
};

// Attribute `axes`; all of them when it is absent. (y's shape says whether reduced axes stay as 1.)
std::unique_ptr<Kernel> make_reduce(const OpDesc& desc) {
  return std::make_unique<ReduceKernel>(desc, reduction_kind(desc), reduced_axes(desc));
}

// y[n] (+)= sum of x[..., n]: the gradient of a bias.
std::unique_ptr<Kernel> make_column_sum(const OpDesc& desc) {
  if (desc.outputs[0].dtype != DType::F32) unsupported(desc, "cpu");
  return std::make_unique<ReduceKernel>(desc, "sum", axes_before_last(desc.inputs[0]));
}

// y[...] = index of the largest x[..., i].
std::unique_ptr<Kernel> make_argmax(const OpDesc& desc) {
  const TensorDesc& x = desc.inputs[0];
  if (desc.outputs[0].dtype != DType::I32) unsupported(desc, "cpu");
  const std::int64_t rows = x.rows(), columns = x.last();
  const std::int64_t row_bytes = columns * static_cast<std::int64_t>(size_of(x.dtype));
  require(desc.outputs[0].elements() == rows, "argmax: y has not one element a row");
  const ArgmaxRun run = HWY_DYNAMIC_DISPATCH(find_argmax)(x.dtype);
  return std::make_unique<FunctionKernel>([=](const RunContext& c) {
    parallel_rows(rows, row_bytes, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        c.out<std::int32_t>(0)[r] = run(c.in<std::byte>(0) + r * row_bytes, static_cast<std::size_t>(columns));
      }
    });
  });
}

}  // namespace

void register_reduce(OpTable& table) {
  table.add("reduce", make_reduce);
  table.add("columnSum", make_column_sum);
  table.add("argmax", make_argmax);
  register_softmax(table);
}

}  // namespace apollo::cpu
#endif  // HWY_ONCE
