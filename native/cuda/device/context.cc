#include "cuda/device/context.h"

#include <algorithm>
#include <cstring>

namespace apollo::cuda {

namespace {

// Chooses the GPU for this thread, too.
cudaDeviceProp properties_of(int index) {
  check(cudaSetDevice(index), "choosing the GPU");
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, index), "reading the GPU's properties");
  return properties;
}

}  // namespace

Context::Context(const Options& chosen) : options(chosen), properties(properties_of(chosen.index)) {
  blas = std::make_unique<BlasHandle>();
  std::string machine(properties.name, strnlen(properties.name, sizeof properties.name));
  std::replace(machine.begin(), machine.end(), '\t', ' ');
  machine.append(", cuBLASLt ").append(std::to_string(blas->lt().version()));
  matmuls = std::make_unique<MatmulCache>(options.cache_file, machine);
}

// For what the members free.
Context::~Context() { cudaSetDevice(options.index); }

}  // namespace apollo::cuda
