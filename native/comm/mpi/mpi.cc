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
// Bytes of one message to a rank of this host, and of one broadcast: MPI counts them in an int.
constexpr std::size_t kMessage = std::size_t{1} << 30;
// To a rank of another host: below what libraries send at once (Open MPI over TCP: 64 KiB with its header). A longer
// message waits for an answer, which is behind what that rank sends here itself, so that one TCP connection would
// carry the two directions in turns.
constexpr std::size_t kPiece = std::size_t{56} << 10;
// Pieces on their way to a rank, and from it, at a time.
constexpr int kPieces = 16;

// Bytes between this rank and another, of which the next piece is still to be started.
struct Flow {
  int rank;
  std::byte* to;          // where they are received, or null
  const std::byte* from;  // where they are sent from, or null
  std::size_t left;
};

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
    is_local_ = local_ranks();
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
    std::vector<Flow> flows;
    for (int step = 1; step < size_; ++step) {  // each pair at a time of its own, so that no rank is sent to by all
      const int from = (rank_ - step + size_) % size_;
      flows.push_back({from, receive[from].data(), nullptr, receive[from].size()});
    }
    for (int step = 1; step < size_; ++step) {
      const int to = (rank_ + step) % size_;
      flows.push_back({to, nullptr, send[to].data(), send[to].size()});
    }
    std::vector<MPI_Request> requests;
    std::vector<Flow*> flow_of;  // by request
    for (Flow& flow : flows) {
      for (int piece = 0; piece < kPieces && flow.left > 0; ++piece) {
        requests.push_back(start(flow));
        flow_of.push_back(&flow);
      }
    }
    std::vector<int> ended(requests.size());
    Wait wait(*this);
    for (std::size_t open = requests.size(); open > 0;) {
      int count_ended = 0;
      check(MPI_Testsome(count(requests.size()), requests.data(), &count_ended, ended.data(), MPI_STATUSES_IGNORE),
            "MPI_Testsome");
      for (int i = 0; i < count_ended; ++i) {
        const auto at = static_cast<std::size_t>(ended[i]);
        if (flow_of[at]->left > 0) {
          requests[at] = start(*flow_of[at]);
        } else {
          --open;
        }
      }
      if (count_ended > 0) {
        wait = Wait(*this);
      } else {
        wait.pause();
      }
    }
  }

  void broadcast(std::span<std::byte> bytes, int root) override {
    barrier();
    for (; !bytes.empty(); bytes = bytes.subspan(std::min(bytes.size(), kMessage))) {
      const int piece = count(std::min(bytes.size(), kMessage));
      check(MPI_Bcast(bytes.data(), piece, MPI_BYTE, root, MPI_COMM_WORLD), "MPI_Bcast");
    }
  }

  // Begins every collective, so that none comes to MPI after its end, where a call ends the process.
  void barrier() override {
    if (ended_) throw Error("the group of ranks has ended", "APOLLO_GROUP");
    MPI_Request request = MPI_REQUEST_NULL;
    check(MPI_Ibarrier(MPI_COMM_WORLD, &request), "MPI_Ibarrier");
    Wait wait(*this);
    for (int done = 0;;) {
      check(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Ibarrier");
      if (done != 0) return;
      wait.pause();
    }
  }

  void finalize() override {
    barrier();
    ended_ = true;
    check(MPI_Finalize(), "MPI_Finalize");
  }

 private:
  // A wait between two questions whether something is done.
  class Wait {
   public:
    explicit Wait(const MpiCommunicator& group) : group_(&group) {}

    void pause() const {
      if (group_->cancelled_()) throw Error("the wait for the other ranks was cancelled", "APOLLO_ABORTED");
      if (Clock::now() < busy_until_) {
        std::this_thread::yield();
      } else {
        std::this_thread::sleep_for(kPause);
      }
    }

   private:
    const MpiCommunicator* group_;
    Clock::time_point busy_until_ = Clock::now() + kBusyWait;
  };

  // Starts the next piece.
  MPI_Request start(Flow& flow) const {
    const std::size_t bytes = std::min(flow.left, is_local_[static_cast<std::size_t>(flow.rank)] ? kMessage : kPiece);
    MPI_Request request = MPI_REQUEST_NULL;
    if (flow.to != nullptr) {
      check(MPI_Irecv(flow.to, count(bytes), MPI_BYTE, flow.rank, 0, MPI_COMM_WORLD, &request), "MPI_Irecv");
      flow.to += bytes;
    } else {
      check(MPI_Isend(flow.from, count(bytes), MPI_BYTE, flow.rank, 0, MPI_COMM_WORLD, &request), "MPI_Isend");
      flow.from += bytes;
    }
    flow.left -= bytes;
    return request;
  }

  // By rank, whether it runs on this host. The two ranks of a pair say the same of it, for they cut its bytes alike.
  std::vector<bool> local_ranks() const {
    MPI_Comm host = MPI_COMM_NULL;
    check(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &host),
          "MPI_Comm_split_type");
    int ranks = 0;
    check(MPI_Comm_size(host, &ranks), "MPI_Comm_size");
    std::vector<int> found(static_cast<std::size_t>(ranks));
    check(MPI_Allgather(&rank_, 1, MPI_INT, found.data(), 1, MPI_INT, host), "MPI_Allgather");
    check(MPI_Comm_free(&host), "MPI_Comm_free");
    std::vector<bool> local(static_cast<std::size_t>(size_));
    for (const int rank : found) local[static_cast<std::size_t>(rank)] = true;
    return local;
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
  std::vector<bool> is_local_;
  bool ended_ = false;
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
  static const Api api{APOLLO_ABI, APOLLO_VERSION, library, join};
  return &api;
}
