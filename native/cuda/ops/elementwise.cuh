// The grid of all ops that treat each element alone: one pack of 16 bytes of the widest operand a thread, so that a
// full multiprocessor has some 32 KiB of each operand in progress, which is what memory needs to run at its bandwidth.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/lib/intrinsics.cuh"
#include "cuda/lib/launch.cuh"
#include "cuda/lib/vector.cuh"

namespace apollo::cuda {

constexpr int kEachThreads = 256;

// The sum is at least 1, where the fast reciprocal is as good as a division.
__device__ __forceinline__ float sigmoid(float x) { return reciprocal_fast(1.0f + expf(-x)); }

// Calls body.at<Body::kWidth>(i) on whole packs that begin at element i, and body.at<1>(i) on the rest.
template <class Body>
__global__ void __launch_bounds__(kEachThreads) each_kernel(std::int64_t count, Body body) {
  const std::int64_t thread = static_cast<std::int64_t>(blockIdx.x) * kEachThreads + threadIdx.x;
  const std::int64_t begin = thread * Body::kWidth;
  if (begin + Body::kWidth <= count) {
    body.template at<Body::kWidth>(begin);
  } else {
    for (std::int64_t i = begin; i < count; ++i) body.template at<1>(i);
  }
}

template <class Body>
void each(std::int64_t count, const Body& body, void* stream) {
  if (count == 0) return;
  const unsigned blocks = blocks_for(ceil_div(count, Body::kWidth), kEachThreads);
  launch(each_kernel<Body>, {blocks, kEachThreads}, stream, count, body);
}

// y = x rounded to bf16: a bias must have the dtype of the product it is added to.
struct Narrow {
  static constexpr int kWidth = kPack<Bf16>;
  const float* x;
  Bf16* y;

  template <int kCount>
  __device__ void at(std::int64_t i) const {
    float v[kCount];
    load(x + i, v);
    store(v, y + i);
  }
};

// y += x.
struct AddTo {
  static constexpr int kWidth = kPack<float>;
  const float* x;
  float* y;

  template <int kCount>
  __device__ void at(std::int64_t i) const {
    float v[kCount], to[kCount];
    load(x + i, v);
    load(y + i, to);
#pragma unroll
    for (int k = 0; k < kCount; ++k) to[k] += v[k];
    store(to, y + i);
  }
};

}  // namespace apollo::cuda
