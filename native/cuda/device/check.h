// CUDA's return codes as exceptions.
#pragma once

#include <cuda_runtime.h>

#include <string>

#include "core/error.h"

namespace apollo::cuda {

// Whether the driver returns this error to every later call of the process, and only a new process can use the GPU:
// what the manual of the runtime API says of these codes, and an uncorrectable memory error.
inline bool is_lasting(cudaError_t code) {
  switch (code) {
    case cudaErrorECCUncorrectable:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorMpsClientTerminated: return true;
    default: return false;
  }
}

// Throws Error when `code` is not success; `what` says what was attempted. APOLLO_DEVICE_LOST: see is_lasting().
inline void check(cudaError_t code, const char* what) {
  if (code == cudaSuccess) return;
  // CUDA keeps the thread's last error, which a library that asks for it, as CUB does, would take for its own.
  if (!is_lasting(code)) cudaGetLastError();
  if (code == cudaErrorMemoryAllocation) {
    throw Error(std::string(what) + " failed: the GPU has no more memory", "APOLLO_OUT_OF_MEMORY");
  }
  const std::string message =
      std::string(what) + " failed: " + cudaGetErrorString(code) + " (" + cudaGetErrorName(code) + ").";
  if (!is_lasting(code)) throw Error(message, "APOLLO_NATIVE");
  throw Error(message +
                  " This process can no longer use the GPU: restart the process; a run resumes from its last "
                  "checkpoint.",
              "APOLLO_DEVICE_LOST");
}

}  // namespace apollo::cuda
