// GPU memory that a kernel owns beyond its program's arena, freed with its owner.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <utility>

#include "cuda/device/check.h"

namespace apollo::cuda {

class DeviceMemory {
 public:
  DeviceMemory() = default;
  explicit DeviceMemory(std::size_t bytes) { check(cudaMalloc(&memory_, bytes), "an allocation of GPU memory"); }
  // Empty when there is not enough.
  static DeviceMemory try_allocate(std::size_t bytes) {
    DeviceMemory made;
    if (cudaMalloc(&made.memory_, bytes) != cudaSuccess) {
      cudaGetLastError();  // it is dealt with
      made.memory_ = nullptr;
    }
    return made;
  }
  ~DeviceMemory() {
    if (memory_ != nullptr) cudaFree(memory_);
  }
  DeviceMemory(DeviceMemory&& other) noexcept : memory_(std::exchange(other.memory_, nullptr)) {}
  DeviceMemory& operator=(DeviceMemory&& other) noexcept {
    std::swap(memory_, other.memory_);
    return *this;
  }

  void* get() const { return memory_; }

 private:
  void* memory_ = nullptr;
};

}  // namespace apollo::cuda
