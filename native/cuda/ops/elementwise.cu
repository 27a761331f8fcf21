// Ops of one element at a time: unary, scale, select, cast, fill, accumulate, copy. (binary, with its broadcasting, is
// in binary.cu.) All are limited by memory; bf16 is computed in f32 and rounded once, at the store.
#include <string_view>

#include "cuda/cuda.h"
#include "cuda/lib/intrinsics.cuh"
#include "cuda/lib/lanes.cuh"
#include "cuda/ops/elementwise.cuh"

namespace apollo::cuda {
namespace {

enum class Unary {
  Neg,
  Abs,
  Square,
  Sqrt,
  Rsqrt,
  Reciprocal,
  Exp,
  Log,
  Tanh,
  Sigmoid,
  Relu,
  Silu,
  Erf,
  Sign,
  Sin,
  Cos,
};
struct UnaryName {
  std::string_view name;
  Unary kind;
};
constexpr UnaryName kUnary[] = {
    {"neg", Unary::Neg},         {"abs", Unary::Abs},     {"square", Unary::Square},
    {"sqrt", Unary::Sqrt},       {"rsqrt", Unary::Rsqrt}, {"reciprocal", Unary::Reciprocal},
    {"exp", Unary::Exp},         {"log", Unary::Log},     {"tanh", Unary::Tanh},
    {"sigmoid", Unary::Sigmoid}, {"relu", Unary::Relu},   {"silu", Unary::Silu},
    {"erf", Unary::Erf},         {"sin", Unary::Sin},     {"cos", Unary::Cos},
    {"sign", Unary::Sign},
};

template <int kCount, class F>
__device__ __forceinline__ void apply(float (&v)[kCount], const F& f) {
#pragma unroll
  for (int k = 0; k < kCount; ++k) v[k] = f(v[k]);
}

// y = f(x). One kernel for all f: the branch on `kind` is the same for every thread and costs nothing next to the
// memory. sin and cos have a kernel of their own, because their reduction of large arguments needs local memory.
template <class T, bool kTurns>
struct UnaryBody {
  static constexpr int kWidth = kPack<T>;
  Unary kind;
  const T* x;
  T* y;

  template <int kCount>
  __device__ void at(std::int64_t i) const {
    float v[kCount];
    load(x + i, v);
    if constexpr (kTurns) {
      if (kind == Unary::Sin) {
        apply(v, [](float a) { return sinf(a); });
      } else {
        apply(v, [](float a) { return cosf(a); });
      }
    } else {
      switch (kind) {
        case Unary::Neg: apply(v, [](float a) { return -a; }); break;
        case Unary::Abs: apply(v, [](float a) { return fabsf(a); }); break;
        case Unary::Square: apply(v, [](float a) { return a * a; }); break;
        case Unary::Sqrt: apply(v, [](float a) { return sqrtf(a); }); break;
        case Unary::Rsqrt: apply(v, [](float a) { return rsqrtf(a); }); break;
        case Unary::Reciprocal: apply(v, [](float a) { return 1.0f / a; }); break;
        case Unary::Exp: apply(v, [](float a) { return expf(a); }); break;
        case Unary::Log: apply(v, [](float a) { return logf(a); }); break;
        case Unary::Tanh: apply(v, [](float a) { return tanhf(a); }); break;
        case Unary::Sigmoid: apply(v, [](float a) { return sigmoid(a); }); break;
        case Unary::Relu: apply(v, [](float a) { return a < 0.0f ? 0.0f : a; }); break;  // a NaN stays
        case Unary::Silu: apply(v, [](float a) { return a * sigmoid(a); }); break;
        case Unary::Erf: apply(v, [](float a) { return erff(a); }); break;
        // 0 and NaN give themselves
        case Unary::Sign: apply(v, [](float a) { return a > 0.0f ? 1.0f : a < 0.0f ? -1.0f : a; }); break;
        default: break;
      }
    }
    store(v, y + i);
  }
};

// y = alpha x + beta
template <class T>
struct ScaleBody {
  static constexpr int kWidth = kPack<T>;
  float alpha, beta;
  const T* x;
  T* y;

  template <int kCount>
  __device__ void at(std::int64_t i) const {
    float v[kCount];
    load(x + i, v);
#pragma unroll
    for (int k = 0; k < kCount; ++k) v[k] = fmaf(alpha, v[k], beta);
    store(v, y + i);
  }
};

// y += x, y in f32, whose packs they are: next to them bf16 moves 8 bytes per access, so that a warp writes whole
// lines.
template <class T>
struct AccumulateBody {
  static constexpr int kWidth = kPack<float>;
  const T* x;
  float* y;

  template <int kCount>
  __device__ void at(std::int64_t i) const {
    float v[kCount], sum[kCount];
    load_lanes(x + i, v);
    load_lanes(y + i, sum);
#pragma unroll
    for (int k = 0; k < kCount; ++k) sum[k] += v[k];
    store_lanes(sum, y + i);
  }
};

__device__ __forceinline__ void convert(float from, float& to) { to = from; }
__device__ __forceinline__ void convert(std::int32_t from, float& to) { to = static_cast<float>(from); }
__device__ __forceinline__ void convert(float from, std::int32_t& to) { to = __float2int_rz(from); }

// y = x in another dtype: to nearest for f32 -> bf16 and i32 -> f32 (on the way to bf16, too), towards 0 for anything
// -> i32. Packs of 4 elements, as above.
template <class From, class To>
struct CastBody {
  static constexpr int kWidth = kPack<float>;
  const From* x;
  To* y;

  template <int kCount>
  __device__ void at(std::int64_t i) const {
    Lane<From> v[kCount];
    Lane<To> w[kCount];
    load_lanes(x + i, v);
#pragma unroll
    for (int k = 0; k < kCount; ++k) convert(v[k], w[k]);
    store_lanes(w, y + i);
  }
};

// y = condition != 0 ? a : b. It chooses bits: one version for f32 and i32.
template <class Word>
struct SelectBody {
  static constexpr int kWidth = kPack<Word>;
  const std::int32_t* condition;
  const Word *a, *b;
  Word* y;

  template <int kCount>
  __device__ void at(std::int64_t i) const {
    std::int32_t chosen[kCount];
    Word yes[kCount], no[kCount];
    load_words(condition + i, chosen);
    load_words(a + i, yes);
    load_words(b + i, no);
#pragma unroll
    for (int k = 0; k < kCount; ++k) no[k] = chosen[k] != 0 ? yes[k] : no[k];
    store_words(no, y + i);
  }
};

// y = value in every element
template <class T>
struct FillBody {
  static constexpr int kWidth = kPack<T>;
  T value;
  T* y;

  template <int kCount>
  __device__ void at(std::int64_t i) const {
    T v[kCount];
#pragma unroll
    for (int k = 0; k < kCount; ++k) v[k] = value;
    store_words(v, y + i);
  }
};

// y = x
template <class Word>
struct CopyBody {
  static constexpr int kWidth = kPack<Word>;
  const Word* x;
  Word* y;

  template <int kCount>
  __device__ void at(std::int64_t i) const {
    Word v[kCount];
    load_words(x + i, v);
    store_words(v, y + i);
  }
};

// The number of elements of an op whose tensors all have as many.
std::int64_t common_count(const OpDesc& desc) {
  const std::int64_t count = desc.outputs[0].elements();
  for (const TensorDesc& x : desc.inputs) require(x.elements() == count, desc.op + ": inputs and y differ in size");
  return count;
}

template <class T, bool kTurns>
std::unique_ptr<Kernel> unary_kernel(std::int64_t count, Unary kind) {
  return std::make_unique<FunctionKernel>([count, kind](const RunContext& c) {
    each(count, UnaryBody<T, kTurns>{kind, c.in<T>(0), c.out<T>(0)}, c.stream);
  });
}

// Attribute `kind`.
std::unique_ptr<Kernel> make_unary(const OpDesc& desc) {
  const TensorDesc& x = desc.inputs[0];
  if (x.dtype != desc.outputs[0].dtype) unsupported(desc, "cuda");
  const std::string& name = desc.attrs.text("kind");
  const std::int64_t count = common_count(desc);
  for (const UnaryName& entry : kUnary) {
    if (entry.name != name || x.dtype == DType::I32) continue;
    const bool turns = entry.kind == Unary::Sin || entry.kind == Unary::Cos;
    if (x.dtype == DType::F32) {
      return turns ? unary_kernel<float, true>(count, entry.kind) : unary_kernel<float, false>(count, entry.kind);
    }
    return turns ? unary_kernel<Bf16, true>(count, entry.kind) : unary_kernel<Bf16, false>(count, entry.kind);
  }
  throw Error("op 'unary' has no kernel on cuda for kind '" + name + "' of " + x.to_string(), "APOLLO_NO_KERNEL");
}

template <class T>
std::unique_ptr<Kernel> scale_kernel(std::int64_t count, float alpha, float beta) {
  return std::make_unique<FunctionKernel>([=](const RunContext& c) {
    each(count, ScaleBody<T>{alpha, beta, c.in<T>(0), c.out<T>(0)}, c.stream);
  });
}

// Attributes `alpha`, `beta`.
std::unique_ptr<Kernel> make_scale(const OpDesc& desc) {
  const DType dtype = desc.inputs[0].dtype;
  if (dtype == DType::I32 || desc.outputs[0].dtype != dtype) unsupported(desc, "cuda");
  const auto alpha = static_cast<float>(desc.attrs.number("alpha", 1.0));
  const auto beta = static_cast<float>(desc.attrs.number("beta", 0.0));
  const std::int64_t count = common_count(desc);
  return dtype == DType::F32 ? scale_kernel<float>(count, alpha, beta) : scale_kernel<Bf16>(count, alpha, beta);
}

template <class T>
std::unique_ptr<Kernel> accumulate_kernel(std::int64_t count) {
  return std::make_unique<FunctionKernel>([count](const RunContext& c) {
    each(count, AccumulateBody<T>{c.in<T>(0), c.out<float>(0)}, c.stream);
  });
}

std::unique_ptr<Kernel> make_accumulate(const OpDesc& desc) {
  const DType dtype = desc.inputs[0].dtype;
  if (dtype == DType::I32 || desc.outputs[0].dtype != DType::F32) unsupported(desc, "cuda");
  const std::int64_t count = common_count(desc);
  return dtype == DType::F32 ? accumulate_kernel<float>(count) : accumulate_kernel<Bf16>(count);
}

template <class Word>
std::unique_ptr<Kernel> copy_kernel(std::int64_t count) {
  return std::make_unique<FunctionKernel>([count](const RunContext& c) {
    each(count, CopyBody<Word>{c.in<Word>(0), c.out<Word>(0)}, c.stream);
  });
}

std::unique_ptr<Kernel> make_copy(const OpDesc& desc) {
  const DType dtype = desc.outputs[0].dtype;
  if (desc.inputs[0].dtype != dtype) unsupported(desc, "cuda");
  const std::int64_t count = common_count(desc);
  return size_of(dtype) == 2 ? copy_kernel<std::uint16_t>(count) : copy_kernel<std::uint32_t>(count);
}

template <class From, class To>
std::unique_ptr<Kernel> cast_kernel(std::int64_t count) {
  return std::make_unique<FunctionKernel>([count](const RunContext& c) {
    each(count, CastBody<From, To>{c.in<From>(0), c.out<To>(0)}, c.stream);
  });
}

std::unique_ptr<Kernel> make_cast(const OpDesc& desc) {
  const DType from = desc.inputs[0].dtype, to = desc.outputs[0].dtype;
  if (from == to) return make_copy(desc);
  const std::int64_t count = common_count(desc);
  switch (from) {
    case DType::F32:
      return to == DType::BF16 ? cast_kernel<float, Bf16>(count) : cast_kernel<float, std::int32_t>(count);
    case DType::BF16:
      return to == DType::F32 ? cast_kernel<Bf16, float>(count) : cast_kernel<Bf16, std::int32_t>(count);
    default: return to == DType::F32 ? cast_kernel<std::int32_t, float>(count) : cast_kernel<std::int32_t, Bf16>(count);
  }
}

template <class Word>
std::unique_ptr<Kernel> select_kernel(std::int64_t count) {
  return std::make_unique<FunctionKernel>([count](const RunContext& c) {
    each(count, SelectBody<Word>{c.in<std::int32_t>(0), c.in<Word>(1), c.in<Word>(2), c.out<Word>(0)}, c.stream);
  });
}

std::unique_ptr<Kernel> make_select(const OpDesc& desc) {
  const DType dtype = desc.outputs[0].dtype;
  if (desc.inputs[0].dtype != DType::I32 || desc.inputs[1].dtype != dtype || desc.inputs[2].dtype != dtype) {
    unsupported(desc, "cuda");
  }
  const std::int64_t count = common_count(desc);
  return size_of(dtype) == 2 ? select_kernel<std::uint16_t>(count) : select_kernel<std::uint32_t>(count);
}

template <class T>
std::unique_ptr<Kernel> fill_kernel(std::int64_t count, T value) {
  return std::make_unique<FunctionKernel>([count, value](const RunContext& c) {
    each(count, FillBody<T>{value, c.out<T>(0)}, c.stream);
  });
}

// Attribute `value`.
std::unique_ptr<Kernel> make_fill(const OpDesc& desc) {
  const double value = desc.attrs.number("value");
  const std::int64_t count = desc.outputs[0].elements();
  switch (desc.outputs[0].dtype) {
    case DType::F32: return fill_kernel(count, static_cast<float>(value));
    case DType::BF16: return fill_kernel(count, __float2bfloat16_rn(static_cast<float>(value)));
    default: return fill_kernel(count, static_cast<std::int32_t>(value));
  }
}

}  // namespace

void register_elementwise(OpTable& table, Context& context) {
  table.add("unary", make_unary);
  table.add("scale", make_scale);
  table.add("select", make_select);
  table.add("cast", make_cast);
  table.add("fill", make_fill);
  table.add("accumulate", make_accumulate);
  table.add("copy", make_copy);
  register_binary(table, context);
}

}  // namespace apollo::cuda
