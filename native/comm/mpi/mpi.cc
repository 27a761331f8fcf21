// The communicator over MPI, for values in host memory.
#include <mpi.h>

#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include "comm/api.h"
#include "core/error.h"

namespace apollo::comm {
namespace {

using Clock = std::chrono::steady_clock;

// A rank that waits for the others asks again at once for so long, and then at intervals: ranks that share a machine
// leave it to those that have work.
constexpr auto kBusyWait = std::chrono::milliseconds(1);
constexpr auto kPause = std::chrono::microseconds(50);

class MpiCommunicator final : public Communicator {
 public:
  explicit MpiCommunicator(std::function<bool()> cancelled) : cancelled_(std::move(cancelled)) {
    int initialized = 0;
    MPI_Initialized(&initialized);
    if (initialized != 0) throw Error("MPI is in use: a process can join a group once", "APOLLO_GROUP");
    int provided = MPI_THREAD_SINGLE;
    check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided), "MPI_Init_thread");
    if (provided < MPI_THREAD_SERIALIZED) {
      throw Error("this MPI library offers no MPI_THREAD_SERIALIZED; use one that is built with threads",
                  "APOLLO_GROUP");
    }
    check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    check(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "MPI_Comm_rank");
    check(MPI_Comm_size(MPI_COMM_WORLD, &size_), "MPI_Comm_size");
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  void all_reduce(std::span<float> values) override { sum(values.data(), values.size(), MPI_FLOAT); }
  void all_reduce(std::span<double> values) override { sum(values.data(), values.size(), MPI_DOUBLE); }

  void broadcast(std::span<std::byte> bytes, int root) override {
    barrier();
    check(MPI_Bcast(bytes.data(), count(bytes.size()), MPI_BYTE, root, MPI_COMM_WORLD), "MPI_Bcast");
  }

  void barrier() override {
    MPI_Request request = MPI_REQUEST_NULL;
    check(MPI_Ibarrier(MPI_COMM_WORLD, &request), "MPI_Ibarrier");
    const auto busy_until = Clock::now() + kBusyWait;
    for (int done = 0;;) {
      check(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Ibarrier");
      if (done != 0) return;
      if (cancelled_()) throw Error("the wait for the other ranks was cancelled", "APOLLO_ABORTED");
      if (Clock::now() < busy_until) {
        std::this_thread::yield();
      } else {
        std::this_thread::sleep_for(kPause);
      }
    }
  }

  void finalize() override {
    barrier();
    check(MPI_Finalize(), "MPI_Finalize");
  }

 private:
  // MPI's own waiting keeps a core busy and cannot be cancelled, so the ranks meet in a barrier first.
  void sum(void* values, std::size_t elements, MPI_Datatype type) {
    barrier();
    check(MPI_Allreduce(MPI_IN_PLACE, values, count(elements), type, MPI_SUM, MPI_COMM_WORLD), "MPI_Allreduce");
  }

  static int count(std::size_t elements) {
    require(elements <= 1U << 30, "a collective of more than 2^30 elements");
    return static_cast<int>(elements);
  }

  void check(int status, const char* call) const {
    if (status == MPI_SUCCESS) return;
    char host[MPI_MAX_PROCESSOR_NAME] = "unknown host";
    char reason[MPI_MAX_ERROR_STRING] = "unknown error";
    int length = 0;
    MPI_Get_processor_name(host, &length);
    MPI_Error_string(status, reason, &length);
    throw Error("rank " + std::to_string(rank_) + " on " + host + ": " + call + " failed: " + reason, "APOLLO_GROUP");
  }

  std::function<bool()> cancelled_;
  int rank_ = 0;
  int size_ = 1;
};

std::string library() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  MPI_Get_library_version(text, &length);
  const std::string all(text);  // Open MPI counts the final zero in `length`
  return all.substr(0, all.find_first_of("\n\t"));
}

std::unique_ptr<Communicator> join(std::function<bool()> cancelled) {
  return std::make_unique<MpiCommunicator>(std::move(cancelled));
}

}  // namespace
}  // namespace apollo::comm

extern "C" __attribute__((visibility("default"))) const apollo::comm::Api* apollo_mpi_api() {
  using namespace apollo::comm;
  static const Api api{kAbi, APOLLO_VERSION, library, join};
  return &api;
}
