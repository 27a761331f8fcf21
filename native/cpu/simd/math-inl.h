// Transcendental functions of f32 vectors, good to a few ulp and right on all of f32 (Highway's own are defined on
// part of it): infinities and NaN go where std:: sends them. Included like simd-inl.h, once a target.

#if defined(APOLLO_CPU_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef APOLLO_CPU_MATH_INL_H_
#undef APOLLO_CPU_MATH_INL_H_
#else
#define APOLLO_CPU_MATH_INL_H_
#endif

#include <cmath>
#include <limits>

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace apollo::cpu::HWY_NAMESPACE {
namespace fast {
namespace hn = hwy::HWY_NAMESPACE;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// e^x; 0 below the subnormals, infinity above the largest f32.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V exp(D d, V x) {
  const V bounded = hn::Exp(d, hn::Min(x, hn::Set(d, 89.0f)));  // e^89 overflows by itself
  return hn::IfThenElse(hn::IsNaN(x), x, bounded);
}

// Natural logarithm: -infinity at 0, NaN below.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V log(D d, V x) {
  const V zero = hn::Zero(d), infinity = hn::Set(d, kInfinity);
  V y = hn::IfThenElse(hn::Lt(x, infinity), hn::Log(d, x), x);  // also keeps NaN
  y = hn::IfThenElse(hn::Eq(x, zero), hn::Neg(infinity), y);
  return hn::IfThenElse(hn::Lt(x, zero), hn::Set(d, std::numeric_limits<float>::quiet_NaN()), y);
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V tanh(D d, V x) {
  const V limit = hn::Set(d, 20.0f);  // tanh is 1 in f32 from 9.02 on
  const V bounded = hn::Tanh(d, hn::Max(hn::Min(x, limit), hn::Neg(limit)));
  return hn::IfThenElse(hn::IsNaN(x), x, bounded);
}

// 1 / (1 + e^-x).
template <class D, class V = hn::Vec<D>>
HWY_INLINE V sigmoid(D d, V x) {
  const V one = hn::Set(d, 1.0f);
  return hn::Div(one, hn::Add(one, fast::exp(d, hn::Neg(x))));
}

// Error function. For |x| < 1: x + x * P(x^2); beyond: sign(x) * (1 - e^-Q(|x|)). P and Q are minimax fits made for
// this file (P: erf(x)/x - 1 in x^2 on [0, 1], 1.3e-9 relative; Q: -ln(erfc(x)) on [1, 4], 1.1e-9 of erf).
template <class D, class V = hn::Vec<D>>
HWY_INLINE V erf(D d, V x) {
  const V absolute = hn::Abs(x), square = hn::Mul(x, x);
  V p = hn::Set(d, 7.853860734030604e-05f);
  for (const float c : {-8.010193705558777e-4f, 5.188327748328447e-3f, -2.6853812858462334e-2f, 1.128358542919159e-1f,
                        -3.761262595653534e-1f, 1.2837916612625122e-1f}) {
    p = hn::MulAdd(p, square, hn::Set(d, c));
  }
  const V inner = hn::MulAdd(p, x, x);
  const V bounded = hn::Min(absolute, hn::Set(d, 4.0f));  // erf is 1 in f32 from 3.92 on
  V q = hn::Set(d, -1.8637925677467138e-4f);
  for (const float c : {2.9476589988917112e-3f, -2.183806709945202e-2f, 1.0310675948858261e-1f, 6.38144850730896e-1f,
                        1.1270891427993774f, 3.415223036427051e-4f}) {
    q = hn::MulAdd(q, bounded, hn::Set(d, c));
  }
  const V outer = hn::CopySign(hn::Sub(hn::Set(d, 1.0f), hn::Exp(d, hn::Neg(q))), x);
  const V y = hn::IfThenElse(hn::Lt(absolute, hn::Set(d, 1.0f)), inner, outer);
  return hn::IfThenElse(hn::IsNaN(x), x, y);
}

// Applies a scalar function to each lane: for what has no vector form worth its code.
template <class D, class Function, class V = hn::Vec<D>>
HWY_INLINE V lanewise(D d, V x, V z, const Function& function) {
  HWY_ALIGN float a[hn::MaxLanes(D())], b[hn::MaxLanes(D())];
  hn::Store(x, d, a);
  hn::Store(z, d, b);
  for (std::size_t i = 0; i < hn::Lanes(d); ++i) a[i] = function(a[i], b[i]);
  return hn::Load(d, a);
}

// Highway's range reduction for sin and cos ends near 39000; larger (or NaN) arguments go through std::.
template <class D, class V = hn::Vec<D>>
HWY_INLINE bool within_turns(D d, V x) {
  return hn::AllTrue(d, hn::Lt(hn::Abs(x), hn::Set(d, 39000.0f)));
}
template <class D, class V = hn::Vec<D>>
HWY_INLINE V sin(D d, V x) {
  if (within_turns(d, x)) return hn::Sin(d, x);
  return lanewise(d, x, x, [](float a, float) { return std::sin(a); });
}
template <class D, class V = hn::Vec<D>>
HWY_INLINE V cos(D d, V x) {
  if (within_turns(d, x)) return hn::Cos(d, x);
  return lanewise(d, x, x, [](float a, float) { return std::cos(a); });
}

}  // namespace fast
}  // namespace apollo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
