// The exponential as softmax needs it: of numbers that are at most 0. Included after hwy/foreach_target.h, once a
// target.

#if defined(APOLLO_CPU_EXP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef APOLLO_CPU_EXP_INL_H_
#undef APOLLO_CPU_EXP_INL_H_
#else
#define APOLLO_CPU_EXP_INL_H_
#endif

#include "cpu/simd/gelu-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace apollo::cpu::HWY_NAMESPACE {

// e^x for x <= 0 (a little above is fine): relative error about 1e-7, exactly 0 below -80; the NaN that arithmetic
// gives stays NaN.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V exp_nonpositive(D d, V x) {
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -80.0f)), exp_of_product(d, x, hn::Set(d, 1.0f)));
}

}  // namespace apollo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
