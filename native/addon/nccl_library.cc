#include "addon/nccl_library.h"

#include <mutex>

#include "addon/shared_library.h"
#include "core/error.h"

namespace apollo::addon {

std::string nccl_library_file() { return library_file("APOLLO_NCCL_LIBRARY", "libapollo_nccl.so"); }

const comm::NcclApi& nccl_library() {
  static std::mutex mutex;
  static const comm::NcclApi* loaded = nullptr;
  const std::lock_guard lock(mutex);
  if (loaded != nullptr) return *loaded;
  try {
    loaded = &library_table<comm::NcclApi>(nccl_library_file(), "apollo_nccl_api", APOLLO_ABI);
  } catch (const Error& error) {
    throw Error(std::string("NCCL is not built in or not loadable: ") + error.what() +
                    ". It is built where nvcc and nccl.h are found (the headers alone: bash scripts/cuda-headers.sh); "
                    "then run \"npx apollo-lm build\"",
                "APOLLO_NO_GROUP");
  }
  return *loaded;
}

}  // namespace apollo::addon
