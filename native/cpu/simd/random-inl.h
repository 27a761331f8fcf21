// Dropout multipliers by vectorised Philox4x32-10 (rule and scalar form: core/philox.h), for inlining into kernels.
// Included after hwy/foreach_target.h, once a target.

#if defined(APOLLO_CPU_RANDOM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef APOLLO_CPU_RANDOM_INL_H_
#undef APOLLO_CPU_RANDOM_INL_H_
#else
#define APOLLO_CPU_RANDOM_INL_H_
#endif

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "core/philox.h"
#include "cpu/simd/simd-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace apollo::cpu::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

// Block by block: the definition itself.
class Multipliers {
 public:
  static constexpr std::int64_t kLeast = 8;
  HWY_INLINE Multipliers(const Dropout& dropout, const RngState& rng) : dropout_(dropout), rng_(rng) {}

  template <int kBlocks>
  HWY_INLINE void batch(std::uint32_t first, float* out) const {
    for (std::uint32_t b = 0; b < kBlocks; ++b) {
      const auto words =
          philox4x32_10({first + b, dropout_.stream, rng_.step, rng_.micro}, {rng_.seed_low, rng_.seed_high});
      for (std::uint32_t j = 0; j < 8; ++j) {
        const std::uint32_t bits = words[j / 2] >> (16 * (j % 2)) & 0xFFFFu;
        out[8 * b + j] = bits < dropout_.threshold ? 0.0f : dropout_.keep_scale;
      }
    }
  }

 private:
  Dropout dropout_;
  RngState rng_;
};

#else

// A vector of u64 lanes holds one 32-bit word of as many Philox blocks, in the low halves: a 32x32->64 multiply then
// gives high and low word in one lane, and the dirt that the low word's lane carries in its upper half never reaches
// a low half. Six instructions a round for all of the vector's blocks (two multiplies, two shifts, two three-way
// xors). Of the 20 multiplies, two are of constants: word 2 of the counter (the step) in round 1 and what comes of it
// in round 2; the constructor does them.
class Multipliers {
  using U64 = hn::ScalableTag<std::uint64_t>;
  using U32 = hn::Repartition<std::uint32_t, U64>;
  using U16 = hn::Repartition<std::uint16_t, U64>;
  using V64 = hn::Vec<U64>;

  static constexpr std::int64_t kBlocks = static_cast<std::int64_t>(hn::MaxLanes(U64()));

  // Interleaving 64-bit lanes within 128-bit halves, as the output does, must come out in order: lane 2i counts i,
  // lane 2i + 1 counts kBlocks / 2 + i.
  static constexpr auto kOffsets = [] {
    std::array<std::uint64_t, kBlocks> offsets{};
    for (std::size_t i = 0; i < kBlocks; ++i) offsets[i] = i % 2 * (kBlocks / 2) + i / 2;
    return offsets;
  }();

 public:
  static constexpr std::int64_t kLeast = 8 * kBlocks;  // multipliers of one vector's blocks

  HWY_INLINE Multipliers(const Dropout& dropout, const RngState& rng) : dropout_(dropout) {
    const auto wide = [](std::uint32_t a, std::uint32_t b) { return static_cast<std::uint64_t>(a) * b; };
    const std::uint64_t p1 = wide(kPhiloxM1, rng.step);  // round 1, word 2
    const std::uint32_t word0 = static_cast<std::uint32_t>(p1 >> 32) ^ dropout.stream ^ rng.seed_low;
    const std::uint64_t p0 = wide(kPhiloxM0, word0);  // round 2, word 0
    round1_ = rng.micro ^ rng.seed_high;
    round2_word0_ = static_cast<std::uint32_t>(p1) ^ (rng.seed_low + kPhiloxW0);
    round2_word2_ = static_cast<std::uint32_t>(p0 >> 32) ^ (rng.seed_high + kPhiloxW1);
    round2_word3_ = static_cast<std::uint32_t>(p0);
    for (std::uint32_t round = 2; round < 10; ++round) {
      keys_[round - 2] = {rng.seed_low + round * kPhiloxW0, rng.seed_high + round * kPhiloxW1};
    }
  }

  // Multipliers of blocks block, block + 1, ...: out[0 .. kLeast * kVectors). Several vectors are independent chains
  // in flight, since a round's latency is more than twice its throughput.
  template <int kVectors>
  HWY_INLINE void batch(std::uint32_t block, float* out) const {
    const U64 d;
    const auto m0 = hn::Set(d, kPhiloxM0), m1 = hn::Set(d, kPhiloxM1);
    const auto r1 = hn::Set(d, round1_), r20 = hn::Set(d, round2_word0_), r22 = hn::Set(d, round2_word2_);
    const auto offsets = hn::LoadU(d, kOffsets.data());
    V64 c0[kVectors], c1[kVectors], c2[kVectors], c3[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      const auto start = hn::Set(d, block + static_cast<std::uint32_t>(v * kBlocks));
      const auto p0 = multiply(hn::Add(start, offsets), m0);  // round 1
      const auto word2 = hn::Xor(hn::ShiftRight<32>(p0), r1);
      const auto p1 = multiply(word2, m1);  // round 2
      c0[v] = hn::Xor(hn::ShiftRight<32>(p1), r20);
      c1[v] = p1;
      c2[v] = hn::Xor(r22, p0);
      c3[v] = hn::Set(d, round2_word3_);
    }
    for (const auto& key : keys_) {  // rounds 3 to 10
      const auto k0 = hn::Set(d, key[0]), k1 = hn::Set(d, key[1]);
      for (int v = 0; v < kVectors; ++v) {
        const auto p0 = multiply(c0[v], m0), p1 = multiply(c2[v], m1);
        c0[v] = hn::Xor3(hn::ShiftRight<32>(p1), c1[v], k0);
        c2[v] = hn::Xor3(hn::ShiftRight<32>(p0), c3[v], k1);
        c1[v] = p1;
        c3[v] = p0;
      }
    }
    const auto low = hn::Set(d, 0xFFFFFFFFu);
    for (int v = 0; v < kVectors; ++v) {
      const auto w01 = hn::Or(hn::And(c0[v], low), hn::ShiftLeft<32>(c1[v]));
      const auto w23 = hn::Or(hn::And(c2[v], low), hn::ShiftLeft<32>(c3[v]));
      float* to = out + v * 8 * kBlocks;
      write(hn::BitCast(U16(), hn::InterleaveLower(d, w01, w23)), to);
      write(hn::BitCast(U16(), hn::InterleaveUpper(d, w01, w23)), to + 4 * kBlocks);
    }
  }

 private:
  static HWY_INLINE V64 multiply(V64 a, V64 b) { return hn::MulEven(hn::BitCast(U32(), a), hn::BitCast(U32(), b)); }

  // 16-bit lanes to 0 or keep_scale, two f32 vectors.
  HWY_INLINE void write(hn::Vec<U16> bits, float* out) const {
    const F32 d;
    const hn::RebindToSigned<F32> di;
    const hn::Half<U16> dh;
    const auto threshold = hn::Set(di, static_cast<std::int32_t>(dropout_.threshold));
    const auto scale = hn::Set(d, dropout_.keep_scale);
    const auto first = hn::Lt(hn::PromoteTo(di, hn::LowerHalf(dh, bits)), threshold);
    const auto second = hn::Lt(hn::PromoteTo(di, hn::UpperHalf(dh, bits)), threshold);
    hn::StoreU(hn::IfThenZeroElse(hn::RebindMask(d, first), scale), d, out);
    hn::StoreU(hn::IfThenZeroElse(hn::RebindMask(d, second), scale), d, out + hn::Lanes(d));
  }

  Dropout dropout_;
  std::uint32_t round1_, round2_word0_, round2_word2_, round2_word3_;
  std::array<std::array<std::uint32_t, 2>, 8> keys_;
};

#endif

// out[0 .. count) = multipliers of the elements from the first one of `block` on (block: r * blocks per row + k).
HWY_INLINE void fill_multipliers(const Multipliers& multipliers, std::uint32_t block, std::int64_t count, float* out) {
  constexpr std::int64_t kLeast = Multipliers::kLeast;
  for (; count >= 4 * kLeast; count -= 4 * kLeast, out += 4 * kLeast, block += 4 * kLeast / 8) {
    multipliers.batch<4>(block, out);
  }
  for (; count >= 2 * kLeast; count -= 2 * kLeast, out += 2 * kLeast, block += 2 * kLeast / 8) {
    multipliers.batch<2>(block, out);
  }
  for (; count > 0; count -= kLeast, out += kLeast, block += kLeast / 8) {
    if (count >= kLeast) {
      multipliers.batch<1>(block, out);
    } else {
      HWY_ALIGN float rest[kLeast];
      multipliers.batch<1>(block, rest);
      std::memcpy(out, rest, static_cast<std::size_t>(count) * sizeof(float));
    }
  }
}

// Number of the first Philox block of a row.
HWY_INLINE std::uint32_t first_block(std::int64_t row, std::int64_t columns) {
  return static_cast<std::uint32_t>(row * ((columns + 7) / 8));
}

}  // namespace apollo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
