// matmul: every product of the graph by cuBLASLt. Transposes are how a matrix is read; bias and accumulation run on the
// product's tiles. Limited by FLOPs; at the sizes of training each matrix is read and written about once.
#include <algorithm>
#include <memory>
#include <vector>

#include "core/op_shapes.h"
#include "cuda/blas/blas_product.h"
#include "cuda/cuda.h"
#include "cuda/ops/gelu_each.cuh"

namespace apollo::cuda {
namespace {

// For inference, where nothing keeps the product itself.
template <class T>
void gelu_in_place(void* y, std::int64_t count, bool tanh, void* stream) {
  if (tanh) {
    each(count, Gelu<T, true>{static_cast<T*>(y), static_cast<T*>(y)}, stream);
  } else {
    each(count, Gelu<T, false>{static_cast<T*>(y), static_cast<T*>(y)}, stream);
  }
}

// y = activation(op(a) op(b) + bias) [.., M, N], or y += that (see the op table for the attributes).
class MatmulKernel final : public Kernel {
 public:
  MatmulKernel(const OpDesc& desc, Context& context) {
    TensorDesc a = desc.inputs[0], b = desc.inputs[1], y = desc.outputs[0];
    const bool trans_a = desc.attrs.flag("transA"), trans_b = desc.attrs.flag("transB");
    if (a.dtype == DType::I32 || a.dtype != b.dtype || (y.dtype != a.dtype && y.dtype != DType::F32)) {
      unsupported(desc, "cuda");
    }
    require(a.shape.size() >= 2 && a.shape.size() == b.shape.size(), "matmul: a and b must have one rank >= 2");
    const std::string& activation = desc.attrs.text("activation");
    require(activation == "none" || activation == "gelu" || activation == "geluTanh",
            "matmul: unknown activation '" + activation + "'");
    activates_ = activation != "none";
    tanh_ = activation == "geluTanh";
    has_bias_ = desc.attrs.flag("hasBias");
    elements_ = y.elements();
    out_ = y.dtype;

    flatten_stack(a, b, y, trans_a);
    BlasProductDesc product;
    product.dtype = a.dtype;
    product.out = y.dtype;
    product.trans_a = trans_a;
    product.trans_b = trans_b;
    product.m = y.shape[y.shape.size() - 2];
    product.n = columns_ = y.last();
    product.k = trans_a ? a.shape[a.shape.size() - 2] : a.last();
    product.lda = a.last();
    product.ldb = b.last();
    product.ldc = y.last();
    product.accumulate = desc.accumulates(0);
    if (has_bias_) product.epilogue = Epilogue::Bias;
    stack(a, b, y, product);
    require(!product.accumulate || !activates_, "matmul: accumulation of an activation");
    product_ = std::make_unique<BlasProduct>(context, product);
  }

  std::size_t scratch_bytes() const override {
    return BlasProduct::kWorkspaceBytes + static_cast<std::size_t>(has_bias_ ? 2 * columns_ : 0);
  }
  void tune(std::span<std::byte> arena, void* stream) override {
    product_->tune(arena, static_cast<cudaStream_t>(stream));
  }

  void run(const RunContext& c) override {
    void* bias = nullptr;
    if (has_bias_) {
      bias = const_cast<float*>(c.in<float>(2));
      if (out_ == DType::BF16) {
        auto* narrow = reinterpret_cast<Bf16*>(static_cast<std::byte*>(c.scratch) + BlasProduct::kWorkspaceBytes);
        each(columns_, Narrow{c.in<float>(2), narrow}, c.stream);
        bias = narrow;
      }
    }
    for (const Offset& offset : offsets_) {
      product_->run(
          {c.in<std::byte>(0) + offset.a, c.in<std::byte>(1) + offset.b, c.out<std::byte>(0) + offset.y, bias},
          c.scratch, static_cast<cudaStream_t>(c.stream));
    }
    if (!activates_) return;
    if (out_ == DType::F32) {
      gelu_in_place<float>(c.outputs[0], elements_, tanh_, c.stream);
    } else {
      gelu_in_place<Bf16>(c.outputs[0], elements_, tanh_, c.stream);
    }
  }

 private:
  struct Offset {
    std::int64_t a, b, y;  // in bytes
  };

  // The loops over leading extents: the innermost is cuBLASLt's batch, the others are calls. With a bias, which it adds
  // to single products only, all of them are.
  void stack(const TensorDesc& a, const TensorDesc& b, const TensorDesc& y, BlasProductDesc& product) {
    const auto leading = [](const TensorDesc& x) { return Dims(x.shape.begin(), x.shape.end() - 2); };
    const auto scaled = [](Dims strides, const TensorDesc& x) {
      const std::int64_t matrix = x.last() * x.shape[x.shape.size() - 2];
      for (std::int64_t& stride : strides) stride *= matrix;
      return strides;
    };
    const Dims extents = leading(y);
    const LoopNest<3> nest(
        extents, {scaled(broadcast_strides(leading(a), extents), a), scaled(broadcast_strides(leading(b), extents), b),
                  scaled(row_major_strides(extents), y)});
    const auto& run = nest.run();
    const auto size = static_cast<std::int64_t>(size_of(a.dtype)), y_size = static_cast<std::int64_t>(size_of(y.dtype));
    nest.walk(0, nest.elements, [&](const auto& offset, std::int64_t count) {
      for (std::int64_t i = 0; i < (has_bias_ ? count : 1); ++i) {
        offsets_.push_back({(offset[0] + i * run.stride[0]) * size, (offset[1] + i * run.stride[1]) * size,
                            (offset[2] + i * run.stride[2]) * y_size});
      }
    });
    if (has_bias_ || run.extent == 1) return;
    product.batch = run.extent;
    product.stride_a = run.stride[0];
    product.stride_b = run.stride[1];
    product.stride_c = run.stride[2];
  }

  bool has_bias_ = false, activates_ = false, tanh_ = false;
  DType out_ = DType::F32;
  std::int64_t columns_ = 0, elements_ = 0;
  std::vector<Offset> offsets_;
  std::unique_ptr<BlasProduct> product_;
};

}  // namespace

void register_matmul(OpTable& table, Context& context) {
  table.add("matmul", factory_of<MatmulKernel>(context));
  register_matmul_column_sum(table, context);
  register_matmul_gelu(table, context);
}

}  // namespace apollo::cuda
