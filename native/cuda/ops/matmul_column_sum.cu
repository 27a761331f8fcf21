// matmulColumnSum, made by fusion.h: the gradients of a linear layer's weight and bias, which both read the gradient of
// its output. cuBLASLt can sum the columns of what it multiplies on the way, where that is faster.
#include <algorithm>

#include "cuda/blas/epilogue_choice.h"
#include "cuda/cuda.h"
#include "cuda/ops/column_sum.cuh"
#include "cuda/ops/elementwise.cuh"

namespace apollo::cuda {
namespace {

// (x [R, M] bf16, g [R, N] bf16) -> dw [M, N] f32 (+)= x^T g, db [N] f32 (+)= column sums of g.
class MatmulColumnSum final : public Kernel {
 public:
  MatmulColumnSum(const OpDesc& desc, Context& context)
      : accumulates_(desc.accumulates(1)),
        choice_(context, product_of(desc, Epilogue::None), product_of(desc, Epilogue::BiasGradient)),
        sums_(desc.inputs[1].rows(), desc.inputs[1].last(), accumulates_),
        g_bytes_(desc.inputs[1].bytes()) {}

  // The epilogue writes its sums; where they are added they wait in scratch.
  std::size_t scratch_bytes() const override {
    const auto columns = static_cast<std::size_t>(sums_.columns()) * sizeof(float);
    return BlasProduct::kWorkspaceBytes + std::max(sums_.scratch_bytes(), columns);
  }

  void tune(std::span<std::byte> arena, void* stream) override {
    auto* sums = reinterpret_cast<float*>(arena.data());
    const auto* g = reinterpret_cast<const Bf16*>(sums + sums_.columns() + sums_.scratch_bytes() / sizeof(float));
    choice_.tune(
        arena, g_bytes_ + static_cast<std::size_t>(sums_.columns()) * sizeof(float) + sums_.scratch_bytes(),
        static_cast<cudaStream_t>(stream), [&] { sums_.run(StoredValues{g}, sums, sums + sums_.columns(), stream); },
        [&] { add(sums, sums, stream); });
  }

  void run(const RunContext& c) override {
    auto* scratch = static_cast<std::byte*>(c.scratch) + BlasProduct::kWorkspaceBytes;
    auto *db = c.out<float>(1), *written = accumulates_ ? reinterpret_cast<float*>(scratch) : db;
    const auto stream = static_cast<cudaStream_t>(c.stream);
    const bool fused = choice_.uses_fused();
    choice_.product().run({c.inputs[0], c.inputs[1], c.outputs[0], fused ? written : nullptr}, c.scratch, stream);
    if (!fused) {
      sums_.run(StoredValues{c.in<Bf16>(1)}, db, scratch, c.stream);
    } else {
      add(written, db, c.stream);
    }
  }

 private:
  static BlasProductDesc product_of(const OpDesc& desc, Epilogue epilogue) {
    const TensorDesc &x = desc.inputs[0], &g = desc.inputs[1];
    BlasProductDesc product;
    product.dtype = DType::BF16;
    product.out = DType::F32;
    product.trans_a = true;
    product.m = product.lda = x.last();
    product.n = product.ldb = product.ldc = g.last();
    product.k = x.rows();
    product.accumulate = desc.accumulates(0);
    product.epilogue = epilogue;
    return product;
  }

  void add(const float* written, float* db, void* stream) const {
    if (accumulates_) each(sums_.columns(), AddTo{written, db}, stream);
  }

  bool accumulates_;
  EpilogueChoice choice_;
  ColumnSum sums_;
  std::size_t g_bytes_;
};

}  // namespace

void register_matmul_column_sum(OpTable& table, Context& context) {
  table.add_fused("matmulColumnSum", factory_of<MatmulColumnSum>(context));
}

}  // namespace apollo::cuda
