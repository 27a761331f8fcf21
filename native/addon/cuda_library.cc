#include "addon/cuda_library.h"

#include <mutex>

#include "addon/shared_library.h"
#include "core/error.h"

namespace apollo::addon {

std::string cuda_library_file() { return library_file("APOLLO_CUDA_LIBRARY", "libapollo_cuda.so"); }

const cuda::Api& cuda_library() {
  static std::mutex mutex;
  static const cuda::Api* loaded = nullptr;
  const std::lock_guard lock(mutex);
  if (loaded != nullptr) return *loaded;
  try {
    loaded = &library_table<cuda::Api>(cuda_library_file(), "apollo_cuda_api", APOLLO_ABI);
  } catch (const Error& error) {
    throw Error(std::string("CUDA backend not built or not loadable: ") + error.what() +
                    ". Run \"npx apollo-lm doctor\" to see what is missing, or use device \"cpu\"",
                "APOLLO_NO_DEVICE");
  }
  return *loaded;
}

}  // namespace apollo::addon
