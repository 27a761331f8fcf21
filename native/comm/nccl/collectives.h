// Collectives on buffers of a GPU: a bucket's elements are packed side by side, exchanged by one call of NCCL, and put
// back. The order of NCCL's sums depends on the number of ranks and on how they are connected, not on the values.
#pragma once

#include <memory>
#include <utility>

#include "comm/collectives.h"
#include "comm/nccl/connection.h"

namespace apollo::comm {

class NcclCollectives final : public Collectives {
 public:
  explicit NcclCollectives(std::shared_ptr<Connection> connection) : connection_(std::move(connection)) {}

  std::size_t bucket_elements() const override { return std::size_t{1} << 23; }
  std::size_t reduce_scatter(const Bucket& bucket, Wire wire, float factor) override;
  std::size_t all_gather(const Bucket& bucket, Wire wire) override;
  std::size_t all_reduce(const Bucket& bucket, Wire wire, float factor) override;
  void broadcast(Buffer& buffer, int root) override;
  void sum_doubles(Buffer& buffer) override;

  std::shared_ptr<void> mark() override { return connection_->mark(); }
  void after(const std::shared_ptr<void>& mark) override { connection_->after(mark); }
  double complete() override;

 private:
  std::shared_ptr<Connection> connection_;
};

}  // namespace apollo::comm
