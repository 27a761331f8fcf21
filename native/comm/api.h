// Interface of libapollo_mpi.so, which the addon loads on first use: a table behind one exported function. Both
// are built together; the version in the table catches a file that was left over from another build.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "comm/communicator.h"

namespace apollo::comm {

constexpr std::uint32_t kAbi = 3;

struct Api {
  std::uint32_t abi;
  const char* version;  // of the package
  // Name and version of the MPI library.
  std::string (*library)();
  // Joins the processes that the launcher has started, once in a process. `cancelled` ends a wait for other ranks.
  // Throws Error APOLLO_GROUP.
  std::unique_ptr<Communicator> (*join)(std::function<bool()> cancelled);
};

}  // namespace apollo::comm
