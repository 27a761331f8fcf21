// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): 128 random bits from a
// 128-bit counter and a 64-bit key, without state. And the one rule by which every backend drops elements.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>

#include "core/error.h"

namespace apollo {

constexpr std::uint32_t kPhiloxM0 = 0xD2511F53u, kPhiloxM1 = 0xCD9E8D57u;
constexpr std::uint32_t kPhiloxW0 = 0x9E3779B9u, kPhiloxW1 = 0xBB67AE85u;

inline std::array<std::uint32_t, 4> philox4x32_10(std::array<std::uint32_t, 4> counter,
                                                  std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = static_cast<std::uint64_t>(kPhiloxM0) * counter[0];
    const std::uint64_t p1 = static_cast<std::uint64_t>(kPhiloxM1) * counter[2];
    counter = {static_cast<std::uint32_t>(p1 >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(p1),
               static_cast<std::uint32_t>(p0 >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(p0)};
    key = {key[0] + kPhiloxW0, key[1] + kPhiloxW1};
  }
  return counter;
}

// Dropout's integers. A tensor is seen as rows of its last dimension; a row is cut into blocks of 8 elements, the last
// one padded. Block k of row r (k counted per row, ceil(columns / 8) blocks per row) takes Philox counter
// (r * blocks + k, stream, step, micro) under key (seed low, seed high); element j of the block takes 16 bits, word
// j / 2, low half first. It is dropped iff these 16 bits are < threshold = round(p * 65536), at least 1 and at most
// 65535 for 0 < p < 1, so that some elements are dropped and some are kept; these are multiplied by
// 65536 / (65536 - threshold).
struct Dropout {
  std::uint32_t threshold = 0;
  float keep_scale = 1.0f;
  std::uint32_t stream = 0;

  static Dropout make(double p, std::uint32_t stream) {
    Dropout d;
    require(p >= 0.0 && p < 1.0, "the drop probability must lie in [0, 1); got " + std::to_string(p));
    if (p > 0.0) d.threshold = static_cast<std::uint32_t>(std::clamp(std::lround(p * 65536.0), 1L, 65535L));
    d.keep_scale = 65536.0f / static_cast<float>(65536u - d.threshold);
    d.stream = stream;
    return d;
  }
};

// The `rng` input of an op: i32[4] = seed low, seed high, step, micro-batch.
struct RngState {
  std::uint32_t seed_low, seed_high, step, micro;
  static RngState from(const std::int32_t* words) {
    return {static_cast<std::uint32_t>(words[0]), static_cast<std::uint32_t>(words[1]),
            static_cast<std::uint32_t>(words[2]), static_cast<std::uint32_t>(words[3])};
  }
};

}  // namespace apollo
