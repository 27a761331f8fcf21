// native/cuda/lib/intrinsics.cuh for the emulator: each instruction by its definition in the PTX manual.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace apollo::cuda {

inline unsigned char* shared_memory() { return emulator::dynamic_shared(); }

inline void copy_async_16(void* shared, const void* global, bool valid = true) {
  emulator::check_aligned(shared, 16);
  emulator::check_aligned(global, 16);
  emulator::cp_async(shared, valid ? global : nullptr, 16);
}
inline void copy_async_commit() { emulator::cp_async_commit(); }
template <int kPending>
void copy_async_wait() {
  emulator::cp_async_wait(kPending);
}

namespace detail {

inline std::uint16_t half_of(std::uint32_t word, unsigned half) {
  return static_cast<std::uint16_t>(half == 0 ? word : word >> 16);
}
inline float bf16_of(std::uint32_t word, unsigned half) { return __bfloat162float({half_of(word, half)}); }

// Row `row` of matrix `m`, whose address lane 8 m + row gives.
inline const std::uint16_t* matrix_row(const std::byte* all, unsigned m, unsigned row) {
  const void* address;
  std::memcpy(&address, all + (8 * m + row) * emulator::kSlot, sizeof address);
  return static_cast<const std::uint16_t*>(address);
}

}  // namespace detail

inline void load_matrices(std::uint32_t (&m)[4], const void* row) {
  emulator::check_aligned(row, 16);
  const std::byte* all = emulator::exchange(0xffffffffu, &row, sizeof row, __LINE__);
  const unsigned r = emulator::lane() / 4, c = emulator::lane() % 4 * 2;
  for (unsigned k = 0; k < 4; ++k) {
    const std::uint16_t* from = detail::matrix_row(all, k, r);
    m[k] = from[c] | static_cast<std::uint32_t>(from[c + 1]) << 16;
  }
}
inline void load_matrices_transposed(std::uint32_t (&m)[4], const void* row) {
  emulator::check_aligned(row, 16);
  const std::byte* all = emulator::exchange(0xffffffffu, &row, sizeof row, __LINE__);
  const unsigned c = emulator::lane() / 4, r = emulator::lane() % 4 * 2;
  for (unsigned k = 0; k < 4; ++k) {
    m[k] = detail::matrix_row(all, k, r)[c] | static_cast<std::uint32_t>(detail::matrix_row(all, k, r + 1)[c]) << 16;
  }
}

inline void multiply_add(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  const std::uint32_t own[6] = {a[0], a[1], a[2], a[3], b0, b1};
  const std::byte* all = emulator::exchange(0xffffffffu, own, sizeof own, __LINE__);
  const auto words = [&](unsigned lane) {
    return reinterpret_cast<const std::uint32_t*>(all + lane * emulator::kSlot);
  };
  const unsigned group = emulator::lane() / 4, column = emulator::lane() % 4 * 2;
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned m = group + (i >= 2 ? 8 : 0), n = column + i % 2;
    float sum = 0.0f;
    for (unsigned k = 0; k < 16; ++k) {
      // a (m, k) and b (k, n) where their owners keep them.
      const float x = detail::bf16_of(words(m % 8 * 4 + k % 8 / 2)[(m >= 8 ? 1 : 0) + (k >= 8 ? 2 : 0)], k % 2);
      const float y = detail::bf16_of(words(n * 4 + k % 8 / 2)[k >= 8 ? 5 : 4], k % 2);
      sum = std::fma(x, y, sum);
    }
    c[i] += sum;
  }
}

inline float exp2_fast(float x) { return std::exp2(x); }
inline float reciprocal_fast(float x) { return 1.0f / x; }
inline std::uint32_t pack_bf16(float low, float high) {
  return __float2bfloat16_rn(low).bits | static_cast<std::uint32_t>(__float2bfloat16_rn(high).bits) << 16;
}

}  // namespace apollo::cuda
