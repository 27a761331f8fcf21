// swiglu and swigluBackward: silu(gate) * up of rows that hold gate and up side by side (Shazeer, arXiv 2002.05202).
// Limited by memory: two reads and one write an element of y, backward three reads and two writes.
#include "cuda/cuda.h"
#include "cuda/lib/division.cuh"
#include "cuda/ops/elementwise.cuh"

namespace apollo::cuda {
namespace {

// Where gate and up of element i of y [rows, F] are in x [rows, 2F].
struct Halves {
  Divisor width;  // F

  __device__ std::int64_t gate(std::int64_t i) const { return i + width.quotient(i) * width.value; }
  __device__ std::int64_t up(std::int64_t gate) const { return gate + width.value; }
};

// y = silu(gate) * up. kWhole: a row of F is whole packs.
template <class T, bool kWhole>
struct Swiglu {
  static constexpr int kWidth = kWhole ? kPack<T> : 1;
  const T* x;
  T* y;
  Halves halves;

  template <int kCount>
  __device__ void at(std::int64_t i) const {
    const std::int64_t gate = halves.gate(i);
    float g[kCount], u[kCount];
    load(x + gate, g);
    load(x + halves.up(gate), u);
#pragma unroll
    for (int k = 0; k < kCount; ++k) u[k] *= g[k] * sigmoid(g[k]);
    store(u, y + i);
  }
};

// dgate = dy up silu'(gate) and dup = dy silu(gate), with silu' = s + g s (1 - s) and s = sigmoid(g).
template <class T, bool kWhole>
struct SwigluBackward {
  static constexpr int kWidth = kWhole ? kPack<T> : 1;
  const T *dy, *x;
  T* dx;
  Halves halves;

  template <int kCount>
  __device__ void at(std::int64_t i) const {
    const std::int64_t gate = halves.gate(i);
    float gradient[kCount], g[kCount], u[kCount];
    load(dy + i, gradient);
    load(x + gate, g);
    load(x + halves.up(gate), u);
#pragma unroll
    for (int k = 0; k < kCount; ++k) {
      const float s = sigmoid(g[k]), silu = g[k] * s;
      g[k] = gradient[k] * u[k] * fmaf(silu, 1.0f - s, s);
      u[k] = gradient[k] * silu;
    }
    store(g, dx + gate);
    store(u, dx + halves.up(gate));
  }
};

template <class T, bool kWhole, bool kBackward>
std::unique_ptr<Kernel> make(const TensorDesc& x) {
  const std::int64_t count = x.elements() / 2;
  const Halves halves{Divisor(std::max<std::int64_t>(x.last() / 2, 1))};
  return std::make_unique<FunctionKernel>([=](const RunContext& c) {
    if constexpr (kBackward) {
      each(count, SwigluBackward<T, kWhole>{c.in<T>(0), c.in<T>(1), c.out<T>(0), halves}, c.stream);
    } else {
      each(count, Swiglu<T, kWhole>{c.in<T>(0), c.out<T>(0), halves}, c.stream);
    }
  });
}

template <class T, bool kBackward>
std::unique_ptr<Kernel> make(const TensorDesc& x) {
  return x.last() / 2 % kPack<T> == 0 ? make<T, true, kBackward>(x) : make<T, false, kBackward>(x);
}

// swiglu (x [.., 2F]) -> y [.., F] and swigluBackward (dy, x) -> dx.
template <bool kBackward>
std::unique_ptr<Kernel> make_swiglu(const OpDesc& desc) {
  const TensorDesc& x = desc.inputs[kBackward ? 1 : 0];
  if (x.dtype == DType::I32 || desc.inputs[0].dtype != x.dtype || desc.outputs[0].dtype != x.dtype) {
    unsupported(desc, "cuda");
  }
  return x.dtype == DType::F32 ? make<float, kBackward>(x) : make<Bf16, kBackward>(x);
}

}  // namespace

void register_swiglu(OpTable& table, Context&) {
  table.add("swiglu", make_swiglu<false>);
  table.add("swigluBackward", make_swiglu<true>);
}

}  // namespace apollo::cuda
