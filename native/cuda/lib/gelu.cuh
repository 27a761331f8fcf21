// GELU and its derivative, exact (erf) and by tanh (Hendrycks and Gimpel 2016). As on the CPU there are two of each: to
// the accuracy of f32, and to that of bf16 in a third of the instructions (native/cpu/simd/gelu-inl.h has their story),
// so that memory and not arithmetic limits the kernels.
#pragma once

#include <cuda_runtime.h>

#include <cmath>

#include "cuda/lib/intrinsics.cuh"

namespace apollo::cuda {

constexpr float kSqrtHalf = 0.70710678f;
constexpr float kTwoSqrtTwoOverPi = 1.5957691f;  // 2 sqrt(2 / pi)

template <bool kTanh>
__device__ __forceinline__ float gelu(float x) {
  if constexpr (kTanh) {
    // (1 + tanh(z / 2)) / 2 = 1 / (1 + e^-z)
    const float z = x * fmaf(x * x, kTwoSqrtTwoOverPi * 0.044715f, kTwoSqrtTwoOverPi);
    return x / (1.0f + expf(-z));
  } else {
    return 0.5f * x * erfcf(-x * kSqrtHalf);
  }
}

template <bool kTanh>
__device__ __forceinline__ float gelu_derivative(float x) {
  if constexpr (kTanh) {
    const float bounded = fminf(fmaxf(x, -9.5f), 9.5f), square = bounded * bounded;  // beyond, sigmoid is 0 or 1
    const float z = bounded * fmaf(square, kTwoSqrtTwoOverPi * 0.044715f, kTwoSqrtTwoOverPi);
    const float e = expf(-z), sigmoid = 1.0f / (1.0f + e);
    const float slope = fmaf(square, 3.0f * kTwoSqrtTwoOverPi * 0.044715f, kTwoSqrtTwoOverPi);
    return isnan(x) ? x : fmaf(e * sigmoid * (bounded * slope), sigmoid, sigmoid);
  } else {
    return fmaf(x * 0.39894228f, expf(-0.5f * x * x), 0.5f * erfcf(-x * kSqrtHalf));
  }
}

// sigmoid(L(x)) with L(x) = ln(Phi(x) / Phi(-x)), or the tanh form's z; `x` is limited to the range of the fit,
// `square` its square, `exponential` e^-L(x).
template <bool kTanh>
__device__ __forceinline__ float coarse_sigmoid(float& x, float& square, float& exponential) {
  const float limit = kTanh ? 9.5f : 5.0f;
  x = fminf(fmaxf(x, -limit), limit);
  square = x * x;
  float slope;  // -L(x) / x in units of ln 2
  if constexpr (kTanh) {
    slope = fmaf(square, -0.10294324f, -2.3022082f);
  } else {
    slope = fmaf(square, 3.8807006e-8f, -2.6667926e-6f);
    slope = fmaf(slope, square, 5.3010484e-5f);
    slope = fmaf(slope, square, 7.1817276e-4f);
    slope = fmaf(slope, square, -0.10639101f);
    slope = fmaf(slope, square, -2.301106f);
  }
  exponential = exp2_fast(x * slope);
  return reciprocal_fast(1.0f + exponential);
}

template <bool kTanh>
__device__ __forceinline__ float coarse_gelu(float x) {
  float inner = x, square, exponential;
  const float sigmoid = coarse_sigmoid<kTanh>(inner, square, exponential);
  return x * sigmoid;
}

template <bool kTanh>
__device__ __forceinline__ float coarse_gelu_derivative(float x) {
  float inner = x, square, exponential, slope;
  const float sigmoid = coarse_sigmoid<kTanh>(inner, square, exponential);
  if constexpr (kTanh) {
    slope = fmaf(square, 0.21406444f, 1.5957691f);
  } else {
    slope = fmaf(square, -2.829187e-7f, 1.6354803e-5f);
    slope = fmaf(slope, square, -2.594925e-4f);
    slope = fmaf(slope, square, -2.4212154e-3f);
    slope = fmaf(slope, square, 0.22095169f);
    slope = fmaf(slope, square, 1.5951507f);
  }
  const float derivative = fmaf(exponential * sigmoid * (inner * slope), sigmoid, sigmoid);
  return x == x ? derivative : x;  // fminf and fmaxf lose a NaN
}

}  // namespace apollo::cuda
