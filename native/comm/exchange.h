// The end of a step's gradients in a group: the ranks agree whether the step is done, and sum its gradients.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "comm/communicator.h"
#include "core/device.h"
#include "core/program.h"

namespace apollo::comm {

struct Exchange {
  std::vector<std::shared_ptr<Buffer>> gradients;  // f32, alike on all ranks
  double weight = 0.0;                             // of this rank's gradients; after the exchange that of all ranks
  std::vector<double> sums;                        // this rank's values; after the exchange those of all ranks
  // Read when the exchange begins: StopFlag of this rank's runs.
  std::atomic<std::int32_t>* stopped = nullptr;
  // Set when the step is not done, so that the update behind the exchange is refused on every rank.
  std::atomic<std::int32_t>* refused = nullptr;
  // Ranks whose flag was kStopped or kFailed; unless both are 0 no gradient was touched.
  int stopped_ranks = 0;
  int failed_ranks = 0;
};

// Every gradient becomes the mean over the ranks by weight: sum of weight_r / weight x gradient_r. Where no rank has
// any weight, and the gradients are all zero, they stay so. Throws Error as the communicator, with `refused` set.
void run(Exchange& exchange, Communicator& group, Backend& backend);

}  // namespace apollo::comm
