// The check of ids, labels and row indices on the device, ahead of the kernels that use them (see faults.h).
#pragma once

#include <memory>

#include "core/indices.h"
#include "cuda/device/context.h"
#include "cuda/lib/block.cuh"
#include "cuda/lib/launch.cuh"

namespace apollo::cuda {

__device__ __forceinline__ bool allowed(std::int32_t value, std::int32_t limit, bool ignore) {
  return (value >= 0 && value < limit) || (ignore && value == kIgnoredLabel);
}

// One block reads all indices, 8 of a thread at once, and records the first wrong one. 64 Ki of them take a few
// microseconds.
template <int kThreads>
__global__ void __launch_bounds__(kThreads)
    check_indices_kernel(const std::int32_t* values, std::int32_t count, std::int32_t limit, bool ignore,
                         std::int32_t rule, FaultRecord* record) {
  constexpr int kAhead = 8;
  std::int32_t first = count;
  for (std::int64_t begin = threadIdx.x; begin < count; begin += kAhead * kThreads) {
    std::int32_t value[kAhead];
#pragma unroll
    for (int a = 0; a < kAhead; ++a) value[a] = begin + a * kThreads < count ? values[begin + a * kThreads] : 0;
#pragma unroll
    for (int a = kAhead - 1; a >= 0; --a) {
      const std::int64_t index = begin + a * kThreads;
      if (index < first && !allowed(value[a], limit, ignore)) first = static_cast<std::int32_t>(index);
    }
  }
  first = block_reduce<kThreads>(first, [](std::int32_t a, std::int32_t b) { return a < b ? a : b; });
  if (threadIdx.x == 0 && first < count && record->rule == 0) {
    record->index = first;
    record->value = values[first];
    record->rule = rule;
  }
}

class IndexCheck {
 public:
  IndexCheck(Context& context, IndexRule rule, std::int64_t count)
      : context_(context),
        count_(to_int32(count, rule.op + ": the number of " + rule.what)),
        limit_(to_int32(rule.limit, rule.op + ": the limit of " + rule.what)),
        ignore_(rule.ignore),
        record_(context.faults.device_record()),
        rule_(context.faults.add(std::move(rule))) {}
  ~IndexCheck() { context_.faults.remove(rule_); }
  IndexCheck(const IndexCheck&) = delete;
  IndexCheck& operator=(const IndexCheck&) = delete;

  void run(const std::int32_t* values, void* stream) const {
    constexpr int kThreads = 1024;
    launch(check_indices_kernel<kThreads>, {1, kThreads}, stream, values, count_, limit_, ignore_, rule_, record_);
  }

 private:
  Context& context_;
  std::int32_t count_, limit_;
  bool ignore_;
  FaultRecord* record_;
  std::int32_t rule_;
};

}  // namespace apollo::cuda
