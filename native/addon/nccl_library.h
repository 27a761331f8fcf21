// Finds and loads the communicator over NCCL when ranks on GPUs first join a group: a machine without GPUs never
// touches it.
#pragma once

#include <string>

#include "comm/nccl/api.h"

namespace apollo::addon {

// Its table of functions. Throws Error APOLLO_NO_GROUP saying why there is none: not built, not loadable, of another
// version. $APOLLO_NCCL_LIBRARY names another file than the one next to the addon.
const comm::NcclApi& nccl_library();

// The file that is or would be loaded.
std::string nccl_library_file();

}  // namespace apollo::addon
