// State shared by the kernels of one device: its properties, its streams, cuBLASLt, the record of wrong indices.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <memory>
#include <string>

#include "cuda/api.h"
#include "cuda/blas/cublas.h"
#include "cuda/blas/matmul_cache.h"
#include "cuda/device/check.h"
#include "cuda/device/faults.h"
#include "cuda/device/stream.h"

namespace apollo::cuda {

struct Context {
  explicit Context(const Options& options);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  Options options;
  cudaDeviceProp properties;  // after its reader has chosen the GPU
  Stream stream;              // all kernels run here
  Stream copies;              // batches on their way to the device
  Faults faults;
  std::unique_ptr<BlasHandle> blas;
  std::unique_ptr<MatmulCache> matmuls;

  int multiprocessors() const { return properties.multiProcessorCount; }
};

}  // namespace apollo::cuda
