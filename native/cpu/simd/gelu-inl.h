// GELU and its derivative on f32 vectors, both forms. Included after hwy/foreach_target.h, once a target.

#if defined(APOLLO_CPU_GELU_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef APOLLO_CPU_GELU_INL_H_
#undef APOLLO_CPU_GELU_INL_H_
#else
#define APOLLO_CPU_GELU_INL_H_
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace apollo::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// e^(a * b) for |a * b| <= 80. The product is not rounded before the multiple of ln 2 leaves it, so the error stays
// about 1e-7 however large the product. e^r is a minimax polynomial on [-ln 2 / 2, ln 2 / 2] (error 3e-9).
template <class D, class V = hn::Vec<D>>
HWY_INLINE V exp_of_product(D d, V a, V b) {
  const hn::RebindToSigned<D> di;
  const auto magic = hn::Set(d, 12582912.0f);  // 1.5 * 2^23: an integer added to it is in its low bits
  const auto shifted = hn::MulAdd(hn::Mul(a, hn::Set(d, 1.44269504f)), b, magic);
  const auto n = hn::Sub(shifted, magic);
  const auto coarse = hn::MulSub(a, b, hn::Mul(n, hn::Set(d, 0.693359375f)));  // ln 2 in two parts, n * first exact
  const auto r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), coarse);
  auto p = hn::MulAdd(r, hn::Set(d, 0.0013814596f), hn::Set(d, 0.0083687175f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.04166839f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.16666521f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.49999994f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f));
  return hn::BitCast(d, hn::Add(hn::BitCast(di, p), hn::ShiftLeft<23>(hn::BitCast(di, shifted))));  // p * 2^n
}

// 1 / v to f32 accuracy. AVX-512: 14 bits and a Newton step, a quarter of a division's time.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V reciprocal(D d, V v) {
  const auto one = hn::Set(d, 1.0f);
#if HWY_TARGET == HWY_AVX3 || (defined(HWY_AVX3_ZEN4) && HWY_TARGET == HWY_AVX3_ZEN4)
  const auto guess = hn::ApproximateReciprocal(v);
  return hn::MulAdd(guess, hn::NegMulAdd(v, guess, one), guess);
#else
  return hn::Div(one, v);
#endif
}

// The smaller of limit and v, but NaN for NaN. x86's minimum returns its second operand if either is NaN.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V at_most(D d, float limit, V v) {
#if HWY_TARGET <= HWY_AVX2
  return hn::Min(hn::Set(d, limit), v);
#else
  return hn::IfThenElse(hn::Gt(v, hn::Set(d, limit)), hn::Set(d, limit), v);
#endif
}

// x within [-limit, limit]; NaN for NaN.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V limited(D d, V x, float limit) {
  return hn::CopySign(at_most(d, limit, hn::Abs(x)), x);
}

// With t = min(|x|, 12.5): gaussian = e^(-t^2 / 2) and tail = Phi(-t) = gaussian * R(t), Phi the normal distribution
// function. R(t) = e^(t^2 / 2) Phi(-t) is smooth and slow: 1/2 plus a polynomial in w = t / (t + 3.5), fitted with
// relative error 7e-9 near 0 growing with t^2. So Phi has absolute error below 3e-8, and no cancellation for x < 0.
template <class D, class V = hn::Vec<D>>
HWY_INLINE void normal_tail(D d, V x, V& t, V& gaussian, V& tail) {
  t = at_most(d, 12.5f, hn::Abs(x));  // keeps all that follows out of the denormals
  const auto w = hn::Mul(t, reciprocal(d, hn::Add(t, hn::Set(d, 3.5f))));
  auto p = hn::MulAdd(w, hn::Set(d, 0.040570144f), hn::Set(d, -0.11614162f));
  p = hn::MulAdd(p, w, hn::Set(d, 0.032524414f));
  p = hn::MulAdd(p, w, hn::Set(d, 0.17835201f));
  p = hn::MulAdd(p, w, hn::Set(d, 0.067927286f));
  p = hn::MulAdd(p, w, hn::Set(d, -0.9730989f));
  p = hn::MulAdd(p, w, hn::Set(d, 1.6662132f));
  p = hn::MulAdd(p, w, hn::Set(d, -1.396298f));
  p = hn::MulAdd(p, w, hn::Set(d, 0.5f));
  gaussian = exp_of_product(d, hn::Mul(t, hn::Set(d, -0.5f)), t);
  tail = hn::Mul(gaussian, p);
}

// Phi(x)
template <class D, class V = hn::Vec<D>>
HWY_INLINE V normal(D d, V x, V& t, V& gaussian) {
  V tail;
  normal_tail(d, x, t, gaussian, tail);
  return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), tail, hn::Sub(hn::Set(d, 1.0f), tail));
}

// x Phi(x)
template <class D, class V = hn::Vec<D>>
HWY_INLINE V gelu(D d, V x) {
  V t, gaussian;
  return hn::Mul(x, normal(d, x, t, gaussian));
}

// Phi(x) + x phi(x)
template <class D, class V = hn::Vec<D>>
HWY_INLINE V gelu_derivative(D d, V x) {
  V t, gaussian;
  const auto phi = normal(d, x, t, gaussian);
  return hn::MulAdd(hn::CopySign(hn::Mul(t, hn::Set(d, 0.39894228f)), x), gaussian, phi);
}

// The tanh form is x * sigmoid(z), z = 2 sqrt(2 / pi) (x + 0.044715 x^3), since (1 + tanh(z / 2)) / 2 = sigmoid(z).
// Limits x to 9.5, where sigmoid has long been 0 or 1; square = x^2, exponential = e^-z; returns sigmoid(z).
template <class D, class V = hn::Vec<D>>
HWY_INLINE V tanh_sigmoid(D d, V& x, V& square, V& exponential) {
  x = limited(d, x, 9.5f);
  square = hn::Mul(x, x);
  const auto slope = hn::MulAdd(square, hn::Set(d, -0.071354814f), hn::Set(d, -1.5957691f));
  exponential = exp_of_product(d, x, slope);
  return reciprocal(d, hn::Add(exponential, hn::Set(d, 1.0f)));
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V gelu_tanh(D d, V x) {
  V inner = x, square, exponential;
  return hn::Mul(x, tanh_sigmoid(d, inner, square, exponential));
}

// sigmoid + x sigmoid (1 - sigmoid) dz/dx, with 1 - sigmoid = e^-z sigmoid
template <class D, class V = hn::Vec<D>>
HWY_INLINE V gelu_tanh_derivative(D d, V x) {
  V square, exponential;
  const auto sigmoid = tanh_sigmoid(d, x, square, exponential);
  const auto slope = hn::MulAdd(square, hn::Set(d, 0.21406444f), hn::Set(d, 1.5957691f));
  const auto rest = hn::Mul(hn::Mul(exponential, sigmoid), hn::Mul(x, slope));
  return hn::MulAdd(rest, sigmoid, sigmoid);
}

// Both forms to the accuracy of bf16 in about half the instructions. Over all bf16 x with |x| < 4.5 the stored gelu is
// within 0.55 units in the last place (0.5 is the rounding itself); the derivative has an absolute error of 1e-4 where
// it passes 0, near x = -0.75. x Phi(x) is taken as x * sigmoid(L(x)) too: L(x) = log(Phi(x) / Phi(-x)) is odd and
// nearly cubic, here x times a polynomial in x^2, fitted for |x| <= 5 (beyond, sigmoid differs from 0 or 1 by less than
// 3e-7). Limits x to the fitted range; square = x^2, exponential = e^-L(x); returns sigmoid(L(x)).
template <bool kTanh, class D, class V = hn::Vec<D>>
HWY_INLINE V coarse_sigmoid(D d, V& x, V& square, V& exponential) {
  const hn::RebindToSigned<D> di;
  x = limited(d, x, kTanh ? 9.5f : 5.0f);
  square = hn::Mul(x, x);
  V slope;  // -L(x) / x, in units of ln 2
  if constexpr (kTanh) {
    slope = hn::MulAdd(square, hn::Set(d, -0.10294324f), hn::Set(d, -2.3022082f));
  } else {
    slope = hn::MulAdd(square, hn::Set(d, 3.8807006e-8f), hn::Set(d, -2.6667926e-6f));
    slope = hn::MulAdd(slope, square, hn::Set(d, 5.3010484e-5f));
    slope = hn::MulAdd(slope, square, hn::Set(d, 7.1817276e-4f));
    slope = hn::MulAdd(slope, square, hn::Set(d, -0.10639101f));
    slope = hn::MulAdd(slope, square, hn::Set(d, -2.301106f));
  }
  const auto power = hn::Mul(x, slope);
  const auto shifted = hn::Add(power, hn::Set(d, 12582912.0f));  // rounds, as in exp_of_product()
  const auto r = hn::Sub(power, hn::Sub(shifted, hn::Set(d, 12582912.0f)));
  auto p = hn::MulAdd(r, hn::Set(d, 0.055171654f), hn::Set(d, 0.24261113f));  // 2^r within 8e-5
  p = hn::MulAdd(p, r, hn::Set(d, 0.69326097f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.99992806f));
  exponential = hn::BitCast(d, hn::Add(hn::BitCast(di, p), hn::ShiftLeft<23>(hn::BitCast(di, shifted))));
  const auto sum = hn::Add(exponential, hn::Set(d, 1.0f));
#if HWY_ARCH_X86
  return hn::ApproximateReciprocal(sum);  // 12 bits or more
#else
  return reciprocal(d, sum);
#endif
}

template <bool kTanh, class D, class V = hn::Vec<D>>
HWY_INLINE V coarse_gelu(D d, V x) {
  V inner = x, square, exponential;
  return hn::Mul(x, coarse_sigmoid<kTanh>(d, inner, square, exponential));
}

// sigmoid + x sigmoid (1 - sigmoid) L'(x); L' = phi(x) / (Phi(x) Phi(-x)) in the exact form.
template <bool kTanh, class D, class V = hn::Vec<D>>
HWY_INLINE V coarse_gelu_derivative(D d, V x) {
  V square, exponential, slope;
  const auto sigmoid = coarse_sigmoid<kTanh>(d, x, square, exponential);
  if constexpr (kTanh) {
    slope = hn::MulAdd(square, hn::Set(d, 0.21406444f), hn::Set(d, 1.5957691f));
  } else {
    slope = hn::MulAdd(square, hn::Set(d, -2.829187e-7f), hn::Set(d, 1.6354803e-5f));
    slope = hn::MulAdd(slope, square, hn::Set(d, -2.594925e-4f));
    slope = hn::MulAdd(slope, square, hn::Set(d, -2.4212154e-3f));
    slope = hn::MulAdd(slope, square, hn::Set(d, 0.22095169f));
    slope = hn::MulAdd(slope, square, hn::Set(d, 1.5951507f));
  }
  const auto rest = hn::Mul(hn::Mul(exponential, sigmoid), hn::Mul(x, slope));
  return hn::MulAdd(rest, sigmoid, sigmoid);
}

}  // namespace apollo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
