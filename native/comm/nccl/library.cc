#include "comm/nccl/library.h"

#include "core/late_library.h"

namespace apollo::comm {
namespace {

constexpr int kOldest = 21800;  // has communicators that do not block

Nccl load() {
  const LateLibrary library = LateLibrary::open(
      {"NCCL",
       "APOLLO_NCCL",
       {"libnccl.so.2", "/usr/local/cuda/lib64/libnccl.so.2"},
       "Install libnccl2 or the Python package nvidia-nccl-cu13, or set APOLLO_NCCL=/path/to/libnccl.so.2",
       "APOLLO_NO_GROUP"});
  Nccl nccl{};
  nccl.file = library.file();
  library.bind("ncclGetVersion", nccl.get_version);
  library.bind("ncclGetErrorString", nccl.error_string);
  if (int version = 0; nccl.get_version(&version) != ncclSuccess || version < kOldest) {
    throw Error(nccl.file + " is NCCL " + nccl.version() + "; the engine needs 2.18 or newer", "APOLLO_NO_GROUP");
  }
  library.bind("ncclGetLastError", nccl.last_error);
  library.bind("ncclGetUniqueId", nccl.get_unique_id);
  library.bind("ncclCommInitRankConfig", nccl.init_rank);
  library.bind("ncclCommGetAsyncError", nccl.async_error);
  library.bind("ncclCommFinalize", nccl.finalize);
  library.bind("ncclCommDestroy", nccl.destroy);
  library.bind("ncclCommAbort", nccl.abort);
  library.bind("ncclAllReduce", nccl.all_reduce);
  library.bind("ncclReduceScatter", nccl.reduce_scatter);
  library.bind("ncclAllGather", nccl.all_gather);
  library.bind("ncclReduce", nccl.reduce);
  library.bind("ncclBroadcast", nccl.broadcast);
  library.bind("ncclSend", nccl.send);
  library.bind("ncclRecv", nccl.receive);
  library.bind("ncclGroupStart", nccl.group_start);
  library.bind("ncclGroupEnd", nccl.group_end);
  return nccl;
}

}  // namespace

const Nccl& Nccl::get() {
  static const Nccl nccl = load();  // a failure is tried again at the next call
  return nccl;
}

// As NCCL_VERSION makes it of major, minor and patch.
std::string Nccl::version() const {
  int code = 0;
  get_version(&code);
  const int thousands = code < 10000 ? 1000 : 10000;
  return std::to_string(code / thousands) + "." + std::to_string(code % thousands / 100) + "." +
         std::to_string(code % 100);
}

}  // namespace apollo::comm
