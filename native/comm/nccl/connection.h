// A rank's communicator of NCCL with the stream that its collectives run on. All calls return without waiting for other
// ranks; wait() does, and ends the communicator when NCCL reports that one is lost.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "comm/nccl/api.h"
#include "comm/nccl/library.h"
#include "cuda/device/device_memory.h"
#include "cuda/device/stream.h"

namespace apollo::comm {

// Used by one thread, but for mark(). Every call throws Error: APOLLO_GROUP naming rank, host and call, APOLLO_ABORTED
// when the device was closed while it waited for other ranks, and what the GPU's own calls throw.
class Connection {
 public:
  Connection(NcclPlace place, std::function<bool()> cancelled);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  int rank() const { return place_.rank; }
  int size() const { return place_.size; }
  cudaStream_t stream() const { return stream_; }

  // Queues what `work(nccl, comm, stream)` asks of NCCL, as one group; it returns ncclSuccess or the first error.
  template <class Work>
  void queue(const char* call, const Work& work) {
    ncclComm_t comm = checked();
    settle(nccl_.group_start(), call);
    const ncclResult_t asked = work(nccl_, comm, static_cast<cudaStream_t>(stream_));
    const ncclResult_t ended = nccl_.group_end();
    settle(asked == ncclSuccess ? ended : asked, call);
  }
  void copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind);
  // Memory of the GPU for what is queued next. What was queued before has its own only until then.
  std::byte* workspace(std::size_t bytes);

  // Waits for all that is queued.
  void wait();
  // Gives back a workspace that is larger than those of buckets, after a wait.
  void trim();
  // Between these is what the next call of milliseconds() counts, once it is waited for.
  void begin_lap();
  void end_lap();
  double milliseconds();

  // On the device's thread: a point on the stream of its programs. The stream of collectives waits there from after()
  // on.
  std::shared_ptr<void> mark() const;
  void after(const std::shared_ptr<void>& mark);

  // Ends the communicator, once all ranks are here.
  void finalize();

 private:
  struct Lap {
    cuda::Event begin{0}, end{0};
  };

  ncclComm_t checked() const;
  // Waits while `result` says that the call is in progress.
  void settle(ncclResult_t result, const char* call);
  [[noreturn]] void fail(ncclResult_t result, const char* call);
  void stop_if_cancelled();
  void abort();

  const Nccl& nccl_;
  NcclPlace place_;
  std::function<bool()> cancelled_;
  ncclComm_t comm_ = nullptr;  // null: it has ended
  cuda::Stream stream_;
  cuda::Event done_{cudaEventDisableTiming};
  cuda::DeviceMemory workspace_;
  std::size_t workspace_bytes_ = 0;
  std::vector<std::unique_ptr<Lap>> laps_;
  std::size_t lap_ = 0;  // of them, in use
};

}  // namespace apollo::comm
