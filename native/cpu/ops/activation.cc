// gelu and geluBackward, in the exact form x * Phi(x) and in the tanh form (Hendrycks & Gimpel, arXiv 1606.08415).
#include "cpu/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/ops/activation.cc"
#include "hwy/foreach_target.h"

#include <type_traits>

#include "cpu/cpu.h"
#include "cpu/parallel.h"
#include "cpu/simd/gelu-inl.h"
#include "cpu/simd/simd-inl.h"

#ifndef APOLLO_CPU_ACTIVATION_ARGS_
#define APOLLO_CPU_ACTIVATION_ARGS_
namespace apollo::cpu {

struct GeluArgs {
  bool bf16, tanh;
  const void *x, *dy;  // dy is null in the forward direction
  void* to;            // y or dx
};

}  // namespace apollo::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace apollo::cpu::HWY_NAMESPACE {

template <class T, class Function>
HWY_INLINE void forward(const GeluArgs& args, std::int64_t begin, std::int64_t end, const Function& function) {
  const F32 d;
  const T* x = static_cast<const T*>(args.x) + begin;
  T* y = static_cast<T*>(args.to) + begin;
  for_vectors(d, static_cast<std::size_t>(end - begin),
              [&](std::size_t i, auto part) HWY_ATTR { store(function(d, load(d, x + i, part)), d, y + i, part); });
}

template <class T, class Derivative>
HWY_INLINE void backward(const GeluArgs& args, std::int64_t begin, std::int64_t end, const Derivative& derivative) {
  const F32 d;
  const T* x = static_cast<const T*>(args.x) + begin;
  const T* dy = static_cast<const T*>(args.dy) + begin;
  T* dx = static_cast<T*>(args.to) + begin;
  for_vectors(d, static_cast<std::size_t>(end - begin), [&](std::size_t i, auto part) HWY_ATTR {
    store(hn::Mul(load(d, dy + i, part), derivative(d, load(d, x + i, part))), d, dx + i, part);
  });
}

template <class T, bool kTanh>
void gelu_range_of(const GeluArgs& args, std::int64_t begin, std::int64_t end) {
  const auto function = [](F32 d, hn::Vec<F32> x) HWY_ATTR {
    if constexpr (std::is_same_v<T, Bf16>)
      return coarse_gelu<kTanh>(d, x);
    else if constexpr (kTanh)
      return gelu_tanh(d, x);
    else
      return gelu(d, x);
  };
  const auto derivative = [](F32 d, hn::Vec<F32> x) HWY_ATTR {
    if constexpr (std::is_same_v<T, Bf16>)
      return coarse_gelu_derivative<kTanh>(d, x);
    else if constexpr (kTanh)
      return gelu_tanh_derivative(d, x);
    else
      return gelu_derivative(d, x);
  };
  args.dy == nullptr ? forward<T>(args, begin, end, function) : backward<T>(args, begin, end, derivative);
}

// y = gelu(x), or dx = dy * gelu'(x). One pass, elements divided among the threads. Limited by
// the vector units: past the second-level cache the forward pass moves 60 % (exact, f32), 75 % (tanh, f32) and 40-50 %
// (bf16) of what a copy moves, the backward pass in f32 80-90 %.
void gelu_range(const GeluArgs& args, std::int64_t begin, std::int64_t end) {
  if (args.bf16) {
    args.tanh ? gelu_range_of<Bf16, true>(args, begin, end) : gelu_range_of<Bf16, false>(args, begin, end);
  } else {
    args.tanh ? gelu_range_of<float, true>(args, begin, end) : gelu_range_of<float, false>(args, begin, end);
  }
}

}  // namespace apollo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apollo::cpu {
namespace {

HWY_EXPORT(gelu_range);

// gelu (x) -> y and geluBackward (dy, x) -> dx; attribute tanh.
template <bool kBackward>
std::unique_ptr<Kernel> make_gelu(const OpDesc& desc) {
  const TensorDesc& x = desc.inputs[kBackward ? 1 : 0];
  if (x.dtype == DType::I32 || desc.inputs[0].dtype != x.dtype || desc.outputs[0].dtype != x.dtype) {
    unsupported(desc, "cpu");
  }
  GeluArgs args{};
  args.bf16 = x.dtype == DType::BF16;
  args.tanh = desc.attrs.flag("tanh");
  const std::int64_t elements = x.elements();
  const auto bytes = static_cast<std::int64_t>(size_of(x.dtype) * (kBackward ? 3 : 2));
  return std::make_unique<FunctionKernel>([args, elements, bytes](const RunContext& context) mutable {
    args.x = context.inputs[kBackward ? 1 : 0];
    args.dy = kBackward ? context.inputs[0] : nullptr;
    args.to = context.outputs[0];
    parallel_elements(elements, bytes, [&](std::int64_t begin, std::int64_t end) {
      HWY_DYNAMIC_DISPATCH(gelu_range)(args, begin, end);
    });
  });
}

}  // namespace

void register_activation(OpTable& table) {
  table.add("gelu", make_gelu<false>);
  table.add("geluBackward", make_gelu<true>);
  register_swiglu(table);
}

}  // namespace apollo::cpu
#endif  // HWY_ONCE
