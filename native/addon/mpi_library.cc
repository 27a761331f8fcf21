#include "addon/mpi_library.h"

#include <mutex>

#include "addon/shared_library.h"
#include "core/error.h"

namespace apollo::addon {

std::string mpi_library_file() { return library_file("APOLLO_MPI_LIBRARY", "libapollo_mpi.so"); }

const comm::Api& mpi_library() {
  static std::mutex mutex;
  static const comm::Api* loaded = nullptr;
  const std::lock_guard lock(mutex);
  if (loaded != nullptr) return *loaded;
  try {
    loaded = &library_table<comm::Api>(mpi_library_file(), "apollo_mpi_api", comm::kAbi);
  } catch (const Error& error) {
    throw Error(std::string("MPI is not built in or not loadable: ") + error.what() +
                    ". Install an MPI library with its headers (Debian: libopenmpi-dev openmpi-bin), then run "
                    "\"npx apollo-lm build\"",
                "APOLLO_NO_GROUP");
  }
  return *loaded;
}

}  // namespace apollo::addon
