#include "cuda/device/faults.h"

#include <cuda_runtime.h>

#include <utility>

#include "cuda/device/check.h"

namespace apollo::cuda {

Faults::~Faults() {
  if (host_ != nullptr) cudaFreeHost(host_);
}

std::int32_t Faults::add(IndexRule rule) {
  const std::lock_guard lock(mutex_);
  rules_.emplace(++last_, std::move(rule));
  return last_;
}

void Faults::remove(std::int32_t number) {
  const std::lock_guard lock(mutex_);
  rules_.erase(number);
}

FaultRecord* Faults::device_record() {
  if (device_ == nullptr) {
    if (host_ == nullptr) {
      void* host = nullptr;
      check(cudaHostAlloc(&host, sizeof(FaultRecord), cudaHostAllocMapped), "an allocation of page-locked memory");
      host_ = static_cast<FaultRecord*>(host);
      *host_ = {};
    }
    void* device = nullptr;
    check(cudaHostGetDevicePointer(&device, host_, 0), "mapping page-locked memory");
    device_ = static_cast<FaultRecord*>(device);
  }
  return device_;
}

void Faults::raise() {
  if (host_ == nullptr || host_->rule == 0) return;
  const FaultRecord record = *host_;
  *host_ = {};
  const std::lock_guard lock(mutex_);
  const auto rule = rules_.find(record.rule);
  require(rule != rules_.end(), "a fault of a program that is gone");
  throw rule->second.error(record.index, record.value);
}

}  // namespace apollo::cuda
