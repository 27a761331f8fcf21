// Interface of libapollo_cuda.so, which the addon loads on first use: a table behind one exported function. Both
// are built together; what begins the table catches a file that was left over from another build.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/backend.h"

namespace apollo::cuda {

struct DeviceSummary {
  std::string name;
  std::size_t total_bytes = 0;
  int major = 0, minor = 0;  // compute capability
};

struct Options {
  int index = 0;
  bool tf32 = false;       // f32 products may round their inputs to TF32
  std::string cache_file;  // of the algorithms chosen for matrix products; none: they are not kept
};

struct Api {
  std::uint32_t abi;    // APOLLO_ABI: of the headers that both share (scripts/abi.mjs)
  const char* version;  // of the package
  // Both throw Error: no driver, an old one, no such GPU, no cuBLASLt.
  std::vector<DeviceSummary> (*devices)();
  std::unique_ptr<Backend> (*open)(const Options& options);
  // cuBLASLt as found: its version and file.
  std::string (*blas)();
};

}  // namespace apollo::cuda
