// Wrong ids and labels, found by kernels: the first one is written where the host can see it, and becomes an Error once
// the device has been waited for. A GPU cannot stop in the middle of a program, so kernels pass over what is wrong.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>

#include "core/indices.h"

namespace apollo::cuda {

// In page-locked memory that host and device both see. `rule` 0: nothing is wrong.
struct FaultRecord {
  std::int32_t rule, index, value;
};

class Faults {
 public:
  Faults() = default;
  Faults(const Faults&) = delete;
  Faults& operator=(const Faults&) = delete;
  ~Faults();

  // The number by which the device names `rule` until it is removed. From any thread.
  std::int32_t add(IndexRule rule);
  void remove(std::int32_t number);

  FaultRecord* device_record();
  // Throws the Error of what has been recorded since the last call. After a synchronisation, on the device's thread.
  void raise();

 private:
  std::mutex mutex_;
  std::map<std::int32_t, IndexRule> rules_;
  std::int32_t last_ = 0;
  FaultRecord* host_ = nullptr;
  FaultRecord* device_ = nullptr;
};

}  // namespace apollo::cuda
