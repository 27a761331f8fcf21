// Collectives on engine buffers. In host memory they go over Communicator::all_to_all: each element belongs to one
// rank, which alone sums it, in the order of the ranks, so that the bits of a sum depend neither on how elements are
// divided nor on the library below. In the memory of a device they are those of its library (comm/nccl).
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

  struct Range {
    std::byte* data;
    std::size_t count;  // of elements
    DType dtype;
  };
  struct Part {
    std::vector<Range> ranges;
    std::size_t elements = 0, bytes = 0;
  };
  const std::vector<Part>& parts() const { return parts_; }  // by owner

 private:
  std::vector<Part> parts_;
  std::vector<std::shared_ptr<Buffer>> buffers_;
  std::size_t elements_ = 0;
};

// Small buffers share a bucket, large ones are cut so that every bucket has elements of all their owners. `elements`:
// of a bucket, about.
std::vector<Bucket> buckets_of(std::span<const Divided> buffers, int ranks, std::size_t elements);

// Functions return the bytes that all ranks together have sent. Those of a device only queue their work, which
// complete() waits for.
class Collectives {
 public:
  Collectives() = default;
  Collectives(const Collectives&) = delete;
  Collectives& operator=(const Collectives&) = delete;
  virtual ~Collectives() = default;

  // Elements of a bucket that make good use of the connection.
  virtual std::size_t bucket_elements() const = 0;
  // Sums of `factor` (of each rank) times f32 values, on the owners; elsewhere the elements stay as they are. What
  // travels, and with it the owner's own values, is rounded to `wire`. Sums are f32 in host memory, and on devices
  // those of the library: it rounds to `wire` what it passes on.
  virtual std::size_t reduce_scatter(const Bucket& bucket, Wire wire, float factor) = 0;
  // The owners' elements, on all ranks. With bf16 those of the owners, f32, are rounded as well.
  virtual std::size_t all_gather(const Bucket& bucket, Wire wire) = 0;
  // The sums, on all ranks.
  virtual std::size_t all_reduce(const Bucket& bucket, Wire wire, float factor) {
    const std::size_t sent = reduce_scatter(bucket, wire, factor);
    return sent + all_gather(bucket, wire);
  }
  // The buffer of rank `root`.
  virtual void broadcast(Buffer& buffer, int root) = 0;
  // Sums the f64 values whose bits are in an i32 buffer, as Communicator::all_reduce.
  virtual void sum_doubles(Buffer& buffer) = 0;

  // On the device's thread: a point in the device's work; null where that is done as soon as it is called.
  virtual std::shared_ptr<void> mark() { return nullptr; }
  // Nothing that is called from now on begins before the mark.
  virtual void after(const std::shared_ptr<void>& /*mark*/) {}
  // Waits for what was called. Returns the milliseconds that the device spent on it, waits for other ranks included,
  // and for which no function above has waited.
  virtual double complete() { return 0.0; }
};

// The group's own on a device, else those in host memory, which keep memory from call to call. `group` outlives them.
std::shared_ptr<Collectives> collectives_of(Communicator& group);

}  // namespace apollo::comm
