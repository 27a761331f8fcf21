// Finds and loads the CUDA backend, a shared object of its own, when it is first asked for: a machine without a GPU
// never touches it, and one with a GPU needs no toolkit.
#pragma once

#include <string>

#include "cuda/api.h"

namespace apollo::addon {

// Its table of functions. Throws Error APOLLO_NO_DEVICE saying why there is none: not built, not loadable, of another
// version. $APOLLO_CUDA_LIBRARY names another file than the one next to the addon.
const cuda::Api& cuda_library();

// The file that is or would be loaded.
std::string cuda_library_file();

}  // namespace apollo::addon
