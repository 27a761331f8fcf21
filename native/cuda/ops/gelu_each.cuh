// GELU and its gradient over whole tensors, for the ops that are just that and those that end with it.
#pragma once

#include "cuda/lib/gelu.cuh"
#include "cuda/ops/elementwise.cuh"

namespace apollo::cuda {

template <class T, bool kTanh>
__device__ __forceinline__ float gelu_of(float x) {
  return sizeof(T) == 2 ? coarse_gelu<kTanh>(x) : gelu<kTanh>(x);
}
template <class T, bool kTanh>
__device__ __forceinline__ float gelu_derivative_of(float x) {
  return sizeof(T) == 2 ? coarse_gelu_derivative<kTanh>(x) : gelu_derivative<kTanh>(x);
}

// y = gelu(x); y may be x.
template <class T, bool kTanh>
struct Gelu {
  static constexpr int kWidth = kPack<T>;
  const T* x;
  T* y;

  template <int kCount>
  __device__ void at(std::int64_t i) const {
    float v[kCount];
    load(x + i, v);
#pragma unroll
    for (float& element : v) element = gelu_of<T, kTanh>(element);
    store(v, y + i);
  }
};

// dx = dy gelu'(x); dx may be dy.
template <class T, bool kTanh>
struct GeluBackward {
  static constexpr int kWidth = kPack<T>;
  const T *dy, *x;
  T* dx;

  template <int kCount>
  __device__ void at(std::int64_t i) const {
    float g[kCount], v[kCount];
    load(dy + i, g);
    load(x + i, v);
#pragma unroll
    for (int k = 0; k < kCount; ++k) g[k] *= gelu_derivative_of<T, kTanh>(v[k]);
    store(g, dx + i);
  }
};

}  // namespace apollo::cuda
