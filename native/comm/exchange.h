// The exchange of a step's gradients in a group, on the group's thread during the backward pass that makes them: the
// ranks agree whether the step is done, and average its gradients bucket by bucket, as they become final.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <vector>

#include "comm/channel.h"
#include "comm/collectives.h"
#include "core/program.h"

namespace apollo::comm {

struct ExchangeSettings {
  std::vector<Divided> gradients;  // f32, alike on all ranks, in about the order in which they become final
  std::vector<std::shared_ptr<Buffer>> shared;  // f32: small ones that every rank gets, unrounded
  bool gather = true;                           // all means go to all ranks; else to those that the elements belong to
  Wire wire = Wire::F32;                        // of gradients
  double weight = 0.0;                          // of this rank's gradients
  std::vector<double> sums;                     // values of this rank that are summed over all
  // StopFlag of the runs that make the gradients: read at the beginning, and again when they are done.
  std::atomic<std::int32_t>* stopped = nullptr;
  // Set when the step is not done, so that the update behind the exchange is refused on every rank.
  std::atomic<std::int32_t>* refused = nullptr;
  // `refused` of the exchange before this one, equal on all ranks when this one begins: where it is set, this one is
  // not done. A step that is queued behind one that is given up may be known to some ranks only.
  const std::atomic<std::int32_t>* before = nullptr;
};

struct ExchangeResult {
  double weight = 0.0;  // of all ranks
  std::vector<double> sums;
  // Ranks whose flag was kStopped or kFailed; unless both are 0 the gradients are worth nothing on any rank.
  int stopped_ranks = 0;
  int failed_ranks = 0;
  std::size_t bytes = 0;      // of gradients that all ranks have sent
  double busy_ms = 0.0;       // for which this rank exchanged or waited for others, and not for its own gradients
  double uncovered_ms = 0.0;  // of these the device waited
};

// Every gradient becomes the mean over the ranks by weight: sum of weight_r / weight x gradient_r. Where no rank has
// any weight, and the gradients are all zero, they stay so.
class Exchange final : public RunFollower, public std::enable_shared_from_this<Exchange> {
 public:
  // `channel` must outlive it. Throws Error for gradients that are not f32 or not divided among the ranks.
  Exchange(Channel& channel, ExchangeSettings settings);

  // Both on the device's thread. What is between them, the last run that writes the gradients, may be followed.
  void start();
  // Nothing writes the gradients any more. Waits for the end. Throws Error as the communicator, with `refused` set.
  ExchangeResult finish();

  void begins(const std::vector<std::shared_ptr<Buffer>>& buffers, const std::vector<int>& last_writes) override;
  void did(int kernel) override;

 private:
  void run(Communicator& group, Collectives& collectives);
  void exchange(Communicator& group, Collectives& collectives);
  bool agree(Communicator& group, std::vector<double>& sums);
  void wait_for(std::size_t buckets);
  void release(std::size_t buckets);

  Channel& channel_;
  ExchangeSettings settings_;
  std::vector<Bucket> buckets_;
  std::vector<int> ready_;  // by bucket, the kernel of the followed run after which it and those before it are final
  ExchangeResult result_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t released_ = 0;    // buckets that may be exchanged,
  std::shared_ptr<void> mark_;  // from this point of the device's work on
  bool finishing_ = false, done_ = false;
  std::exception_ptr failure_;
};

}  // namespace apollo::comm
