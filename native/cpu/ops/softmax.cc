// softmax and cross-entropy over the last axis, with their gradients. Rows are independent and computed in f32; threads
// take contiguous rows. A row is read twice (maximum, then exponentials) and usually still in L2 the second time, so
// memory traffic and the exponentials limit these about equally.
#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "cpu/cpu.h"
#include "cpu/indices.h"
#include "cpu/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/ops/softmax.cc"
#include "cpu/simd/targets.h"
#include "hwy/foreach_target.h"
// The above must come first.
#include "cpu/simd/exp-inl.h"
#include "cpu/simd/simd-inl.h"
#include "hwy/highway.h"

#ifndef APOLLO_CPU_SOFTMAX_TYPES_
#define APOLLO_CPU_SOFTMAX_TYPES_
namespace apollo::cpu {
// One row each, `count` columns.
using SoftmaxRow = void (*)(const void* x, std::size_t count, void* y);
using SoftmaxBackwardRow = void (*)(const void* dy, const void* y, std::size_t count, void* dx);
using LogSumExpRow = float (*)(const void* x, std::size_t count);
// dx = factor * e^(x - lse); the caller corrects the label's element.
using ProbabilityRow = void (*)(const void* x, std::size_t count, float lse, float factor, void* dx);
}  // namespace apollo::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace apollo::cpu::HWY_NAMESPACE {
namespace {

struct RowStatistics {
  float maximum, sum;  // sum of e^(x - maximum)
};

// A sum of sums: rounding errors grow with the columns of a block, not with the vocabulary.
constexpr std::size_t kSumBlock = 512;

template <class T>
RowStatistics row_statistics(const T* x, std::size_t count) {
  const F32 d;
  const auto lowest = hn::Set(d, -std::numeric_limits<float>::infinity());
  auto high = lowest;
  for_vectors(d, count, [&](std::size_t i, auto part) HWY_ATTR {
    auto v = load(d, x + i, part);
    if constexpr (std::is_same_v<decltype(part), Tail>) v = hn::IfThenElse(hn::FirstN(d, part.count), v, lowest);
    high = hn::Max(high, v);
  });
  const float maximum = hn::GetLane(hn::MaxOfLanes(d, high));
  const auto shift = hn::Set(d, maximum);
  auto sum = hn::Zero(d);
  for (std::size_t begin = 0; begin < count; begin += kSumBlock) {
    auto block = hn::Zero(d);
    for_vectors(d, std::min(kSumBlock, count - begin), [&](std::size_t i, auto part) HWY_ATTR {
      block = hn::Add(block, keep(d, exp_nonpositive(d, hn::Sub(load(d, x + begin + i, part), shift)), part));
    });
    sum = hn::Add(sum, block);
  }
  return {maximum, sum_lanes(d, sum)};
}

template <class T>
float log_sum_exp_row(const void* x, std::size_t count) {
  const RowStatistics row = row_statistics(static_cast<const T*>(x), count);
  return row.maximum + std::log(row.sum);
}

// y = e^(x - max) / sum; log: y = (x - max) - ln(sum). The exponentials are computed again rather than kept: a bf16 y
// could not hold them and a third pass over memory costs as much.
template <class T, bool kLog>
void softmax_row(const void* x, std::size_t count, void* y) {
  const F32 d;
  const T* from = static_cast<const T*>(x);
  T* to = static_cast<T*>(y);
  const RowStatistics row = row_statistics(from, count);
  const auto shift = hn::Set(d, row.maximum), scale = hn::Set(d, kLog ? std::log(row.sum) : 1.0f / row.sum);
  for_vectors(d, count, [&](std::size_t i, auto part) HWY_ATTR {
    const auto shifted = hn::Sub(load(d, from + i, part), shift);
    store(kLog ? hn::Sub(shifted, scale) : hn::Mul(exp_nonpositive(d, shifted), scale), d, to + i, part);
  });
}

// dx = y * (dy - sum(dy * y)); log: dx = dy - e^y * sum(dy).
template <class T, bool kLog>
void softmax_backward_row(const void* dy, const void* y, std::size_t count, void* dx) {
  const F32 d;
  const T *gradient = static_cast<const T*>(dy), *output = static_cast<const T*>(y);
  T* to = static_cast<T*>(dx);
  auto sum = hn::Zero(d);
  for_vectors(d, count, [&](std::size_t i, auto part) HWY_ATTR {
    const auto g = load(d, gradient + i, part);
    sum = kLog ? hn::Add(sum, g) : hn::MulAdd(g, load(d, output + i, part), sum);
  });
  const auto total = hn::Set(d, sum_lanes(d, sum));
  for_vectors(d, count, [&](std::size_t i, auto part) HWY_ATTR {
    const auto g = load(d, gradient + i, part), p = load(d, output + i, part);
    store(kLog ? hn::NegMulAdd(exp_nonpositive(d, p), total, g) : hn::Mul(p, hn::Sub(g, total)), d, to + i, part);
  });
}

template <class T>
void probability_row(const void* x, std::size_t count, float lse, float factor, void* dx) {
  const F32 d;
  const T* from = static_cast<const T*>(x);
  T* to = static_cast<T*>(dx);
  const auto shift = hn::Set(d, lse), scale = hn::Set(d, factor);
  for_vectors(d, count, [&](std::size_t i, auto part) HWY_ATTR {
    store(hn::Mul(scale, exp_nonpositive(d, hn::Sub(load(d, from + i, part), shift))), d, to + i, part);
  });
}

SoftmaxRow find_softmax(DType dtype, bool log) {
  if (dtype == DType::F32) return log ? softmax_row<float, true> : softmax_row<float, false>;
  return log ? softmax_row<Bf16, true> : softmax_row<Bf16, false>;
}
SoftmaxBackwardRow find_softmax_backward(DType dtype, bool log) {
  if (dtype == DType::F32) return log ? softmax_backward_row<float, true> : softmax_backward_row<float, false>;
  return log ? softmax_backward_row<Bf16, true> : softmax_backward_row<Bf16, false>;
}
LogSumExpRow find_log_sum_exp(DType dtype) {
  return dtype == DType::F32 ? log_sum_exp_row<float> : log_sum_exp_row<Bf16>;
}
ProbabilityRow find_probability(DType dtype) {
  return dtype == DType::F32 ? probability_row<float> : probability_row<Bf16>;
}

}  // namespace
}  // namespace apollo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apollo::cpu {
namespace {

HWY_EXPORT(find_softmax);
HWY_EXPORT(find_softmax_backward);
HWY_EXPORT(find_log_sum_exp);
HWY_EXPORT(find_probability);

// The rows of a tensor of activations.
struct Rows {
  std::int64_t rows, columns, bytes;
  explicit Rows(const TensorDesc& x)
      : rows(x.rows()), columns(x.last()), bytes(columns * static_cast<std::int64_t>(size_of(x.dtype))) {}
  std::size_t count() const { return static_cast<std::size_t>(columns); }
};

float element(const void* x, std::int64_t index, DType dtype) {
  return dtype == DType::F32 ? static_cast<const float*>(x)[index] : to_f32(static_cast<const Bf16*>(x)[index]);
}

void check_dtypes(const OpDesc& desc, std::initializer_list<const TensorDesc*> tensors) {
  for (const TensorDesc* tensor : tensors) {
    if (tensor->dtype == DType::I32 || tensor->dtype != (*tensors.begin())->dtype) unsupported(desc, "cpu");
  }
}

// y = softmax(x) over the last axis, or its logarithm.
std::unique_ptr<Kernel> make_softmax(const OpDesc& desc) {
  check_dtypes(desc, {&desc.inputs[0], &desc.outputs[0]});
  const Rows shape(desc.inputs[0]);
  const SoftmaxRow run = HWY_DYNAMIC_DISPATCH(find_softmax)(desc.inputs[0].dtype, desc.attrs.flag("log"));
  return std::make_unique<FunctionKernel>([=](const RunContext& c) {
    parallel_rows(shape.rows, 2 * shape.bytes, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        run(c.in<std::byte>(0) + r * shape.bytes, shape.count(), c.out<std::byte>(0) + r * shape.bytes);
      }
    });
  });
}

// dx from dy and softmax's output y.
std::unique_ptr<Kernel> make_softmax_backward(const OpDesc& desc) {
  check_dtypes(desc, {&desc.inputs[0], &desc.inputs[1], &desc.outputs[0]});
  const Rows shape(desc.inputs[0]);
  const SoftmaxBackwardRow run =
      HWY_DYNAMIC_DISPATCH(find_softmax_backward)(desc.inputs[0].dtype, desc.attrs.flag("log"));
  return std::make_unique<FunctionKernel>([=](const RunContext& c) {
    parallel_rows(shape.rows, 3 * shape.bytes, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        const std::int64_t at = r * shape.bytes;
        run(c.in<std::byte>(0) + at, c.in<std::byte>(1) + at, shape.count(), c.out<std::byte>(0) + at);
      }
    });
  });
}

// lse[m] = ln(sum_v e^logits[m, v]); loss = mean over rows whose label is not ignored of lse[m] - logits[m, label].
// Rows with an ignored label are not read; their lse is 0. The mean is summed in row order, in double.
std::unique_ptr<Kernel> make_cross_entropy(const OpDesc& desc) {
  const TensorDesc& logits = desc.inputs[0];
  check_dtypes(desc, {&logits});
  if (desc.inputs[1].dtype != DType::I32) unsupported(desc, "cpu");
  const Rows shape(logits);
  const LogSumExpRow run = HWY_DYNAMIC_DISPATCH(find_log_sum_exp)(logits.dtype);
  return std::make_unique<FunctionKernel>([=, dtype = logits.dtype](const RunContext& c) {
    const auto* labels = c.in<std::int32_t>(1);
    auto* lse = c.out<float>(2);
    check_indices("crossEntropy", "labels", labels, shape.rows, shape.columns, /*ignore=*/true);
    parallel_rows(shape.rows, shape.bytes, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        const bool ignored = labels[r] == kIgnoredLabel;
        lse[r] = ignored ? 0.0f : run(c.in<std::byte>(0) + r * shape.bytes, shape.count());
      }
    });
    double sum = 0.0;
    std::int64_t counted = 0;
    for (std::int64_t r = 0; r < shape.rows; ++r) {
      if (labels[r] == kIgnoredLabel) continue;
      sum += static_cast<double>(lse[r]) - element(c.inputs[0], r * shape.columns + labels[r], dtype);
      ++counted;
    }
    *c.out<float>(0) = counted == 0 ? 0.0f : static_cast<float>(sum / static_cast<double>(counted));
    *c.out<float>(1) = static_cast<float>(counted);
  });
}

// dlogits[m, v] = g / count * (e^(logits[m, v] - lse[m]) - [v == label m]); 0 in rows whose label is ignored.
std::unique_ptr<Kernel> make_cross_entropy_backward(const OpDesc& desc) {
  const TensorDesc& logits = desc.inputs[1];
  check_dtypes(desc, {&logits, &desc.outputs[0]});
  if (desc.inputs[0].dtype != DType::F32 || desc.inputs[2].dtype != DType::I32) unsupported(desc, "cpu");
  const Rows shape(logits);
  const ProbabilityRow run = HWY_DYNAMIC_DISPATCH(find_probability)(logits.dtype);
  return std::make_unique<FunctionKernel>([=, dtype = logits.dtype](const RunContext& c) {
    const auto* labels = c.in<std::int32_t>(2);
    const auto* lse = c.in<float>(3);
    check_indices("crossEntropyBackward", "labels", labels, shape.rows, shape.columns, /*ignore=*/true);
    const float count = *c.in<float>(4), factor = count == 0.0f ? 0.0f : *c.in<float>(0) / count;
    parallel_rows(shape.rows, 2 * shape.bytes, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        auto* dx = c.out<std::byte>(0) + r * shape.bytes;
        const std::int32_t label = labels[r];
        if (label == kIgnoredLabel) {
          std::fill_n(dx, shape.bytes, std::byte{0});
          continue;
        }
        run(c.in<std::byte>(1) + r * shape.bytes, shape.count(), lse[r], factor, dx);
        // At the label e^(x - lse) - 1 is computed as such, so that a confident row keeps its small gradient.
        const float at_label = factor * std::expm1(element(c.inputs[1], r * shape.columns + label, dtype) - lse[r]);
        if (dtype == DType::F32) {
          assign(reinterpret_cast<float*>(dx)[label], at_label);
        } else {
          assign(reinterpret_cast<Bf16*>(dx)[label], at_label);
        }
      }
    });
  });
}

}  // namespace

void register_softmax(OpTable& table) {
  table.add("softmax", make_softmax);
  table.add("softmaxBackward", make_softmax_backward);
  table.add("crossEntropy", make_cross_entropy);
  table.add("crossEntropyBackward", make_cross_entropy_backward);
}

}  // namespace apollo::cpu
#endif  // HWY_ONCE
