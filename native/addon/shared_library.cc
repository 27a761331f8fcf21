#include "addon/shared_library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>

namespace apollo::addon {

std::string library_file(const char* variable, const char* name) {
  if (const char* chosen = std::getenv(variable); chosen != nullptr && *chosen != '\0') return chosen;
  Dl_info self;
  if (dladdr(reinterpret_cast<const void*>(&library_file), &self) == 0) return name;
  return (std::filesystem::path(self.dli_fname).parent_path() / name).string();
}

void* library_symbol(const std::string& file, const char* symbol) {
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw Error(dlerror());
  void* found = dlsym(library, symbol);
  if (found == nullptr) throw Error(file + " is another library");
  return found;
}

}  // namespace apollo::addon
