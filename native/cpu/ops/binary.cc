// binary: y = f(a, b) with numpy's broadcasting; comparisons give i32 0 or 1. Limited by memory traffic: for any
// shapes, the work is a sequence of long runs in which an operand is either contiguous or one repeated element.
#include <cmath>
#include <string_view>

#include "core/strided.h"
#include "cpu/cpu.h"
#include "cpu/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/ops/binary.cc"
#include "cpu/simd/targets.h"
#include "hwy/foreach_target.h"
// The above must come first.
#include "cpu/simd/math-inl.h"
#include "cpu/simd/simd-i32-inl.h"
#include "cpu/simd/simd-inl.h"
#include "hwy/highway.h"

#ifndef APOLLO_CPU_BINARY_TYPES_
#define APOLLO_CPU_BINARY_TYPES_
namespace apollo::cpu {
// y[i] = f(a[i * a_stride], b[i * b_stride]), strides 0 or 1.
using BinaryRun = void (*)(const void* a, std::int64_t a_stride, const void* b, std::int64_t b_stride, void* y,
                           std::size_t count);
}  // namespace apollo::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace apollo::cpu::HWY_NAMESPACE {
namespace {

struct Add {
  template <class D, class V>
  V operator()(D, V a, V b) const {
    return hn::Add(a, b);
  }
};
struct Sub {
  template <class D, class V>
  V operator()(D, V a, V b) const {
    return hn::Sub(a, b);
  }
};
struct Mul {
  template <class D, class V>
  V operator()(D, V a, V b) const {
    return hn::Mul(a, b);
  }
};
struct Div {
  template <class D, class V>
  V operator()(D, V a, V b) const {
    return hn::Div(a, b);
  }
};
struct Pow {
  template <class D, class V>
  V operator()(D d, V a, V b) const {
    return fast::lanewise(d, a, b, [](float x, float y) { return std::pow(x, y); });
  }
};
struct Max {  // a NaN on either side wins
  template <class D, class V>
  V operator()(D, V a, V b) const {
    return hn::IfThenElse(hn::Or(hn::Gt(a, b), differ(a, a)), a, b);
  }
};
struct Min {
  template <class D, class V>
  V operator()(D, V a, V b) const {
    return hn::IfThenElse(hn::Or(hn::Lt(a, b), differ(a, a)), a, b);
  }
};
struct Less {
  template <class V>
  auto operator()(V a, V b) const {
    return hn::Lt(a, b);
  }
};
struct LessEqual {  // Highway 1.0 has Le and Ge for floats only
  template <class V>
  auto operator()(V a, V b) const {
    return hn::Or(hn::Lt(a, b), hn::Eq(a, b));
  }
};
struct Equal {
  template <class V>
  auto operator()(V a, V b) const {
    return hn::Eq(a, b);
  }
};
struct Greater {
  template <class V>
  auto operator()(V a, V b) const {
    return hn::Gt(a, b);
  }
};
struct GreaterEqual {
  template <class V>
  auto operator()(V a, V b) const {
    return hn::Or(hn::Gt(a, b), hn::Eq(a, b));
  }
};
struct NotEqual {
  template <class V>
  auto operator()(V a, V b) const {
    return differ(a, b);
  }
};

// An operand: its vector at element i, either from memory or the same for every i.
template <class T>
struct Stream {
  const T* from;
  template <class D, class Part>
  HWY_INLINE hn::Vec<D> at(D d, std::size_t i, Part part) const {
    return load(d, from + i, part);
  }
};
template <class D>
struct Repeated {
  hn::Vec<D> value;
  template <class Part>
  HWY_INLINE hn::Vec<D> at(D, std::size_t, Part) const {
    return value;
  }
};

template <class Op, class D, class A, class B, class T>
HWY_INLINE void arithmetic_loop(D d, const A& a, const B& b, T* y, std::size_t count) {
  for_vectors(d, count, [&](std::size_t i, auto part) HWY_ATTR {
    store(Op()(d, a.at(d, i, part), b.at(d, i, part)), d, y + i, part);
  });
}

template <class Op, class D, class A, class B>
HWY_INLINE void compare_loop(D d, const A& a, const B& b, std::int32_t* y, std::size_t count) {
  const I32 di;
  const auto one = hn::Set(di, 1);
  for_vectors(d, count, [&](std::size_t i, auto part) HWY_ATTR {
    const auto mask = Op()(a.at(d, i, part), b.at(d, i, part));
    store(hn::IfThenElseZero(hn::RebindMask(di, mask), one), di, y + i, part);
  });
}

template <class Op, class T, bool kCompares>
void binary_run(const void* a, std::int64_t a_stride, const void* b, std::int64_t b_stride, void* y,
                std::size_t count) {
  using D = TagOf<T>;
  const D d;
  const T *left = static_cast<const T*>(a), *right = static_cast<const T*>(b);
  const auto loop = [&](const auto& p, const auto& q) HWY_ATTR {
    if constexpr (kCompares) {
      compare_loop<Op>(d, p, q, static_cast<std::int32_t*>(y), count);
    } else {
      arithmetic_loop<Op>(d, p, q, static_cast<T*>(y), count);
    }
  };
  if (a_stride != 0 && b_stride != 0) {
    loop(Stream<T>{left}, Stream<T>{right});
  } else if (a_stride != 0) {
    loop(Stream<T>{left}, Repeated<D>{repeat(right)});
  } else {
    loop(Repeated<D>{repeat(left)}, Stream<T>{right});
  }
}

struct BinaryEntry {
  std::string_view kind;
  bool compares;
  BinaryRun f32, bf16, i32;
};
template <class Op, bool kCompares = false>
constexpr BinaryEntry entry(std::string_view kind) {
  return {kind, kCompares, binary_run<Op, float, kCompares>, binary_run<Op, Bf16, kCompares>,
          binary_run<Op, std::int32_t, kCompares>};
}
template <class Op>
constexpr BinaryEntry real_entry(std::string_view kind) {  // not for integers
  return {kind, false, binary_run<Op, float, false>, binary_run<Op, Bf16, false>, nullptr};
}
constexpr BinaryEntry kBinary[] = {
    entry<Add>("add"),
    entry<Sub>("sub"),
    entry<Mul>("mul"),
    real_entry<Div>("div"),
    real_entry<Pow>("pow"),
    entry<Max>("max"),
    entry<Min>("min"),
    entry<Less, true>("less"),
    entry<LessEqual, true>("lessEqual"),
    entry<Equal, true>("equal"),
    entry<Greater, true>("greater"),
    entry<GreaterEqual, true>("greaterEqual"),
    entry<NotEqual, true>("notEqual"),
};

// The run for a kind, input dtype and output dtype; null if there is none.
BinaryRun find_binary(std::string_view kind, DType from, DType to) {
  for (const BinaryEntry& entry : kBinary) {
    if (entry.kind != kind || to != (entry.compares ? DType::I32 : from)) continue;
    return from == DType::F32 ? entry.f32 : from == DType::BF16 ? entry.bf16 : entry.i32;
  }
  return nullptr;
}

}  // namespace
}  // namespace apollo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apollo::cpu {
namespace {

HWY_EXPORT(find_binary);

std::unique_ptr<Kernel> make_binary(const OpDesc& desc) {
  const TensorDesc &a = desc.inputs[0], &b = desc.inputs[1], &y = desc.outputs[0];
  const std::string& kind = desc.attrs.text("kind");
  const BinaryRun run = a.dtype == b.dtype ? HWY_DYNAMIC_DISPATCH(find_binary)(kind, a.dtype, y.dtype) : nullptr;
  if (run == nullptr) {
    throw Error("op 'binary' has no kernel on cpu for kind '" + kind + "' (" + a.to_string() + ", " + b.to_string() +
                    " -> " + y.to_string() + ")",
                "APOLLO_NO_KERNEL");
  }
  const LoopNest<3> nest(
      y.shape, {row_major_strides(y.shape), broadcast_strides(a.shape, y.shape), broadcast_strides(b.shape, y.shape)});
  const auto size = static_cast<std::int64_t>(size_of(a.dtype)), y_size = static_cast<std::int64_t>(size_of(y.dtype));
  return std::make_unique<FunctionKernel>([=](const RunContext& c) {
    parallel_elements(nest.elements, 2 * size + y_size, [&](std::int64_t begin, std::int64_t end) {
      nest.walk(begin, end, [&](const auto& offset, std::int64_t count) {
        run(c.in<std::byte>(0) + offset[1] * size, nest.run().stride[1], c.in<std::byte>(1) + offset[2] * size,
            nest.run().stride[2], c.out<std::byte>(0) + offset[0] * y_size, static_cast<std::size_t>(count));
      });
    });
  });
}

}  // namespace

void register_binary(OpTable& table) { table.add("binary", make_binary); }

}  // namespace apollo::cpu
#endif  // HWY_ONCE
