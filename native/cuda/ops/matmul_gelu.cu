// matmulGelu and matmulGeluBackward, made by fusion.h: a product with GELU (by tanh) after it whose input is kept, and
// a product with GELU's derivative after it; each in the product's epilogue where that is faster.
#include <memory>

#include "cuda/blas/blas_product.h"
#include "cuda/blas/epilogue_choice.h"
#include "cuda/cuda.h"
#include "cuda/ops/column_sum.cuh"
#include "cuda/ops/gelu_each.cuh"

namespace apollo::cuda {
namespace {

BlasProductDesc product_of(const OpDesc& desc, const TensorDesc& y, Epilogue epilogue) {
  const TensorDesc &a = desc.inputs[0], &b = desc.inputs[1];
  BlasProductDesc product;
  product.dtype = product.out = DType::BF16;
  product.trans_a = desc.attrs.flag("transA");
  product.trans_b = desc.attrs.flag("transB");
  product.n = y.last();
  product.m = y.elements() / product.n;  // y may be seen with more axes
  product.k = product.trans_a ? a.shape[0] : a.last();
  product.lda = a.last();
  product.ldb = b.last();
  product.ldc = y.last();
  product.epilogue = epilogue;
  return product;
}

// (a, b, bias f32) -> (y = gelu(x), x = op(a) op(b) + bias)
class MatmulGelu final : public Kernel {
 public:
  MatmulGelu(const OpDesc& desc, Context& context)
      : count_(desc.outputs[0].elements()),
        columns_(desc.outputs[0].last()),
        choice_(context, product_of(desc, desc.outputs[0], Epilogue::Bias),
                product_of(desc, desc.outputs[0], Epilogue::GeluKept)) {}

  std::size_t scratch_bytes() const override {
    return BlasProduct::kWorkspaceBytes + static_cast<std::size_t>(columns_) * sizeof(Bf16);
  }

  void tune(std::span<std::byte> arena, void* stream) override {
    auto* y = reinterpret_cast<Bf16*>(arena.data());
    choice_.tune(
        arena, 2 * static_cast<std::size_t>(count_) * sizeof(Bf16), static_cast<cudaStream_t>(stream),
        [&] { gelu(y, y + count_, stream); }, [] {});
  }

  void run(const RunContext& c) override {
    auto* bias = reinterpret_cast<Bf16*>(static_cast<std::byte*>(c.scratch) + BlasProduct::kWorkspaceBytes);
    auto *y = c.out<Bf16>(0), *x = c.out<Bf16>(1);
    each(columns_, Narrow{c.in<float>(2), bias}, c.stream);
    const bool fused = choice_.uses_fused();
    choice_.product().run({c.inputs[0], c.inputs[1], fused ? y : x, bias, fused ? x : nullptr}, c.scratch,
                          static_cast<cudaStream_t>(c.stream));
    if (!fused) gelu(y, x, c.stream);
  }

 private:
  void gelu(Bf16* y, const Bf16* x, void* stream) const { each(count_, Gelu<Bf16, true>{x, y}, stream); }

  std::int64_t count_, columns_;
  EpilogueChoice choice_;
};

// (a, b, x) -> dx = (op(a) op(b)) gelu'(x), and with `columnSum` the sums of dx's columns.
class MatmulGeluBackward final : public Kernel {
 public:
  MatmulGeluBackward(const OpDesc& desc, Context& context)
      : count_(desc.outputs[0].elements()),
        choice_(context, product_of(desc, desc.outputs[0], Epilogue::None),
                product_of(desc, desc.outputs[0], Epilogue::GeluGradient)) {
    const std::int64_t columns = desc.outputs[0].last();
    if (desc.attrs.flag("columnSum")) {
      sums_ = std::make_unique<ColumnSum>(count_ / columns, columns, desc.accumulates(1));
    }
  }

  std::size_t scratch_bytes() const override {
    return BlasProduct::kWorkspaceBytes + (sums_ ? sums_->scratch_bytes() : 0);
  }

  void tune(std::span<std::byte> arena, void* stream) override {
    auto* dx = reinterpret_cast<Bf16*>(arena.data());
    auto* sums = reinterpret_cast<float*>(dx + 2 * count_);
    const std::size_t bytes = 2 * static_cast<std::size_t>(count_) * sizeof(Bf16);
    choice_.tune(
        arena, bytes + (sums_ ? 2 * sums_->scratch_bytes() : 0), static_cast<cudaStream_t>(stream),
        [&] { gradient(dx, dx + count_, sums, sums_ ? sums + sums_->columns() : nullptr, stream); },
        [&] {
          if (sums_) sums_->run(StoredValues{dx}, sums, sums + sums_->columns(), stream);
        });
  }

  void run(const RunContext& c) override {
    auto *dx = c.out<Bf16>(0), *x = const_cast<Bf16*>(c.in<Bf16>(2));
    float* sums = sums_ ? c.out<float>(1) : nullptr;
    auto* scratch = static_cast<std::byte*>(c.scratch) + BlasProduct::kWorkspaceBytes;
    const bool fused = choice_.uses_fused();
    choice_.product().run({c.inputs[0], c.inputs[1], dx, nullptr, fused ? x : nullptr}, c.scratch,
                          static_cast<cudaStream_t>(c.stream));
    if (!fused) {
      gradient(dx, x, sums, scratch, c.stream);
    } else if (sums_) {
      sums_->run(StoredValues{dx}, sums, scratch, c.stream);
    }
  }

 private:
  // dx *= gelu'(x), in a pass of its own.
  void gradient(Bf16* dx, const Bf16* x, float* sums, void* scratch, void* stream) const {
    const GeluBackward<Bf16, true> op{dx, x, dx};
    if (sums_) {
      sums_->run(GeluGradients<true>{op}, sums, scratch, stream);
    } else {
      each(count_, op, stream);
    }
  }

  std::int64_t count_;
  EpilogueChoice choice_;
  std::unique_ptr<ColumnSum> sums_;
};

}  // namespace

void register_matmul_gelu(OpTable& table, Context& context) {
  table.add_fused("matmulGelu", factory_of<MatmulGelu>(context));
  table.add_fused("matmulGeluBackward", factory_of<MatmulGeluBackward>(context));
}

}  // namespace apollo::cuda
