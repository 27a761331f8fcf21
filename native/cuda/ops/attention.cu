// Multi-head attention that never stores the T x T scores: O = dropout(softmax(scale Q K^T + mask)) V with a running
// softmax (FlashAttention: Dao et al. 2022, Algorithm 1), and its gradient from the kept row statistics lse (ibid.,
// Algorithm 4). This file holds the ops and chooses the kernels: those on tensor cores where they fit, else the plain
// ones.
#include <cstdlib>
#include <string>

#include "core/attention_heads.h"
#include "cuda/lib/block.cuh"
#include "cuda/ops/attention.cuh"

namespace apollo::cuda {
namespace {

constexpr int kTermsThreads = 256;

// One warp per row. Limited by memory: o and dO are read once.
template <class T>
__global__ void __launch_bounds__(kTermsThreads) terms_kernel(const AttentionBackward<T> args, std::int64_t rows) {
  const AttentionShape& shape = args.shape;
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * (kTermsThreads / kWarp) + threadIdx.x / kWarp;
  if (row >= rows) return;
  const auto t = static_cast<std::int32_t>(row % shape.padded_queries());
  const auto h = static_cast<std::int32_t>(row / shape.padded_queries() % shape.heads);
  const auto b = static_cast<std::int32_t>(row / shape.padded_queries() / shape.heads);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  RowTerms terms{-kMinusInfinity, 0.0f};
  if (t < shape.queries) {
    const std::int64_t at = shape.start_output(b, h) + t * shape.width;
    float sum = 0.0f;
    for (int d = lane; d < shape.head; d += kWarp) {
      sum = fmaf(to_float(args.o[at + d]), to_float(args.d_o[at + d]), sum);
    }
    terms.delta = warp_sum(sum);
    const float lse = args.lse[shape.score_row(b, h, t)];
    if (lse != kMinusInfinity) terms.lse = lse;
  }
  if (lane == 0) args.terms[row] = terms;
}

// Sizes and settings from an op's descriptor; `first` is the index of input q (or qkv).
AttentionShape shape_of(const OpDesc& desc, const AttentionHeads& heads, std::size_t first) {
  const TensorDesc& q = desc.inputs[first];
  if (q.dtype == DType::I32) unsupported(desc, "cuda");
  AttentionShape shape;
  shape.batch = static_cast<std::int32_t>(q.shape[0]);
  shape.queries = static_cast<std::int32_t>(q.shape[1]);
  shape.keys = static_cast<std::int32_t>(heads.packed ? q.shape[1] : desc.inputs[first + 1].shape[1]);
  shape.query_row = heads.stride(0);
  shape.key_row = heads.stride(1);
  shape.width = heads.width();
  shape.heads = static_cast<std::int32_t>(heads.heads);
  shape.group = static_cast<std::int32_t>(heads.group());
  shape.head = static_cast<std::int32_t>(heads.head);
  shape.scale = static_cast<float>(desc.attrs.number("scale"));
  shape.causal = desc.attrs.flag("causal");
  if (shape.head > 256) {
    throw Error("op '" + desc.op + "' on cuda takes heads of at most 256; got " + std::to_string(shape.head) +
                    ". Use more heads.",
                "APOLLO_NO_KERNEL");
  }
  return shape;
}

// APOLLO_ATTENTION=plain: the kernels that others are compared with, to find out whether these are to blame.
bool plain_wanted() {
  const char* choice = std::getenv("APOLLO_ATTENTION");
  return choice != nullptr && std::string(choice) == "plain";
}

// Arguments shared by forward and backward: q, k and v, and what follows the tensors: mask and rng.
template <class T>
class AttentionBase : public Kernel {
 public:
  AttentionBase(const OpDesc& desc, const Context& context, AttentionPass pass, std::size_t first, std::size_t kept)
      : heads_(desc, desc.inputs[first].shape[2]),
        shape_(shape_of(desc, heads_, first)),
        has_mask_(desc.attrs.flag("hasMask")),
        drops_(desc.attrs.number("p", 0.0) > 0.0),
        rule_(Dropout::make(desc.attrs.number("p", 0.0), static_cast<std::uint32_t>(desc.attrs.integer("stream", 0)))),
        first_(first),
        after_(first + (heads_.packed ? 1 : 3) + kept) {
    if constexpr (sizeof(T) == 2) {
      if (!plain_wanted()) kernels_ = tensor_core_attention(shape_, pass, context);
    }
    if (!kernels_) kernels_ = plain_attention<T>(shape_, pass, context);
  }

 protected:
  // The tensor of q (0), k (1) or v (2): inputs of their own, or parts of the packed one.
  template <class P>
  P* part(P* const* tensors, int index) const {
    return tensors[heads_.packed ? 0 : index] + heads_.first(index);
  }
  void set_inputs(const RunContext& c, auto& args) const {
    const bool packed = heads_.packed;
    const T* tensors[3] = {c.in<T>(first_), packed ? nullptr : c.in<T>(first_ + 1),
                           packed ? nullptr : c.in<T>(first_ + 2)};
    args.shape = shape_;
    args.q = part(tensors, 0);
    args.k = part(tensors, 1);
    args.v = part(tensors, 2);
    args.mask = has_mask_ ? c.in<std::int32_t>(after_) : nullptr;
    args.dropout.rule = rule_;
    args.dropout.rng = drops_ ? c.in<std::int32_t>(after_ + (has_mask_ ? 1 : 0)) : nullptr;
  }

  AttentionHeads heads_;
  AttentionShape shape_;
  bool has_mask_, drops_;
  Dropout rule_;
  std::size_t first_, after_;
  std::unique_ptr<AttentionKernels<T>> kernels_;
};

// ([qkv | q, k, v], [mask], [rng]) -> (o, lse)
template <class T>
class ForwardKernel final : public AttentionBase<T> {
 public:
  ForwardKernel(const OpDesc& desc, const Context& context)
      : AttentionBase<T>(desc, context, AttentionPass::Forward, 0, 0) {}

  void run(const RunContext& c) override {
    AttentionForward<T> args{};
    this->set_inputs(c, args);
    args.o = c.out<T>(0);
    args.lse = c.out<float>(1);
    this->kernels_->forward(args, c.stream);
  }
};

// (dO, [qkv | q, k, v], o, lse, [mask], [rng]) -> dqkv, or dq, dk, dv
template <class T>
class BackwardKernel final : public AttentionBase<T> {
 public:
  BackwardKernel(const OpDesc& desc, const Context& context)
      : AttentionBase<T>(desc, context, AttentionPass::Backward, 1, 2) {}

  std::size_t scratch_bytes() const override {
    return (terms_bytes() + 255) / 256 * 256 + this->kernels_->partial_bytes(this->shape_);
  }

  void run(const RunContext& c) override {
    AttentionBackward<T> args{};
    this->set_inputs(c, args);
    args.d_o = c.in<T>(0);
    args.o = c.in<T>(this->after_ - 2);
    args.lse = c.in<float>(this->after_ - 1);
    const bool packed = this->heads_.packed;
    T* gradients[3] = {c.out<T>(0), packed ? nullptr : c.out<T>(1), packed ? nullptr : c.out<T>(2)};
    args.dq = this->part(gradients, 0);
    args.dk = this->part(gradients, 1);
    args.dv = this->part(gradients, 2);
    args.terms = static_cast<RowTerms*>(c.scratch);
    args.partial = reinterpret_cast<float*>(static_cast<std::byte*>(c.scratch) + (terms_bytes() + 255) / 256 * 256);
    launch(terms_kernel<T>, {blocks_for(rows(), kTermsThreads / kWarp), kTermsThreads}, c.stream, args, rows());
    this->kernels_->backward(args, c.stream);
  }

 private:
  std::int64_t rows() const {
    return static_cast<std::int64_t>(this->shape_.batch) * this->shape_.heads * this->shape_.padded_queries();
  }
  std::size_t terms_bytes() const { return static_cast<std::size_t>(rows()) * sizeof(RowTerms); }
};

template <template <class> class K, std::size_t kFirst>
std::unique_ptr<Kernel> make(const OpDesc& desc, const Context& context) {
  if (desc.inputs[kFirst].dtype == DType::F32) return std::make_unique<K<float>>(desc, context);
  return std::make_unique<K<Bf16>>(desc, context);
}

}  // namespace

void register_attention(OpTable& table, Context& context) {
  table.add("attention", [&context](const OpDesc& desc) { return make<ForwardKernel, 0>(desc, context); });
  table.add("attentionBackward", [&context](const OpDesc& desc) { return make<BackwardKernel, 1>(desc, context); });
}

}  // namespace apollo::cuda
