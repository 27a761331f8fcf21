// matmulGelu and matmulGeluBackward, made by fusion.h: a product with GELU (by tanh) after it whose input is kept, and
// a product with GELU's derivative after it. cuBLASLt can do either on the product's tiles, which saves a pass over
// memory but slows the product; which is faster depends on GPU, library and shape, so both ways are timed and the
// choice is kept beside those of algorithms. Where nothing is timed GELU runs on its own.
#include <cstdlib>
#include <memory>
#include <string>

#include "cuda/blas_product.h"
#include "cuda/column_sum.cuh"
#include "cuda/cuda.h"
#include "cuda/gelu_each.cuh"
#include "cuda/timing.h"

namespace apollo::cuda {
namespace {

// APOLLO_MATMUL_GELU=fused or separate: one way for all, for tests and measurements.
std::string wanted_way() {
  const char* choice = std::getenv("APOLLO_MATMUL_GELU");
  return choice == nullptr ? "" : choice;
}

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

// What both kernels are: two ways and the choice between them.
class GeluProduct : public Kernel {
 public:
  GeluProduct(const OpDesc& desc, Context& context, const TensorDesc& y, Epilogue separate, Epilogue fused)
      : context_(context),
        count_(y.elements()),
        columns_(y.last()),
        separate_(context, product_of(desc, y, separate)),
        fused_(context, product_of(desc, y, fused)),
        key_("gelu " + product_of(desc, y, fused).key(false)),
        uses_fused_(wanted_way() == "fused") {}

  void tune(std::span<std::byte> arena, void* stream) override {
    separate_.tune(arena, static_cast<cudaStream_t>(stream));
    fused_.tune(arena, static_cast<cudaStream_t>(stream));
    if (!wanted_way().empty()) return;
    if (const auto known = context_.matmuls->find(key_)) {
      uses_fused_ = known->algorithm[0] == 1;
      return;
    }
    const auto bytes = static_cast<std::size_t>(count_) * sizeof(Bf16);
    if (separate_.microseconds() == 0.0 || fused_.microseconds() == 0.0 || arena.size() < 2 * bytes) return;
    const double gelu = microseconds_of(static_cast<cudaStream_t>(stream),
                                        [&] { gelu_alone(arena.data(), arena.data() + bytes, stream); });
    MatmulChoice choice;
    choice.algorithm[0] = fused_.microseconds() < separate_.microseconds() + gelu ? 1 : 0;
    choice.microseconds = choice.algorithm[0] == 1 ? fused_.microseconds() : separate_.microseconds() + gelu;
    uses_fused_ = context_.matmuls->add(key_, choice) && choice.algorithm[0] == 1;
  }

 protected:
  virtual void gelu_alone(void* to, const void* kept, void* stream) const = 0;

  Context& context_;
  std::int64_t count_, columns_;
  BlasProduct separate_, fused_;
  std::string key_;
  bool uses_fused_;
};

// (a, b, bias f32) -> (y = gelu(x), x = op(a) op(b) + bias)
class MatmulGeluKernel final : public GeluProduct {
 public:
  MatmulGeluKernel(const OpDesc& desc, Context& context)
      : GeluProduct(desc, context, desc.outputs[0], Epilogue::Bias, Epilogue::GeluKept) {}

  std::size_t scratch_bytes() const override {
    return BlasProduct::kWorkspaceBytes + static_cast<std::size_t>(columns_) * sizeof(Bf16);
  }

  void run(const RunContext& c) override {
    auto* bias = reinterpret_cast<Bf16*>(static_cast<std::byte*>(c.scratch) + BlasProduct::kWorkspaceBytes);
    each(columns_, Narrow{c.in<float>(2), bias}, c.stream);
    const auto stream = static_cast<cudaStream_t>(c.stream);
    if (uses_fused_) {
      fused_.run({c.inputs[0], c.inputs[1], c.outputs[0], bias, c.outputs[1]}, c.scratch, stream);
    } else {
      separate_.run({c.inputs[0], c.inputs[1], c.outputs[1], bias}, c.scratch, stream);
      gelu_alone(c.outputs[0], c.outputs[1], c.stream);
    }
  }

 private:
  void gelu_alone(void* to, const void* kept, void* stream) const override {
    each(count_, Gelu<Bf16, true>{static_cast<const Bf16*>(kept), static_cast<Bf16*>(to)}, stream);
  }
};

// (a, b, x) -> dx = (op(a) op(b)) gelu'(x), and with `columnSum` the sums of dx's columns.
class MatmulGeluBackwardKernel final : public GeluProduct {
 public:
  MatmulGeluBackwardKernel(const OpDesc& desc, Context& context)
      : GeluProduct(desc, context, desc.outputs[0], Epilogue::None, Epilogue::GeluGradient) {
    if (desc.attrs.flag("columnSum")) {
      sums_ = std::make_unique<ColumnSum>(desc.outputs[0].elements() / columns_, columns_, desc.accumulates(1));
    }
  }

  std::size_t scratch_bytes() const override {
    return BlasProduct::kWorkspaceBytes + (sums_ ? sums_->scratch_bytes() : 0);
  }

  void run(const RunContext& c) override {
    const auto stream = static_cast<cudaStream_t>(c.stream);
    const BlasProduct& product = uses_fused_ ? fused_ : separate_;
    void* x = const_cast<Bf16*>(c.in<Bf16>(2));
    product.run({c.inputs[0], c.inputs[1], c.outputs[0], nullptr, uses_fused_ ? x : nullptr}, c.scratch, stream);
    auto* dx = c.out<Bf16>(0);
    std::byte* scratch = static_cast<std::byte*>(c.scratch) + BlasProduct::kWorkspaceBytes;
    if (!sums_) {
      if (!uses_fused_) gelu_alone(dx, x, c.stream);
    } else if (uses_fused_) {
      sums_->run(StoredValues{dx}, c.out<float>(1), scratch, c.stream);
    } else {
      const GeluGradients<true> source{{dx, c.in<Bf16>(2), dx}};
      sums_->run(source, c.out<float>(1), scratch, c.stream);
    }
  }

 private:
  void gelu_alone(void* to, const void* kept, void* stream) const override {
    auto* dx = static_cast<Bf16*>(to);
    each(count_, GeluBackward<Bf16, true>{dx, static_cast<const Bf16*>(kept), dx}, stream);
  }

  std::unique_ptr<ColumnSum> sums_;
};

}  // namespace

void register_matmul_gelu(OpTable& table, Context& context) {
  table.add_fused("matmulGelu", factory_of<MatmulGeluKernel>(context));
  table.add_fused("matmulGeluBackward", factory_of<MatmulGeluBackwardKernel>(context));
}

}  // namespace apollo::cuda
