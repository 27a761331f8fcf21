// matmul: every product of the graph as one oneDNN primitive made when the program is compiled. Transposes are strides,
// bias, GELU and accumulation run on the product's tiles before they leave the cache; so a product is limited by
// FLOPs, and reads and writes each matrix once.
#include <algorithm>
#include <functional>
#include <memory>
#include <numeric>

#include "cpu/cpu.h"
#include "cpu/onednn.h"

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

// y (+)= x^T g with x [K, M], g [K, N] and K long (positions of a batch), as a sum over slices of rows: a weight's
// gradient. oneDNN transposes x and interleaves g block by block, and loses its caches when K is long: slices of 512
// ran a fifth to two fifths faster for K 2048, M and N 256 to 1024 (bf16 with AMX); explicit transposition of x gained
// nothing more.
class SlicedMatmulKernel final : public Kernel {
 public:
  static constexpr std::int64_t kSlice = 512;

  SlicedMatmulKernel(DType dtype, std::int64_t m, std::int64_t n, std::int64_t k, bool adds)
      : row_bytes_a_(m * static_cast<std::int64_t>(size_of(dtype))),
        row_bytes_b_(n * static_cast<std::int64_t>(size_of(dtype))),
        count_((k + kSlice - 1) / kSlice),
        slice_((k + count_ - 1) / count_),
        first_(slice_of(dtype, m, n, slice_, adds)),
        next_(slice_of(dtype, m, n, slice_, true)),
        last_(slice_of(dtype, m, n, k - (count_ - 1) * slice_, true)) {}

  std::size_t scratch_bytes() const override {
    return std::max({first_.scratch_bytes(), next_.scratch_bytes(), last_.scratch_bytes()});
  }
  void run(const RunContext& c) override {
    for (std::int64_t i = 0; i < count_; ++i) {
      Product& product = i == 0 ? first_ : i == count_ - 1 ? last_ : next_;
      product.run(c.in<std::byte>(0) + i * slice_ * row_bytes_a_, c.in<std::byte>(1) + i * slice_ * row_bytes_b_,
                  c.outputs[0], c.scratch);
    }
  }

 private:
  static Product slice_of(DType dtype, std::int64_t m, std::int64_t n, std::int64_t k, bool adds) {
    ProductDesc desc;
    desc.a = MatrixDesc::dense(dtype, {m, k}, /*transposed=*/true);
    desc.b = MatrixDesc::dense(dtype, {k, n});
    desc.c = MatrixDesc::dense(DType::F32, {m, n});
    desc.accumulate = adds;
    return Product(desc);
  }

  std::int64_t row_bytes_a_, row_bytes_b_, count_, slice_;
  Product first_, next_, last_;
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

  // A stack times one matrix is one tall matrix times it: one large product instead of many small ones.
  const std::size_t rank = a.shape.size();
  const bool one_b = std::all_of(b.shape.begin(), b.shape.end() - 2, [](std::int64_t n) { return n == 1; });
  if (rank > 2 && one_b && !trans_a) {
    a.shape = {a.rows(), a.last()};
    b.shape = {b.shape[rank - 2], b.shape[rank - 1]};
    y.shape = {y.rows(), y.last()};
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
    return std::make_unique<SlicedMatmulKernel>(a.dtype, y.shape[0], y.shape[1], inner, product.accumulate);
  }
  // bf16 weights want their rows interleaved in pairs. Doing that once for the whole product costs less than oneDNN's way
  // of doing it per block when many rows use them: 8 to 11 % faster at 2048 rows, even near 900. Not so for f32, and a
  // long inner size suits the packed layout badly.
  product.pack_b = a.dtype == DType::BF16 && a.shape.size() == 2 && product.a.shape[0] >= 1024 && inner <= 2048;
  return std::make_unique<MatmulKernel>(product);
}

}  // namespace

void register_matmul(OpTable& table) { table.add("matmul", make_matmul); }

}  // namespace apollo::cpu
