#include "comm/collectives.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/error.h"

namespace apollo::comm {
namespace {

constexpr std::size_t kBucket = std::size_t{1} << 20;  // elements of a bucket in host memory
constexpr std::size_t kAligned = 16;
constexpr std::size_t kBlock = 2048;  // elements that are summed at a time, from the nearest cache

void pack(const float* values, std::size_t count, float factor, Wire wire, std::byte* to) {
  if (wire == Wire::F32) {
    auto* out = reinterpret_cast<float*>(to);
    for (std::size_t i = 0; i < count; ++i) out[i] = values[i] * factor;
  } else {
    auto* out = reinterpret_cast<std::uint16_t*>(to);
    for (std::size_t i = 0; i < count; ++i) out[i] = to_bf16(values[i] * factor);
  }
}

// sums (+)= what has come from a rank.
void add_received(const std::byte* from, std::size_t count, Wire wire, bool first, float* sums) {
  const auto with = [&](auto value) {
    if (first) {
      for (std::size_t i = 0; i < count; ++i) sums[i] = value(i);
    } else {
      for (std::size_t i = 0; i < count; ++i) sums[i] += value(i);
    }
  };
  if (wire == Wire::F32) {
    with([in = reinterpret_cast<const float*>(from)](std::size_t i) { return in[i]; });
  } else {
    with([in = reinterpret_cast<const std::uint16_t*>(from)](std::size_t i) { return from_bf16(in[i]); });
  }
}

// sums (+)= this rank's own values, as they would have travelled.
void add_own(const float* values, std::size_t count, float factor, Wire wire, bool first, float* sums) {
  const auto with = [&](auto value) {
    if (first) {
      for (std::size_t i = 0; i < count; ++i) sums[i] = value(i);
    } else {
      for (std::size_t i = 0; i < count; ++i) sums[i] += value(i);
    }
  };
  if (wire == Wire::F32) {
    with([&](std::size_t i) { return values[i] * factor; });
  } else {
    with([&](std::size_t i) { return rounded_to_bf16(values[i] * factor); });
  }
}

class HostCollectives final : public Collectives {
 public:
  explicit HostCollectives(Communicator& group) : group_(group) {}

  std::size_t bucket_elements() const override { return kBucket; }
  std::size_t reduce_scatter(const Bucket& bucket, Wire wire, float factor) override;
  std::size_t all_gather(const Bucket& bucket, Wire wire) override;
  void broadcast(Buffer& buffer, int root) override {
    group_.broadcast({static_cast<std::byte*>(buffer.data()), buffer.bytes()}, root);
  }
  void sum_doubles(Buffer& buffer) override {
    group_.all_reduce(std::span(static_cast<double*>(buffer.data()), buffer.elements() / 2));
  }

 private:
  void reserve(const std::vector<std::size_t>& send, const std::vector<std::size_t>& receive, bool same);

  Communicator& group_;
  std::vector<std::byte> sent_, received_;
  std::vector<std::size_t> send_offsets_, receive_offsets_;  // by rank
};

}  // namespace

Divided divided_equally(std::shared_ptr<Buffer> buffer, int ranks) {
  const std::size_t units = (buffer->elements() + kAligned - 1) / kAligned;
  std::vector<std::size_t> bounds;
  for (int r = 0; r <= ranks; ++r) bounds.push_back(std::min(buffer->elements(), units * r / ranks * kAligned));
  return {std::move(buffer), std::move(bounds)};
}

void Bucket::add(const std::shared_ptr<Buffer>& buffer, std::size_t offset, std::size_t count, int owner) {
  if (count == 0) return;
  const std::size_t unit = size_of(buffer->dtype());
  Part& part = parts_[static_cast<std::size_t>(owner)];
  part.ranges.push_back({static_cast<std::byte*>(buffer->data()) + offset * unit, count, buffer->dtype()});
  part.elements += count;
  part.bytes += count * unit;
  elements_ += count;
  if (buffers_.empty() || buffers_.back() != buffer) buffers_.push_back(buffer);
}

std::vector<Bucket> buckets_of(std::span<const Divided> buffers, int ranks, std::size_t elements) {
  std::vector<Bucket> buckets;
  Bucket open(ranks);
  for (const Divided& divided : buffers) {
    const std::vector<std::size_t>& bounds = divided.bounds;
    require(bounds.size() == static_cast<std::size_t>(ranks) + 1 && bounds.front() == 0 &&
                bounds.back() == divided.buffer->elements() && std::is_sorted(bounds.begin(), bounds.end()),
            "a buffer must be divided among the ranks from its first element to its last");
    const std::size_t cuts = std::max<std::size_t>(1, (divided.buffer->elements() + elements - 1) / elements);
    for (std::size_t cut = 0; cut < cuts; ++cut) {
      for (int r = 0; r < ranks; ++r) {
        const std::size_t length = bounds[r + 1] - bounds[r];
        const std::size_t from = length * cut / cuts, to = length * (cut + 1) / cuts;
        open.add(divided.buffer, bounds[r] + from, to - from, r);
      }
      if (open.elements() < elements) continue;
      buckets.push_back(std::move(open));
      open = Bucket(ranks);
    }
  }
  if (open.elements() > 0) buckets.push_back(std::move(open));
  return buckets;
}

std::shared_ptr<Collectives> collectives_of(Communicator& group) {
  if (auto own = group.device_collectives()) return own;
  return std::make_shared<HostCollectives>(group);
}

// Room for what goes to and comes from each rank, side by side; `same`: one part goes to all.
void HostCollectives::reserve(const std::vector<std::size_t>& send, const std::vector<std::size_t>& receive,
                              bool same) {
  const auto place = [](const std::vector<std::size_t>& sizes, bool overlap, std::vector<std::size_t>& offsets) {
    std::size_t total = 0;
    offsets.clear();
    for (const std::size_t bytes : sizes) {
      offsets.push_back(overlap ? 0 : total);
      total = overlap ? std::max(total, bytes) : total + (bytes + 63) / 64 * 64;
    }
    return total;
  };
  const std::size_t outgoing = place(send, same, send_offsets_), incoming = place(receive, false, receive_offsets_);
  if (sent_.size() < outgoing) sent_.resize(outgoing);
  if (received_.size() < incoming) received_.resize(incoming);
}

std::size_t HostCollectives::reduce_scatter(const Bucket& bucket, Wire wire, float factor) {
  const auto me = static_cast<std::size_t>(group_.rank()), ranks = static_cast<std::size_t>(group_.size());
  const std::size_t unit = bytes_of(wire);
  const Bucket::Part& own = bucket.parts()[me];
  std::vector<std::size_t> send(ranks), receive(ranks, own.elements * unit);
  for (std::size_t r = 0; r < ranks; ++r) send[r] = r == me ? 0 : bucket.parts()[r].elements * unit;
  receive[me] = 0;
  reserve(send, receive, false);
  std::vector<std::span<const std::byte>> outgoing;
  std::vector<std::span<std::byte>> incoming;
  for (std::size_t r = 0; r < ranks; ++r) {
    std::byte* to = sent_.data() + send_offsets_[r];
    outgoing.emplace_back(to, send[r]);
    incoming.emplace_back(received_.data() + receive_offsets_[r], receive[r]);
    for (const Bucket::Range& range : bucket.parts()[r].ranges) {
      require(range.dtype == DType::F32, "only f32 is summed over ranks");
      if (r == me) continue;
      pack(reinterpret_cast<const float*>(range.data), range.count, factor, wire, to);
      to += range.count * unit;
    }
  }
  group_.all_to_all(outgoing, incoming);

  std::size_t at = 0;
  std::array<float, kBlock> sums;
  for (const Bucket::Range& range : own.ranges) {
    auto* values = reinterpret_cast<float*>(range.data);
    for (std::size_t from = 0; from < range.count; from += kBlock) {
      const std::size_t count = std::min(kBlock, range.count - from);
      for (std::size_t r = 0; r < ranks; ++r) {
        if (r == me) {
          add_own(values + from, count, factor, wire, r == 0, sums.data());
        } else {
          add_received(incoming[r].data() + (at + from) * unit, count, wire, r == 0, sums.data());
        }
      }
      std::copy_n(sums.data(), count, values + from);
    }
    at += range.count;
  }
  return (ranks - 1) * bucket.elements() * unit;
}

std::size_t HostCollectives::all_gather(const Bucket& bucket, Wire wire) {
  const auto me = static_cast<std::size_t>(group_.rank()), ranks = static_cast<std::size_t>(group_.size());
  const auto bytes_in = [&](std::size_t r) {
    return wire == Wire::F32 ? bucket.parts()[r].bytes : bucket.parts()[r].elements * bytes_of(wire);
  };
  std::vector<std::size_t> send(ranks, bytes_in(me)), receive(ranks);
  std::size_t all = 0;
  for (std::size_t r = 0; r < ranks; ++r) {
    receive[r] = r == me ? 0 : bytes_in(r);
    all += bytes_in(r);
  }
  reserve(send, receive, true);
  std::byte* to = sent_.data();
  for (const Bucket::Range& range : bucket.parts()[me].ranges) {
    if (wire == Wire::F32) {
      const std::size_t bytes = range.count * size_of(range.dtype);
      std::memcpy(to, range.data, bytes);
      to += bytes;
      continue;
    }
    require(range.dtype == DType::F32, "only f32 travels as bf16");
    auto* values = reinterpret_cast<float*>(range.data);
    pack(values, range.count, 1.0f, wire, to);
    add_received(to, range.count, wire, true, values);
    to += range.count * bytes_of(wire);
  }
  std::vector<std::span<const std::byte>> outgoing(ranks, {sent_.data(), send[me]});
  std::vector<std::span<std::byte>> incoming;
  for (std::size_t r = 0; r < ranks; ++r) incoming.emplace_back(received_.data() + receive_offsets_[r], receive[r]);
  group_.all_to_all(outgoing, incoming);
  for (std::size_t r = 0; r < ranks; ++r) {
    if (r == me) continue;
    const std::byte* from = incoming[r].data();
    for (const Bucket::Range& range : bucket.parts()[r].ranges) {
      if (wire == Wire::F32) {
        const std::size_t bytes = range.count * size_of(range.dtype);
        std::memcpy(range.data, from, bytes);
        from += bytes;
      } else {
        add_received(from, range.count, wire, true, reinterpret_cast<float*>(range.data));
        from += range.count * bytes_of(wire);
      }
    }
  }
  return (ranks - 1) * all;
}

}  // namespace apollo::comm
