// A list on the device that a kernel's run reads.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <vector>

#include "cuda/device/check.h"
#include "cuda/device/device_memory.h"

namespace apollo::cuda {

// Filled again in bind(), when pointers have changed, and kept on the device.
template <class T>
class Table {
 public:
  void fill(const std::vector<T>& entries, void* stream) {
    const std::size_t bytes = entries.size() * sizeof(T);
    if (bytes == 0) return;
    if (memory_.get() == nullptr) memory_ = DeviceMemory(bytes);  // its size never changes
    const auto queue = static_cast<cudaStream_t>(stream);
    check(cudaMemcpyAsync(memory_.get(), entries.data(), bytes, cudaMemcpyHostToDevice, queue), "a table's copy");
    check(cudaStreamSynchronize(queue), "a table's copy");
  }
  const T* get() const { return static_cast<const T*>(memory_.get()); }

 private:
  DeviceMemory memory_;
};

}  // namespace apollo::cuda
