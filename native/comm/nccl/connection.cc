#include "comm/nccl/connection.h"

#include <unistd.h>

#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

namespace apollo::comm {
namespace {

using Clock = std::chrono::steady_clock;

// A rank that waits asks again at once for so long, and then at intervals.
constexpr auto kBusyWait = std::chrono::milliseconds(1);
constexpr auto kPause = std::chrono::microseconds(50);
// A workspace that is kept from call to call.
constexpr std::size_t kKept = std::size_t{128} << 20;

class Patience {
 public:
  void pause() const {
    if (Clock::now() < busy_until_) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(kPause);
    }
  }

 private:
  Clock::time_point busy_until_ = Clock::now() + kBusyWait;
};

std::string host_name() {
  char name[256] = "unknown host";
  gethostname(name, sizeof name - 1);
  return name;
}

ncclUniqueId id_of(const std::string& text) {
  ncclUniqueId id;
  require(text.size() == 2 * sizeof id.internal, "the id of a group over NCCL");
  for (std::size_t i = 0; i < sizeof id.internal; ++i) {
    id.internal[i] = static_cast<char>(std::stoi(text.substr(2 * i, 2), nullptr, 16));
  }
  return id;
}

// Arguments from which the GPU members are made.
NcclPlace chosen(NcclPlace place) {
  cuda::check(cudaSetDevice(place.device), "choosing the GPU");
  return place;
}

}  // namespace

Connection::Connection(NcclPlace place, std::function<bool()> cancelled)
    : nccl_(Nccl::get()), place_(chosen(std::move(place))), cancelled_(std::move(cancelled)) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;  // a wait for a rank that never comes can be ended
  try {
    settle(nccl_.init_rank(&comm_, place_.size, id_of(place_.id), place_.rank, &config), "ncclCommInitRankConfig");
  } catch (...) {
    abort();
    throw;
  }
}

Connection::~Connection() {
  cudaSetDevice(place_.device);
  abort();
}

ncclComm_t Connection::checked() const {
  if (comm_ == nullptr) throw Error("the group of ranks has ended", "APOLLO_GROUP");
  return comm_;
}

void Connection::abort() {
  if (comm_ != nullptr) nccl_.abort(std::exchange(comm_, nullptr));
}

void Connection::stop_if_cancelled() {
  if (!cancelled_()) return;
  abort();
  throw Error("the wait for the other ranks was cancelled", "APOLLO_ABORTED");
}

void Connection::fail(ncclResult_t result, const char* call) {
  std::string why = nccl_.error_string(result);
  if (const char* last = nccl_.last_error(comm_); last != nullptr && *last != '\0') why.append(": ").append(last);
  while (!why.empty() && (why.back() == '\n' || why.back() == ' ')) why.pop_back();
  abort();
  throw Error("rank " + std::to_string(place_.rank) + " on " + host_name() + ": " + call + " failed: " + why,
              "APOLLO_GROUP");
}

void Connection::settle(ncclResult_t result, const char* call) {
  for (const Patience patience; result == ncclInProgress;) {
    stop_if_cancelled();
    patience.pause();
    if (const ncclResult_t asked = nccl_.async_error(comm_, &result); asked != ncclSuccess) result = asked;
  }
  if (result != ncclSuccess) fail(result, call);
}

void Connection::wait() {
  checked();
  cuda::check(cudaEventRecord(done_, stream_), "recording an event");
  for (const Patience patience;;) {
    const cudaError_t found = cudaEventQuery(done_);
    ncclResult_t state = ncclSuccess;
    if (const ncclResult_t asked = nccl_.async_error(comm_, &state); asked != ncclSuccess) state = asked;
    if (state != ncclSuccess && state != ncclInProgress) fail(state, "the exchange");
    if (found == cudaSuccess) return;
    if (found != cudaErrorNotReady) cuda::check(found, "the exchange between GPUs");
    stop_if_cancelled();
    patience.pause();
  }
}

void Connection::copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  if (bytes != 0) cuda::check(cudaMemcpyAsync(to, from, bytes, kind, stream_), "a copy");
}

std::byte* Connection::workspace(std::size_t bytes) {
  if (bytes > workspace_bytes_) {
    wait();
    workspace_ = {};
    workspace_bytes_ = 0;
    workspace_ = cuda::DeviceMemory(bytes);
    workspace_bytes_ = bytes;
  }
  return static_cast<std::byte*>(workspace_.get());
}

void Connection::trim() {
  if (workspace_bytes_ <= kKept) return;
  workspace_ = {};
  workspace_bytes_ = 0;
}

void Connection::begin_lap() {
  if (lap_ == laps_.size()) laps_.push_back(std::make_unique<Lap>());
  cuda::check(cudaEventRecord(laps_[lap_]->begin, stream_), "recording an event");
}

void Connection::end_lap() { cuda::check(cudaEventRecord(laps_[lap_++]->end, stream_), "recording an event"); }

double Connection::milliseconds() {
  double all = 0.0;
  const std::size_t laps = std::exchange(lap_, 0);
  for (std::size_t i = 0; i < laps; ++i) {
    float between = 0.0f;
    cuda::check(cudaEventElapsedTime(&between, laps_[i]->begin, laps_[i]->end), "reading an event");
    all += static_cast<double>(between);
  }
  return all;
}

std::shared_ptr<void> Connection::mark() const {
  cuda::check(cudaSetDevice(place_.device), "choosing the GPU");  // this library's runtime has not seen this thread
  auto event = std::make_shared<cuda::Event>(cudaEventDisableTiming);
  cuda::check(cudaEventRecord(*event, static_cast<cudaStream_t>(place_.stream)), "recording an event");
  return event;
}

void Connection::after(const std::shared_ptr<void>& mark) {
  if (mark) cuda::check(cudaStreamWaitEvent(stream_, *static_cast<cuda::Event*>(mark.get()), 0), "waiting for kernels");
}

void Connection::finalize() {
  settle(nccl_.finalize(checked()), "ncclCommFinalize");
  const ncclResult_t destroyed = nccl_.destroy(comm_);
  comm_ = nullptr;
  if (destroyed != ncclSuccess && destroyed != ncclInProgress) fail(destroyed, "ncclCommDestroy");
}

}  // namespace apollo::comm
