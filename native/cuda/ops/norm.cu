// Layer norm over the last axis (Ba et al., arXiv 1607.06450) and RMS norm (Zhang and Sennrich, arXiv 1910.07467),
// alone and fused with the residual addition and dropout before them. RMS norm is layer norm without centring: its mean
// is 0 and it has no bias. Statistics are f32 and taken from the values as stored, so that the backward pass
// (norm_backward.cu) sees the same x. Limited by memory: each tensor is read or written once.
#include <memory>

#include "cuda/cuda.h"
#include "cuda/lib/launch.cuh"
#include "cuda/ops/norm.cuh"

namespace apollo::cuda {
namespace {

template <class T>
struct NormArgs {
  std::int64_t rows;
  std::int32_t columns;
  float epsilon;
  const T *x, *residual;       // residual and sum are null for a norm without residual, which normalises x itself
  const float *weight, *bias;  // bias and mean are null for RMS norm
  T *y, *sum;
  float *mean, *rstd;
  DropoutState dropout;
};

// v = residual + v * multiplier, rounded as it is stored
template <class T>
__device__ __forceinline__ Pack<T> add_residual(const NormArgs<T>& args, const Multipliers& multipliers,
                                                std::int64_t row, std::int32_t pack, const Pack<T>& residual,
                                                float (&v)[kPack<T>]) {
  float r[kPack<T>];
  to_floats(residual, r);
  if (args.dropout.drops()) {
    float multiplier[kPack<T>];
    fill_multipliers(multipliers, row, args.columns, pack, multiplier);
#pragma unroll
    for (int k = 0; k < kPack<T>; ++k) v[k] = fmaf(v[k], multiplier[k], r[k]);
  } else {
#pragma unroll
    for (int k = 0; k < kPack<T>; ++k) v[k] += r[k];
  }
  const Pack<T> stored = to_pack<T>(v);
  to_floats(stored, v);
  return stored;
}

// v * rstd * weight [+ bias], the norm of centered values.
template <bool kCentered>
__device__ __forceinline__ float normalised(float v, float rstd, float weight, float bias) {
  return kCentered ? fmaf(v * rstd, weight, bias) : v * rstd * weight;
}

// [sum = residual + x * multiplier], [mean] and rstd of x (or sum) by row, y = (x - mean) * rstd * weight [+ bias].
// A warp has one row of up to kColumns columns and keeps it in registers, so memory sees each tensor once; the variance
// is the mean of squared distances from the mean, a second pass that costs no memory. Weight and bias come from the
// first-level cache. The floor is 2 passes over a tensor (4 with the residual) at the memory's bandwidth. In progress
// are all packs of x and residual of a row: 3 KiB per warp for 768 columns of bf16, with 32 warps per multiprocessor or
// more.
template <class T, int kColumns, bool kCentered>
__global__ void __launch_bounds__(kNormThreads) norm_kernel(NormArgs<T> args) {
  constexpr int kWidth = kPack<T>, kPacks = kColumns / (kWidth * kWarp);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * kNormWarps + threadIdx.x / kWarp;
  if (row >= args.rows) return;
  const std::int32_t packs = args.columns / kWidth;
  const std::int64_t offset = row * args.columns;

  // All loads before the first use.
  Pack<T> x[kPacks], residual[kPacks];
#pragma unroll
  for (int i = 0; i < kPacks; ++i) {
    const std::int32_t pack = i * kWarp + lane;
    if (pack < packs) x[i] = load_pack(args.x + offset + pack * kWidth);
  }
  if (args.residual != nullptr) {
#pragma unroll
    for (int i = 0; i < kPacks; ++i) {
      const std::int32_t pack = i * kWarp + lane;
      if (pack < packs) residual[i] = load_pack(args.residual + offset + pack * kWidth);
    }
  }

  float v[kPacks][kWidth];
#pragma unroll
  for (int i = 0; i < kPacks; ++i) {
    if (i * kWarp + lane < packs) {
      to_floats(x[i], v[i]);
    } else {
#pragma unroll
      for (float& element : v[i]) element = 0.0f;
    }
  }
  if (args.residual != nullptr) {
    const Multipliers multipliers(args.dropout);
#pragma unroll
    for (int i = 0; i < kPacks; ++i) {
      const std::int32_t pack = i * kWarp + lane;
      if (pack >= packs) continue;
      store_pack(args.sum + offset + pack * kWidth, add_residual(args, multipliers, row, pack, residual[i], v[i]));
    }
  }

  const float scale = 1.0f / static_cast<float>(args.columns);
  float mean = 0.0f, squares = 0.0f;
  if constexpr (kCentered) {
    float total = 0.0f;
#pragma unroll
    for (int i = 0; i < kPacks; ++i) {
#pragma unroll
      for (const float element : v[i]) total += element;
    }
    mean = scale * warp_sum(total);
  }
#pragma unroll
  for (int i = 0; i < kPacks; ++i) {
    if (i * kWarp + lane >= packs) continue;
#pragma unroll
    for (float& element : v[i]) {
      if constexpr (kCentered) element -= mean;
      squares = fmaf(element, element, squares);
    }
  }
  const float rstd = 1.0f / sqrtf(fmaf(scale, warp_sum(squares), args.epsilon));
  if (lane == 0) {
    if constexpr (kCentered) args.mean[row] = mean;
    args.rstd[row] = rstd;
  }
#pragma unroll
  for (int i = 0; i < kPacks; ++i) {
    const std::int32_t pack = i * kWarp + lane;
    if (pack >= packs) continue;
    float weight[kWidth], bias[kWidth] = {};
    load(args.weight + pack * kWidth, weight);
    if constexpr (kCentered) load(args.bias + pack * kWidth, bias);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) v[i][k] = normalised<kCentered>(v[i][k], rstd, weight[k], bias[k]);
    store(v[i], args.y + offset + pack * kWidth);
  }
}

// The same for any width, a block a row: three passes (two for RMS norm, which needs no mean), of which all but the
// first find the row in the caches. Each thread meets the same columns in all of them. kWhole: rows of whole packs;
// otherwise element by element.
template <class T, bool kWhole, bool kCentered>
__global__ void __launch_bounds__(kWideThreads) norm_wide_kernel(NormArgs<T> args) {
  constexpr int kWidth = kPack<T>;
  const std::int64_t row = blockIdx.x, offset = row * args.columns;
  const std::int32_t columns = args.columns;
  const Multipliers multipliers(args.dropout);
  const float scale = 1.0f / static_cast<float>(columns);
  const T* x = args.residual != nullptr ? args.sum : args.x;

  float total = 0.0f, squares = 0.0f;
  for (std::int32_t c = static_cast<std::int32_t>(threadIdx.x) * kWidth; c < columns; c += kWideThreads * kWidth) {
    float v[kWidth];
    load_part<kWhole>(args.x + offset + c, columns - c, v);
    if (args.residual != nullptr) {
      float r[kWidth];
      load_part<kWhole>(args.residual + offset + c, columns - c, r);
      const Pack<T> stored = add_residual(args, multipliers, row, c / kWidth, to_pack<T>(r), v);
      to_floats(stored, v);
      store_part<kWhole>(v, columns - c, args.sum + offset + c);
    }
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      const float element = kWhole || c + k < columns ? v[k] : 0.0f;
      if constexpr (kCentered) {
        total += element;
      } else {
        squares = fmaf(element, element, squares);
      }
    }
  }
  float mean = 0.0f;
  if constexpr (kCentered) {
    mean = scale * block_sum<kWideThreads>(total);
    for (std::int32_t c = static_cast<std::int32_t>(threadIdx.x) * kWidth; c < columns; c += kWideThreads * kWidth) {
      float v[kWidth];
      load_part<kWhole>(x + offset + c, columns - c, v);
#pragma unroll
      for (int k = 0; k < kWidth; ++k) {
        const float centered = kWhole || c + k < columns ? v[k] - mean : 0.0f;
        squares = fmaf(centered, centered, squares);
      }
    }
  }
  const float rstd = 1.0f / sqrtf(fmaf(scale, block_sum<kWideThreads>(squares), args.epsilon));
  if (threadIdx.x == 0) {
    if constexpr (kCentered) args.mean[row] = mean;
    args.rstd[row] = rstd;
  }
  for (std::int32_t c = static_cast<std::int32_t>(threadIdx.x) * kWidth; c < columns; c += kWideThreads * kWidth) {
    float v[kWidth], weight[kWidth], bias[kWidth] = {};
    load_part<kWhole>(x + offset + c, columns - c, v);
    load_part<kWhole>(args.weight + c, columns - c, weight);
    if constexpr (kCentered) load_part<kWhole>(args.bias + c, columns - c, bias);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) v[k] = normalised<kCentered>(v[k] - mean, rstd, weight[k], bias[k]);
    store_part<kWhole>(v, columns - c, args.y + offset + c);
  }
}

template <bool kCentered, class T>
void norm(const NormArgs<T>& args, bool whole_packs, void* stream) {
  if (args.rows == 0) return;
  const auto warps = [&](auto columns) {
    const Launch how{blocks_for(args.rows, kNormWarps), kNormThreads};
    launch(norm_kernel<T, decltype(columns)::value, kCentered>, how, stream, args);
  };
  if (!whole_packs || args.columns > 2048) {
    const Launch how{blocks_for(args.rows, 1), kWideThreads};
    launch(whole_packs ? norm_wide_kernel<T, true, kCentered> : norm_wide_kernel<T, false, kCentered>, how, stream,
           args);
  } else if (args.columns <= 256) {
    warps(Constant<256>());
  } else if (args.columns <= 512) {
    warps(Constant<512>());
  } else if (args.columns <= 768) {
    warps(Constant<768>());
  } else if (args.columns <= 1024) {
    warps(Constant<1024>());
  } else {
    warps(Constant<2048>());
  }
}

template <class T, bool kResidual, bool kCentered>
std::unique_ptr<Kernel> make(const NormShape& shape, float epsilon) {
  return std::make_unique<FunctionKernel>([shape, epsilon](const RunContext& c) {
    constexpr std::size_t kWeight = kResidual ? 2 : 1, kStatistics = kResidual ? 2 : 1;
    NormArgs<T> args{};
    args.rows = shape.rows;
    args.columns = shape.columns;
    args.epsilon = epsilon;
    args.x = c.in<T>(0);
    args.weight = c.in<float>(kWeight);
    args.y = c.out<T>(0);
    if constexpr (kCentered) {
      args.bias = c.in<float>(kWeight + 1);
      args.mean = c.out<float>(kStatistics);
    }
    args.rstd = c.out<float>(kStatistics + kCentered);
    if constexpr (kResidual) {
      args.residual = c.in<T>(1);
      args.sum = c.out<T>(1);
      if (shape.drops) args.dropout = {shape.dropout, c.in<std::int32_t>(kWeight + 1 + kCentered)};
    }
    norm<kCentered>(args, shape.whole_packs(), c.stream);
  });
}

// layerNorm (x, w, b) -> (y, mean, rstd), residualNorm (x, residual, w, b, [rng]) -> (y, sum, mean, rstd); rmsNorm and
// residualRmsNorm (kCentered false) are the same without b and mean.
template <bool kResidual, bool kCentered>
std::unique_ptr<Kernel> make_norm(const OpDesc& desc) {
  const NormShape shape(desc, desc.inputs[0]);
  const bool same = desc.outputs[0].dtype == shape.dtype &&
                    (!kResidual || (desc.inputs[1].dtype == shape.dtype && desc.outputs[1].dtype == shape.dtype));
  if (!same) unsupported(desc, "cuda");
  const auto epsilon = static_cast<float>(desc.attrs.number("epsilon", 0));
  return shape.dtype == DType::F32 ? make<float, kResidual, kCentered>(shape, epsilon)
                                   : make<Bf16, kResidual, kCentered>(shape, epsilon);
}

}  // namespace

void register_norm(OpTable& table, Context& context) {
  table.add("layerNorm", make_norm<false, true>);
  table.add("residualNorm", make_norm<true, true>);
  table.add("rmsNorm", make_norm<false, false>);
  table.add("residualRmsNorm", make_norm<true, false>);
  register_norm_backward(table, context);
}

}  // namespace apollo::cuda
