// swiglu and swigluBackward: silu(gate) * up of rows that hold gate and up side by side (Shazeer, arXiv 2002.05202).
#include "cpu/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/ops/swiglu.cc"
#include "hwy/foreach_target.h"

#include "cpu/cpu.h"
#include "cpu/parallel.h"
#include "cpu/simd/gelu-inl.h"
#include "cpu/simd/simd-inl.h"

#ifndef APOLLO_CPU_SWIGLU_ARGS_
#define APOLLO_CPU_SWIGLU_ARGS_
namespace apollo::cpu {

struct SwigluArgs {
  bool bf16;
  std::int64_t width;  // F: columns of gate, of up and of y
  const void *x, *dy;  // dy is null in the forward direction
  void* to;            // y or dx
};

}  // namespace apollo::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace apollo::cpu::HWY_NAMESPACE {

// 1 / (1 + e^-x). Beyond 80 it differs from 0 or 1 by less than 2e-35.
HWY_INLINE hn::Vec<F32> sigmoid(F32 d, hn::Vec<F32> x) {
  const auto exponential = exp_of_product(d, limited(d, x, 80.0f), hn::Set(d, -1.0f));
  return reciprocal(d, hn::Add(exponential, hn::Set(d, 1.0f)));
}

template <class T>
void swiglu_forward(const SwigluArgs& args, std::int64_t begin, std::int64_t end) {
  const F32 d;
  for (std::int64_t row = begin; row < end; ++row) {
    const T *gate = static_cast<const T*>(args.x) + 2 * row * args.width, *up = gate + args.width;
    T* y = static_cast<T*>(args.to) + row * args.width;
    for_vectors(d, static_cast<std::size_t>(args.width), [&](std::size_t i, auto part) HWY_ATTR {
      const auto g = load(d, gate + i, part);
      store(hn::Mul(hn::Mul(g, sigmoid(d, g)), load(d, up + i, part)), d, y + i, part);
    });
  }
}

// silu'(g) = s + g s (1 - s) with s = sigmoid(g).
template <class T>
void swiglu_backward(const SwigluArgs& args, std::int64_t begin, std::int64_t end) {
  const F32 d;
  for (std::int64_t row = begin; row < end; ++row) {
    const T *gate = static_cast<const T*>(args.x) + 2 * row * args.width, *up = gate + args.width;
    const T* dy = static_cast<const T*>(args.dy) + row * args.width;
    T *d_gate = static_cast<T*>(args.to) + 2 * row * args.width, *d_up = d_gate + args.width;
    for_vectors(d, static_cast<std::size_t>(args.width), [&](std::size_t i, auto part) HWY_ATTR {
      const auto g = load(d, gate + i, part), gradient = load(d, dy + i, part), s = sigmoid(d, g);
      const auto silu = hn::Mul(g, s), derivative = hn::MulAdd(silu, hn::Sub(hn::Set(d, 1.0f), s), s);
      store(hn::Mul(hn::Mul(gradient, load(d, up + i, part)), derivative), d, d_gate + i, part);
      store(hn::Mul(gradient, silu), d, d_up + i, part);
    });
  }
}

// y = silu(gate) * up or, given dy, dx = (dgate, dup). One pass, rows divided among the threads.
void swiglu_rows(const SwigluArgs& args, std::int64_t begin, std::int64_t end) {
  if (args.dy == nullptr) {
    args.bf16 ? swiglu_forward<Bf16>(args, begin, end) : swiglu_forward<float>(args, begin, end);
  } else {
    args.bf16 ? swiglu_backward<Bf16>(args, begin, end) : swiglu_backward<float>(args, begin, end);
  }
}

}  // namespace apollo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apollo::cpu {
namespace {

HWY_EXPORT(swiglu_rows);

// swiglu (x [.., 2F]) -> y [.., F] and swigluBackward (dy, x) -> dx.
template <bool kBackward>
std::unique_ptr<Kernel> make_swiglu(const OpDesc& desc) {
  const TensorDesc& x = desc.inputs[kBackward ? 1 : 0];
  if (x.dtype == DType::I32 || desc.inputs[0].dtype != x.dtype || desc.outputs[0].dtype != x.dtype) {
    unsupported(desc, "cpu");
  }
  SwigluArgs args{};
  args.bf16 = x.dtype == DType::BF16;
  args.width = x.last() / 2;
  const std::int64_t rows = x.rows();
  const auto row_bytes = args.width * static_cast<std::int64_t>(size_of(x.dtype) * (kBackward ? 5 : 3));
  return std::make_unique<FunctionKernel>([args, rows, row_bytes](const RunContext& context) mutable {
    args.x = context.inputs[kBackward ? 1 : 0];
    args.dy = kBackward ? context.inputs[0] : nullptr;
    args.to = context.outputs[0];
    parallel_rows(rows, row_bytes, [&](std::int64_t begin, std::int64_t end) {
      HWY_DYNAMIC_DISPATCH(swiglu_rows)(args, begin, end);
    });
  });
}

}  // namespace

void register_swiglu(OpTable& table) {
  table.add("swiglu", make_swiglu<false>);
  table.add("swigluBackward", make_swiglu<true>);
}

}  // namespace apollo::cpu
#endif  // HWY_ONCE
