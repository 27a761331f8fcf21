// i32 next to simd-inl.h's f32 and bf16: its vectors, loads and stores. Included after simd-inl.h, once a target.

#if defined(APOLLO_CPU_SIMD_I32_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef APOLLO_CPU_SIMD_I32_INL_H_
#undef APOLLO_CPU_SIMD_I32_INL_H_
#else
#define APOLLO_CPU_SIMD_I32_INL_H_
#endif

#include <type_traits>

#include "cpu/simd/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace apollo::cpu::HWY_NAMESPACE {

using I32 = hn::RebindToSigned<F32>;

HWY_INLINE hn::Vec<I32> load(I32 d, const std::int32_t* from, Full) { return hn::LoadU(d, from); }
HWY_INLINE hn::Vec<I32> load(I32 d, const std::int32_t* from, Tail tail) { return load_lanes(d, from, tail); }
HWY_INLINE void store(hn::Vec<I32> v, I32 d, std::int32_t* to, Full) { hn::StoreU(v, d, to); }
HWY_INLINE void store(hn::Vec<I32> v, I32 d, std::int32_t* to, Tail tail) { store_lanes(v, d, to, tail); }

// The vectors that elements of type T are computed in.
template <class T>
using TagOf = std::conditional_t<std::is_same_v<T, std::int32_t>, I32, F32>;

// a != b, and so true where either is NaN (Highway's Ne is false there on some targets).
template <class V>
HWY_INLINE auto differ(V a, V b) {
  return hn::Not(hn::Eq(a, b));
}

// All lanes = the element at `from`.
template <class T>
HWY_INLINE hn::Vec<TagOf<T>> repeat(const T* from) {
  if constexpr (std::is_same_v<T, std::int32_t>) {
    return hn::Set(I32(), *from);
  } else {
    return hn::Set(F32(), to_f32(*from));
  }
}

}  // namespace apollo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
