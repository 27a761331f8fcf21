// How f32 values travel between ranks: as they are, or rounded to bf16.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace apollo::comm {

enum class Wire : std::uint8_t { F32, BF16 };

constexpr std::size_t bytes_of(Wire wire) { return wire == Wire::F32 ? 4 : 2; }

// The nearest bf16 value, ties to even: a relative error of at most 2^-8. NaN stays NaN.
inline std::uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
  const std::uint32_t quiet = (bits >> 16) | 0x40U;
  return static_cast<std::uint16_t>((bits & 0x7fffffffU) > 0x7f800000U ? quiet : rounded);
}

inline float from_bf16(std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }

inline float rounded_to_bf16(float value) { return from_bf16(to_bf16(value)); }

}  // namespace apollo::comm
