#include "comm/exchange.h"

#include <algorithm>
#include <span>

namespace apollo::comm {
namespace {

// Elements that are summed in one call: small tensors share one, large ones are cut.
constexpr std::size_t kBucket = std::size_t{1} << 20;

// Sums gradients over the ranks by way of one piece of host memory.
class Buckets {
 public:
  Buckets(Communicator& group, Backend& backend, float factor) : group_(group), backend_(backend), factor_(factor) {}

  void add(const Buffer& gradient) {
    for (std::size_t from = 0; from < gradient.elements();) {
      const std::size_t count = std::min(gradient.elements() - from, kBucket - filled_);
      std::byte* device = static_cast<std::byte*>(gradient.data()) + from * sizeof(float);
      values_.resize(std::max(values_.size(), filled_ + count));
      backend_.download(values_.data() + filled_, device, count * sizeof(float));
      pieces_.push_back({device, filled_, count});
      filled_ += count;
      from += count;
      if (filled_ == kBucket) flush();
    }
  }

  void flush() {
    const std::span<float> values(values_.data(), filled_);
    for (float& value : values) value *= factor_;
    if (!values.empty()) group_.all_reduce(values);
    for (const Piece& piece : pieces_) {
      backend_.upload(piece.device, values_.data() + piece.offset, piece.count * sizeof(float));
    }
    pieces_.clear();
    filled_ = 0;
  }

 private:
  struct Piece {
    std::byte* device;
    std::size_t offset, count;
  };
  Communicator& group_;
  Backend& backend_;
  float factor_;
  std::vector<float> values_;
  std::size_t filled_ = 0;
  std::vector<Piece> pieces_;
};

// What all ranks must know before they touch a gradient, in one call.
void agree(Exchange& exchange, Communicator& group) {
  const std::int32_t flag = exchange.stopped->load();
  std::vector<double> values{exchange.weight, flag == kStopped ? 1.0 : 0.0, flag == kFailed ? 1.0 : 0.0};
  values.insert(values.end(), exchange.sums.begin(), exchange.sums.end());
  group.all_reduce(std::span(values));
  exchange.weight = values[0];
  exchange.stopped_ranks = static_cast<int>(values[1]);
  exchange.failed_ranks = static_cast<int>(values[2]);
  exchange.sums.assign(values.begin() + 3, values.end());
}

}  // namespace

void run(Exchange& exchange, Communicator& group, Backend& backend) {
  try {
    const double own = exchange.weight;
    agree(exchange, group);
    if (exchange.stopped_ranks + exchange.failed_ranks > 0) {
      exchange.refused->store(kStopped);
      return;
    }
    if (exchange.weight == 0.0) return;
    Buckets buckets(group, backend, static_cast<float>(own / exchange.weight));
    for (const auto& gradient : exchange.gradients) buckets.add(*gradient);
    buckets.flush();
  } catch (...) {
    exchange.refused->store(kFailed);
    throw;
  }
}

}  // namespace apollo::comm
