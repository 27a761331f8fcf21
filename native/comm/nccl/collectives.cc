#include "comm/nccl/collectives.h"

#include <algorithm>
#include <vector>

#include "comm/nccl/pack.h"

namespace apollo::comm {
namespace {

constexpr std::size_t kAligned = 256;  // bytes

std::size_t aligned(std::size_t bytes) { return (bytes + kAligned - 1) / kAligned * kAligned; }

ncclDataType_t type_of(Wire wire) { return wire == Wire::F32 ? ncclFloat32 : ncclBfloat16; }

// Where a bucket's elements are in flat memory: the parts of the ranks one behind the other.
class Flat {
 public:
  Flat(const Bucket& bucket, Wire wire) : bucket_(bucket), wire_(wire) {
    std::size_t longest = 0, all = 0;
    for (const Bucket::Part& part : bucket.parts()) {
      sizes_.push_back(aligned(bytes_of_part(part)));
      longest = std::max(longest, sizes_.back());
      all += sizes_.back();
    }
    // Little is lost when all are as long as the longest, and one call for equal parts is the fastest.
    even_ = longest * sizes_.size() <= all + all / 4;
    if (even_) std::fill(sizes_.begin(), sizes_.end(), longest);
    for (const std::size_t size : sizes_) {
      offsets_.push_back(bytes_);
      bytes_ += size;
    }
  }

  std::size_t bytes() const { return bytes_; }
  bool even() const { return even_; }
  std::size_t offset(std::size_t rank) const { return offsets_[rank]; }
  std::size_t size(std::size_t rank) const { return sizes_[rank]; }

  // Between the buffers and flat memory; `parts`: of which ranks.
  void pack(Connection& connection, std::byte* flat, float factor, std::size_t from, std::size_t to) const {
    comm::pack(f32_ranges(from, to), wire_, factor, flat, connection.stream());
    for_others(from, to, [&](const Bucket::Range& range, std::size_t at, std::size_t bytes) {
      connection.copy(flat + at, range.data, bytes, cudaMemcpyDeviceToDevice);
    });
  }
  void unpack(Connection& connection, const std::byte* flat, std::size_t from, std::size_t to) const {
    comm::unpack(f32_ranges(from, to), wire_, flat, connection.stream());
    for_others(from, to, [&](const Bucket::Range& range, std::size_t at, std::size_t bytes) {
      connection.copy(range.data, flat + at, bytes, cudaMemcpyDeviceToDevice);
    });
  }

 private:
  // A range begins where any dtype may be.
  std::size_t bytes_of_range(const Bucket::Range& range) const {
    const std::size_t unit = range.dtype == DType::F32 ? bytes_of(wire_) : size_of(range.dtype);
    return (range.count * unit + 15) / 16 * 16;
  }
  std::size_t bytes_of_part(const Bucket::Part& part) const {
    std::size_t bytes = 0;
    for (const Bucket::Range& range : part.ranges) bytes += bytes_of_range(range);
    return bytes;
  }
  template <class Body>
  void for_each(std::size_t from, std::size_t to, const Body& body) const {
    for (std::size_t rank = from; rank < to; ++rank) {
      std::size_t at = offsets_[rank];
      for (const Bucket::Range& range : bucket_.parts()[rank].ranges) {
        body(range, at);
        at += bytes_of_range(range);
      }
    }
  }
  std::vector<FlatRange> f32_ranges(std::size_t from, std::size_t to) const {
    std::vector<FlatRange> ranges;
    for_each(from, to, [&](const Bucket::Range& range, std::size_t at) {
      if (range.dtype != DType::F32) return;
      ranges.push_back({reinterpret_cast<float*>(range.data), range.count, at / bytes_of(wire_)});
    });
    return ranges;
  }
  template <class Copy>
  void for_others(std::size_t from, std::size_t to, const Copy& copy) const {
    for_each(from, to, [&](const Bucket::Range& range, std::size_t at) {
      if (range.dtype != DType::F32) copy(range, at, range.count * size_of(range.dtype));
    });
  }

  const Bucket& bucket_;
  Wire wire_;
  std::vector<std::size_t> sizes_, offsets_;  // by rank, in bytes
  std::size_t bytes_ = 0;
  bool even_ = false;
};

void require_f32(const Bucket& bucket, const char* what) {
  for (const Bucket::Part& part : bucket.parts()) {
    for (const Bucket::Range& range : part.ranges) require(range.dtype == DType::F32, what);
  }
}

// Bytes that the ranks send when each element is sent to all others once.
std::size_t sent_once(const Bucket& bucket, Wire wire) {
  std::size_t bytes = 0;
  for (const Bucket::Part& part : bucket.parts())
    bytes += wire == Wire::F32 ? part.bytes : part.elements * bytes_of(wire);
  return (bucket.parts().size() - 1) * bytes;
}

}  // namespace

std::size_t NcclCollectives::reduce_scatter(const Bucket& bucket, Wire wire, float factor) {
  require_f32(bucket, "only f32 is summed over ranks");
  const Flat flat(bucket, wire);
  const std::size_t unit = bytes_of(wire), ranks = bucket.parts().size();
  const auto me = static_cast<std::size_t>(connection_->rank());
  std::byte* memory = connection_->workspace(flat.bytes());
  connection_->begin_lap();
  flat.pack(*connection_, memory, factor, 0, ranks);
  if (flat.even()) {
    connection_->queue("ncclReduceScatter", [&](const Nccl& nccl, ncclComm_t comm, cudaStream_t stream) {
      return nccl.reduce_scatter(memory, memory + flat.offset(me), flat.size(me) / unit, type_of(wire), ncclSum, comm,
                                 stream);
    });
  } else {
    connection_->queue("ncclReduce", [&](const Nccl& nccl, ncclComm_t comm, cudaStream_t stream) {
      ncclResult_t result = ncclSuccess;
      for (std::size_t r = 0; r < ranks && result == ncclSuccess; ++r) {
        std::byte* part = memory + flat.offset(r);
        if (flat.size(r) == 0) continue;
        result =
            nccl.reduce(part, part, flat.size(r) / unit, type_of(wire), ncclSum, static_cast<int>(r), comm, stream);
      }
      return result;
    });
  }
  flat.unpack(*connection_, memory, me, me + 1);
  connection_->end_lap();
  return sent_once(bucket, wire);
}

std::size_t NcclCollectives::all_gather(const Bucket& bucket, Wire wire) {
  if (wire == Wire::BF16) require_f32(bucket, "only f32 travels as bf16");
  const Flat flat(bucket, wire);
  const std::size_t ranks = bucket.parts().size();
  const auto me = static_cast<std::size_t>(connection_->rank());
  std::byte* memory = connection_->workspace(flat.bytes());
  connection_->begin_lap();
  flat.pack(*connection_, memory, 1.0f, me, me + 1);
  if (flat.even()) {
    connection_->queue("ncclAllGather", [&](const Nccl& nccl, ncclComm_t comm, cudaStream_t stream) {
      return nccl.all_gather(memory + flat.offset(me), memory, flat.size(me), ncclUint8, comm, stream);
    });
  } else {
    connection_->queue("ncclBroadcast", [&](const Nccl& nccl, ncclComm_t comm, cudaStream_t stream) {
      ncclResult_t result = ncclSuccess;
      for (std::size_t r = 0; r < ranks && result == ncclSuccess; ++r) {
        std::byte* part = memory + flat.offset(r);
        if (flat.size(r) == 0) continue;
        result = nccl.broadcast(part, part, flat.size(r), ncclUint8, static_cast<int>(r), comm, stream);
      }
      return result;
    });
  }
  // As they are this rank's own elements need not be put back.
  flat.unpack(*connection_, memory, 0, wire == Wire::F32 ? me : ranks);
  if (wire == Wire::F32) flat.unpack(*connection_, memory, me + 1, ranks);
  connection_->end_lap();
  return sent_once(bucket, wire);
}

std::size_t NcclCollectives::all_reduce(const Bucket& bucket, Wire wire, float factor) {
  require_f32(bucket, "only f32 is summed over ranks");
  const Flat flat(bucket, wire);
  const std::size_t ranks = bucket.parts().size();
  std::byte* memory = connection_->workspace(flat.bytes());
  connection_->begin_lap();
  flat.pack(*connection_, memory, factor, 0, ranks);
  connection_->queue("ncclAllReduce", [&](const Nccl& nccl, ncclComm_t comm, cudaStream_t stream) {
    return nccl.all_reduce(memory, memory, flat.bytes() / bytes_of(wire), type_of(wire), ncclSum, comm, stream);
  });
  flat.unpack(*connection_, memory, 0, ranks);
  connection_->end_lap();
  return 2 * sent_once(bucket, wire);
}

void NcclCollectives::broadcast(Buffer& buffer, int root) {
  connection_->queue("ncclBroadcast", [&](const Nccl& nccl, ncclComm_t comm, cudaStream_t stream) {
    return nccl.broadcast(buffer.data(), buffer.data(), buffer.bytes(), ncclUint8, root, comm, stream);
  });
}

void NcclCollectives::sum_doubles(Buffer& buffer) {
  connection_->queue("ncclAllReduce", [&](const Nccl& nccl, ncclComm_t comm, cudaStream_t stream) {
    return nccl.all_reduce(buffer.data(), buffer.data(), buffer.elements() / 2, ncclFloat64, ncclSum, comm, stream);
  });
}

double NcclCollectives::complete() {
  connection_->wait();
  return connection_->milliseconds();
}

}  // namespace apollo::comm
