#include "comm/exchange.h"

#include <algorithm>
#include <chrono>
#include <unordered_map>
#include <utility>

#include "core/error.h"

namespace apollo::comm {
namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;

// Between two looks at whether the device was closed.
constexpr auto kPatience = std::chrono::milliseconds(20);

}  // namespace

Exchange::Exchange(Channel& channel, ExchangeSettings settings) : channel_(channel), settings_(std::move(settings)) {
  for (const Divided& gradient : settings_.gradients) {
    require(gradient.buffer->dtype() == DType::F32, "exchange: each gradient must be f32");
  }
  buckets_ = buckets_of(settings_.gradients, channel_.size(), channel_.collectives().bucket_elements());
}

void Exchange::start() {
  channel_.post(
      [self = shared_from_this()](Communicator& group, Collectives& collectives) { self->run(group, collectives); });
}

ExchangeResult Exchange::finish() {
  const auto since = Clock::now();
  std::shared_ptr<void> mark;
  std::exception_ptr lost;
  try {
    mark = channel_.collectives().mark();
  } catch (...) {  // the other ranks are on their way, and hear of it at the end
    settings_.stopped->store(kFailed);
    lost = std::current_exception();
  }
  std::unique_lock lock(mutex_);
  finishing_ = true;
  released_ = buckets_.size();
  mark_ = std::move(mark);
  changed_.notify_all();
  changed_.wait(lock, [&] { return done_; });
  // A growth frees the gradients while JavaScript may still hold this exchange.
  buckets_.clear();
  settings_.gradients.clear();
  settings_.shared.clear();
  if (lost) std::rethrow_exception(lost);
  if (failure_) std::rethrow_exception(failure_);
  result_.uncovered_ms = Milliseconds(Clock::now() - since).count();
  return result_;
}

void Exchange::begins(const std::vector<std::shared_ptr<Buffer>>& buffers, const std::vector<int>& last_writes) {
  std::unordered_map<const Buffer*, int> last;  // several of a program's buffers may be one
  for (std::size_t slot = 0; slot < buffers.size(); ++slot) {
    const auto found = last.emplace(buffers[slot].get(), last_writes[slot]).first;
    found->second = std::max(found->second, last_writes[slot]);
  }
  int ready = -1;
  ready_.clear();
  for (const Bucket& bucket : buckets_) {
    for (const auto& buffer : bucket.buffers()) {
      const auto found = last.find(buffer.get());
      if (found != last.end()) ready = std::max(ready, found->second);
    }
    ready_.push_back(ready);
  }
  did(-1);
}

void Exchange::did(int kernel) {
  // Only this thread releases, so it may look without the lock.
  std::size_t count = released_;
  while (count < ready_.size() && ready_[count] <= kernel) ++count;
  if (count > released_) release(count);
}

void Exchange::release(std::size_t buckets) {
  auto mark = channel_.collectives().mark();
  const std::lock_guard lock(mutex_);
  released_ = buckets;
  mark_ = std::move(mark);
  changed_.notify_all();
}

void Exchange::run(Communicator& group, Collectives& collectives) {
  try {
    exchange(group, collectives);
  } catch (...) {
    settings_.refused->store(kFailed);
    failure_ = std::current_exception();
  }
  const std::lock_guard lock(mutex_);
  done_ = true;
  changed_.notify_all();
}

// Agreement of all ranks before they touch a gradient, and, once the runs are done, whether all have come to their
// end. A rank that fails in between takes part to the end: the others are on their way.
void Exchange::exchange(Communicator& group, Collectives& collectives) {
  if (settings_.before->load() != kRunning) {
    result_.stopped_ranks = 1;
    settings_.refused->store(kStopped);
    return;
  }
  const auto timed = [&](auto work) {
    const auto since = Clock::now();
    const auto value = work();
    result_.busy_ms += Milliseconds(Clock::now() - since).count();
    return value;
  };
  std::vector<double> sums{settings_.weight};
  sums.insert(sums.end(), settings_.sums.begin(), settings_.sums.end());
  const bool agreed = agree(group, sums);
  result_.weight = sums[0];
  result_.sums.assign(sums.begin() + 1, sums.end());
  if (!agreed) return;
  if (result_.weight > 0.0) {
    const auto factor = static_cast<float>(settings_.weight / result_.weight);
    const auto average = [&](const Bucket& bucket, bool gather, Wire wire) {
      return gather ? collectives.all_reduce(bucket, wire, factor) : collectives.reduce_scatter(bucket, wire, factor);
    };
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      wait_for(i + 1);
      result_.bytes += timed([&] { return average(buckets_[i], settings_.gather, settings_.wire); });
    }
    wait_for(buckets_.size() + 1);
    std::vector<Divided> shared;
    for (const auto& buffer : settings_.shared) shared.push_back(divided_equally(buffer, group.size()));
    for (const Bucket& bucket : buckets_of(shared, group.size(), collectives.bucket_elements())) {
      result_.bytes += timed([&] { return average(bucket, true, Wire::F32); });
    }
    result_.busy_ms += collectives.complete();
  } else {
    wait_for(buckets_.size() + 1);
  }
  std::vector<double> nothing;
  timed([&] { return agree(group, nothing); });
}

// Sums over all ranks, and whether none of them was stopped or has failed.
bool Exchange::agree(Communicator& group, std::vector<double>& sums) {
  const std::int32_t flag = settings_.stopped->load();
  std::vector<double> values{flag == kStopped ? 1.0 : 0.0, flag == kFailed ? 1.0 : 0.0};
  values.insert(values.end(), sums.begin(), sums.end());
  group.all_reduce(std::span(values));
  result_.stopped_ranks = static_cast<int>(values[0]);
  result_.failed_ranks = static_cast<int>(values[1]);
  std::copy(values.begin() + 2, values.end(), sums.begin());
  if (result_.stopped_ranks + result_.failed_ranks == 0) return true;
  settings_.refused->store(kStopped);
  return false;
}

// Waits until `buckets` buckets are final; with one more than there are, until nothing else is to come. What is called
// from then on finds them so.
void Exchange::wait_for(std::size_t buckets) {
  std::unique_lock lock(mutex_);
  while (!(finishing_ || buckets <= released_)) {
    if (channel_.cancelled()) throw Error("the wait for the gradients was cancelled", "APOLLO_ABORTED");
    changed_.wait_for(lock, kPatience);
  }
  if (const auto mark = std::exchange(mark_, nullptr)) {
    lock.unlock();
    channel_.collectives().after(mark);
  }
}

}  // namespace apollo::comm
