// muon (Keller Jordan et al., 2024): momentum, its orthogonalisation by Newton-Schulz iterations, and the update. The
// iterations are products of cuBLASLt over batches of matrices of one shape, limited by FLOPs: 4 m^2 n + 2 m^3 each for
// [m, n] with m <= n. What is between them passes over memory once. Nothing is read back: which tensors are updated
// is looked up by the kernels.
#include <algorithm>
#include <memory>
#include <vector>

#include "core/muon.h"
#include "cuda/blas/blas_product.h"
#include "cuda/cuda.h"
#include "cuda/lib/block.cuh"
#include "cuda/lib/launch.cuh"
#include "cuda/lib/table.cuh"
#include "cuda/lib/vector.cuh"
#include "cuda/ops/elementwise.cuh"

namespace apollo::cuda {
namespace {

constexpr int kMuonThreads = 256;
// Elements of a matrix that a block has: 4 packs of f32 a thread.
constexpr std::int64_t kMuonChunk = 4 * kMuonThreads * kPack<float>;
// Elements of a batch: 64 MiB of f32.
constexpr std::int64_t kBatchElements = std::int64_t{1} << 24;

// A matrix within its parameter, whose rows are `stride` apart.
struct MuonPlace {
  float *parameter, *gradient, *momentum;
  Bf16* shadow;  // null without a bf16 copy
  std::int64_t stride;
  std::int32_t tensor;
  bool decay;
};

// Arguments shared by all kernels of a run. `hyper`: lr, momentum, weightDecay, maxNorm, gradScale.
struct MuonStep {
  const float* hyper;
  const std::int32_t* counts;
  const float *rates, *norm;

  __device__ bool active(const MuonPlace& at) const { return isfinite(*norm) && counts[at.tensor] != 0; }
};

// Calls body(element within the matrix, element within the parameter) for each pack of a block's chunk of a matrix
// [elements / columns, columns]; packs of kWidth divide the columns.
template <int kWidth, class Body>
__device__ __forceinline__ void each_pack(std::int64_t elements, std::int64_t columns, std::int64_t stride,
                                          const Body& body) {
  const std::int64_t begin = static_cast<std::int64_t>(blockIdx.x) * kMuonChunk;
  const std::int64_t end = begin + kMuonChunk < elements ? begin + kMuonChunk : elements;
  for (std::int64_t i = begin + static_cast<std::int64_t>(threadIdx.x) * kWidth; i < end; i += kMuonThreads * kWidth) {
    const std::int64_t row = i / columns;
    body(i, row * stride + (i - row * columns));
  }
}

// momentum = mu momentum + (1 - mu) g; x = the same again with Nesterov, else momentum; g = 0. sums[matrix][block] =
// sum of x^2 over the chunk, in f64. Tensors that are not updated: g = 0 and x = 0. Grid: chunks x matrices. Floor: 28
// bytes per element.
template <int kWidth>
__global__ void __launch_bounds__(kMuonThreads)
    muon_momentum_kernel(const MuonPlace* places, MuonStep step, std::int64_t elements, std::int64_t columns,
                         bool nesterov, float* stack, double* sums) {
  const MuonPlace at = places[blockIdx.y];
  float* x = stack + blockIdx.y * elements;
  const bool active = step.active(at);
  const double mu = step.hyper[1], max_norm = step.hyper[3], scale = step.hyper[4];
  const double clip = max_norm > 0 ? fmin(1.0, max_norm / (*step.norm * scale + 1e-6)) : 1.0;
  const float gradient = static_cast<float>(scale * clip), kept = step.hyper[1], added = static_cast<float>(1 - mu);
  double sum = 0.0;
  each_pack<kWidth>(elements, columns, at.stride, [&](std::int64_t i, std::int64_t in_parameter) {
    float to[kWidth] = {}, zero[kWidth] = {};
    if (active) {
      float g[kWidth], m[kWidth];
      load(at.gradient + in_parameter, g);
      load(at.momentum + in_parameter, m);
#pragma unroll
      for (int k = 0; k < kWidth; ++k) {
        g[k] *= gradient;
        m[k] = fmaf(kept, m[k], added * g[k]);
        to[k] = nesterov ? fmaf(kept, m[k], added * g[k]) : m[k];
        sum = fma(static_cast<double>(to[k]), static_cast<double>(to[k]), sum);
      }
      store(m, at.momentum + in_parameter);
    }
    store(to, x + i);
    store(zero, at.gradient + in_parameter);
  });
  sum = block_sum<kMuonThreads>(sum);
  if (threadIdx.x == 0) sums[static_cast<std::int64_t>(blockIdx.y) * gridDim.x + blockIdx.x] = sum;
}

// scales[matrix] = 1 / max(norm, epsilon), from its chunks' sums in a fixed order. Grid: matrices.
__global__ void __launch_bounds__(kMuonThreads)
    muon_scale_kernel(const double* sums, std::int32_t chunks, float* scales) {
  double sum = 0.0;
  for (auto i = static_cast<std::int32_t>(threadIdx.x); i < chunks; i += kMuonThreads) {
    sum += sums[static_cast<std::int64_t>(blockIdx.x) * chunks + i];
  }
  sum = block_sum<kMuonThreads>(sum);
  if (threadIdx.x == 0) scales[blockIdx.x] = 1.0f / fmaxf(static_cast<float>(sqrt(sum)), kMuonEpsilon);
}

// operand = scale x, in the products' dtype, and x = a scale x, to which a product will be added. Without `scales`: 1.
template <class T>
struct MuonOperand {
  static constexpr int kWidth = kPack<Bf16>;
  float* x;
  T* operand;
  const float* scales;
  std::int64_t elements;  // of a matrix

  template <int kCount>
  __device__ void at(std::int64_t i) const {
    float v[kCount], grown[kCount];
    load(x + i, v);
#pragma unroll
    for (int k = 0; k < kCount; ++k) {
      if (scales != nullptr) v[k] *= scales[(i + k) / elements];  // a pack may cross from one matrix into the next
      grown[k] = v[k] * kMuonA;
    }
    store(v, operand + i);
    store(grown, x + i);
  }
};

// polynomial = b gram + c square, in the products' dtype.
template <class T>
struct MuonPolynomial {
  static constexpr int kWidth = kPack<T>;
  const T* gram;
  const float* square;
  T* polynomial;

  template <int kCount>
  __device__ void at(std::int64_t i) const {
    float g[kCount], s[kCount];
    load(gram + i, g);
    load(square + i, s);
#pragma unroll
    for (int k = 0; k < kCount; ++k) g[k] = fmaf(kMuonB, g[k], kMuonC * s[k]);
    store(g, polynomial + i);
  }
};

// p = p (1 - lr wd) - lr adjustment x, and its bf16 copy where there is one. Grid as for the momentum. Floor: 12 bytes
// an element (14 with the copy).
template <int kWidth>
__global__ void __launch_bounds__(kMuonThreads)
    muon_update_kernel(const MuonPlace* places, MuonStep step, std::int64_t elements, std::int64_t columns,
                       double adjustment, const float* stack) {
  const MuonPlace at = places[blockIdx.y];
  if (!step.active(at)) return;
  const float* x = stack + blockIdx.y * elements;
  const double lr = static_cast<double>(step.hyper[0]) * step.rates[at.tensor];
  const float decay = at.decay ? static_cast<float>(1 - lr * static_cast<double>(step.hyper[2])) : 1.0f;
  const auto rate = static_cast<float>(lr * adjustment);
  each_pack<kWidth>(elements, columns, at.stride, [&](std::int64_t i, std::int64_t in_parameter) {
    float p[kWidth], v[kWidth];
    load(at.parameter + in_parameter, p);
    load(x + i, v);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) p[k] = fmaf(-rate, v[k], decay * p[k]);
    store(p, at.parameter + in_parameter);
    if (at.shadow != nullptr) {
#pragma unroll
      for (int k = 0; k < kWidth; ++k) at.shadow[in_parameter + k] = from_float<Bf16>(p[k]);
    }
  });
}

// The products of an iteration over a batch: with G = X X^T (X^T X where X is tall), G^2, and X += P X (X P).
struct Iteration {
  Iteration(Context& context, const MuonBatch& batch, DType dtype)
      : gram(context, gram_of(batch, dtype)),
        square(context, square_of(batch, dtype)),
        add(context, add_of(batch, dtype)) {}

  BlasProduct gram, square, add;

 private:
  static BlasProductDesc gram_of(const MuonBatch& batch, DType dtype) {
    BlasProductDesc desc = common(batch, dtype, dtype);
    desc.m = desc.n = desc.ldc = batch.side();
    desc.k = std::max(batch.rows, batch.columns);
    desc.trans_a = batch.tall();
    desc.trans_b = !batch.tall();
    desc.lda = desc.ldb = batch.columns;
    desc.stride_a = desc.stride_b = batch.rows * batch.columns;
    desc.stride_c = batch.side() * batch.side();
    return desc;
  }
  static BlasProductDesc square_of(const MuonBatch& batch, DType dtype) {
    BlasProductDesc desc = common(batch, dtype, DType::F32);
    desc.m = desc.n = desc.k = desc.lda = desc.ldb = desc.ldc = batch.side();
    desc.stride_a = desc.stride_b = desc.stride_c = batch.side() * batch.side();
    return desc;
  }
  static BlasProductDesc add_of(const MuonBatch& batch, DType dtype) {
    BlasProductDesc desc = common(batch, dtype, DType::F32);
    const std::int64_t side = batch.side(), matrix = batch.rows * batch.columns;
    desc.m = batch.rows;
    desc.n = desc.ldc = batch.columns;
    desc.k = side;
    desc.lda = batch.tall() ? batch.columns : side;
    desc.ldb = batch.tall() ? side : batch.columns;
    desc.stride_a = batch.tall() ? matrix : side * side;
    desc.stride_b = batch.tall() ? side * side : matrix;
    desc.stride_c = matrix;
    desc.accumulate = true;
    return desc;
  }
  static BlasProductDesc common(const MuonBatch& batch, DType dtype, DType out) {
    BlasProductDesc desc;
    desc.dtype = dtype;
    desc.out = out;
    desc.batch = batch.count();
    return desc;
  }
};

// Where a batch's arrays are in scratch memory, behind the products' workspace.
struct Layout {
  std::size_t x, operand, gram, square, polynomial, sums, scales, bytes;
  std::int64_t chunks;  // of a matrix

  Layout(const MuonBatch& batch, std::size_t element_bytes) : chunks(ceil_div(batch.rows * batch.columns, kMuonChunk)) {
    std::size_t next = BlasProduct::kWorkspaceBytes;
    const auto place = [&](std::int64_t elements, std::size_t size) {
      const std::size_t at = next;
      next += (static_cast<std::size_t>(elements) * size + 255) / 256 * 256;
      return at;
    };
    x = place(batch.elements(), sizeof(float));
    operand = place(batch.elements(), element_bytes);
    gram = place(batch.gram_elements(), element_bytes);
    square = place(batch.gram_elements(), sizeof(float));
    polynomial = place(batch.gram_elements(), element_bytes);
    sums = place(batch.count() * chunks, sizeof(double));
    scales = place(batch.count(), sizeof(float));
    bytes = next;
  }
};

// (hyper, counts, rates, norm) -> in and out per tensor: parameter, gradient, momentum, and a bf16 copy where
// `hasShadow` says so.
class Muon final : public Kernel {
 public:
  Muon(const OpDesc& desc, Context& context) : plan_(desc, "cuda", kBatchElements) {
    for (const MuonBatch& batch : plan_.batches) {
      iterations_.push_back(std::make_unique<Iteration>(context, batch, plan_.bf16 ? DType::BF16 : DType::F32));
      layouts_.emplace_back(batch, plan_.bf16 ? sizeof(Bf16) : sizeof(float));
      scratch_bytes_ = std::max(scratch_bytes_, layouts_.back().bytes);
    }
    tables_.resize(plan_.batches.size());
  }

  std::size_t scratch_bytes() const override { return scratch_bytes_; }

  void tune(std::span<std::byte> arena, void* stream) override {
    for (const auto& iteration : iterations_) {
      for (BlasProduct* product : {&iteration->gram, &iteration->square, &iteration->add}) {
        product->tune(arena, static_cast<cudaStream_t>(stream));
      }
    }
  }

  void bind(const RunContext& c) override {
    for (std::size_t i = 0; i < plan_.batches.size(); ++i) {
      std::vector<MuonPlace> places;
      for (const MuonMatrix& matrix : plan_.batches[i].matrices) {
        const MuonTensor& tensor = plan_.tensors[matrix.tensor];
        const auto at = [&](std::size_t output) { return c.out<float>(tensor.output + output) + matrix.column; };
        auto* shadow = tensor.shadow ? c.out<Bf16>(tensor.output + 3) + matrix.column : nullptr;
        places.push_back(
            {at(0), at(1), at(2), shadow, tensor.columns, static_cast<std::int32_t>(matrix.tensor), tensor.decay});
      }
      tables_[i].fill(places, c.stream);
    }
  }

  void run(const RunContext& c) override {
    for (std::size_t i = 0; i < plan_.batches.size(); ++i) {
      plan_.bf16 ? run_batch<Bf16>(c, i) : run_batch<float>(c, i);
    }
  }

 private:
  // Whether every row of every matrix begins at a whole pack of f32.
  bool packed(const MuonBatch& batch) const {
    constexpr std::int64_t kWidth = kPack<float>;
    return batch.columns % kWidth == 0 &&
           std::all_of(batch.matrices.begin(), batch.matrices.end(), [&](const MuonMatrix& matrix) {
             return matrix.column % kWidth == 0 && plan_.tensors[matrix.tensor].columns % kWidth == 0;
           });
  }

  template <class T>
  void run_batch(const RunContext& c, std::size_t index) {
    const MuonBatch& batch = plan_.batches[index];
    const Layout& layout = layouts_[index];
    const Iteration& iteration = *iterations_[index];
    auto* scratch = static_cast<std::byte*>(c.scratch);
    auto* x = reinterpret_cast<float*>(scratch + layout.x);
    auto* operand = reinterpret_cast<T*>(scratch + layout.operand);
    auto* gram = reinterpret_cast<T*>(scratch + layout.gram);
    auto* square = reinterpret_cast<float*>(scratch + layout.square);
    auto* polynomial = reinterpret_cast<T*>(scratch + layout.polynomial);
    auto* sums = reinterpret_cast<double*>(scratch + layout.sums);
    auto* scales = reinterpret_cast<float*>(scratch + layout.scales);
    const auto stream = static_cast<cudaStream_t>(c.stream);
    const MuonStep step{c.in<float>(0), c.in<std::int32_t>(1), c.in<float>(2), c.in<float>(3)};
    const std::int64_t elements = batch.rows * batch.columns;
    const auto count = static_cast<unsigned>(batch.count());
    const Launch by_chunk{dim3(static_cast<unsigned>(layout.chunks), count), kMuonThreads};
    const bool packs = packed(batch);

    launch(packs ? muon_momentum_kernel<kPack<float>> : muon_momentum_kernel<1>, by_chunk, c.stream,
           tables_[index].get(), step, elements, batch.columns, plan_.nesterov, x, sums);
    launch(muon_scale_kernel, {count, kMuonThreads}, c.stream, sums, static_cast<std::int32_t>(layout.chunks), scales);
    for (std::int64_t i = 0; i < plan_.iterations; ++i) {
      each(batch.elements(), MuonOperand<T>{x, operand, i == 0 ? scales : nullptr, elements}, c.stream);
      iteration.gram.run({operand, operand, gram}, scratch, stream);
      iteration.square.run({gram, gram, square}, scratch, stream);
      each(batch.gram_elements(), MuonPolynomial<T>{gram, square, polynomial}, c.stream);
      const void *left = batch.tall() ? operand : polynomial, *right = batch.tall() ? polynomial : operand;
      iteration.add.run({left, right, x}, scratch, stream);
    }
    launch(packs ? muon_update_kernel<kPack<float>> : muon_update_kernel<1>, by_chunk, c.stream, tables_[index].get(),
           step, elements, batch.columns, muon_adjustment(plan_.match_rms, batch.rows, batch.columns), x);
  }

  MuonPlan plan_;
  std::vector<std::unique_ptr<Iteration>> iterations_;
  std::vector<Layout> layouts_;
  std::vector<Table<MuonPlace>> tables_;
  std::size_t scratch_bytes_ = 0;
};

}  // namespace

void register_muon(OpTable& table, Context& context) { table.add("muon", factory_of<Muon>(context)); }

}  // namespace apollo::cuda
