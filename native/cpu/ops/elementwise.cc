// Ops of one element at a time: unary, scale, select, cast, fill, accumulate, copy. (binary, with its broadcasting, is
// in binary.cc.) All are limited by memory traffic; bf16 is computed in f32 and rounded once, at the store. Threads
// take contiguous ranges of elements, so results do not depend on their number.
#include <cstring>
#include <limits>
#include <string_view>

#include "cpu/cpu.h"
#include "cpu/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/ops/elementwise.cc"
#include "cpu/simd/targets.h"
#include "hwy/foreach_target.h"
// The above must come first.
#include "cpu/simd/math-inl.h"
#include "cpu/simd/simd-i32-inl.h"
#include "cpu/simd/simd-inl.h"
#include "hwy/highway.h"

#ifndef APOLLO_CPU_ELEMENTWISE_TYPES_
#define APOLLO_CPU_ELEMENTWISE_TYPES_
namespace apollo::cpu {
using UnaryRun = void (*)(const void* x, void* y, std::size_t count);
using ScaleRun = void (*)(const void* x, void* y, std::size_t count, float alpha, float beta);
using SelectRun = void (*)(const std::int32_t* condition, const void* a, const void* b, void* y, std::size_t count);
}  // namespace apollo::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace apollo::cpu::HWY_NAMESPACE {
namespace {

struct Neg {
  template <class D, class V>
  V operator()(D, V x) const {
    return hn::Neg(x);
  }
};
struct Abs {
  template <class D, class V>
  V operator()(D, V x) const {
    return hn::Abs(x);
  }
};
struct Square {
  template <class D, class V>
  V operator()(D, V x) const {
    return hn::Mul(x, x);
  }
};
struct Sqrt {
  template <class D, class V>
  V operator()(D, V x) const {
    return hn::Sqrt(x);
  }
};
struct Rsqrt {  // not the approximation instruction: its 12 to 14 bits are too few
  template <class D, class V>
  V operator()(D d, V x) const {
    return hn::Div(hn::Set(d, 1.0f), hn::Sqrt(x));
  }
};
struct Reciprocal {
  template <class D, class V>
  V operator()(D d, V x) const {
    return hn::Div(hn::Set(d, 1.0f), x);
  }
};
struct Exp {
  template <class D, class V>
  V operator()(D d, V x) const {
    return fast::exp(d, x);
  }
};
struct Log {
  template <class D, class V>
  V operator()(D d, V x) const {
    return fast::log(d, x);
  }
};
struct Tanh {
  template <class D, class V>
  V operator()(D d, V x) const {
    return fast::tanh(d, x);
  }
};
struct Sigmoid {
  template <class D, class V>
  V operator()(D d, V x) const {
    return fast::sigmoid(d, x);
  }
};
struct Relu {  // a NaN stays
  template <class D, class V>
  V operator()(D d, V x) const {
    return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), hn::Zero(d), x);
  }
};
struct Silu {
  template <class D, class V>
  V operator()(D d, V x) const {
    return hn::Mul(x, fast::sigmoid(d, x));
  }
};
struct Erf {
  template <class D, class V>
  V operator()(D d, V x) const {
    return fast::erf(d, x);
  }
};
struct Sin {
  template <class D, class V>
  V operator()(D d, V x) const {
    return fast::sin(d, x);
  }
};
struct Cos {
  template <class D, class V>
  V operator()(D d, V x) const {
    return fast::cos(d, x);
  }
};
struct Sign {  // 0 and NaN give themselves
  template <class D, class V>
  V operator()(D d, V x) const {
    const V one = hn::Set(d, 1.0f), zero = hn::Zero(d);
    return hn::IfThenElse(hn::Gt(x, zero), one, hn::IfThenElse(hn::Lt(x, zero), hn::Neg(one), x));
  }
};

template <class Op, class T>
void unary_run(const void* x, void* y, std::size_t count) {
  const F32 d;
  const T* from = static_cast<const T*>(x);
  T* to = static_cast<T*>(y);
  for_vectors(d, count,
              [&](std::size_t i, auto part) HWY_ATTR { store(Op()(d, load(d, from + i, part)), d, to + i, part); });
}

struct UnaryEntry {
  std::string_view kind;
  UnaryRun f32, bf16;
};
template <class Op>
constexpr UnaryEntry unary_entry(std::string_view kind) {
  return {kind, unary_run<Op, float>, unary_run<Op, Bf16>};
}
constexpr UnaryEntry kUnary[] = {
    unary_entry<Neg>("neg"),         unary_entry<Abs>("abs"),     unary_entry<Square>("square"),
    unary_entry<Sqrt>("sqrt"),       unary_entry<Rsqrt>("rsqrt"), unary_entry<Reciprocal>("reciprocal"),
    unary_entry<Exp>("exp"),         unary_entry<Log>("log"),     unary_entry<Tanh>("tanh"),
    unary_entry<Sigmoid>("sigmoid"), unary_entry<Relu>("relu"),   unary_entry<Silu>("silu"),
    unary_entry<Erf>("erf"),         unary_entry<Sin>("sin"),     unary_entry<Cos>("cos"),
    unary_entry<Sign>("sign"),
};

UnaryRun find_unary(std::string_view kind, DType dtype) {
  for (const UnaryEntry& entry : kUnary) {
    if (entry.kind == kind && dtype != DType::I32) return dtype == DType::F32 ? entry.f32 : entry.bf16;
  }
  return nullptr;
}

template <class T>
void scale_run(const void* x, void* y, std::size_t count, float alpha, float beta) {
  const F32 d;
  const T* from = static_cast<const T*>(x);
  T* to = static_cast<T*>(y);
  const auto a = hn::Set(d, alpha), b = hn::Set(d, beta);
  for_vectors(d, count, [&](std::size_t i, auto part) HWY_ATTR {
    store(hn::MulAdd(a, load(d, from + i, part), b), d, to + i, part);
  });
}

ScaleRun find_scale(DType dtype) {
  if (dtype == DType::I32) return nullptr;
  return dtype == DType::F32 ? scale_run<float> : scale_run<Bf16>;
}

template <class From>
void accumulate_run(const void* x, void* y, std::size_t count) {
  const F32 d;
  const From* from = static_cast<const From*>(x);
  float* to = static_cast<float*>(y);
  for_vectors(d, count, [&](std::size_t i, auto part) HWY_ATTR {
    store(hn::Add(load(d, to + i, part), load(d, from + i, part)), d, to + i, part);
  });
}

UnaryRun find_accumulate(DType from) {
  if (from == DType::I32) return nullptr;
  return from == DType::F32 ? accumulate_run<float> : accumulate_run<Bf16>;
}

// Between f32 and bf16, and from i32, whose integers become the nearest f32 first.
template <class From, class To>
void cast_run(const void* x, void* y, std::size_t count) {
  const F32 d;
  const I32 di;
  const From* from = static_cast<const From*>(x);
  To* to = static_cast<To*>(y);
  for_vectors(d, count, [&](std::size_t i, auto part) HWY_ATTR {
    if constexpr (std::is_same_v<From, std::int32_t>) {
      store(hn::ConvertTo(d, load(di, from + i, part)), d, to + i, part);
    } else if constexpr (std::is_same_v<To, std::int32_t>) {  // towards 0; NaN becomes 0, as on a GPU
      const auto x = load(d, from + i, part);
      store(hn::ConvertTo(di, hn::IfThenZeroElse(hn::IsNaN(x), x)), di, to + i, part);
    } else {
      store(load(d, from + i, part), d, to + i, part);
    }
  });
}

UnaryRun find_cast(DType from, DType to) {
  switch (from) {
    case DType::F32: return to == DType::BF16 ? cast_run<float, Bf16> : cast_run<float, std::int32_t>;
    case DType::BF16: return to == DType::F32 ? cast_run<Bf16, float> : cast_run<Bf16, std::int32_t>;
    case DType::I32: return to == DType::F32 ? cast_run<std::int32_t, float> : cast_run<std::int32_t, Bf16>;
  }
  return nullptr;
}

// Chooses bits, so one version serves f32 and i32; the compiler vectorises the loop.
template <class T>
void select_run(const std::int32_t* condition, const void* a, const void* b, void* y, std::size_t count) {
  const T *yes = static_cast<const T*>(a), *no = static_cast<const T*>(b);
  T* to = static_cast<T*>(y);
  for (std::size_t i = 0; i < count; ++i) {
    const T p = yes[i], q = no[i];
    to[i] = condition[i] != 0 ? p : q;
  }
}

SelectRun find_select(std::size_t element_bytes) {
  return element_bytes == 2 ? select_run<std::uint16_t> : select_run<std::uint32_t>;
}

}  // namespace
}  // namespace apollo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apollo::cpu {
namespace {

HWY_EXPORT(find_unary);
HWY_EXPORT(find_scale);
HWY_EXPORT(find_accumulate);
HWY_EXPORT(find_cast);
HWY_EXPORT(find_select);

// A kernel y = run(x) on ranges of elements.
std::unique_ptr<Kernel> map_kernel(const OpDesc& desc, UnaryRun run) {
  if (run == nullptr) unsupported(desc, "cpu");
  const std::int64_t count = desc.outputs[0].elements();
  const std::size_t x_size = size_of(desc.inputs[0].dtype), y_size = size_of(desc.outputs[0].dtype);
  require(desc.inputs[0].elements() == count, desc.op + ": x and y differ in size");
  return std::make_unique<FunctionKernel>([=](const RunContext& c) {
    const auto* x = c.in<std::byte>(0);
    auto* y = c.out<std::byte>(0);
    parallel_elements(count, static_cast<std::int64_t>(x_size + y_size), [&](std::int64_t begin, std::int64_t end) {
      const auto first = static_cast<std::size_t>(begin), size = static_cast<std::size_t>(end - begin);
      run(x + first * x_size, y + first * y_size, size);
    });
  });
}

// y = x, for any dtype.
void copy_bytes_4(const void* x, void* y, std::size_t count) { std::memcpy(y, x, count * 4); }
void copy_bytes_2(const void* x, void* y, std::size_t count) { std::memcpy(y, x, count * 2); }

std::unique_ptr<Kernel> make_copy(const OpDesc& desc) {
  if (desc.inputs[0].dtype != desc.outputs[0].dtype) unsupported(desc, "cpu");
  return map_kernel(desc, size_of(desc.outputs[0].dtype) == 2 ? copy_bytes_2 : copy_bytes_4);
}

// y = x in another dtype: to nearest for f32 -> bf16 and i32 -> f32, towards 0 for anything -> i32.
std::unique_ptr<Kernel> make_cast(const OpDesc& desc) {
  const DType from = desc.inputs[0].dtype, to = desc.outputs[0].dtype;
  return from == to ? make_copy(desc) : map_kernel(desc, HWY_DYNAMIC_DISPATCH(find_cast)(from, to));
}

// y = f(x), f by attribute `kind`.
std::unique_ptr<Kernel> make_unary(const OpDesc& desc) {
  if (desc.inputs[0].dtype != desc.outputs[0].dtype) unsupported(desc, "cpu");
  const std::string& kind = desc.attrs.text("kind");
  const UnaryRun run = HWY_DYNAMIC_DISPATCH(find_unary)(kind, desc.inputs[0].dtype);
  if (run == nullptr) {
    throw Error("op 'unary' has no kernel on cpu for kind '" + kind + "' of " + desc.inputs[0].to_string(),
                "APOLLO_NO_KERNEL");
  }
  return map_kernel(desc, run);
}

// y += x, y in f32.
std::unique_ptr<Kernel> make_accumulate(const OpDesc& desc) {
  if (desc.outputs[0].dtype != DType::F32) unsupported(desc, "cpu");
  return map_kernel(desc, HWY_DYNAMIC_DISPATCH(find_accumulate)(desc.inputs[0].dtype));
}

// y = alpha * x + beta.
std::unique_ptr<Kernel> make_scale(const OpDesc& desc) {
  const DType dtype = desc.inputs[0].dtype;
  const ScaleRun run = HWY_DYNAMIC_DISPATCH(find_scale)(dtype);
  if (run == nullptr || desc.outputs[0].dtype != dtype) unsupported(desc, "cpu");
  const auto alpha = static_cast<float>(desc.attrs.number("alpha", 1.0));
  const auto beta = static_cast<float>(desc.attrs.number("beta", 0.0));
  const std::int64_t count = desc.outputs[0].elements();
  const std::size_t size = size_of(dtype);
  return std::make_unique<FunctionKernel>([=](const RunContext& c) {
    const auto* x = c.in<std::byte>(0);
    auto* y = c.out<std::byte>(0);
    parallel_elements(count, static_cast<std::int64_t>(2 * size), [&](std::int64_t begin, std::int64_t end) {
      const std::size_t first = static_cast<std::size_t>(begin) * size;
      run(x + first, y + first, static_cast<std::size_t>(end - begin), alpha, beta);
    });
  });
}

// y = condition != 0 ? a : b.
std::unique_ptr<Kernel> make_select(const OpDesc& desc) {
  const DType dtype = desc.outputs[0].dtype;
  if (desc.inputs[0].dtype != DType::I32 || desc.inputs[1].dtype != dtype || desc.inputs[2].dtype != dtype) {
    unsupported(desc, "cpu");
  }
  const std::int64_t count = desc.outputs[0].elements();
  for (const TensorDesc& x : desc.inputs) require(x.elements() == count, "select: inputs and y differ in size");
  const std::size_t size = size_of(dtype);
  const SelectRun run = HWY_DYNAMIC_DISPATCH(find_select)(size);
  return std::make_unique<FunctionKernel>([=](const RunContext& c) {
    parallel_elements(count, static_cast<std::int64_t>(4 + 3 * size), [&](std::int64_t begin, std::int64_t end) {
      const std::size_t first = static_cast<std::size_t>(begin) * size;
      run(c.in<std::int32_t>(0) + begin, c.in<std::byte>(1) + first, c.in<std::byte>(2) + first,
          c.out<std::byte>(0) + first, static_cast<std::size_t>(end - begin));
    });
  });
}

// y = value in every element.
std::unique_ptr<Kernel> make_fill(const OpDesc& desc) {
  const double value = desc.attrs.number("value");
  const DType dtype = desc.outputs[0].dtype;
  const std::int64_t count = desc.outputs[0].elements();
  if (dtype == DType::I32) {
    using Limits = std::numeric_limits<std::int32_t>;
    require(value >= Limits::min() && value <= Limits::max(), "fill: the value is not an i32");
  }
  const auto fill = [count](auto* y, auto element) {
    parallel_elements(count, sizeof element,
                      [&](std::int64_t begin, std::int64_t end) { std::fill(y + begin, y + end, element); });
  };
  return std::make_unique<FunctionKernel>([=](const RunContext& c) {
    switch (dtype) {
      case DType::F32: return fill(c.out<float>(0), static_cast<float>(value));
      case DType::BF16: return fill(c.out<Bf16>(0), to_bf16(static_cast<float>(value)));
      case DType::I32: return fill(c.out<std::int32_t>(0), static_cast<std::int32_t>(value));
    }
  });
}

}  // namespace

void register_elementwise(OpTable& table) {
  table.add("unary", make_unary);
  table.add("scale", make_scale);
  table.add("select", make_select);
  table.add("cast", make_cast);
  table.add("fill", make_fill);
  table.add("accumulate", make_accumulate);
  table.add("copy", make_copy);
  register_binary(table);
}

}  // namespace apollo::cpu
#endif  // HWY_ONCE
