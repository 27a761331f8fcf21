// What stands in for NCCL on the emulator: collectives between the processes of one machine, through a file that all of
// them map. Like NCCL's they are queued on a stream and wait there for the other ranks, a communicator that does not
// block says so, a rank that has ended is an asynchronous error, and two ranks on one GPU are refused. Sums go by the
// order of the ranks.
#include <fcntl.h>
#include <nccl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cuda_bf16.h"

namespace {

constexpr int kRanks = 16, kCalls = 64;
constexpr std::size_t kArea = std::size_t{128} << 20;  // of a rank, for what it gives to one group of calls
constexpr std::size_t kBox = std::size_t{16} << 20;    // of a pair of ranks, for what one sends to the other

enum class Kind : std::int32_t { AllReduce, ReduceScatter, AllGather, Reduce, Broadcast, Send, Receive };

struct Call {
  Kind kind;
  ncclDataType_t type;
  int peer;  // or root
  std::size_t count;
  const void* from;
  void* to;
  std::size_t offset;  // of what its rank gives, in that rank's area
};

// At the file's beginning.
struct Board {
  std::atomic<int> pid[kRanks];
  int device[kRanks];
  std::atomic<std::uint64_t> given[kRanks], taken[kRanks];  // the number of the last group of collectives
  int calls[kRanks];
  Call list[kRanks][kCalls];
  struct Pair {
    std::atomic<std::uint64_t> sent, received;
    std::size_t bytes;
  } pairs[kRanks][kRanks];  // by sender and receiver
};

constexpr std::size_t kBoard = (sizeof(Board) + 4095) / 4096 * 4096;
constexpr std::size_t kFile = kBoard + kRanks * kArea + kRanks * kRanks * kBox;

std::size_t size_of(ncclDataType_t type) {
  switch (type) {
    case ncclUint8: return 1;
    case ncclBfloat16: return 2;
    case ncclFloat32: return 4;
    default: return 8;
  }
}

thread_local std::string last_error;

bool has_ended(int pid) {
  if (kill(pid, 0) != 0 && errno == ESRCH) return true;
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(stat, text);
  const std::size_t name = text.rfind(')');
  return name != std::string::npos && text.compare(name, 3, ") Z") == 0;
}

}  // namespace

struct ncclComm {
  int rank = 0, ranks = 0;
  bool blocking = true, joining = true;
  std::atomic<bool> aborted{false};
  std::atomic<ncclResult_t> error{ncclSuccess};
  std::string file, message;
  std::byte* memory = nullptr;
  std::uint64_t groups = 0;

  Board& board() const { return *reinterpret_cast<Board*>(memory); }
  std::byte* area(int of) const { return memory + kBoard + static_cast<std::size_t>(of) * kArea; }
  std::byte* box(int from, int to) const {
    return memory + kBoard + kRanks * kArea + static_cast<std::size_t>(from * kRanks + to) * kBox;
  }

  void fail(ncclResult_t result, const std::string& why) {
    if (error == ncclSuccess) message = why;
    error = result;
  }
  bool ended() const { return aborted || error != ncclSuccess; }

  // Whether a rank has come to `number`; notices one that never will.
  bool has_come(int r, const std::atomic<std::uint64_t>& where, std::uint64_t number) {
    if (where >= number) return true;
    if (has_ended(board().pid[r])) fail(ncclRemoteError, "the process of rank " + std::to_string(r) + " has ended");
    return false;
  }
  bool all(const std::atomic<std::uint64_t> (&where)[kRanks], std::uint64_t number) {
    for (int r = 0; r < ranks; ++r) {
      if (!has_come(r, where[r], number)) return false;
    }
    return true;
  }

  ncclResult_t join() {
    bool complete = true;
    for (int r = 0; r < ranks; ++r) {
      if (board().pid[r] == 0)
        complete = false;
      else if (has_ended(board().pid[r]))
        fail(ncclRemoteError, "the process of rank " + std::to_string(r) + " has ended");
    }
    if (error != ncclSuccess) return error;
    if (!complete) return ncclInProgress;
    for (int r = 0; r < ranks; ++r) {
      if (r == rank || board().device[r] != board().device[rank]) continue;
      fail(ncclInvalidUsage, "Duplicate GPU detected : rank " + std::to_string(rank) + " and rank " +
                                 std::to_string(r) + " both on CUDA device " + std::to_string(board().device[r]));
    }
    joining = false;
    unlink(file.c_str());
    return error;
  }
};

namespace {

// Of what a rank gives to a collective.
std::size_t elements_given(const Call& call, const ncclComm& comm) {
  switch (call.kind) {
    case Kind::ReduceScatter: return call.count * static_cast<std::size_t>(comm.ranks);
    case Kind::Broadcast: return comm.rank == call.peer ? call.count : 0;
    default: return call.count;
  }
}

float wide(float x) { return x; }
double wide(double x) { return x; }
float wide(__nv_bfloat16 x) { return __bfloat162float(x); }
void narrow(float x, float& to) { to = x; }
void narrow(double x, double& to) { to = x; }
void narrow(float x, __nv_bfloat16& to) { to = __float2bfloat16_rn(x); }

template <class T>
void sum(const ncclComm& comm, const std::vector<const std::byte*>& from, std::size_t first, std::size_t count,
         void* to) {
  auto* out = static_cast<T*>(to);
  for (std::size_t i = 0; i < count; ++i) {
    T value = reinterpret_cast<const T*>(from[0])[first + i];
    for (int r = 1; r < comm.ranks; ++r) {
      narrow(wide(value) + wide(reinterpret_cast<const T*>(from[r])[first + i]), value);
    }
    out[i] = value;
  }
}

void sum_of(ncclDataType_t type, const ncclComm& comm, const std::vector<const std::byte*>& from, std::size_t first,
            std::size_t count, void* to) {
  switch (type) {
    case ncclFloat64: return sum<double>(comm, from, first, count, to);
    case ncclBfloat16: return sum<__nv_bfloat16>(comm, from, first, count, to);
    default: return sum<float>(comm, from, first, count, to);
  }
}

// Collectives that run together, in the order of a stream.
class Collective {
 public:
  Collective(ncclComm_t comm, std::vector<Call> calls) : comm_(comm), calls_(std::move(calls)) {}

  bool poll() {
    if (comm_->ended() || calls_.empty()) return true;
    if (number_ == 0) number_ = ++comm_->groups;
    Board& board = comm_->board();
    if (!has_given_) {
      if (!comm_->all(board.taken, number_ - 1)) return comm_->ended();
      give(board);
      has_given_ = true;
      board.given[comm_->rank] = number_;
    }
    if (!comm_->all(board.given, number_)) return comm_->ended();
    take(board);
    board.taken[comm_->rank] = number_;
    return true;
  }

 private:
  void give(Board& board) {
    std::size_t at = 0;
    board.calls[comm_->rank] = static_cast<int>(calls_.size());
    for (std::size_t i = 0; i < calls_.size(); ++i) {
      Call& call = calls_[i];
      call.offset = at;
      const std::size_t bytes = elements_given(call, *comm_) * size_of(call.type);
      if (at + bytes > kArea) return comm_->fail(ncclInternalError, "the emulator has no room for so much at once");
      if (bytes != 0) std::memcpy(comm_->area(comm_->rank) + at, call.from, bytes);
      at += (bytes + 63) / 64 * 64;
      board.list[comm_->rank][i] = call;
    }
  }

  void take(Board& board) {
    for (std::size_t i = 0; i < calls_.size(); ++i) collect(board, calls_[i], i);
  }

  void collect(Board& board, const Call& call, std::size_t i) {
    std::vector<const std::byte*> from;
    for (int r = 0; r < comm_->ranks; ++r) {
      const Call& other = board.list[r][i];
      if (board.calls[r] != static_cast<int>(calls_.size()) || other.kind != call.kind || other.type != call.type ||
          other.count != call.count || other.peer != call.peer) {
        return comm_->fail(ncclInvalidUsage, "rank " + std::to_string(r) + " makes another call");
      }
      from.push_back(comm_->area(r) + other.offset);
    }
    const auto me = static_cast<std::size_t>(comm_->rank);
    const std::size_t bytes = call.count * size_of(call.type);
    switch (call.kind) {
      case Kind::ReduceScatter: return sum_of(call.type, *comm_, from, me * call.count, call.count, call.to);
      case Kind::AllGather:
        for (std::size_t r = 0; r < from.size(); ++r) {
          std::memcpy(static_cast<std::byte*>(call.to) + r * bytes, from[r], bytes);
        }
        return;
      case Kind::Broadcast: std::memcpy(call.to, from[static_cast<std::size_t>(call.peer)], bytes); return;
      case Kind::Reduce:
        if (comm_->rank != call.peer) return;
        [[fallthrough]];
      default: return sum_of(call.type, *comm_, from, 0, call.count, call.to);
    }
  }

  ncclComm_t comm_;
  std::vector<Call> calls_;
  std::uint64_t number_ = 0;
  bool has_given_ = false;
};

// What ranks send to each other, pair by pair: others have no part in it.
class Messages {
 public:
  Messages(ncclComm_t comm, std::vector<Call> calls) : comm_(comm), calls_(std::move(calls)) {}

  bool poll() {
    std::vector<Call> left;
    for (const Call& call : calls_) {
      if (comm_->ended()) return true;
      if (!(call.kind == Kind::Send ? send(call) : receive(call))) left.push_back(call);
    }
    calls_ = std::move(left);
    return calls_.empty() || comm_->ended();
  }

 private:
  bool send(const Call& call) {
    Board::Pair& pair = comm_->board().pairs[comm_->rank][call.peer];
    if (!comm_->has_come(call.peer, pair.received, pair.sent)) return false;
    pair.bytes = call.count * size_of(call.type);
    if (pair.bytes > kBox)
      comm_->fail(ncclInternalError, "the emulator has no room for so large a message");
    else
      std::memcpy(comm_->box(comm_->rank, call.peer), call.from, pair.bytes);
    ++pair.sent;
    return true;
  }

  bool receive(const Call& call) {
    Board::Pair& pair = comm_->board().pairs[call.peer][comm_->rank];
    if (!comm_->has_come(call.peer, pair.sent, pair.received + 1)) return false;
    if (pair.bytes != call.count * size_of(call.type))
      comm_->fail(ncclInvalidUsage, "a receive unlike its send");
    else
      std::memcpy(call.to, comm_->box(call.peer, comm_->rank), pair.bytes);
    ++pair.received;
    return true;
  }

  ncclComm_t comm_;
  std::vector<Call> calls_;
};

// Between ncclGroupStart and ncclGroupEnd.
struct Open {
  int depth = 0;
  ncclComm_t comm = nullptr;
  cudaStream_t stream = nullptr;
  std::vector<Call> calls;
};
thread_local Open open_group;

ncclResult_t flush() {
  Open group = std::exchange(open_group, {});
  if (group.calls.empty()) return ncclSuccess;
  if (group.calls.size() > kCalls) return ncclInvalidArgument;
  std::vector<Call> collectives, messages;
  for (const Call& call : group.calls) {
    (call.kind == Kind::Send || call.kind == Kind::Receive ? messages : collectives).push_back(call);
  }
  const auto queue = [&](auto work) { emulator::add_polled(group.stream, [work] { return work->poll(); }); };
  queue(std::make_shared<Collective>(group.comm, std::move(collectives)));
  queue(std::make_shared<Messages>(group.comm, std::move(messages)));
  return group.comm->blocking ? ncclSuccess : ncclInProgress;
}

ncclResult_t add(const char* name, ncclComm_t comm, cudaStream_t stream, Call call) {
  if (emulator::told_to_fail(name)) return ncclInternalError;
  if (comm->joining || call.peer < 0 || call.peer >= comm->ranks) return ncclInvalidArgument;
  open_group.comm = comm;
  open_group.stream = stream;
  open_group.calls.push_back(call);
  return open_group.depth > 0 ? ncclSuccess : flush();
}

}  // namespace

ncclResult_t ncclGetVersion(int* version) {
  *version = 23000;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess: return "no error";
    case ncclSystemError: return "unhandled system error";
    case ncclInvalidArgument: return "invalid argument";
    case ncclInvalidUsage: return "invalid usage";
    case ncclRemoteError: return "remote process exited or there was a network error";
    case ncclInProgress: return "NCCL operation in progress";
    default: return "internal error";
  }
}

const char* ncclGetLastError(ncclComm_t comm) {
  if (comm != nullptr) last_error = comm->message;
  return last_error.c_str();
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  const char* folder = std::getenv("TMPDIR");
  *id = {};
  std::snprintf(id->internal, sizeof id->internal, "%s/apollo-nccl-XXXXXX", folder != nullptr ? folder : "/tmp");
  const int file = mkstemp(id->internal);
  if (file < 0) return ncclSystemError;
  const bool sized = ftruncate(file, static_cast<off_t>(kFile)) == 0;
  close(file);
  return sized ? ncclSuccess : ncclSystemError;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank, ncclConfig_t* config) {
  *comm = nullptr;
  if (ranks < 1 || ranks > kRanks || rank < 0 || rank >= ranks) return ncclInvalidArgument;
  const int file = open(id.internal, O_RDWR);
  if (file < 0) return ncclSystemError;
  void* memory = mmap(nullptr, kFile, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (memory == MAP_FAILED) return ncclSystemError;
  auto* made = new ncclComm;
  made->rank = rank;
  made->ranks = ranks;
  made->file = id.internal;
  made->memory = static_cast<std::byte*>(memory);
  made->blocking = config->blocking != 0;
  cudaGetDevice(&made->board().device[rank]);
  made->board().pid[rank] = getpid();
  *comm = made;
  emulator::hold(1);
  ncclResult_t result = ncclInProgress;
  while (made->blocking && (result = made->join()) == ncclInProgress) usleep(100);
  return result;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  *error = comm->joining ? comm->join() : comm->error.load();
  return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) { return comm->error; }

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  munmap(comm->memory, kFile);
  delete comm;
  emulator::hold(-1);
  return ncclSuccess;
}

// What is queued still looks at it, so it is only marked.
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  comm->aborted = true;
  if (comm->joining) unlink(comm->file.c_str());
  emulator::hold(-1);
  return ncclSuccess;
}

ncclResult_t ncclAllReduce(const void* from, void* to, std::size_t count, ncclDataType_t type, ncclRedOp_t,
                           ncclComm_t comm, cudaStream_t stream) {
  return add("ncclAllReduce", comm, stream, {Kind::AllReduce, type, 0, count, from, to, 0});
}
ncclResult_t ncclReduceScatter(const void* from, void* to, std::size_t count, ncclDataType_t type, ncclRedOp_t,
                               ncclComm_t comm, cudaStream_t stream) {
  return add("ncclReduceScatter", comm, stream, {Kind::ReduceScatter, type, 0, count, from, to, 0});
}
ncclResult_t ncclAllGather(const void* from, void* to, std::size_t count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t stream) {
  return add("ncclAllGather", comm, stream, {Kind::AllGather, type, 0, count, from, to, 0});
}
ncclResult_t ncclReduce(const void* from, void* to, std::size_t count, ncclDataType_t type, ncclRedOp_t, int root,
                        ncclComm_t comm, cudaStream_t stream) {
  return add("ncclReduce", comm, stream, {Kind::Reduce, type, root, count, from, to, 0});
}
ncclResult_t ncclBroadcast(const void* from, void* to, std::size_t count, ncclDataType_t type, int root,
                           ncclComm_t comm, cudaStream_t stream) {
  return add("ncclBroadcast", comm, stream, {Kind::Broadcast, type, root, count, from, to, 0});
}
ncclResult_t ncclSend(const void* from, std::size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return add("ncclSend", comm, stream, {Kind::Send, type, peer, count, from, nullptr, 0});
}
ncclResult_t ncclRecv(void* to, std::size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return add("ncclRecv", comm, stream, {Kind::Receive, type, peer, count, nullptr, to, 0});
}
ncclResult_t ncclGroupStart() {
  ++open_group.depth;
  return ncclSuccess;
}
ncclResult_t ncclGroupEnd() { return --open_group.depth > 0 ? ncclSuccess : flush(); }
