// native/cuda/lib/sort.cuh for the emulator.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include "cuda/device/check.h"

namespace apollo::cuda {

inline std::size_t sort_pairs_bytes(std::int32_t count, int) { return static_cast<std::size_t>(count) * 4; }

inline void sort_pairs(void* temporary, std::size_t temporary_bytes, const std::uint32_t* keys_in,
                       std::uint32_t* keys_out, const std::int32_t* values_in, std::int32_t* values_out,
                       std::int32_t count, int bits, void* stream) {
  cudaLaunchConfig_t config{};
  config.gridDim = config.blockDim = dim3(1);
  config.stream = static_cast<cudaStream_t>(stream);
  check(emulator::launch(config,
                         [=] {
                           // Like the real one, it writes to its temporary memory.
                           std::memset(temporary, 0xff, temporary_bytes);
                           const std::uint32_t mask = bits >= 32 ? ~0u : (1u << bits) - 1;
                           std::vector<std::int32_t> order(static_cast<std::size_t>(count));
                           std::iota(order.begin(), order.end(), 0);
                           std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
                             return (keys_in[a] & mask) < (keys_in[b] & mask);
                           });
                           for (std::int32_t i = 0; i < count; ++i) {
                             keys_out[i] = keys_in[order[static_cast<std::size_t>(i)]];
                             values_out[i] = values_in[order[static_cast<std::size_t>(i)]];
                           }
                         }),
        "a sort");
}

}  // namespace apollo::cuda
