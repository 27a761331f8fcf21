// gradNorm, its parts for ranks, and adamw (AdamW: Loshchilov & Hutter, arXiv 1711.05101), each one parallel pass over
// all tensors of a step.
#include "cpu/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/ops/optimizer.cc"
#include "hwy/foreach_target.h"

#include <cmath>

#include "core/adamw.h"
#include "cpu/chunks.h"
#include "cpu/cpu.h"
#include "cpu/partition.h"
#include "cpu/simd/simd-inl.h"
#include "cpu/simd/sum-squares-inl.h"

#ifndef APOLLO_CPU_OPTIMIZER_ARGS_
#define APOLLO_CPU_OPTIMIZER_ARGS_
namespace apollo::cpu {

struct AdamwPointers {
  float *parameter, *gradient, *m, *v;
  Bf16* shadow;  // null without a bf16 copy
};

}  // namespace apollo::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace apollo::cpu::HWY_NAMESPACE {

double sum_of_squares(const float* x, std::size_t count) { return sum_of_squares_of(x, count); }

template <bool kShadow>
HWY_INLINE void adamw_update(const AdamwFactors& factors, const AdamwPointers& at, std::size_t count) {
  const F32 d;
  const auto gradient = hn::Set(d, factors.gradient), decay = hn::Set(d, factors.decay);
  const auto beta1 = hn::Set(d, factors.beta1), one_minus_beta1 = hn::Set(d, factors.one_minus_beta1);
  const auto beta2 = hn::Set(d, factors.beta2), one_minus_beta2 = hn::Set(d, factors.one_minus_beta2);
  const auto rate = hn::Set(d, factors.rate), inverse = hn::Set(d, factors.inverse_correction);
  const auto epsilon = hn::Set(d, factors.epsilon);
  for_vectors(d, count, [&](std::size_t i, auto part) HWY_ATTR {
    const auto g = hn::Mul(load(d, at.gradient + i, part), gradient);
    const auto m = hn::MulAdd(beta1, load(d, at.m + i, part), hn::Mul(one_minus_beta1, g));
    const auto v = hn::MulAdd(beta2, load(d, at.v + i, part), hn::Mul(one_minus_beta2, hn::Mul(g, g)));
    const auto denominator = hn::Add(hn::Sqrt(hn::Mul(v, inverse)), epsilon);
    const auto kept = hn::Mul(load(d, at.parameter + i, part), decay);
    const auto parameter = hn::Sub(kept, hn::Div(hn::Mul(rate, m), denominator));
    store(parameter, d, at.parameter + i, part);
    store(m, d, at.m + i, part);
    store(v, d, at.v + i, part);
    store(hn::Zero(d), d, at.gradient + i, part);
    if constexpr (kShadow) store(parameter, d, at.shadow + i, part);
  });
}

// p = p (1 - lr wd) - lr (m / (1 - beta1^k)) / (sqrt(v / (1 - beta2^k)) + epsilon), and g = 0. Limited by memory:
// 16 bytes read and 16 (18 with the bf16 copy) written an element. Reaches over 90 % of
// what a loop that only scales four arrays in place moves, while the tensors fit the caches.
void adamw_chunk(const AdamwFactors& factors, const AdamwPointers& at, std::size_t count) {
  at.shadow != nullptr ? adamw_update<true>(factors, at, count) : adamw_update<false>(factors, at, count);
}

}  // namespace apollo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apollo::cpu {
namespace {

HWY_EXPORT(sum_of_squares);
HWY_EXPORT(adamw_chunk);

void require_f32(const OpDesc& desc, const TensorDesc& tensor) {
  if (tensor.dtype != DType::F32) unsupported(desc, "cpu");
}

// (g1 .. gn) -> L2 norm of all of them together. One sum a chunk, added in the order of the chunks: the result does
// not even depend on the number of threads. Limited by memory: 4 bytes per element.
class GradNorm final : public Kernel {
 public:
  explicit GradNorm(const OpDesc& desc) {
    require(!desc.inputs.empty() && desc.inputs[0].elements() == static_cast<std::int64_t>(desc.inputs.size()) - 1,
            "gradNorm: a count for each gradient");
    for (std::size_t i = 1; i < desc.inputs.size(); ++i) {
      require_f32(desc, desc.inputs[i]);
      chunks_.add(i, desc.inputs[i].elements());
    }
    require_f32(desc, desc.outputs[0]);
  }

  std::size_t scratch_bytes() const override { return chunks_.size() * sizeof(double); }

  void run(const RunContext& context) override {
    double* sums = static_cast<double*>(context.scratch);
    const std::int32_t* counts = context.in<std::int32_t>(0);
    chunks_.for_each(4, [&](std::size_t index, const Chunks::Chunk& chunk) {
      sums[index] = counts[chunk.tensor - 1] == 0
                        ? 0.0
                        : HWY_DYNAMIC_DISPATCH(sum_of_squares)(context.in<float>(chunk.tensor) + chunk.begin,
                                                               static_cast<std::size_t>(chunk.count));
    });
    double sum = 0;
    for (std::size_t i = 0; i < chunks_.size(); ++i) sum += sums[i];
    *context.out<float>(0) = static_cast<float>(std::sqrt(sum));
  }

 private:
  Chunks chunks_;
};

// (counts of all tensors, parts of some) -> the bits of f64 sums of squares, one for each piece that GradNorm would sum
// by itself, zero for pieces of no part. A part is of tensor `tensors[i]`, and its first piece is number `places[i]`.
class Squares final : public Kernel {
 public:
  explicit Squares(const OpDesc& desc)
      : tensors_(desc.attrs.integers("tensors")), places_(desc.attrs.integers("places")) {
    require(tensors_.size() == desc.inputs.size() - 1 && places_.size() == tensors_.size(),
            "squares: a tensor and a place for each part");
    require(desc.outputs[0].dtype == DType::I32 && desc.outputs[0].elements() % 2 == 0, "squares: pairs of i32");
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      require_f32(desc, desc.inputs[i + 1]);
      const std::int64_t elements = desc.inputs[i + 1].elements();
      require(tensors_[i] >= 0 && tensors_[i] < desc.inputs[0].elements() && places_[i] >= 0 &&
                  places_[i] + (elements + kPieceElements - 1) / kPieceElements <= desc.outputs[0].elements() / 2,
              "squares: a part out of range");
      chunks_.add(i, elements);
    }
    sums_ = static_cast<std::size_t>(desc.outputs[0].elements() / 2);
  }

  void run(const RunContext& context) override {
    auto* sums = context.out<double>(0);
    const std::int32_t* counts = context.in<std::int32_t>(0);
    std::fill_n(sums, sums_, 0.0);
    chunks_.for_each(4, [&](std::size_t, const Chunks::Chunk& chunk) {
      if (counts[tensors_[chunk.tensor]] == 0) return;
      sums[places_[chunk.tensor] + chunk.begin / kPieceElements] = HWY_DYNAMIC_DISPATCH(sum_of_squares)(
          context.in<float>(chunk.tensor + 1) + chunk.begin, static_cast<std::size_t>(chunk.count));
    });
  }

 private:
  std::vector<std::int64_t> tensors_, places_;
  std::size_t sums_ = 0;
  Chunks chunks_;
};

// Those sums -> the norm, to the bits of GradNorm.
class NormOfSquares final : public Kernel {
 public:
  explicit NormOfSquares(const OpDesc& desc) : sums_(static_cast<std::size_t>(desc.inputs[0].elements() / 2)) {
    require(desc.inputs[0].dtype == DType::I32, "normOfSquares: pairs of i32");
    require_f32(desc, desc.outputs[0]);
  }

  void run(const RunContext& context) override {
    const auto* sums = context.in<double>(0);
    double sum = 0;
    for (std::size_t i = 0; i < sums_; ++i) sum += sums[i];
    *context.out<float>(0) = static_cast<float>(std::sqrt(sum));
  }

 private:
  std::size_t sums_;
};

// (hyper, counts, rates, norm) -> in and out per tensor: parameter, gradient, m, v, and a bf16 copy where `hasShadow`
// says so.
class Adamw final : public Kernel {
 public:
  explicit Adamw(const OpDesc& desc) {
    const auto decay = desc.attrs.integers("decay"), has_shadow = desc.attrs.integers("hasShadow");
    require(decay.size() == has_shadow.size(), "adamw: 'decay' and 'hasShadow' differ in length");
    std::size_t output = 0;
    for (std::size_t i = 0; i < decay.size(); ++i) {
      const bool shadow = has_shadow[i] != 0;
      require(output + (shadow ? 5 : 4) <= desc.outputs.size(), "adamw: too few outputs");
      for (std::size_t j = 0; j < 4; ++j) require_f32(desc, desc.outputs[output + j]);
      if (shadow && desc.outputs[output + 4].dtype != DType::BF16) unsupported(desc, "cpu");
      chunks_.add(i, desc.outputs[output].elements());
      tensors_.push_back({output, decay[i] != 0, shadow});
      output += shadow ? 5 : 4;
    }
    require(output == desc.outputs.size(), "adamw: too many outputs");
    factors_.resize(tensors_.size());
  }

  void run(const RunContext& context) override {
    const bool finite = std::isfinite(*context.in<float>(3));
    const std::int32_t* counts = context.in<std::int32_t>(1);
    if (finite) compute_factors(context);
    chunks_.for_each(34, [&](std::size_t, const Chunks::Chunk& chunk) {
      const Tensor& tensor = tensors_[chunk.tensor];
      const auto at = [&](std::size_t i) { return context.out<float>(tensor.output + i) + chunk.begin; };
      if (!finite || counts[chunk.tensor] == 0) {  // the step is skipped, its gradients are gone
        std::fill_n(at(1), chunk.count, 0.0f);
        return;
      }
      const AdamwPointers pointers{at(0), at(1), at(2), at(3),
                                   tensor.shadow ? context.out<Bf16>(tensor.output + 4) + chunk.begin : nullptr};
      HWY_DYNAMIC_DISPATCH(adamw_chunk)(factors_[chunk.tensor], pointers, static_cast<std::size_t>(chunk.count));
    });
  }

 private:
  struct Tensor {
    std::size_t output;  // its first output
    bool decay, shadow;
  };

  void compute_factors(const RunContext& context) {
    const float* hyper = context.in<float>(0);
    const std::int32_t* counts = context.in<std::int32_t>(1);
    const float* rates = context.in<float>(2);
    const double beta1 = hyper[1], beta2 = hyper[2], epsilon = hyper[3], weight_decay = hyper[4];
    const double max_norm = hyper[5], scale = hyper[6], norm = *context.in<float>(3);
    const double clip = max_norm > 0 ? std::min(1.0, max_norm / (norm * scale + 1e-6)) : 1.0;
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      if (counts[i] == 0) continue;
      const double lr = static_cast<double>(hyper[0]) * rates[i];
      AdamwFactors& f = factors_[i];
      f.gradient = static_cast<float>(scale * clip);
      f.decay = tensors_[i].decay ? static_cast<float>(1 - lr * weight_decay) : 1.0f;
      f.beta1 = static_cast<float>(beta1);
      f.one_minus_beta1 = static_cast<float>(1 - beta1);
      f.beta2 = static_cast<float>(beta2);
      f.one_minus_beta2 = static_cast<float>(1 - beta2);
      f.rate = static_cast<float>(lr / (1 - std::pow(beta1, counts[i])));
      f.inverse_correction = static_cast<float>(1 / (1 - std::pow(beta2, counts[i])));
      f.epsilon = static_cast<float>(epsilon);
    }
  }

  std::vector<Tensor> tensors_;
  std::vector<AdamwFactors> factors_;
  Chunks chunks_;
};

template <class T>
std::unique_ptr<Kernel> make(const OpDesc& desc) {
  return std::make_unique<T>(desc);
}

}  // namespace

void register_optimizer(OpTable& table) {
  table.add("gradNorm", make<GradNorm>);
  table.add("squares", make<Squares>);
  table.add("normOfSquares", make<NormOfSquares>);
  table.add("adamw", make<Adamw>);
  register_muon(table);
}

}  // namespace apollo::cpu
#endif  // HWY_ONCE
