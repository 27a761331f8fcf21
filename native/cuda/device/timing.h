// How long work takes on a stream, for choosing between ways of doing it.
#pragma once

#include <cuda_runtime.h>

#include "cuda/device/check.h"
#include "cuda/device/stream.h"

namespace apollo::cuda {

// Mean microseconds of what `work` launches, over a few runs after one that loads what it needs. Waits for the stream.
template <class Work>
double microseconds_of(cudaStream_t stream, const Work& work) {
  constexpr int kRuns = 5;
  const Event start(0), end(0);
  work();
  check(cudaEventRecord(start, stream), "recording an event");
  for (int i = 0; i < kRuns; ++i) work();
  check(cudaEventRecord(end, stream), "recording an event");
  check(cudaEventSynchronize(end), "timing kernels");
  float milliseconds = 0.0f;
  check(cudaEventElapsedTime(&milliseconds, start, end), "timing kernels");
  return 1e3 * static_cast<double>(milliseconds) / kRuns;
}

}  // namespace apollo::cuda
