#include "comm/nccl/library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <vector>

namespace apollo::comm {
namespace {

constexpr int kOldest = 21800;  // has communicators that do not block

template <class Function>
void bind(void* library, const std::string& file, const char* symbol, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, symbol));
  if (function == nullptr) throw Error(file + " is no usable NCCL: it lacks " + symbol, "APOLLO_NO_GROUP");
}

Nccl load() {
  std::vector<std::string> files = {"libnccl.so.2", "/usr/local/cuda/lib64/libnccl.so.2"};
  if (const char* chosen = std::getenv("APOLLO_NCCL"); chosen != nullptr && *chosen != '\0') files = {chosen};
  std::string tried;
  for (const std::string& file : files) {
    void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      tried.append(tried.empty() ? "" : "; ").append(dlerror());
      continue;
    }
    Nccl nccl{};
    nccl.file = file;
    bind(library, file, "ncclGetVersion", nccl.get_version);
    bind(library, file, "ncclGetErrorString", nccl.error_string);
    if (int version = 0; nccl.get_version(&version) != ncclSuccess || version < kOldest) {
      throw Error(file + " is NCCL " + nccl.version() + "; the engine needs 2.18 or newer", "APOLLO_NO_GROUP");
    }
    bind(library, file, "ncclGetLastError", nccl.last_error);
    bind(library, file, "ncclGetUniqueId", nccl.get_unique_id);
    bind(library, file, "ncclCommInitRankConfig", nccl.init_rank);
    bind(library, file, "ncclCommGetAsyncError", nccl.async_error);
    bind(library, file, "ncclCommFinalize", nccl.finalize);
    bind(library, file, "ncclCommDestroy", nccl.destroy);
    bind(library, file, "ncclCommAbort", nccl.abort);
    bind(library, file, "ncclAllReduce", nccl.all_reduce);
    bind(library, file, "ncclReduceScatter", nccl.reduce_scatter);
    bind(library, file, "ncclAllGather", nccl.all_gather);
    bind(library, file, "ncclReduce", nccl.reduce);
    bind(library, file, "ncclBroadcast", nccl.broadcast);
    bind(library, file, "ncclSend", nccl.send);
    bind(library, file, "ncclRecv", nccl.receive);
    bind(library, file, "ncclGroupStart", nccl.group_start);
    bind(library, file, "ncclGroupEnd", nccl.group_end);
    return nccl;
  }
  throw Error(
      "NCCL not found (" + tried +
          "). Install libnccl2 or the Python package nvidia-nccl-cu13, or set APOLLO_NCCL=/path/to/libnccl.so.2",
      "APOLLO_NO_GROUP");
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
