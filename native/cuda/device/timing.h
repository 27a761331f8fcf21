// How long work takes on a stream, for choosing between ways of doing it.
#pragma once

#include <cuda_runtime.h>

#include "cuda/device/check.h"

namespace apollo::cuda {

// Mean microseconds of what `work` launches, over a few runs after one that loads what it needs. Waits for the stream.
template <class Work>
double microseconds_of(cudaStream_t stream, const Work& work) {
  constexpr int kRuns = 5;
  struct Event {
    cudaEvent_t event = nullptr;
    Event() { check(cudaEventCreate(&event), "creating an event"); }
    ~Event() { cudaEventDestroy(event); }
  } start, end;
  work();
  check(cudaEventRecord(start.event, stream), "recording an event");
  for (int i = 0; i < kRuns; ++i) work();
  check(cudaEventRecord(end.event, stream), "recording an event");
  check(cudaEventSynchronize(end.event), "timing kernels");
  float milliseconds = 0.0f;
  check(cudaEventElapsedTime(&milliseconds, start.event, end.event), "timing kernels");
  return 1e3 * static_cast<double>(milliseconds) / kRuns;
}

}  // namespace apollo::cuda
