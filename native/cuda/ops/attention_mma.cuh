// Attention on tensor cores by mma.sync, for heads of kHead: the forward pass is in attention_mma.cu, the backward pass
// in attention_mma_backward.cu.
#pragma once

#include "cuda/ops/attention.cuh"

namespace apollo::cuda {

template <int kHead>
class AttentionTensorCores final : public AttentionKernels<Bf16> {
 public:
  AttentionTensorCores(const AttentionShape& shape, AttentionPass pass, int multiprocessors);

  // Of a block.
  static std::size_t shared_bytes(AttentionPass pass) {
    return pass == AttentionPass::Forward ? forward_bytes() : backward_bytes();
  }

  void forward(const AttentionForward<Bf16>& args, void* stream) const override;
  std::size_t partial_bytes(const AttentionShape& shape) const override;
  void backward(const AttentionBackward<Bf16>& args, void* stream) const override;

 private:
  static std::size_t forward_bytes();
  static std::size_t backward_bytes();
  void prepare_forward() const;
  void prepare_backward() const;

  std::int32_t splits_;  // blocks among which the backward pass divides the keys of a head
};

}  // namespace apollo::cuda
