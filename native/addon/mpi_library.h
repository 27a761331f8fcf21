// Finds and loads the communicator over MPI when a group is first joined: a machine without MPI never touches it.
#pragma once

#include <string>

#include "comm/api.h"

namespace apollo::addon {

// Its table of functions. Throws Error APOLLO_NO_GROUP saying why there is none: not built, not loadable, of another
// version. $APOLLO_MPI_LIBRARY names another file than the one next to the addon.
const comm::Api& mpi_library();

// The file that is or would be loaded.
std::string mpi_library_file();

}  // namespace apollo::addon
