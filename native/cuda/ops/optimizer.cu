// gradNorm, its parts for ranks, and adamw (AdamW: Loshchilov & Hutter, arXiv 1711.05101), each one pass over all
// tensors of a step, which are cut into chunks, a block each: many small tensors and few large ones divide equally
// well. Limited by memory.
#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "core/adamw.h"
#include "core/pieces.h"
#include "cuda/cuda.h"
#include "cuda/lib/block.cuh"
#include "cuda/lib/launch.cuh"
#include "cuda/lib/table.cuh"
#include "cuda/lib/vector.cuh"

namespace apollo::cuda {
namespace {

void require_f32(const OpDesc& desc, const TensorDesc& tensor) {
  if (tensor.dtype != DType::F32) unsupported(desc, "cuda");
}

// Elements [begin, begin + count) of tensor `tensor`.
struct Chunk {
  std::int64_t begin;
  std::int32_t count, tensor;
};

// All chunks of tensors of these sizes; begins are multiples of `elements`, so chunks are aligned as tensors are.
std::vector<Chunk> chunks_of(const std::vector<std::int64_t>& sizes, std::int64_t elements) {
  std::vector<Chunk> chunks;
  for (std::size_t tensor = 0; tensor < sizes.size(); ++tensor) {
    for (std::int64_t begin = 0; begin < sizes[tensor]; begin += elements) {
      const std::int64_t count = std::min(elements, sizes[tensor] - begin);
      chunks.push_back({begin, static_cast<std::int32_t>(count), static_cast<std::int32_t>(tensor)});
    }
  }
  return chunks;
}

// ---- gradNorm ----

constexpr int kNormThreads = 256, kTotalThreads = 1024;

struct NormChunk {
  const float* values;
  std::int32_t count, tensor, place;
};

// sums[place] = sum of x^2 over the chunk, or 0 where the tensor's count is 0; in f64 throughout: squares of large
// gradients overflow f32, and one f64 multiply-add an element is less than these GPUs can do in the 4 bytes' time. 4
// packs per thread are in progress, 64 KiB per multiprocessor.
__global__ void __launch_bounds__(kNormThreads, 4)
    sum_squares_kernel(const NormChunk* chunks, const std::int32_t* counts, double* sums) {
  constexpr int kWidth = kPack<float>, kAhead = 4, kStep = kNormThreads * kWidth;
  const NormChunk chunk = chunks[blockIdx.x];
  if (counts[chunk.tensor] == 0) {
    if (threadIdx.x == 0) sums[chunk.place] = 0.0;
    return;
  }
  const std::int32_t whole = chunk.count / kWidth * kWidth;
  double sum[kWidth] = {};
  std::int32_t i = static_cast<std::int32_t>(threadIdx.x) * kWidth;
  for (; i + (kAhead - 1) * kStep < whole; i += kAhead * kStep) {
    float v[kAhead][kWidth];
#pragma unroll
    for (int a = 0; a < kAhead; ++a) load(chunk.values + i + a * kStep, v[a]);
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
#pragma unroll
      for (int k = 0; k < kWidth; ++k) {
        const double x = v[a][k];
        sum[k] = fma(x, x, sum[k]);
      }
    }
  }
  for (; i < whole; i += kStep) {
    float v[kWidth];
    load(chunk.values + i, v);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      const double x = v[k];
      sum[k] = fma(x, x, sum[k]);
    }
  }
  const std::int32_t rest = whole + static_cast<std::int32_t>(threadIdx.x);
  if (rest < chunk.count) {
    const double x = chunk.values[rest];
    sum[0] = fma(x, x, sum[0]);
  }
  const double total = block_sum<kNormThreads>((sum[0] + sum[1]) + (sum[2] + sum[3]));
  if (threadIdx.x == 0) sums[chunk.place] = total;
}

// norm = sqrt(sum of sums), by one block in a fixed order.
__global__ void __launch_bounds__(kTotalThreads) norm_kernel(const double* sums, std::int32_t count, float* norm) {
  double sum = 0.0;
  for (auto i = static_cast<std::int32_t>(threadIdx.x); i < count; i += kTotalThreads) sum += sums[i];
  sum = block_sum<kTotalThreads>(sum);
  if (threadIdx.x == 0) *norm = static_cast<float>(sqrt(sum));
}

// (counts, g1 .. gn) -> L2 norm of all of them together but those of count 0. Chunks and their order depend on the
// sizes only: the same bits on any GPU.
class GradNorm final : public Kernel {
 public:
  explicit GradNorm(const OpDesc& desc) {
    require(!desc.inputs.empty() && desc.inputs[0].elements() == static_cast<std::int64_t>(desc.inputs.size()) - 1,
            "gradNorm: a count for each gradient");
    std::vector<std::int64_t> sizes;
    for (std::size_t i = 1; i < desc.inputs.size(); ++i) {
      require_f32(desc, desc.inputs[i]);
      sizes.push_back(desc.inputs[i].elements());
    }
    require_f32(desc, desc.outputs[0]);
    chunks_ = chunks_of(sizes, kPieceElements);
  }

  std::size_t scratch_bytes() const override { return chunks_.size() * sizeof(double); }

  void bind(const RunContext& c) override {
    std::vector<NormChunk> entries;
    for (const Chunk& chunk : chunks_) {
      const float* values = c.in<float>(static_cast<std::size_t>(chunk.tensor) + 1) + chunk.begin;
      entries.push_back({values, chunk.count, chunk.tensor, static_cast<std::int32_t>(entries.size())});
    }
    table_.fill(entries, c.stream);
  }

  void run(const RunContext& c) override {
    auto* sums = static_cast<double*>(c.scratch);
    const auto count = static_cast<std::int32_t>(chunks_.size());
    if (count > 0) {
      launch(sum_squares_kernel, {static_cast<unsigned>(count), kNormThreads}, c.stream, table_.get(),
             c.in<std::int32_t>(0), sums);
    }
    launch(norm_kernel, {1, kTotalThreads}, c.stream, sums, count, c.out<float>(0));
  }

 private:
  std::vector<Chunk> chunks_;
  Table<NormChunk> table_;
};

// (counts of all tensors, parts of some) -> the bits of f64 sums of squares, one for each chunk that GradNorm would sum
// by itself, zero for chunks of no part. A part is of tensor `tensors[i]`, and its first chunk is number `places[i]`.
class Squares final : public Kernel {
 public:
  explicit Squares(const OpDesc& desc)
      : tensors_(desc.attrs.integers("tensors")), places_(desc.attrs.integers("places")) {
    require(tensors_.size() == desc.inputs.size() - 1 && places_.size() == tensors_.size(),
            "squares: a tensor and a place for each part");
    require(desc.outputs[0].dtype == DType::I32 && desc.outputs[0].elements() % 2 == 0, "squares: pairs of i32");
    std::vector<std::int64_t> sizes;
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      require_f32(desc, desc.inputs[i + 1]);
      sizes.push_back(desc.inputs[i + 1].elements());
      require(tensors_[i] >= 0 && tensors_[i] < desc.inputs[0].elements() && places_[i] >= 0 &&
                  places_[i] + ceil_div(sizes.back(), kPieceElements) <= desc.outputs[0].elements() / 2,
              "squares: a part out of range");
    }
    chunks_ = chunks_of(sizes, kPieceElements);
    bytes_ = desc.outputs[0].bytes();
  }

  void bind(const RunContext& c) override {
    std::vector<NormChunk> entries;
    for (const Chunk& chunk : chunks_) {
      const auto part = static_cast<std::size_t>(chunk.tensor);
      entries.push_back({c.in<float>(part + 1) + chunk.begin, chunk.count, static_cast<std::int32_t>(tensors_[part]),
                         static_cast<std::int32_t>(places_[part] + chunk.begin / kPieceElements)});
    }
    table_.fill(entries, c.stream);
  }

  void run(const RunContext& c) override {
    auto* sums = c.out<double>(0);
    check(cudaMemsetAsync(sums, 0, bytes_, static_cast<cudaStream_t>(c.stream)), "clearing GPU memory");
    if (chunks_.empty()) return;
    launch(sum_squares_kernel, {static_cast<unsigned>(chunks_.size()), kNormThreads}, c.stream, table_.get(),
           c.in<std::int32_t>(0), sums);
  }

 private:
  std::vector<std::int64_t> tensors_, places_;
  std::vector<Chunk> chunks_;
  Table<NormChunk> table_;
  std::size_t bytes_ = 0;
};

// Those sums -> the norm, to the bits of GradNorm.
class NormOfSquares final : public Kernel {
 public:
  explicit NormOfSquares(const OpDesc& desc) : sums_(to_int32(desc.inputs[0].elements() / 2, "sums of squares")) {
    require(desc.inputs[0].dtype == DType::I32, "normOfSquares: pairs of i32");
    require_f32(desc, desc.outputs[0]);
  }

  void run(const RunContext& c) override {
    launch(norm_kernel, {1, kTotalThreads}, c.stream, c.in<double>(0), sums_, c.out<float>(0));
  }

 private:
  std::int32_t sums_;
};

// ---- adamw ----

constexpr int kAdamwThreads = 256;

struct AdamwTensor {
  float *parameter, *gradient, *m, *v;
  Bf16* shadow;  // null without a bf16 copy
  bool decay;
};

// `hyper`: lr, beta1, beta2, epsilon, weightDecay, maxNorm, gradScale. `corrections`: 1 - beta^k of both betas.
__device__ AdamwFactors factors_of(const float* hyper, float rate, float norm, bool decays, const double* corrections) {
  const double lr = static_cast<double>(hyper[0]) * rate, beta1 = hyper[1], beta2 = hyper[2], weight_decay = hyper[4];
  const double max_norm = hyper[5], scale = hyper[6];
  const double clip = max_norm > 0 ? fmin(1.0, max_norm / (norm * scale + 1e-6)) : 1.0;
  AdamwFactors f;
  f.gradient = static_cast<float>(scale * clip);
  f.decay = decays ? static_cast<float>(1 - lr * weight_decay) : 1.0f;
  f.beta1 = hyper[1];
  f.one_minus_beta1 = static_cast<float>(1 - beta1);
  f.beta2 = hyper[2];
  f.one_minus_beta2 = static_cast<float>(1 - beta2);
  f.rate = static_cast<float>(lr / corrections[0]);
  f.inverse_correction = static_cast<float>(1 / corrections[1]);
  f.epsilon = hyper[3];
  return f;
}

// Four neighbours in bf16, one access of 8 bytes per thread.
struct alignas(8) Bf16x4 {
  Bf16 values[4];
};
__device__ __forceinline__ void store_shadow(const float (&from)[4], Bf16* to) {
  Bf16x4 four;
#pragma unroll
  for (int k = 0; k < 4; ++k) four.values[k] = from_float<Bf16>(from[k]);
  *reinterpret_cast<Bf16x4*>(to) = four;
}
__device__ __forceinline__ void store_shadow(const float (&from)[1], Bf16* to) { *to = from_float<Bf16>(from[0]); }

template <int kCount>
__device__ __forceinline__ void update(const AdamwTensor& at, const AdamwFactors& f, std::int64_t i) {
  float parameter[kCount], g[kCount], m[kCount], v[kCount], zero[kCount] = {};
  load(at.parameter + i, parameter);
  load(at.gradient + i, g);
  load(at.m + i, m);
  load(at.v + i, v);
#pragma unroll
  for (int k = 0; k < kCount; ++k) {
    g[k] *= f.gradient;
    m[k] = fmaf(f.beta1, m[k], f.one_minus_beta1 * g[k]);
    v[k] = fmaf(f.beta2, v[k], f.one_minus_beta2 * (g[k] * g[k]));
    const float denominator = sqrtf(v[k] * f.inverse_correction) + f.epsilon;
    parameter[k] = parameter[k] * f.decay - f.rate * m[k] / denominator;
  }
  store(parameter, at.parameter + i);
  store(m, at.m + i);
  store(v, at.v + i);
  store(zero, at.gradient + i);
  if (at.shadow != nullptr) store_shadow(parameter, at.shadow + i);
}

// p = p (1 - lr wd) - lr (m / (1 - beta1^k)) / (sqrt(v / (1 - beta2^k)) + epsilon), and g = 0; a norm that is not
// finite, or a count of 0, zeroes g and leaves the rest. A block has a chunk of a tensor. Its factors are computed
// once, by two of its threads (a power each, in f64), while the other blocks of the multiprocessor keep the memory at
// work. The floor is 32 bytes per element (34 with the bf16 copy) at the memory's bandwidth; one pack of four arrays is
// 64 bytes per thread in progress, some 64 KiB per multiprocessor.
__global__ void __launch_bounds__(kAdamwThreads, 4)
    adamw_kernel(const AdamwTensor* tensors, const Chunk* chunks, const float* hyper, const std::int32_t* counts,
                 const float* rates, const float* norm) {
  constexpr int kWidth = kPack<float>;
  const Chunk chunk = chunks[blockIdx.x];
  const AdamwTensor at = tensors[chunk.tensor];
  const std::int64_t end = chunk.begin + chunk.count, whole = chunk.begin + chunk.count / kWidth * kWidth;
  const std::int64_t first = chunk.begin + static_cast<std::int64_t>(threadIdx.x) * kWidth, rest = whole + threadIdx.x;

  if (!isfinite(*norm) || counts[chunk.tensor] == 0) {  // the step is skipped, its gradients are gone
    const float zero[kWidth] = {};
    for (std::int64_t i = first; i < whole; i += kAdamwThreads * kWidth) store(zero, at.gradient + i);
    if (rest < end) at.gradient[rest] = 0.0f;
    return;
  }
  __shared__ double corrections[2];
  __shared__ AdamwFactors shared;
  if (threadIdx.x < 2) {
    const double beta = hyper[1 + threadIdx.x];
    corrections[threadIdx.x] = 1 - pow(beta, static_cast<double>(counts[chunk.tensor]));
  }
  __syncthreads();
  if (threadIdx.x == 0) shared = factors_of(hyper, rates[chunk.tensor], *norm, at.decay, corrections);
  __syncthreads();
  const AdamwFactors factors = shared;
  for (std::int64_t i = first; i < whole; i += kAdamwThreads * kWidth) update<kWidth>(at, factors, i);
  if (rest < end) update<1>(at, factors, rest);
}

// (hyper, counts, rates, norm) -> in and out per tensor: parameter, gradient, m, v, and a bf16 copy where `hasShadow`
// says so.
class Adamw final : public Kernel {
 public:
  explicit Adamw(const OpDesc& desc) {
    const auto decay = desc.attrs.integers("decay"), has_shadow = desc.attrs.integers("hasShadow");
    require(decay.size() == has_shadow.size(), "adamw: 'decay' and 'hasShadow' differ in length");
    std::vector<std::int64_t> sizes;
    std::size_t output = 0;
    for (std::size_t i = 0; i < decay.size(); ++i) {
      const bool shadow = has_shadow[i] != 0;
      require(output + (shadow ? 5 : 4) <= desc.outputs.size(), "adamw: too few outputs");
      for (std::size_t j = 0; j < 4; ++j) require_f32(desc, desc.outputs[output + j]);
      if (shadow && desc.outputs[output + 4].dtype != DType::BF16) unsupported(desc, "cuda");
      sizes.push_back(desc.outputs[output].elements());
      tensors_.push_back({output, decay[i] != 0, shadow});
      output += shadow ? 5 : 4;
    }
    require(output == desc.outputs.size(), "adamw: too many outputs");
    chunks_ = chunks_of(sizes, kElements);
  }

  void bind(const RunContext& c) override {
    std::vector<AdamwTensor> entries;
    for (const Tensor& tensor : tensors_) {
      const auto at = [&](std::size_t i) { return c.out<float>(tensor.output + i); };
      auto* shadow = tensor.shadow ? c.out<Bf16>(tensor.output + 4) : nullptr;
      entries.push_back({at(0), at(1), at(2), at(3), shadow, tensor.decay});
    }
    tensor_table_.fill(entries, c.stream);
    chunk_table_.fill(chunks_, c.stream);
  }

  void run(const RunContext& c) override {
    if (chunks_.empty()) return;
    launch(adamw_kernel, {static_cast<unsigned>(chunks_.size()), kAdamwThreads}, c.stream, tensor_table_.get(),
           chunk_table_.get(), c.in<float>(0), c.in<std::int32_t>(1), c.in<float>(2), c.in<float>(3));
  }

 private:
  static constexpr std::int64_t kElements = 8192;  // 8 turns of the loop; 272 KiB of traffic, some 40 microseconds

  struct Tensor {
    std::size_t output;  // its first output
    bool decay, shadow;
  };
  std::vector<Tensor> tensors_;
  std::vector<Chunk> chunks_;
  Table<AdamwTensor> tensor_table_;
  Table<Chunk> chunk_table_;
};

template <class K>
std::unique_ptr<Kernel> make(const OpDesc& desc) {
  return std::make_unique<K>(desc);
}

}  // namespace

void register_optimizer(OpTable& table, Context& context) {
  table.add("gradNorm", make<GradNorm>);
  table.add("squares", make<Squares>);
  table.add("normOfSquares", make<NormOfSquares>);
  table.add("adamw", make<Adamw>);
  register_muon(table, context);
}

}  // namespace apollo::cuda
