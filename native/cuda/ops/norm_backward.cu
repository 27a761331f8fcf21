// layerNormBackward, residualNormBackward and the same of RMS norm: the gradients of the normalised tensor, of the
// dropped branch before it, and of weight and bias, in one pass over memory and a small second kernel. Limited by
// memory.
//
// dx = rstd (g - mean(g) - xhat mean(g xhat)) [+ dsum] with g = dy * weight and xhat = (x - mean) rstd, written as
//      rstd * g + slope * (x - mean) + shift;
// dw (+)= sum over rows of dy * xhat, db (+)= sum over rows of dy.
// RMS norm (kCentered false) has mean 0, no mean(g), so no shift, and no db.
// Fusions of fusion.h for layer norm: dy is the sum of two tensors, and the columns of dx (or of the dropped
// branch's gradient) are summed too, which is the gradient of a bias before the norm.
#include <algorithm>
#include <memory>
#include <vector>

#include "cuda/cuda.h"
#include "cuda/lib/columns.cuh"
#include "cuda/lib/intrinsics.cuh"
#include "cuda/lib/launch.cuh"
#include "cuda/ops/norm.cuh"

namespace apollo::cuda {
namespace {

// Packs a thread has of a row of kColumns columns that is spread over kSplit warps.
template <class T, int kColumns, int kSplit>
constexpr int packs_of = kColumns / (kPack<T> * kSplit * kWarp);

template <class T>
struct NormBackwardArgs {
  std::int64_t rows;
  std::int32_t columns;
  const T *dy, *x, *dsum, *addend;    // dsum and addend may be null; dy + addend is the gradient of y
  const float *mean, *rstd, *weight;  // mean is null for RMS norm
  T *dx, *dropped;                    // dropped: the gradient of the dropped branch, null without dropout
  float* partials;                    // [blocks][kSums<kCentered>][columns]
  DropoutState dropout;
};

// Sums over the rows, each a vector of `columns`; of RMS norm only the first.
enum Sum { kWeightGradient, kBiasGradient, kColumnSum, kAllSums };
template <bool kCentered>
constexpr int kSums = kCentered ? kAllSums : 1;
// The index of input dsum, where there is one, and that of the dropped branch's gradient among the outputs.
template <bool kCentered>
constexpr std::size_t kDsum = kCentered ? 5 : 4;
template <bool kCentered>
constexpr std::size_t kDropped = kCentered ? 3 : 2;

// Factors for a row's elements, from its sums of g and g (x - mean).
struct RowTerms {
  float mean, rstd, slope, shift;

  __device__ void set(float scale, float g_sum, float gx_sum) {
    slope = -rstd * rstd * rstd * (scale * gx_sum);
    shift = -rstd * (scale * g_sum);
  }
};

// dx from g and x - mean, and its dropped form, for the pack or part of one at `column`; the last of them in `out`.
template <bool kWhole, class T>
__device__ __forceinline__ void write_gradient(const NormBackwardArgs<T>& args, const Multipliers& multipliers,
                                               const RowTerms& terms, std::int64_t row, std::int32_t column,
                                               const float (&g)[kPack<T>], const float (&centered)[kPack<T>],
                                               const float (&dsum)[kPack<T>], float (&out)[kPack<T>]) {
  constexpr int kWidth = kPack<T>;
  const std::int64_t at = row * args.columns + column;
#pragma unroll
  for (int k = 0; k < kWidth; ++k) {
    out[k] = fmaf(g[k], terms.rstd, fmaf(terms.slope, centered[k], terms.shift + dsum[k]));
  }
  store_part<kWhole>(out, args.columns - column, args.dx + at);
  if (args.dropped != nullptr) {
    float multiplier[kWidth];
    fill_multipliers(multipliers, row, args.columns, column / kWidth, multiplier);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) out[k] *= multiplier[k];
    store_part<kWhole>(out, args.columns - column, args.dropped + at);
  }
}

// kSplit warps have one row of up to kColumns columns. Rows come by asynchronous copies into slots of shared memory
// that belong to one thread each, a row ahead of the one at work, so that loads are always in progress (4.5 KiB per
// warp for 768 columns of bf16, 54 KiB per multiprocessor) and registers are left for the sums: each thread keeps those
// of its columns over all rows it comes by. At the end the block's warps add theirs in order and write one partial sum
// a block. The grid is what the device holds at once, so that blocks have equal shares of the rows and partial sums are
// few. kSplit 1 needs no barrier on the way; wider rows are spread over the block. The floor is 3 passes over a tensor
// (dy, x, dx; with dsum and dropout 5) at the memory's bandwidth.
template <class T, int kColumns, int kSplit, bool kCentered>
__global__ void __launch_bounds__(kNormThreads) norm_backward_kernel(NormBackwardArgs<T> args) {
  constexpr int kWidth = kPack<T>, kLanes = kSplit * kWarp, kPacks = packs_of<T, kColumns, kSplit>;
  constexpr int kRowsAtOnce = kNormWarps / kSplit;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kLanes;
  const std::int32_t packs = args.columns / kWidth;
  const float scale = 1.0f / static_cast<float>(args.columns);
  const Multipliers multipliers(args.dropout);
  const int dsum_slot = 2, addend_slot = args.dsum != nullptr ? 3 : 2;
  const int tensors = addend_slot + (args.addend != nullptr ? 1 : 0);
  auto* shared = reinterpret_cast<Pack<T>*>(shared_memory());
  const auto slot = [&](int stage, int tensor, int i) {
    return reinterpret_cast<T*>(shared + ((stage * tensors + tensor) * kPacks + i) * kNormThreads + threadIdx.x);
  };
  const auto fetch = [&](std::int64_t row, int stage) {
    if (row < args.rows) {
#pragma unroll
      for (int i = 0; i < kPacks; ++i) {
        const std::int32_t pack = i * kLanes + lane;
        if (pack >= packs) continue;
        const std::int64_t at = row * args.columns + pack * kWidth;
        copy_async_16(slot(stage, 0, i), args.dy + at);
        copy_async_16(slot(stage, 1, i), args.x + at);
        if (args.dsum != nullptr) copy_async_16(slot(stage, dsum_slot, i), args.dsum + at);
        if (args.addend != nullptr) copy_async_16(slot(stage, addend_slot, i), args.addend + at);
      }
    }
    copy_async_commit();
  };
  const auto load_dy = [&](int stage, int i, float(&dy)[kWidth]) {
    load(slot(stage, 0, i), dy);
    if (args.addend == nullptr) return;
    float addend[kWidth];
    load(slot(stage, addend_slot, i), addend);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) dy[k] += addend[k];
  };

  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kRowsAtOnce;
  std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * kRowsAtOnce + warp / kSplit;
  float sums[kSums<kCentered>][kPacks][kWidth] = {};
  float mean = kCentered && row < args.rows ? args.mean[row] : 0.0f, rstd = row < args.rows ? args.rstd[row] : 0.0f;
  fetch(row, 0);
  for (int stage = 0; row < args.rows; row += stride, stage ^= 1) {
    RowTerms terms{mean, rstd, 0.0f, 0.0f};
    fetch(row + stride, stage ^ 1);
    if (row + stride < args.rows) {
      if constexpr (kCentered) mean = args.mean[row + stride];
      rstd = args.rstd[row + stride];
    }
    copy_async_wait<1>();

    float g_sum = 0.0f, gx_sum = 0.0f;
#pragma unroll
    for (int i = 0; i < kPacks; ++i) {
      const std::int32_t pack = i * kLanes + lane;
      if (pack >= packs) continue;
      float dy[kWidth], x[kWidth], weight[kWidth];
      load_dy(stage, i, dy);
      load(slot(stage, 1, i), x);
      load(args.weight + pack * kWidth, weight);
#pragma unroll
      for (int k = 0; k < kWidth; ++k) {
        const float centered = x[k] - terms.mean, g = dy[k] * weight[k];
        sums[kWeightGradient][i][k] = fmaf(dy[k], centered * terms.rstd, sums[kWeightGradient][i][k]);
        if constexpr (kCentered) {
          sums[kBiasGradient][i][k] += dy[k];
          g_sum += g;
        }
        gx_sum = fmaf(g, centered, gx_sum);
      }
    }
    if constexpr (kCentered) g_sum = warp_sum(g_sum);
    gx_sum = warp_sum(gx_sum);
    if constexpr (kSplit > 1) {
      __shared__ float exchange[2][2][kNormWarps];  // two places take turns, so that one barrier a row is enough
      if (threadIdx.x % kWarp == 0) {
        exchange[stage][0][warp] = g_sum;
        exchange[stage][1][warp] = gx_sum;
      }
      __syncthreads();
      g_sum = exchange[stage][0][0];
      gx_sum = exchange[stage][1][0];
#pragma unroll
      for (int w = 1; w < kSplit; ++w) {
        g_sum += exchange[stage][0][w];
        gx_sum += exchange[stage][1][w];
      }
    } else {
      __syncwarp();  // for the compiler: it shall read the row again, and not hold it in registers meanwhile
    }
    terms.set(scale, g_sum, gx_sum);

#pragma unroll
    for (int i = 0; i < kPacks; ++i) {
      const std::int32_t pack = i * kLanes + lane;
      if (pack >= packs) continue;
      float g[kWidth], centered[kWidth], weight[kWidth], out[kWidth], dsum[kWidth] = {};
      load_dy(stage, i, g);
      load(slot(stage, 1, i), centered);
      if (args.dsum != nullptr) load(slot(stage, dsum_slot, i), dsum);
      load(args.weight + pack * kWidth, weight);
#pragma unroll
      for (int k = 0; k < kWidth; ++k) {
        g[k] *= weight[k];
        centered[k] -= terms.mean;
      }
      write_gradient<true>(args, multipliers, terms, row, pack * kWidth, g, centered, dsum, out);
      if constexpr (kCentered) {
#pragma unroll
        for (int k = 0; k < kWidth; ++k) sums[kColumnSum][i][k] += out[k];
      }
    }
  }
  copy_async_wait<0>();

  float* partial = args.partials + static_cast<std::int64_t>(blockIdx.x) * kSums<kCentered> * args.columns;
  if constexpr (kSplit > 1) {
#pragma unroll
    for (int i = 0; i < kPacks; ++i) {
      const std::int32_t pack = i * kLanes + lane;
      if (pack >= packs) continue;
#pragma unroll
      for (int sum = 0; sum < kSums<kCentered>; ++sum)
        store(sums[sum][i], partial + sum * args.columns + pack * kWidth);
    }
  } else {
    auto* combined = reinterpret_cast<float*>(shared);  // [kSums<kCentered>][kColumns]
    __syncthreads();                                    // the slots are free
    for (int turn = 0; turn < kNormWarps; ++turn) {
      if (warp == turn) {
#pragma unroll
        for (int sum = 0; sum < kSums<kCentered>; ++sum) {
#pragma unroll
          for (int i = 0; i < kPacks; ++i) {
            float* at = combined + sum * kColumns + (i * kWarp + lane) * kWidth;
            float before[kWidth] = {};
            if (warp > 0) load(at, before);
#pragma unroll
            for (int k = 0; k < kWidth; ++k) sums[sum][i][k] += before[k];
            store(sums[sum][i], at);
          }
        }
      }
      __syncthreads();
    }
    for (std::int32_t c = static_cast<std::int32_t>(threadIdx.x); c < args.columns; c += kNormThreads) {
#pragma unroll
      for (int sum = 0; sum < kSums<kCentered>; ++sum) partial[sum * args.columns + c] = combined[sum * kColumns + c];
    }
  }
}

// The same for any width: a block has kWideRows rows at a time. The first pass over them finds their terms, the second
// (from the caches) writes dx and adds to the block's partial sums in memory once for all of them; a thread meets the
// same columns in each turn.
constexpr int kWideRows = 4;

template <class T, bool kWhole, bool kCentered>
__global__ void __launch_bounds__(kWideThreads) norm_backward_wide_kernel(NormBackwardArgs<T> args) {
  constexpr int kWidth = kPack<T>;
  const std::int32_t columns = args.columns;
  const float scale = 1.0f / static_cast<float>(columns);
  const Multipliers multipliers(args.dropout);
  const std::int32_t own = static_cast<std::int32_t>(threadIdx.x) * kWidth;
  float* partial = args.partials + static_cast<std::int64_t>(blockIdx.x) * kSums<kCentered> * columns;
  const auto load_dy = [&](std::int64_t row, std::int32_t c, float(&dy)[kWidth]) {
    load_part<kWhole>(args.dy + row * columns + c, columns - c, dy);
    if (args.addend == nullptr) return;
    float addend[kWidth];
    load_part<kWhole>(args.addend + row * columns + c, columns - c, addend);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) dy[k] += addend[k];
  };

  bool adds = false;
  for (std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * kWideRows; first < args.rows;
       first += static_cast<std::int64_t>(gridDim.x) * kWideRows) {
    const int rows = static_cast<int>(min(static_cast<std::int64_t>(kWideRows), args.rows - first));
    RowTerms terms[kWideRows];
#pragma unroll
    for (int r = 0; r < kWideRows; ++r) {
      if (r >= rows) break;
      const std::int64_t offset = (first + r) * columns;
      terms[r] = {kCentered ? args.mean[first + r] : 0.0f, args.rstd[first + r], 0.0f, 0.0f};
      float g_sum = 0.0f, gx_sum = 0.0f;
      for (std::int32_t c = own; c < columns; c += kWideThreads * kWidth) {
        float g[kWidth], x[kWidth], weight[kWidth];
        load_dy(first + r, c, g);
        load_part<kWhole>(args.x + offset + c, columns - c, x);
        load_part<kWhole>(args.weight + c, columns - c, weight);
#pragma unroll
        for (int k = 0; k < kWidth; ++k) {  // past the end, dy is 0
          if constexpr (kCentered) g_sum = fmaf(g[k], weight[k], g_sum);
          gx_sum = fmaf(g[k] * weight[k], x[k] - terms[r].mean, gx_sum);
        }
      }
      if constexpr (kCentered) g_sum = block_sum<kWideThreads>(g_sum);
      gx_sum = block_sum<kWideThreads>(gx_sum);
      terms[r].set(scale, g_sum, gx_sum);
    }
    for (std::int32_t c = own; c < columns; c += kWideThreads * kWidth) {
      float weight[kWidth], sums[kSums<kCentered>][kWidth] = {};
      load_part<kWhole>(args.weight + c, columns - c, weight);
      if (adds) {
#pragma unroll
        for (int sum = 0; sum < kSums<kCentered>; ++sum) {
          load_part<kWhole>(partial + sum * columns + c, columns - c, sums[sum]);
        }
      }
#pragma unroll
      for (int r = 0; r < kWideRows; ++r) {
        if (r >= rows) break;
        const std::int64_t at = (first + r) * columns + c;
        float g[kWidth], centered[kWidth], out[kWidth], dsum[kWidth] = {};
        load_dy(first + r, c, g);
        load_part<kWhole>(args.x + at, columns - c, centered);
        if (args.dsum != nullptr) load_part<kWhole>(args.dsum + at, columns - c, dsum);
#pragma unroll
        for (int k = 0; k < kWidth; ++k) {
          centered[k] -= terms[r].mean;
          sums[kWeightGradient][k] = fmaf(g[k], centered[k] * terms[r].rstd, sums[kWeightGradient][k]);
          if constexpr (kCentered) sums[kBiasGradient][k] += g[k];
          g[k] *= weight[k];
        }
        write_gradient<kWhole>(args, multipliers, terms[r], first + r, c, g, centered, dsum, out);
        if constexpr (kCentered) {
#pragma unroll
          for (int k = 0; k < kWidth; ++k) sums[kColumnSum][k] += out[k];
        }
      }
#pragma unroll
      for (int sum = 0; sum < kSums<kCentered>; ++sum) {
        store_part<kWhole>(sums[sum], columns - c, partial + sum * columns + c);
      }
    }
    adds = true;
  }
}

// layerNormBackward (dy, x, mean, rstd, w, [addend]) -> (dx, dw, db) and residualNormBackward (dy, sum, mean, rstd, w,
// [dsum], [rng], [addend]) -> (dResidual, dw, db, [dx], [column sums]); rmsNormBackward and residualRmsNormBackward
// (kCentered false) are the same without mean, db and what is added on request.
template <class T, bool kCentered>
class NormBackward final : public Kernel {
 public:
  NormBackward(const OpDesc& desc, const NormShape& shape, Context& context)
      : shape_(shape), has_dsum_(desc.attrs.flag("hasDsum")), has_addend_(desc.attrs.flag("hasAddend")) {
    const std::size_t last = desc.outputs.size() - 1;
    outputs_.push_back(1);
    if (kCentered) outputs_.push_back(2);
    if (desc.attrs.flag("columnSum")) outputs_.push_back(last);
    for (const std::size_t output : outputs_) accumulate_.push_back(desc.accumulates(output));
    choose(context.properties.sharedMemPerBlockOptin);
    allow_shared(kernel_, shared_);
    int resident = 0;
    check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, kernel_, threads_, shared_),
          "reading a kernel's needs");
    const std::int64_t held = static_cast<std::int64_t>(std::max(resident, 1)) * context.multiprocessors();
    blocks_ = std::min(held, ceil_div(shape.rows, rows_at_once_));
  }

  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(blocks_ * kSums<kCentered> * shape_.columns) * sizeof(float);
  }

  void run(const RunContext& c) override {
    NormBackwardArgs<T> args{};
    args.rows = shape_.rows;
    args.columns = shape_.columns;
    args.dy = c.in<T>(0);
    args.x = c.in<T>(1);
    if constexpr (kCentered) args.mean = c.in<float>(2);
    args.rstd = c.in<float>(kDsum<kCentered> - 2);
    args.weight = c.in<float>(kDsum<kCentered> - 1);
    if (has_dsum_) args.dsum = c.in<T>(kDsum<kCentered>);
    if (has_addend_) args.addend = c.in<T>(c.inputs.size() - 1);
    args.dx = c.out<T>(0);
    if (shape_.drops) {
      args.dropped = c.out<T>(kDropped<kCentered>);
      args.dropout = {shape_.dropout, c.in<std::int32_t>(kDsum<kCentered> + (has_dsum_ ? 1 : 0))};
    }
    args.partials = static_cast<float*>(c.scratch);
    if (blocks_ > 0) {
      launch(kernel_, {static_cast<unsigned>(blocks_), static_cast<unsigned>(threads_), shared_}, c.stream, args);
    }
    if (shape_.columns > 0) add_partials(c, args.partials);
  }

 private:
  void add_partials(const RunContext& c, const float* partials) const {
    const std::int64_t columns = shape_.columns, stride = kSums<kCentered> * columns;
    const auto sums = [&](std::size_t i) {
      return ColumnSums<float>{partials + static_cast<std::int64_t>(i) * columns, c.out<float>(outputs_[i]),
                               accumulate_[i]};
    };
    // Two parameters of a graph may be one of the store's: sums into the same memory follow each other.
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        if (c.outputs[outputs_[i]] != c.outputs[outputs_[j]]) continue;
        for (std::size_t k = 0; k < outputs_.size(); ++k) {
          column_sums<float, 1>({sums(k)}, blocks_, stride, columns, c.stream);
        }
        return;
      }
    }
    if constexpr (!kCentered) {
      column_sums<float, 1>({sums(0)}, blocks_, stride, columns, c.stream);
    } else if (outputs_.size() == kAllSums) {
      column_sums<float, 1>({sums(0), sums(1), sums(2)}, blocks_, stride, columns, c.stream);
    } else {
      column_sums<float, 1>({sums(0), sums(1)}, blocks_, stride, columns, c.stream);
    }
  }

  template <int kColumns, int kSplit>
  void use_warps() {
    kernel_ = norm_backward_kernel<T, kColumns, kSplit, kCentered>;
    threads_ = kNormThreads;
    rows_at_once_ = kNormWarps / kSplit;
    const int tensors = 2 + (has_dsum_ ? 1 : 0) + (has_addend_ ? 1 : 0);
    const std::size_t slots = static_cast<std::size_t>(2 * tensors * packs_of<T, kColumns, kSplit>);
    shared_ = slots * kNormThreads * sizeof(Pack<T>);
  }
  void use_wide() {
    kernel_ = shape_.whole_packs() ? norm_backward_wide_kernel<T, true, kCentered>
                                   : norm_backward_wide_kernel<T, false, kCentered>;
    threads_ = kWideThreads;
    rows_at_once_ = kWideRows;
    shared_ = 0;
  }

  void choose(std::size_t most_shared) {
    if (!shape_.whole_packs() || shape_.columns > 4096) {
      use_wide();
    } else if (shape_.columns <= 256) {
      use_warps<256, 1>();
    } else if (shape_.columns <= 512) {
      use_warps<512, 1>();
    } else if (shape_.columns <= 768) {
      use_warps<768, 1>();
    } else if (shape_.columns <= 1024) {
      use_warps<1024, 1>();
    } else if (shape_.columns <= 2048) {
      use_warps<2048, kNormWarps>();
    } else {
      use_warps<4096, kNormWarps>();
    }
    if (shared_ > most_shared) use_wide();  // rows of f32 where a block may have less than 128 KiB
  }

  NormShape shape_;
  bool has_dsum_, has_addend_;
  std::vector<std::size_t> outputs_;  // those that are sums over rows
  std::vector<bool> accumulate_;
  void (*kernel_)(NormBackwardArgs<T>) = nullptr;
  int threads_ = 0, rows_at_once_ = 1;
  std::size_t shared_ = 0;
  std::int64_t blocks_ = 0;
};

template <bool kCentered>
std::unique_ptr<Kernel> make(const OpDesc& desc, Context& context) {
  const NormShape shape(desc, desc.inputs[1]);
  bool same = desc.inputs[0].dtype == shape.dtype && desc.outputs[0].dtype == shape.dtype;
  if (desc.attrs.flag("hasDsum")) same = same && desc.inputs[kDsum<kCentered>].dtype == shape.dtype;
  if (desc.attrs.flag("hasAddend")) same = same && desc.inputs.back().dtype == shape.dtype;
  if (shape.drops) same = same && desc.outputs[kDropped<kCentered>].dtype == shape.dtype;
  if (!same) unsupported(desc, "cuda");
  if (shape.dtype == DType::F32) return std::make_unique<NormBackward<float, kCentered>>(desc, shape, context);
  return std::make_unique<NormBackward<Bf16, kCentered>>(desc, shape, context);
}

}  // namespace

void register_norm_backward(OpTable& table, Context& context) {
  const KernelFactory centered = [&context](const OpDesc& desc) { return make<true>(desc, context); };
  const KernelFactory uncentered = [&context](const OpDesc& desc) { return make<false>(desc, context); };
  table.add("layerNormBackward", centered);
  table.add("residualNormBackward", centered);
  table.add("rmsNormBackward", uncentered);
  table.add("residualRmsNormBackward", uncentered);
}

}  // namespace apollo::cuda
