// A group of processes (ranks) that exchange values. A call is collective: every rank makes the same calls in the same
// order, and each returns when this rank's part is done. A group of one needs no communicator.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/error.h"

namespace apollo::comm {

class Collectives;

// Values in host memory. Used by one thread, the one that made it (Channel), but for what says otherwise. Collective
// calls throw Error: APOLLO_GROUP naming rank, host and call when the library reports an error, and after finalize();
// APOLLO_ABORTED when the device was closed while it waited for the other ranks; over NCCL also what the GPU's own
// calls throw. Collectives on engine buffers are in comm/collectives.h.
class Communicator {
 public:
  Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  // Sums a few values in place; every rank gets the same bits, and gets them again from the same values in a group of
  // that size.
  virtual void all_reduce(std::span<double> values) = 0;
  // Rank r gets `send[r]` of every rank; `receive[r]` takes what rank r sends here, of the length it has there. This
  // rank's own parts are not touched.
  virtual void all_to_all(const std::vector<std::span<const std::byte>>& send,
                          const std::vector<std::span<std::byte>>& receive) = 0;
  // The bytes of rank `root`, on all ranks; of one length everywhere.
  virtual void broadcast(std::span<std::byte> bytes, int root) = 0;
  // Returns when all ranks have come here.
  virtual void barrier() = 0;
  // Ends the group once all ranks are here. A process that ends without it ends the others, if the launcher is one that
  // looks after them.
  virtual void finalize() = 0;
  // Collectives on buffers in the memory of the device that the group was joined for; null: they are in host memory
  // (collectives_of). From any thread.
  virtual std::shared_ptr<Collectives> device_collectives() { return nullptr; }
};

// The text of rank `root`, on all ranks.
inline std::string broadcast(Communicator& group, std::string text, int root) {
  require(root >= 0 && root < group.size(), "broadcast: there is no rank " + std::to_string(root));
  double length = group.rank() == root ? static_cast<double>(text.size()) : 0.0;
  group.all_reduce(std::span(&length, 1));
  text.resize(static_cast<std::size_t>(length));
  group.broadcast(std::as_writable_bytes(std::span(text)), root);
  return text;
}

}  // namespace apollo::comm
