// Loads and stores of f32 and bf16 memory as f32 vectors, with tails, for every Highway target; and the loop over a
// row that uses them. Included by kernel files after hwy/foreach_target.h (once a target, hence no #pragma once).
//
//   template <class T>  // T: float or Bf16
//   void square(const T* x, T* y, std::size_t count) {
//     const F32 d;
//     for_vectors(d, count, [&](std::size_t i, auto part) HWY_ATTR {
//       const auto v = load(d, x + i, part);
//       store(hn::Mul(v, v), d, y + i, part);
//     });
//   }

#ifndef APOLLO_CPU_BF16_
#define APOLLO_CPU_BF16_
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace apollo::cpu {

// A bfloat16 in memory: the upper half of an f32's bits.
using Bf16 = std::uint16_t;

inline float to_f32(float value) { return value; }
inline float to_f32(Bf16 bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }

// Round to nearest, ties to even; a NaN stays a (quiet) NaN.
inline Bf16 to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<Bf16>((bits >> 16) | 0x40u);
  return static_cast<Bf16>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

inline void assign(float& to, float value) { to = value; }
inline void assign(Bf16& to, float value) { to = to_bf16(value); }

// How much of a vector a load or store touches: all lanes, or the first `count`.
struct Full {};
struct Tail {
  std::size_t count;
};

}  // namespace apollo::cpu
#endif  // APOLLO_CPU_BF16_

#if defined(APOLLO_CPU_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef APOLLO_CPU_SIMD_INL_H_
#undef APOLLO_CPU_SIMD_INL_H_
#else
#define APOLLO_CPU_SIMD_INL_H_
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace apollo::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;  // the widest f32 vector
template <class D>
using HalfBits = hn::Rebind<std::uint16_t, D>;  // as many lanes of 16 bits

// Where masked memory operations may touch bytes past the tail, tails go through a buffer instead. (AVX2 has native
// masks for 32-bit lanes only.)
template <class T>
constexpr bool masked_is_safe() {
#if HWY_MEM_OPS_MIGHT_FAULT
  return HWY_TARGET == HWY_AVX2 && sizeof(T) == 4;
#else
  return true;
#endif
}

template <class D, class T = hn::TFromD<D>>
HWY_INLINE hn::Vec<D> load_lanes(D d, const T* from, Tail tail) {
  if constexpr (masked_is_safe<T>()) {
    return hn::MaskedLoad(hn::FirstN(d, tail.count), d, from);
  } else {
    HWY_ALIGN T lanes[hn::MaxLanes(D())] = {};
    std::memcpy(lanes, from, tail.count * sizeof(T));
    return hn::Load(d, lanes);
  }
}

template <class D, class T = hn::TFromD<D>>
HWY_INLINE void store_lanes(hn::Vec<D> v, D d, T* to, Tail tail) {
  if constexpr (masked_is_safe<T>()) {
    hn::BlendedStore(v, hn::FirstN(d, tail.count), d, to);
  } else {
    HWY_ALIGN T lanes[hn::MaxLanes(D())];
    hn::Store(v, d, lanes);
    std::memcpy(to, lanes, tail.count * sizeof(T));
  }
}

// AVX-512 code, compiled where the processor's conversion to bf16 can be asked for at run time.
#undef APOLLO_NATIVE_BF16
#if HWY_ARCH_X86_64 && defined(__GNUC__) && HWY_TARGET <= HWY_AVX3
#define APOLLO_NATIVE_BF16 1
#else
#define APOLLO_NATIVE_BF16 0
#endif

template <class D>
HWY_INLINE hn::Vec<D> from_bf16(D d, hn::Vec<HalfBits<D>> bits) {
  const hn::RebindToUnsigned<D> du;
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(du, bits)));
}

// The rule of to_bf16() above, in integers; or the processor's own conversion, one instruction for eight (GELU and
// forward layer norm in bf16 gain about 20 %), whose only difference is that magnitudes below 2^-126 become 0. Written
// as assembly because Highway has no target with it for every processor that has it.
template <class D>
HWY_INLINE hn::Vec<HalfBits<D>> round_to_bf16(D, hn::Vec<D> v) {
#if APOLLO_NATIVE_BF16
  if (__builtin_cpu_supports("avx512bf16")) {
    hn::Vec<HalfBits<D>> bits;
    if constexpr (sizeof(v.raw) == 64) {
      asm("vcvtneps2bf16 %1, %0" : "=v"(bits.raw) : "v"(v.raw));
      return bits;
    }
  }
#endif
  const hn::RebindToUnsigned<D> du;
  const auto bits = hn::BitCast(du, v);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
  const auto rounded = hn::Add(hn::Add(bits, hn::Set(du, 0x7FFFu)), odd);
  const auto quiet = hn::Or(bits, hn::Set(du, 0x400000u));
  const auto kept = hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(v)), quiet, rounded);
  return hn::TruncateTo(HalfBits<D>(), hn::ShiftRight<16>(kept));
}

// load(d, p, Full()) reads Lanes(d) elements, load(d, p, Tail{n}) the first n (the other lanes are 0); no alignment
// is asked for. store likewise writes all lanes or the first n.
template <class D>
HWY_INLINE hn::Vec<D> load(D d, const float* from, Full) {
  return hn::LoadU(d, from);
}
template <class D>
HWY_INLINE hn::Vec<D> load(D d, const float* from, Tail tail) {
  return load_lanes(d, from, tail);
}
template <class D>
HWY_INLINE hn::Vec<D> load(D d, const Bf16* from, Full) {
  return from_bf16(d, hn::LoadU(HalfBits<D>(), from));
}
template <class D>
HWY_INLINE hn::Vec<D> load(D d, const Bf16* from, Tail tail) {
  return from_bf16(d, load_lanes(HalfBits<D>(), from, tail));
}

template <class D>
HWY_INLINE void store(hn::Vec<D> v, D d, float* to, Full) {
  hn::StoreU(v, d, to);
}
template <class D>
HWY_INLINE void store(hn::Vec<D> v, D d, float* to, Tail tail) {
  store_lanes(v, d, to, tail);
}
template <class D>
HWY_INLINE void store(hn::Vec<D> v, D d, Bf16* to, Full) {
  hn::StoreU(round_to_bf16(d, v), HalfBits<D>(), to);
}
template <class D>
HWY_INLINE void store(hn::Vec<D> v, D d, Bf16* to, Tail tail) {
  store_lanes(round_to_bf16(d, v), HalfBits<D>(), to, tail);
}

// Calls body(i, Full()) for each whole vector of [0, count) and body(i, Tail{n}) for what is left. Mark the lambda
// HWY_ATTR: targets set by pragma do not reach lambdas.
template <class D, class Body>
HWY_INLINE void for_vectors(D d, std::size_t count, const Body& body) {
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) body(i, Full());
  if (i < count) body(i, Tail{count - i});
}

// Sum of all lanes as a scalar.
template <class D>
HWY_INLINE hn::TFromD<D> sum_lanes(D d, hn::Vec<D> v) {
  return hn::GetLane(hn::SumOfLanes(d, v));
}

// Reductions over a tail must leave out the lanes that load() filled with 0 after arithmetic has changed them:
// keep(d, v, part) puts 0 there.
template <class D>
HWY_INLINE hn::Vec<D> keep(D, hn::Vec<D> v, Full) {
  return v;
}
template <class D>
HWY_INLINE hn::Vec<D> keep(D d, hn::Vec<D> v, Tail tail) {
  return hn::IfThenElseZero(hn::FirstN(d, tail.count), v);
}

}  // namespace apollo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
