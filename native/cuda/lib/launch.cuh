// Launching kernels: errors become exceptions, grids follow from counts.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "core/indices.h"
#include "cuda/device/check.h"

namespace apollo::cuda {

struct Launch {
  dim3 grid, block;
  std::size_t shared = 0;
};

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), const Launch& how, void* stream, Arguments&&... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = how.grid;
  config.blockDim = how.block;
  config.dynamicSmemBytes = how.shared;
  config.stream = static_cast<cudaStream_t>(stream);
  check(cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...), "a kernel's launch");
}

// Lets `kernel` have so much dynamic shared memory, which may be more than the usual 48 KiB, before it is launched. The
// allowance is the kernel's, shared by all programs: it only ever grows.
template <class... Parameters>
void allow_shared(void (*kernel)(Parameters...), std::size_t bytes) {
  cudaFuncAttributes attributes{};
  check(cudaFuncGetAttributes(&attributes, kernel), "reading a kernel's shared memory");
  const auto wanted = static_cast<int>(bytes), allowed = attributes.maxDynamicSharedSizeBytes;
  if (wanted + static_cast<int>(attributes.sharedSizeBytes) <= allowed) return;  // static shared memory counts as well
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, std::max(wanted, allowed)),
        "a kernel's shared memory");
}

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// Blocks for `items`, `per_block` each; at least one. Throws Error beyond what a grid may have in its first dimension:
// most kernels give each block its items and would leave the rest undone.
inline unsigned blocks_for(std::int64_t items, std::int64_t per_block) {
  return static_cast<unsigned>(std::max(1, to_int32(ceil_div(items, per_block), "blocks of a kernel")));
}

}  // namespace apollo::cuda
