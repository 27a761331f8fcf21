// Division of indices by numbers that the host knows: a multiplication and a shift in place of some twenty
// instructions.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/error.h"

namespace apollo::cuda {

// n / value for n < 2^31: Granlund and Montgomery, "Division by invariant integers using multiplication" (1994), figure
// 4.1. With 2^shift the first power of two that is not below `value`, multiplier = 2^32 (2^shift - value) / value + 1.
struct Divisor {
  std::uint32_t value = 1, multiplier = 1, shift = 0;

  Divisor() = default;
  explicit Divisor(std::int64_t divisor) : value(static_cast<std::uint32_t>(divisor)) {
    require(divisor >= 1 && divisor <= std::int64_t{1} << 31, "a tensor's axis is too long for the GPU's kernels");
    while ((std::uint64_t{1} << shift) < value) ++shift;
    multiplier = static_cast<std::uint32_t>((((std::uint64_t{1} << shift) - value) << 32) / value + 1);
  }

  __device__ __forceinline__ std::uint32_t quotient(std::uint32_t n) const {
    return (__umulhi(multiplier, n) + n) >> shift;
  }
  // For any n that is not negative: large ones the slow way.
  __device__ __forceinline__ std::int64_t quotient(std::int64_t n) const {
    return n >> 31 == 0 ? static_cast<std::int64_t>(quotient(static_cast<std::uint32_t>(n))) : n / value;
  }
};

}  // namespace apollo::cuda
