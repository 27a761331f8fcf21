// softmax and cross-entropy over the last axis, with their gradients. Rows are independent and computed in f32. Limited
// by memory: rows of up to 1024 columns (512 if they are not whole packs) are read once and kept in registers, longer
// ones are read a second time, mostly from the second-level cache.
#include "cuda/ops/softmax.cuh"

#include <initializer_list>
#include <memory>

#include "cuda/cuda.h"
#include "cuda/lib/indices.cuh"
#include "cuda/ops/cross_entropy.cuh"

namespace apollo::cuda {
namespace {

// ---- rows in registers: a warp each ----

constexpr int kRegisterThreads = 256;

// Part of a row that a lane holds: kSlots times kWidth columns, the slots of a warp side by side. kWidth is a pack
// where rows are whole packs, else 1 and half as many columns, as each needs an address of its own.
template <int kWidth>
struct RowRegisters {
  static constexpr int kColumns = kWidth == 1 ? 512 : 1024;
  static constexpr int kSlots = kColumns / kWarp / kWidth;
  float v[kSlots][kWidth];

  // Calls body(slot, column) for the slots that are within the row.
  template <class Body>
  __device__ __forceinline__ static void for_slots(int columns, const Body& body) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
    for (int s = 0; s < kSlots; ++s) {
      const int column = (s * kWarp + lane) * kWidth;
      if (column < columns) body(s, column);
    }
  }
  template <class T>
  __device__ __forceinline__ void read(const T* row, int columns, float outside) {
#pragma unroll
    for (int s = 0; s < kSlots; ++s) {
#pragma unroll
      for (int k = 0; k < kWidth; ++k) v[s][k] = outside;
    }
    for_slots(columns, [&](int s, int column) { load(row + column, v[s]); });
  }
};

// y = e^(x - max) / sum; log: y = (x - max) - ln(sum).
template <class T, int kWidth>
__global__ void __launch_bounds__(kRegisterThreads)
    softmax_registers_kernel(const T* __restrict__ x, T* y, std::int64_t rows, int columns, bool log) {
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * (kRegisterThreads / kWarp) + threadIdx.x / kWarp;
  if (row >= rows) return;
  RowRegisters<kWidth> own;
  own.read(x + row * columns, columns, kLowest);
  float maximum = kLowest, sum = 0.0f;
#pragma unroll
  for (int s = 0; s < RowRegisters<kWidth>::kSlots; ++s) {
#pragma unroll
    for (int k = 0; k < kWidth; ++k) maximum = fmaxf(maximum, own.v[s][k]);
  }
  maximum = warp_max(maximum);
  own.for_slots(columns, [&](int s, int) {
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      const float shifted = own.v[s][k] - maximum, power = exponential<T>(shifted);
      sum += power;
      own.v[s][k] = log ? shifted : power;
    }
  });
  sum = warp_sum(sum);
  const float scale = 1.0f / sum, shift = logf(sum);
  own.for_slots(columns, [&](int s, int column) {
#pragma unroll
    for (int k = 0; k < kWidth; ++k) own.v[s][k] = log ? own.v[s][k] - shift : own.v[s][k] * scale;
    store(own.v[s], y + row * columns + column);
  });
}

// dx = y (dy - sum(dy y)); log: dx = dy - e^y sum(dy).
template <class T>
__device__ __forceinline__ float softmax_term(float dy, float y, bool log) {
  return log ? dy : dy * y;
}
template <class T>
__device__ __forceinline__ float softmax_gradient(float dy, float y, float sum, bool log) {
  return log ? fmaf(-exponential<T>(y), sum, dy) : y * (dy - sum);
}

template <class T, int kWidth>
__global__ void __launch_bounds__(kRegisterThreads)
    softmax_backward_registers_kernel(const T* __restrict__ dy, const T* __restrict__ y, T* dx, std::int64_t rows,
                                      int columns, bool log) {
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * (kRegisterThreads / kWarp) + threadIdx.x / kWarp;
  if (row >= rows) return;
  RowRegisters<kWidth> gradient, output;
  gradient.read(dy + row * columns, columns, 0.0f);
  output.read(y + row * columns, columns, 0.0f);
  float sum = 0.0f;
#pragma unroll
  for (int s = 0; s < RowRegisters<kWidth>::kSlots; ++s) {
#pragma unroll
    for (int k = 0; k < kWidth; ++k) sum += softmax_term<T>(gradient.v[s][k], output.v[s][k], log);
  }
  sum = warp_sum(sum);
  gradient.for_slots(columns, [&](int s, int column) {
    float result[kWidth];
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      result[k] = softmax_gradient<T>(gradient.v[s][k], output.v[s][k], sum, log);
    }
    store(result, dx + row * columns + column);
  });
}

// ---- rows of any length: a block each ----

// y of one row: a pass for maximum and sum, a second one, whose reads the second-level cache serves, for y.
template <class T>
__global__ void __launch_bounds__(kLongThreads, kRowThreads / kLongThreads)
    softmax_kernel(const T* __restrict__ x, T* y, int columns, bool log) {
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * columns;
  const RowStatistics row = row_statistics<T, kLongThreads>(x, first, columns);
  const float scale = 1.0f / row.sum, shift = logf(row.sum);
  for_row<kPack<T>>(first, columns, static_cast<int>(threadIdx.x), kLongThreads, [&](auto count, int column) {
    constexpr int kCount = decltype(count)::value;
    float v[kCount];
    load(x + first + column, v);
#pragma unroll
    for (int k = 0; k < kCount; ++k) {
      const float shifted = v[k] - row.maximum;
      v[k] = log ? shifted - shift : exponential<T>(shifted) * scale;
    }
    store(v, y + first + column);
  });
}

// dx of one row, in two passes likewise.
template <class T>
__global__ void __launch_bounds__(kLongThreads, kRowThreads / kLongThreads)
    softmax_backward_kernel(const T* __restrict__ dy, const T* __restrict__ y, T* dx, int columns, bool log) {
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * columns;
  const auto thread = static_cast<int>(threadIdx.x);
  float sum = 0.0f;
  for_row<kPack<T>>(first, columns, thread, kLongThreads, [&](auto count, int column) {
    constexpr int kCount = decltype(count)::value;
    float gradient[kCount], output[kCount];
    load(dy + first + column, gradient);
    load(y + first + column, output);
#pragma unroll
    for (int k = 0; k < kCount; ++k) sum += softmax_term<T>(gradient[k], output[k], log);
  });
  sum = block_sum<kLongThreads>(sum);
  for_row<kPack<T>>(first, columns, thread, kLongThreads, [&](auto count, int column) {
    constexpr int kCount = decltype(count)::value;
    float gradient[kCount], output[kCount];
    load(dy + first + column, gradient);
    load(y + first + column, output);
#pragma unroll
    for (int k = 0; k < kCount; ++k) gradient[k] = softmax_gradient<T>(gradient[k], output[k], sum, log);
    store(gradient, dx + first + column);
  });
}

// ---- host ----

void check_dtypes(const OpDesc& desc, std::initializer_list<const TensorDesc*> tensors) {
  for (const TensorDesc* tensor : tensors) {
    if (tensor->dtype == DType::I32 || tensor->dtype != (*tensors.begin())->dtype) unsupported(desc, "cuda");
  }
}

// Rows and columns of a tensor of activations.
struct Rows {
  std::int64_t rows;
  int columns;
  explicit Rows(const TensorDesc& x) : rows(x.rows()), columns(static_cast<int>(x.last())) {}
};

// Launches the kernel for rows of this length: in registers as packs, in registers one by one, or any.
template <class T, class... Pointers>
void launch_rows(const Rows& shape, void (*packs)(Pointers..., std::int64_t, int, bool),
                 void (*singles)(Pointers..., std::int64_t, int, bool), void (*any)(Pointers..., int, bool), bool log,
                 void* stream, Pointers... pointers) {
  if (shape.rows == 0) return;
  const bool whole = shape.columns % kPack<T> == 0;
  if (shape.columns > (whole ? RowRegisters<kPack<T>>::kColumns : RowRegisters<1>::kColumns)) {
    launch(any, RowGroup<kLongThreads>::launch(shape.rows), stream, pointers..., shape.columns, log);
  } else {
    const Launch how{blocks_for(shape.rows, kRegisterThreads / kWarp), kRegisterThreads};
    launch(whole ? packs : singles, how, stream, pointers..., shape.rows, shape.columns, log);
  }
}

template <class T>
std::unique_ptr<Kernel> softmax_of(const OpDesc& desc) {
  return std::make_unique<FunctionKernel>(
      [shape = Rows(desc.inputs[0]), log = desc.attrs.flag("log")](const RunContext& c) {
        launch_rows<T, const T*, T*>(shape, softmax_registers_kernel<T, kPack<T>>, softmax_registers_kernel<T, 1>,
                                     softmax_kernel<T>, log, c.stream, c.in<T>(0), c.out<T>(0));
      });
}

// y = softmax(x) over the last axis, or its logarithm.
std::unique_ptr<Kernel> make_softmax(const OpDesc& desc) {
  check_dtypes(desc, {&desc.inputs[0], &desc.outputs[0]});
  return desc.inputs[0].dtype == DType::F32 ? softmax_of<float>(desc) : softmax_of<Bf16>(desc);
}

template <class T>
std::unique_ptr<Kernel> softmax_backward_of(const OpDesc& desc) {
  return std::make_unique<FunctionKernel>(
      [shape = Rows(desc.inputs[0]), log = desc.attrs.flag("log")](const RunContext& c) {
        launch_rows<T, const T*, const T*, T*>(shape, softmax_backward_registers_kernel<T, kPack<T>>,
                                               softmax_backward_registers_kernel<T, 1>, softmax_backward_kernel<T>, log,
                                               c.stream, c.in<T>(0), c.in<T>(1), c.out<T>(0));
      });
}

// dx from dy and softmax's output y.
std::unique_ptr<Kernel> make_softmax_backward(const OpDesc& desc) {
  check_dtypes(desc, {&desc.inputs[0], &desc.inputs[1], &desc.outputs[0]});
  return desc.inputs[0].dtype == DType::F32 ? softmax_backward_of<float>(desc) : softmax_backward_of<Bf16>(desc);
}

// Rows up to this are a warp's work.
constexpr int kWarpColumns = 2048;

// (logits, labels) -> (loss, count, lse)
class CrossEntropyKernel final : public Kernel {
 public:
  CrossEntropyKernel(const OpDesc& desc, Context& context)
      : dtype_(desc.inputs[0].dtype),
        shape_(desc.inputs[0]),
        check_(context, {"crossEntropy", "labels", shape_.columns, /*ignore=*/true}, shape_.rows) {
    check_dtypes(desc, {&desc.inputs[0]});
    if (desc.inputs[1].dtype != DType::I32) unsupported(desc, "cuda");
  }

  std::size_t scratch_bytes() const override { return static_cast<std::size_t>(shape_.rows) * sizeof(double); }

  void run(const RunContext& c) override {
    constexpr int kMeanThreads = 1024;
    const auto* labels = c.in<std::int32_t>(1);
    check_.run(labels, c.stream);
    dtype_ == DType::F32 ? rows<float>(c) : rows<Bf16>(c);
    launch(mean_loss_kernel<kMeanThreads>, {1, kMeanThreads}, c.stream, static_cast<const double*>(c.scratch), labels,
           shape_.rows, shape_.columns, c.out<float>(0), c.out<float>(1));
  }

 private:
  template <class T>
  void rows(const RunContext& c) const {
    shape_.columns <= kWarpColumns ? rows<T, kWarp>(c) : rows<T, kLongThreads>(c);
  }
  template <class T, int kGroup>
  void rows(const RunContext& c) const {
    if (shape_.rows == 0) return;
    launch(cross_entropy_kernel<T, kGroup>, RowGroup<kGroup>::launch(shape_.rows), c.stream, c.in<T>(0),
           c.in<std::int32_t>(1), c.out<float>(2), static_cast<double*>(c.scratch), shape_.rows, shape_.columns);
  }

  DType dtype_;
  Rows shape_;
  IndexCheck check_;
};

// (g, logits, labels, lse, count) -> dlogits
class CrossEntropyBackwardKernel final : public Kernel {
 public:
  CrossEntropyBackwardKernel(const OpDesc& desc, Context& context)
      : dtype_(desc.inputs[1].dtype),
        shape_(desc.inputs[1]),
        check_(context, {"crossEntropyBackward", "labels", shape_.columns, /*ignore=*/true}, shape_.rows) {
    check_dtypes(desc, {&desc.inputs[1], &desc.outputs[0]});
    if (desc.inputs[0].dtype != DType::F32 || desc.inputs[2].dtype != DType::I32) unsupported(desc, "cuda");
  }

  void run(const RunContext& c) override {
    check_.run(c.in<std::int32_t>(2), c.stream);
    if (shape_.rows == 0) return;
    dtype_ == DType::F32 ? rows<float>(c) : rows<Bf16>(c);
  }

 private:
  template <class T>
  void rows(const RunContext& c) const {
    shape_.columns <= kWarpColumns ? rows<T, kWarp>(c) : rows<T, kLongThreads>(c);
  }
  template <class T, int kGroup>
  void rows(const RunContext& c) const {
    launch(cross_entropy_backward_kernel<T, kGroup>, RowGroup<kGroup>::launch(shape_.rows), c.stream, c.in<float>(0),
           c.in<T>(1), c.in<std::int32_t>(2), c.in<float>(3), c.in<float>(4), c.out<T>(0), shape_.rows, shape_.columns);
  }

  DType dtype_;
  Rows shape_;
  IndexCheck check_;
};

}  // namespace

void register_softmax(OpTable& table, Context& context) {
  table.add("softmax", make_softmax);
  table.add("softmaxBackward", make_softmax_backward);
  table.add("crossEntropy", factory_of<CrossEntropyKernel>(context));
  table.add("crossEntropyBackward", factory_of<CrossEntropyBackwardKernel>(context));
}

}  // namespace apollo::cuda
