// Interface of libapollo_mpi.so, which the addon loads on first use: a table behind one exported function. Both
// are built together; what begins the table catches a file that was left over from another build.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "comm/communicator.h"

namespace apollo::comm {

struct Api {
  std::uint32_t abi;    // APOLLO_ABI: of the headers that both share (scripts/abi.mjs)
  const char* version;  // of the package
  // Name and version of the MPI library.
  std::string (*library)();
  // Joins the processes that the launcher has started, once in a process. `cancelled` ends a wait for other ranks.
  // Throws Error APOLLO_GROUP.
  std::unique_ptr<Communicator> (*join)(std::function<bool()> cancelled);
};

}  // namespace apollo::comm
