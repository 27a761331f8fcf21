// matmul: every product of the graph, but those of few rows (matmul_rows.cc), as one oneDNN primitive made when the
// program is compiled. Transposes are strides, bias, GELU and accumulation run on the product's tiles before they leave
// the cache; so a product is limited by FLOPs, and reads and writes each matrix once.
#include <algorithm>
#include <functional>
#include <memory>
#include <numeric>

#include "core/op_shapes.h"
#include "cpu/cpu.h"
#include "cpu/onednn/onednn.h"
#include "cpu/ops/matmul_rows.h"

namespace apollo::cpu {
namespace {

class MatmulKernel final : public Kernel {
 public:
  explicit MatmulKernel(const ProductDesc& desc) : product_(desc), bias_(desc.bias) {}
  std::size_t scratch_bytes() const override { return product_.scratch_bytes(); }
  void run(const RunContext& c) override {
    product_.run(c.inputs[0], c.inputs[1], c.outputs[0], c.scratch, bias_ ? c.in<float>(2) : nullptr);
  }

 private:
  Product product_;
  bool bias_;
};

// y (+)= x^T g with x [K, M], g [K, N] and K long (the positions of a batch), a weight's gradient: slices of 512 ran a
// fifth to two fifths faster than K 2048 at once, M and N 256 to 1024 (bf16 with AMX); transposing x first gained
// nothing more.
class SlicedMatmulKernel final : public Kernel {
 public:
  static constexpr std::int64_t kSlice = 512;

  explicit SlicedMatmulKernel(const ProductDesc& desc) : product_(desc, kSlice) {}
  std::size_t scratch_bytes() const override { return product_.scratch_bytes(); }
  void run(const RunContext& c) override { product_.run(c.inputs[0], c.inputs[1], c.outputs[0], c.scratch); }

 private:
  SlicedProduct product_;
};

Activation activation_of(const OpDesc& desc) {
  const std::string& name = desc.attrs.text("activation");
  if (name == "gelu") return Activation::Gelu;
  if (name == "geluTanh") return Activation::GeluTanh;
  require(name == "none", "matmul: unknown activation '" + name + "'");
  return Activation::None;
}

// The tensor's matrices as [.., rows, columns] of the product; `transposed` when memory holds them the other way round.
MatrixDesc matrix_of(const TensorDesc& tensor, bool transposed) {
  auto shape = tensor.shape;
  if (transposed) std::swap(shape[shape.size() - 1], shape[shape.size() - 2]);
  return MatrixDesc::dense(tensor.dtype, std::move(shape), transposed);
}

// y = activation(op(a) op(b) + bias) [.., M, N], or y += that (see the op table for the attributes).
std::unique_ptr<Kernel> make_matmul(const OpDesc& desc) {
  TensorDesc a = desc.inputs[0], b = desc.inputs[1], y = desc.outputs[0];
  const bool trans_a = desc.attrs.flag("transA"), trans_b = desc.attrs.flag("transB");
  if (a.dtype == DType::I32 || a.dtype != b.dtype || (y.dtype != a.dtype && y.dtype != DType::F32)) {
    unsupported(desc, "cpu");
  }
  require(a.shape.size() >= 2 && a.shape.size() == b.shape.size(), "matmul: a and b must have one rank >= 2");

  flatten_stack(a, b, y, trans_a);
  if (a.shape.size() == 2 && !trans_a && a.shape[0] <= kFewRows && !desc.accumulates(0)) {
    return make_few_rows({a.shape[0], a.shape[1], y.shape[1], a.dtype, y.dtype, trans_b, desc.attrs.flag("hasBias"),
                          activation_of(desc)});
  }
  ProductDesc product;
  product.a = matrix_of(a, trans_a);
  product.b = matrix_of(b, trans_b);
  product.c = matrix_of(y, false);
  product.bias = desc.attrs.flag("hasBias");
  product.activation = activation_of(desc);
  product.accumulate = desc.accumulates(0);
  const bool plain = a.shape.size() == 2 && !product.bias && product.activation == Activation::None;
  const std::int64_t inner = product.a.shape.back();
  if (plain && trans_a && !trans_b && y.dtype == DType::F32 && inner > SlicedMatmulKernel::kSlice) {
    return std::make_unique<SlicedMatmulKernel>(product);
  }
  // bf16 weights want their rows interleaved in pairs. Doing that once for the whole product costs less than oneDNN's
  // way of doing it per block when many rows use them: 8 to 11 % faster at 2048 rows, even near 900. Not so for f32,
  // and a long inner size suits the packed layout badly.
  product.pack_b = a.dtype == DType::BF16 && a.shape.size() == 2 && product.a.shape[0] >= 1024 && inner <= 2048;
  return std::make_unique<MatmulKernel>(product);
}

}  // namespace

void register_matmul(OpTable& table) { table.add("matmul", make_matmul); }

}  // namespace apollo::cpu
