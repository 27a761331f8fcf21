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
  const auto magic = hn::Set(d, 12582912.0f);  // 1.5 * 2^23: an integer added to it lies in its low bits
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

// With t = min(|x|, 12.5): gaussian = e^(-t^2 / 2) and tail = Phi(-t) = gaussian * R(t), Phi the normal distribution
// function. R(t) = e^(t^2 / 2) Phi(-t) is smooth and slow: 1/2 plus a polynomial in w = t / (t + 3.5), fitted with
// relative error 7e-9 near 0 growing with t^2. So Phi has absolute error below 3e-8, and no cancellation for x < 0.
template <class D, class V = hn::Vec<D>>
HWY_INLINE void normal_tail(D d, V x, V& gaussian, V& tail) {
  const auto t = hn::Min(hn::Abs(x), hn::Set(d, 12.5f));  // keeps all that follows out of the denormals
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
HWY_INLINE V normal(D d, V x, V& gaussian) {
  V tail;
  normal_tail(d, x, gaussian, tail);
  return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), tail, hn::Sub(hn::Set(d, 1.0f), tail));
}

// x Phi(x)
template <class D, class V = hn::Vec<D>>
HWY_INLINE V gelu(D d, V x) {
  V gaussian;
  return hn::Mul(x, normal(d, x, gaussian));
}

// Phi(x) + x phi(x)
template <class D, class V = hn::Vec<D>>
HWY_INLINE V gelu_derivative(D d, V x) {
  V gaussian;
  const auto phi = normal(d, x, gaussian);
  return hn::MulAdd(hn::Mul(x, hn::Set(d, 0.39894228f)), gaussian, phi);
}

// The tanh form is x * sigmoid(z), z = 2 sqrt(2 / pi) (x + 0.044715 x^3), since (1 + tanh(z / 2)) / 2 = sigmoid(z).
// exponential = e^-z with |x| taken up to 9.5, where sigmoid has long been 0 or 1.
template <class D, class V = hn::Vec<D>>
HWY_INLINE void tanh_form(D d, V x, V& square, V& exponential, V& sigmoid) {
  const auto limited = hn::Min(hn::Max(x, hn::Set(d, -9.5f)), hn::Set(d, 9.5f));
  square = hn::Mul(limited, limited);
  const auto slope = hn::MulAdd(square, hn::Set(d, -0.071354814f), hn::Set(d, -1.5957691f));
  exponential = exp_of_product(d, limited, slope);
  sigmoid = reciprocal(d, hn::Add(exponential, hn::Set(d, 1.0f)));
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V gelu_tanh(D d, V x) {
  V square, exponential, sigmoid;
  tanh_form(d, x, square, exponential, sigmoid);
  return hn::Mul(x, sigmoid);
}

// sigmoid + x sigmoid (1 - sigmoid) dz/dx, with 1 - sigmoid = e^-z sigmoid
template <class D, class V = hn::Vec<D>>
HWY_INLINE V gelu_tanh_derivative(D d, V x) {
  V square, exponential, sigmoid;
  tanh_form(d, x, square, exponential, sigmoid);
  const auto slope = hn::MulAdd(square, hn::Set(d, 0.21406444f), hn::Set(d, 1.5957691f));
  const auto rest = hn::Mul(hn::Mul(exponential, sigmoid), hn::Mul(x, slope));
  return hn::MulAdd(rest, sigmoid, sigmoid);
}

}  // namespace apollo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
