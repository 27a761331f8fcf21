#include "addon/mpi_library.h"

#include <cstdlib>
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
  // UCX, below MPICH and Open MPI, replaces the system's calls for memory while other threads of Node use them, and one
  // start in sixty then crashed (UCX 1.13 with MPICH 4.0). It reads this setting when it is loaded or initialised; what
  // it costs is that memory is registered again for each large message on networks with RDMA.
  setenv("UCX_MEM_EVENTS", "no", /*overwrite=*/0);
  try {
    loaded = &library_table<comm::Api>(mpi_library_file(), "apollo_mpi_api", APOLLO_ABI);
  } catch (const Error& error) {
    throw Error(std::string("MPI is not built in or not loadable: ") + error.what() +
                    ". Install an MPI library with its headers (Debian: libopenmpi-dev openmpi-bin), then run "
                    "\"npx apollo-lm build\"",
                "APOLLO_NO_GROUP");
  }
  return *loaded;
}

}  // namespace apollo::addon
