// Interface of libapollo_nccl.so, which the addon loads on first use: a table behind one exported function. Both
// are built together; what begins the table catches a file that was left over from another build.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "comm/communicator.h"

namespace apollo::comm {

struct NcclPlace {
  int device = 0;          // the GPU
  void* stream = nullptr;  // of the GPU's programs
  int rank = 0, size = 1;
  std::string id;  // of the group, from NcclApi::unique_id of its first rank
};

struct NcclApi {
  std::uint32_t abi;    // APOLLO_ABI: of the headers that both share (scripts/abi.mjs)
  const char* version;  // of the package
  // Version and file of NCCL. Throws Error APOLLO_NO_GROUP with the files it tried and what to do, as the others do.
  std::string (*library)();
  // Of a new group, as text. The process that asks for it must be the group's first rank.
  std::string (*unique_id)();
  // Joins a group. `launcher`: the group over which the id has come, ended with this one; may be null. `cancelled` ends
  // waits for other ranks. Throws Error APOLLO_GROUP.
  std::unique_ptr<Communicator> (*join)(const NcclPlace& place, std::unique_ptr<Communicator> launcher,
                                        std::function<bool()> cancelled);
};

}  // namespace apollo::comm
