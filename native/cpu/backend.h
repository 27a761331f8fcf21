// The CPU backend: host memory, OpenMP threads, oneDNN matmuls and our own vectorised kernels.
#pragma once

#include <memory>
#include <string>

#include "core/backend.h"

namespace apollo::cpu {

// `threads` <= 0: one for each processor the process may use.
std::unique_ptr<Backend> make_backend(int threads);

struct CpuInfo {
  std::string one_dnn;      // version
  std::string one_dnn_isa;  // instruction set oneDNN may use
  std::string kernel_isa;   // instruction set of our own kernels
  std::string cpu_name;
  bool fast_bf16 = false;
  int logical_cores = 1;
};
CpuInfo cpu_info();

}  // namespace apollo::cpu
