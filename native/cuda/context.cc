#include "cuda/context.h"

#include <algorithm>
#include <cstring>

namespace apollo::cuda {

Context::Context(const Options& chosen) : options(chosen) {
  check(cudaSetDevice(options.index), "choosing the GPU");
  check(cudaGetDeviceProperties(&properties, options.index), "reading the GPU's properties");
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "creating a stream");
  check(cudaStreamCreateWithFlags(&copies, cudaStreamNonBlocking), "creating a stream");
  blas = std::make_unique<BlasHandle>();
  std::string machine(properties.name, strnlen(properties.name, sizeof properties.name));
  std::replace(machine.begin(), machine.end(), '\t', ' ');
  machine.append(", cuBLASLt ").append(std::to_string(blas->lt().version()));
  matmuls = std::make_unique<MatmulCache>(options.cache_file, machine);
}

// Return codes are ignored: at the end of a process the driver may be gone already.
Context::~Context() {
  cudaSetDevice(options.index);
  if (stream != nullptr) cudaStreamDestroy(stream);
  if (copies != nullptr) cudaStreamDestroy(copies);
}

}  // namespace apollo::cuda
