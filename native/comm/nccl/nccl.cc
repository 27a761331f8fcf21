// The communicator over NCCL, for ranks on GPUs of their own. What is in host memory travels through a GPU as well:
// after the start NCCL is all that the ranks need of each other.
#include <utility>

#include "comm/nccl/api.h"
#include "comm/nccl/collectives.h"

namespace apollo::comm {
namespace {

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(const NcclPlace& place, std::unique_ptr<Communicator> launcher, std::function<bool()> cancelled)
      : launcher_(std::move(launcher)), connection_(std::make_shared<Connection>(place, std::move(cancelled))) {}

  int rank() const override { return connection_->rank(); }
  int size() const override { return connection_->size(); }

  void all_reduce(std::span<double> values) override {
    std::byte* memory = connection_->workspace(values.size_bytes());
    connection_->copy(memory, values.data(), values.size_bytes(), cudaMemcpyHostToDevice);
    connection_->queue("ncclAllReduce", [&](const Nccl& nccl, ncclComm_t comm, cudaStream_t stream) {
      return nccl.all_reduce(memory, memory, values.size(), ncclFloat64, ncclSum, comm, stream);
    });
    download(values.data(), memory, values.size_bytes());
  }

  void all_to_all(const std::vector<std::span<const std::byte>>& send,
                  const std::vector<std::span<std::byte>>& receive) override {
    std::size_t bytes = 0;
    for (int r = 0; r < size(); ++r) bytes += r == rank() ? 0 : send[r].size() + receive[r].size();
    std::byte* const memory = connection_->workspace(bytes);
    std::byte* at = memory;
    const auto each = [&](const auto& body) {
      for (int r = 0; r < size(); ++r) {
        if (r != rank()) body(r);
      }
    };
    each([&](int r) {
      connection_->copy(at, send[r].data(), send[r].size(), cudaMemcpyHostToDevice);
      at += send[r].size();
    });
    std::byte* const received = at;
    connection_->queue("ncclSend", [&](const Nccl& nccl, ncclComm_t comm, cudaStream_t stream) {
      ncclResult_t result = ncclSuccess;
      const auto ask = [&](std::size_t length, const auto& call) {
        if (length != 0 && result == ncclSuccess) result = call(at);
        at += length;
      };
      at = memory;
      each([&](int r) {
        ask(send[r].size(), [&](std::byte* p) { return nccl.send(p, send[r].size(), ncclUint8, r, comm, stream); });
      });
      each([&](int r) {
        ask(receive[r].size(),
            [&](std::byte* p) { return nccl.receive(p, receive[r].size(), ncclUint8, r, comm, stream); });
      });
      return result;
    });
    connection_->wait();
    at = received;
    each([&](int r) {
      connection_->copy(receive[r].data(), at, receive[r].size(), cudaMemcpyDeviceToHost);
      at += receive[r].size();
    });
    connection_->wait();
    connection_->trim();
  }

  void broadcast(std::span<std::byte> bytes, int root) override {
    std::byte* memory = connection_->workspace(bytes.size());
    if (rank() == root) connection_->copy(memory, bytes.data(), bytes.size(), cudaMemcpyHostToDevice);
    connection_->queue("ncclBroadcast", [&](const Nccl& nccl, ncclComm_t comm, cudaStream_t stream) {
      return nccl.broadcast(memory, memory, bytes.size(), ncclUint8, root, comm, stream);
    });
    download(bytes.data(), memory, bytes.size());
  }

  void barrier() override {
    double nothing = 0.0;
    all_reduce(std::span(&nothing, 1));
  }

  void finalize() override {
    barrier();
    connection_->finalize();
    if (launcher_) launcher_->finalize();
  }

  std::shared_ptr<Collectives> device_collectives() override { return std::make_shared<NcclCollectives>(connection_); }

 private:
  // A copy to memory that is not page-locked waits for the stream, which may wait for other ranks: that comes first.
  void download(void* to, const std::byte* from, std::size_t bytes) {
    connection_->wait();
    connection_->copy(to, from, bytes, cudaMemcpyDeviceToHost);
    connection_->wait();
  }

  std::unique_ptr<Communicator> launcher_;
  std::shared_ptr<Connection> connection_;
};

std::string library() {
  const Nccl& nccl = Nccl::get();
  return nccl.version() + " (" + nccl.file + ")";
}

std::string unique_id() {
  const Nccl& nccl = Nccl::get();
  ncclUniqueId id;
  if (const ncclResult_t result = nccl.get_unique_id(&id); result != ncclSuccess) {
    throw Error(std::string("ncclGetUniqueId failed: ") + nccl.error_string(result), "APOLLO_GROUP");
  }
  constexpr const char* kDigits = "0123456789abcdef";
  std::string text;
  for (const char byte : id.internal) {
    const auto bits = static_cast<unsigned char>(byte);
    text.append({kDigits[bits >> 4], kDigits[bits & 15]});
  }
  return text;
}

std::unique_ptr<Communicator> join(const NcclPlace& place, std::unique_ptr<Communicator> launcher,
                                   std::function<bool()> cancelled) {
  return std::make_unique<NcclCommunicator>(place, std::move(launcher), std::move(cancelled));
}

}  // namespace
}  // namespace apollo::comm

extern "C" __attribute__((visibility("default"))) const apollo::comm::NcclApi* apollo_nccl_api() {
  using namespace apollo::comm;
  static const NcclApi api{APOLLO_ABI, APOLLO_VERSION, library, unique_id, join};
  return &api;
}
