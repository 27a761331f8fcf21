// Collectives on engine buffers in host memory, over Communicator::all_to_all. Each element belongs to one rank, which
// alone sums it, in the order of the ranks: the bits of a sum depend neither on how elements are divided nor on the
// library below.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "comm/communicator.h"
#include "comm/wire.h"
#include "core/device.h"

namespace apollo::comm {

// A buffer whose elements [bounds[r], bounds[r + 1]) belong to rank r.
struct Divided {
  std::shared_ptr<Buffer> buffer;
  std::vector<std::size_t> bounds;
};

// Divided equally, with borders at multiples of 16 elements.
Divided divided_equally(std::shared_ptr<Buffer> buffer, int ranks);

// Elements that travel in one call.
class Bucket {
 public:
  explicit Bucket(int ranks) : parts_(static_cast<std::size_t>(ranks)) {}

  void add(const std::shared_ptr<Buffer>& buffer, std::size_t offset, std::size_t count, int owner);

  std::size_t elements() const { return elements_; }
  // Those it has elements of.
  const std::vector<std::shared_ptr<Buffer>>& buffers() const { return buffers_; }

 private:
  friend class Collectives;
  struct Range {
    std::byte* data;
    std::size_t count;  // of elements
    DType dtype;
  };
  struct Part {
    std::vector<Range> ranges;
    std::size_t elements = 0, bytes = 0;
  };

  std::vector<Part> parts_;  // by owner
  std::vector<std::shared_ptr<Buffer>> buffers_;
  std::size_t elements_ = 0;
};

// Small buffers share a bucket, large ones are cut so that every bucket has elements of all their owners.
std::vector<Bucket> buckets_of(std::span<const Divided> buffers, int ranks);

// Host memory that is kept from call to call. Functions return the bytes that all ranks together have sent.
class Collectives {
 public:
  explicit Collectives(Communicator& group) : group_(group) {}

  // Sums of `factor` (of each rank) times f32 values, on the owners; elsewhere the elements stay as they are. What
  // travels, and with it the owner's own values, is rounded to `wire`; sums are f32.
  std::size_t reduce_scatter(const Bucket& bucket, Wire wire, float factor = 1.0f);
  // The owners' elements, on all ranks. With bf16 those of the owners, f32, are rounded as well.
  std::size_t all_gather(const Bucket& bucket, Wire wire = Wire::F32);
  std::size_t all_reduce(const Bucket& bucket, Wire wire, float factor = 1.0f) {
    const std::size_t sent = reduce_scatter(bucket, wire, factor);
    return sent + all_gather(bucket, wire);
  }

 private:
  void swap(const std::vector<std::size_t>& send, const std::vector<std::size_t>& receive, bool same);

  Communicator& group_;
  std::vector<std::byte> sent_, received_;
  std::vector<std::size_t> send_offsets_, receive_offsets_;  // by rank
};

}  // namespace apollo::comm
