#include "addon/cuda_library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <mutex>

#include "core/error.h"

namespace apollo::addon {

std::string cuda_library_file() {
  if (const char* chosen = std::getenv("APOLLO_CUDA_LIBRARY"); chosen != nullptr && *chosen != '\0') return chosen;
  Dl_info self;
  if (dladdr(reinterpret_cast<const void*>(&cuda_library_file), &self) == 0) return "libapollo_cuda.so";
  return (std::filesystem::path(self.dli_fname).parent_path() / "libapollo_cuda.so").string();
}

const cuda::Api& cuda_library() {
  static std::mutex mutex;
  static const cuda::Api* loaded = nullptr;
  const std::lock_guard lock(mutex);
  if (loaded != nullptr) return *loaded;
  const std::string file = cuda_library_file();
  const auto missing = [&](const std::string& why) {
    return Error("CUDA backend not built or not loadable: " + why +
                     ". Run \"npx apollo-lm doctor\" to see what is missing, or use device \"cpu\"",
                 "APOLLO_NO_DEVICE");
  };
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);  // never closed: its code outlives every device
  if (library == nullptr) throw missing(dlerror());
  const auto get = reinterpret_cast<cuda::GetApi>(dlsym(library, "apollo_cuda_api"));
  if (get == nullptr) throw missing(file + " is another library");
  const cuda::Api* api = get();
  if (api->abi != cuda::kAbi || std::string(api->version) != APOLLO_VERSION) {
    throw missing(file + " is of version " + api->version + ", the engine of " APOLLO_VERSION "; build both again");
  }
  loaded = api;
  return *loaded;
}

}  // namespace apollo::addon
