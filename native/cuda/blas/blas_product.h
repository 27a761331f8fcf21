// One matrix product by cuBLASLt, described once and run many times, with what can ride on its tiles: bias, GELU with
// its input kept, GELU's gradient, a bias gradient.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "cuda/blas/matmul_cache.h"
#include "cuda/device/context.h"

namespace apollo::cuda {

// Work of a product in addition to c = op(a) op(b). `bias` has one element per column of c, in c's dtype; `aux` has c's
// shape.
enum class Epilogue {
  None,
  Bias,          // c = .. + bias
  GeluKept,      // c = gelu(.. + bias), aux = .. + bias; GELU by tanh, as cuBLASLt has it
  GeluGradient,  // c = .. * gelu'(aux)
  BiasGradient,  // bias = column sums of b, for op(a) op(b) = x^T g
};

// Row-major matrices: op(a) [m, k], op(b) [k, n], c [m, n]; `ld` is the distance of rows in memory, in elements. c has
// `dtype`'s own or f32.
struct BlasProductDesc {
  DType dtype = DType::F32, out = DType::F32;
  std::int64_t m = 0, n = 0, k = 0;
  bool trans_a = false, trans_b = false;
  std::int64_t lda = 0, ldb = 0, ldc = 0;
  std::int64_t batch = 1, stride_a = 0, stride_b = 0, stride_c = 0;
  bool accumulate = false;  // c += instead of c =
  Epilogue epilogue = Epilogue::None;
  bool optional = false;  // cuBLASLt may have no algorithm for it on this GPU: see usable()

  double flops() const {
    return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k) * static_cast<double>(batch);
  }
  // Key of the choice of an algorithm.
  std::string key(bool tf32) const;
};

class BlasProduct {
 public:
  BlasProduct(Context& context, const BlasProductDesc& desc);
  BlasProduct(const BlasProduct&) = delete;
  BlasProduct& operator=(const BlasProduct&) = delete;

  bool usable() const { return !candidates_.empty(); }
  // Enough for any algorithm that is considered.
  static constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;

  // Takes the algorithm from the cache, or times the candidates where the product is large enough to matter: on `arena`
  // if that is large enough, else on memory of its own.
  void tune(std::span<std::byte> arena, cudaStream_t stream);
  // Microseconds of a run of the algorithm taken; 0 when it was not timed.
  double microseconds() const { return chosen_.microseconds; }

  struct Operands {
    const void *a, *b;
    void* c;
    void *bias = nullptr, *aux = nullptr;
  };
  void run(const Operands& operands, void* workspace, cudaStream_t stream) const;

 private:
  void launch(const Operands& operands, const MatmulChoice& choice, void* workspace, cudaStream_t stream) const;
  std::size_t place(std::span<std::byte> memory, Operands* operands) const;
  bool runnable(const MatmulChoice& choice) const;

  Context& context_;
  const CublasLt& lt_;
  BlasProductDesc desc_;
  LtObject<cublasLtMatmulDesc_t> operation_;
  LtObject<cublasLtMatrixLayout_t> a_, b_, c_;  // cuBLASLt's, column-major: a and b change places
  std::vector<MatmulChoice> candidates_;        // as the heuristic ranks them
  MatmulChoice chosen_;
};

}  // namespace apollo::cuda
