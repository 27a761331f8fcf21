// NCCL, bound when a group is first joined and never linked: the types come from its own header, the functions from
// whichever library the machine has.
#pragma once

#include <nccl.h>

#include <string>

#include "core/error.h"

namespace apollo::comm {

struct Nccl {
  decltype(&ncclGetVersion) get_version;
  decltype(&ncclGetErrorString) error_string;
  decltype(&ncclGetLastError) last_error;
  decltype(&ncclGetUniqueId) get_unique_id;
  decltype(&ncclCommInitRankConfig) init_rank;
  decltype(&ncclCommGetAsyncError) async_error;
  decltype(&ncclCommFinalize) finalize;
  decltype(&ncclCommDestroy) destroy;
  decltype(&ncclCommAbort) abort;
  decltype(&ncclAllReduce) all_reduce;
  decltype(&ncclReduceScatter) reduce_scatter;
  decltype(&ncclAllGather) all_gather;
  decltype(&ncclReduce) reduce;
  decltype(&ncclBroadcast) broadcast;
  decltype(&ncclSend) send;
  decltype(&ncclRecv) receive;
  decltype(&ncclGroupStart) group_start;
  decltype(&ncclGroupEnd) group_end;
  std::string file;

  // Throws Error APOLLO_NO_GROUP with the files it tried and what to do.
  static const Nccl& get();

  // "2.30.7".
  std::string version() const;
};

}  // namespace apollo::comm
