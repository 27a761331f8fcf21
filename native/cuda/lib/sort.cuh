// Sorting pairs of an unsigned key and a value by key, equal keys in their given order: CUB's radix sort, which passes
// over the data once for every 8 bits that the keys have. (The emulator in test/emulator has a file of the same name.)
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <cub/device/device_radix_sort.cuh>

#include "cuda/device/check.h"

namespace apollo::cuda {

// Device memory that sort_pairs needs besides its operands.
inline std::size_t sort_pairs_bytes(std::int32_t count, int bits) {
  std::size_t bytes = 0;
  check(cub::DeviceRadixSort::SortPairs<std::uint32_t, std::int32_t>(nullptr, bytes, nullptr, nullptr, nullptr, nullptr,
                                                                     count, 0, bits),
        "asking for a sort's memory");
  return bytes;
}

// Only the lowest `bits` bits of the keys count. Inputs and outputs must not overlap.
inline void sort_pairs(void* temporary, std::size_t temporary_bytes, const std::uint32_t* keys_in,
                       std::uint32_t* keys_out, const std::int32_t* values_in, std::int32_t* values_out,
                       std::int32_t count, int bits, void* stream) {
  check(cub::DeviceRadixSort::SortPairs(temporary, temporary_bytes, keys_in, keys_out, values_in, values_out, count, 0,
                                        bits, static_cast<cudaStream_t>(stream)),
        "a sort");
}

}  // namespace apollo::cuda
