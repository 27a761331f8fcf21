// Shared objects of this package that the addon loads when they are first asked for: a machine that does not need one
// never touches it.
#pragma once

#include <cstdint>
#include <string>

#include "core/error.h"

namespace apollo::addon {

// The file `name` next to the addon, or the one that the environment variable names.
std::string library_file(const char* variable, const char* name);

// The function `symbol` of a library, which is never closed: its code outlives every use. Throws Error saying why there
// is none.
void* library_symbol(const std::string& file, const char* symbol);

// The table of functions that `symbol` of the library returns. Throws Error unless it is of this build.
template <class Api>
const Api& library_table(const std::string& file, const char* symbol, std::uint32_t abi) {
  const Api* api = reinterpret_cast<const Api* (*)()>(library_symbol(file, symbol))();
  if (std::string(api->version) != APOLLO_VERSION) {
    throw Error(file + " is of version " + api->version + ", the engine of " APOLLO_VERSION "; build both again");
  }
  if (api->abi != abi) throw Error(file + " was built from other sources than the engine; build both again");
  return *api;
}

}  // namespace apollo::addon
