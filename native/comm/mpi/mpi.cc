// The communicator over MPI, for values in host memory.
#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "comm/api.h"
#include "core/error.h"

namespace apollo::comm {
namespace {

using Clock = std::chrono::steady_clock;

// A rank that waits for the others asks again at once for so long, and then at intervals: ranks that share a machine
// leave it to those that have work.
constexpr auto kBusyWait = std::chrono::milliseconds(1);
constexpr auto kPause = std::chrono::microseconds(50);
// Bytes of one message, which MPI counts in an int.
constexpr std::size_t kMessage = std::size_t{1} << 30;

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

  // MPI's own waiting keeps a core busy and cannot be cancelled, so the ranks meet in a barrier first.
  void all_reduce(std::span<double> values) override {
    barrier();
    check(MPI_Allreduce(MPI_IN_PLACE, values.data(), count(values.size()), MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD),
          "MPI_Allreduce");
  }

  void all_to_all(const std::vector<std::span<const std::byte>>& send,
                  const std::vector<std::span<std::byte>>& receive) override {
    barrier();
    std::vector<MPI_Request> requests;
    const auto pieces = [&](auto bytes, auto start) {
      for (std::size_t from = 0; from < bytes.size(); from += kMessage) {
        requests.push_back(MPI_REQUEST_NULL);
        start(bytes.subspan(from, std::min(kMessage, bytes.size() - from)), &requests.back());
      }
    };
    for (int step = 1; step < size_; ++step) {  // each pair at a time of its own, so that no rank is sent to by all
      const int from = (rank_ - step + size_) % size_;
      pieces(receive[from], [&](auto bytes, MPI_Request* request) {
        check(MPI_Irecv(bytes.data(), count(bytes.size()), MPI_BYTE, from, 0, MPI_COMM_WORLD, request), "MPI_Irecv");
      });
    }
    for (int step = 1; step < size_; ++step) {
      const int to = (rank_ + step) % size_;
      pieces(send[to], [&](auto bytes, MPI_Request* request) {
        check(MPI_Isend(bytes.data(), count(bytes.size()), MPI_BYTE, to, 0, MPI_COMM_WORLD, request), "MPI_Isend");
      });
    }
    int done = 0;
    while (done == 0) {
      check(MPI_Testall(count(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE), "MPI_Testall");
      if (done != 0) return;
      stop_if_cancelled();
      std::this_thread::yield();
    }
  }

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
      stop_if_cancelled();
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
  void stop_if_cancelled() const {
    if (cancelled_()) throw Error("the wait for the other ranks was cancelled", "APOLLO_ABORTED");
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
