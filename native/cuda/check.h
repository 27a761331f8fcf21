// CUDA's return codes as exceptions.
#pragma once

#include <cuda_runtime.h>

#include <string>

#include "core/error.h"

namespace apollo::cuda {

// Throws Error when `code` is not success; `what` says what was attempted.
inline void check(cudaError_t code, const char* what) {
  if (code == cudaSuccess) return;
  if (code == cudaErrorMemoryAllocation) {
    throw Error(std::string(what) + " failed: the GPU has no more memory", "APOLLO_OUT_OF_MEMORY");
  }
  throw Error(std::string(what) + " failed: " + cudaGetErrorString(code) + " (" + cudaGetErrorName(code) +
                  "). After such an error the device must be opened again.",
              "APOLLO_NATIVE");
}

}  // namespace apollo::cuda
