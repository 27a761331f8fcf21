// cuBLASLt for the emulator: column-major products by plain loops, with the epilogues of the manual. Sums run in f64
// and are rounded once, so it is at least as exact as the library.
#include <cublasLt.h>
#include <cuda_bf16.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "cuda/blas/cublas.h"

struct cublasLtContext {};
struct cublasLtMatmulDescOpaque_t {
  cublasComputeType_t compute;
  cublasOperation_t a = CUBLAS_OP_N, b = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  void *bias = nullptr, *aux = nullptr;
  std::int64_t aux_ld = 0;
};
struct cublasLtMatrixLayoutOpaque_t {
  cudaDataType type;
  std::uint64_t rows, columns;
  std::int64_t ld;
  std::int32_t batch = 1;
  std::int64_t stride = 0;
};
struct cublasLtMatmulPreferenceOpaque_t {
  std::uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_MASK;
};

namespace {

template <class T>
void assign(T& to, const void* value) {
  std::memcpy(&to, value, sizeof to);
}

double read(cudaDataType type, const void* base, std::int64_t index) {
  return type == CUDA_R_32F ? static_cast<const float*>(base)[index]
                            : __bfloat162float(static_cast<const __nv_bfloat16*>(base)[index]);
}
void write(cudaDataType type, void* base, std::int64_t index, double value) {
  if (type == CUDA_R_32F) {
    static_cast<float*>(base)[index] = static_cast<float>(value);
  } else {
    static_cast<__nv_bfloat16*>(base)[index] = __float2bfloat16_rn(static_cast<float>(value));
  }
}

constexpr double kSlope = 0.7978845608028654;  // sqrt(2 / pi)
double gelu(double x) { return 0.5 * x * (1.0 + std::tanh(kSlope * (x + 0.044715 * x * x * x))); }
double gelu_derivative(double x) {
  const double t = std::tanh(kSlope * (x + 0.044715 * x * x * x));
  return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * kSlope * (1.0 + 3.0 * 0.044715 * x * x);
}

struct Problem {
  cublasLtMatmulDescOpaque_t desc;
  cublasLtMatrixLayoutOpaque_t a, b, c, d;
  float alpha, beta;
  const void *a_data, *b_data, *c_data;
  void* d_data;

  bool has(int flag) const { return (static_cast<int>(desc.epilogue) & flag) != 0; }
  std::int64_t rows() const { return static_cast<std::int64_t>(d.rows); }
  std::int64_t columns() const { return static_cast<std::int64_t>(d.columns); }
  std::int64_t inner() const { return static_cast<std::int64_t>(desc.a == CUBLAS_OP_N ? a.columns : a.rows); }
  double left(std::int64_t batch, std::int64_t m, std::int64_t k) const {
    return read(a.type, a_data, batch * a.stride + (desc.a == CUBLAS_OP_N ? m + k * a.ld : k + m * a.ld));
  }
  double right(std::int64_t batch, std::int64_t k, std::int64_t n) const {
    return read(b.type, b_data, batch * b.stride + (desc.b == CUBLAS_OP_N ? k + n * b.ld : n + k * b.ld));
  }

  void run() const {
    std::vector<double> bias_gradient(static_cast<std::size_t>(rows()));
    // A column of the result at a time, each of its sums in the order of k.
    const auto height = static_cast<std::size_t>(rows()), depth = static_cast<std::size_t>(inner());
    std::vector<double> matrix(height * depth), sums(height);
    for (std::int64_t batch = 0; batch < d.batch; ++batch) {
      for (std::size_t k = 0; k < depth; ++k) {
        for (std::size_t m = 0; m < height; ++m) {
          matrix[k * height + m] = left(batch, static_cast<std::int64_t>(m), static_cast<std::int64_t>(k));
        }
      }
      for (std::int64_t n = 0; n < columns(); ++n) {
        std::fill(sums.begin(), sums.end(), 0.0);
        for (std::size_t k = 0; k < depth; ++k) {
          const double factor = right(batch, static_cast<std::int64_t>(k), n);
          const double* column = matrix.data() + k * height;
          for (std::size_t m = 0; m < height; ++m) sums[m] += column[m] * factor;
        }
        for (std::int64_t m = 0; m < rows(); ++m) {
          element(batch, m, n, sums[static_cast<std::size_t>(m)], bias_gradient);
        }
      }
    }
    if (has(16))
      write_bias_gradient(rows(), [&](std::int64_t m) { return bias_gradient[static_cast<std::size_t>(m)]; });
    if (has(256))
      write_bias_gradient(rows(), [&](std::int64_t m) { return sum([&](auto k) { return left(0, m, k); }); });
    if (has(512)) {
      write_bias_gradient(columns(), [&](std::int64_t n) { return sum([&](auto k) { return right(0, k, n); }); });
    }
  }

  void element(std::int64_t batch, std::int64_t m, std::int64_t n, double sum,
               std::vector<double>& bias_gradient) const {
    double value = alpha * sum;
    const std::int64_t at = batch * d.stride + m + n * d.ld;
    if (beta != 0.0f) value += beta * read(c.type, c_data, batch * c.stride + m + n * c.ld);
    if (has(4)) value += read(d.type, desc.bias, m);
    const std::int64_t aux = m + n * desc.aux_ld;
    if (has(64)) {
      value *= gelu_derivative(read(d.type, desc.aux, aux));
      bias_gradient[static_cast<std::size_t>(m)] += value;
    } else if (has(32)) {
      if (has(128)) write(d.type, desc.aux, aux, value);
      value = gelu(value);
    }
    write(d.type, d_data, at, value);
  }

  template <class Term>
  double sum(const Term& term) const {
    double total = 0.0;
    for (std::int64_t k = 0; k < inner(); ++k) total += term(k);
    return total;
  }
  template <class Value>
  void write_bias_gradient(std::int64_t count, const Value& value) const {
    for (std::int64_t i = 0; i < count; ++i) write(d.type, desc.bias, i, value(i));
  }
};

constexpr std::size_t kWorkspaceBytes = 1024;

bool is_known(const cublasLtMatmulAlgo_t& algorithm) {
  for (int i = 1; i < 8; ++i) {
    if (algorithm.data[i] != 0) return false;
  }
  return algorithm.data[0] == 1 || algorithm.data[0] == 2;
}

}  // namespace

std::size_t cublasLtGetVersion() { return 130000; }
const char* cublasLtGetStatusString(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS: return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_NOT_SUPPORTED: return "CUBLAS_STATUS_NOT_SUPPORTED";
  }
  return "unknown";
}
cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  if (emulator::told_to_fail("cublasLtCreate")) return CUBLAS_STATUS_INVALID_VALUE;
  *handle = new cublasLtContext;
  emulator::hold(1);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete handle;
  emulator::hold(-1);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* desc, cublasComputeType_t compute, cudaDataType_t scale) {
  if (scale != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
  *desc = new cublasLtMatmulDescOpaque_t{compute};
  emulator::hold(1);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
  delete desc;
  emulator::hold(-1);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, std::size_t) {
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA: assign(desc->a, value); break;
    case CUBLASLT_MATMUL_DESC_TRANSB: assign(desc->b, value); break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE: assign(desc->epilogue, value); break;
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: assign(desc->bias, value); break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER: assign(desc->aux, value); break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD: assign(desc->aux_ld, value); break;
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE: break;
  }
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type, std::uint64_t rows,
                                          std::uint64_t columns, std::int64_t ld) {
  if (ld < static_cast<std::int64_t>(rows)) return CUBLAS_STATUS_INVALID_VALUE;
  *layout = new cublasLtMatrixLayoutOpaque_t{type, rows, columns, ld};
  emulator::hold(1);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  emulator::hold(-1);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void* value,
                                                std::size_t) {
  if (attribute == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT) {
    assign(layout->batch, value);
  } else {
    assign(layout->stride, value);
  }
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = new cublasLtMatmulPreferenceOpaque_t;
  emulator::hold(1);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  emulator::hold(-1);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
                                                    std::size_t) {
  if (attribute == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK) assign(preference->reduction, value);
  return CUBLAS_STATUS_SUCCESS;
}
// Two candidates, so that choosing between several is exercised. None where sums by atomic additions are allowed, whose
// order differs from run to run, nor where parts of sums may be rounded to the output's type.
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
                                              cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                                              cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t preference,
                                              int wanted, cublasLtMatmulHeuristicResult_t results[], int* found) {
  *found = 0;
  if (emulator::told_to_fail("cublasLtMatmulAlgoGetHeuristic")) return CUBLAS_STATUS_NOT_SUPPORTED;
  if ((preference->reduction & (CUBLASLT_REDUCTION_SCHEME_INPLACE | CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE)) != 0) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  const auto inner_b = desc->b == CUBLAS_OP_N ? b->rows : b->columns;
  const auto inner_a = desc->a == CUBLAS_OP_N ? a->columns : a->rows;
  const auto rows = desc->a == CUBLAS_OP_N ? a->rows : a->columns;
  const auto columns = desc->b == CUBLAS_OP_N ? b->columns : b->rows;
  if (inner_a != inner_b || rows != d->rows || columns != d->columns || c->rows != d->rows || a->type != b->type ||
      c->type != d->type || (a->type == CUDA_R_32F && d->type != CUDA_R_32F)) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  for (; *found < wanted && *found < 2; ++*found) {
    results[*found] = {};
    results[*found].algo.data[0] = static_cast<std::uint64_t>(*found) + 1;
    results[*found].workspaceSize = kWorkspaceBytes;
  }
  return CUBLAS_STATUS_SUCCESS;
}
// Algorithms are those of the heuristic: one word, 1 or 2, then zeros.
cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t,
                                       cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                       const cublasLtMatmulAlgo_t* algorithm, cublasLtMatmulHeuristicResult_t* result) {
  if (!is_known(*algorithm)) return CUBLAS_STATUS_INVALID_VALUE;
  *result = {};
  result->algo = *algorithm;
  result->workspaceSize = kWorkspaceBytes;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t desc, const void* alpha, const void* a,
                              cublasLtMatrixLayout_t a_layout, const void* b, cublasLtMatrixLayout_t b_layout,
                              const void* beta, const void* c, cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algorithm, void* workspace,
                              std::size_t workspace_bytes, cudaStream_t stream) {
  if (algorithm == nullptr || !is_known(*algorithm) || workspace == nullptr || workspace_bytes < kWorkspaceBytes) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  Problem problem{*desc, *a_layout, *b_layout, *c_layout, *d_layout, 0.0f, 0.0f, a, b, c, d};
  assign(problem.alpha, alpha);
  assign(problem.beta, beta);
  cudaLaunchConfig_t config{};
  config.gridDim = 1;
  config.blockDim = 1;
  config.stream = stream;
  return emulator::launch(config, [problem] { problem.run(); }) == cudaSuccess ? CUBLAS_STATUS_SUCCESS
                                                                               : CUBLAS_STATUS_INVALID_VALUE;
}

namespace apollo::cuda {

const CublasLt& CublasLt::get() {
  static const CublasLt lt{cublasLtGetVersion,
                           cublasLtGetStatusString,
                           cublasLtCreate,
                           cublasLtDestroy,
                           cublasLtMatmul,
                           cublasLtMatmulDescCreate,
                           cublasLtMatmulDescDestroy,
                           cublasLtMatmulDescSetAttribute,
                           cublasLtMatrixLayoutCreate,
                           cublasLtMatrixLayoutDestroy,
                           cublasLtMatrixLayoutSetAttribute,
                           cublasLtMatmulPreferenceCreate,
                           cublasLtMatmulPreferenceDestroy,
                           cublasLtMatmulPreferenceSetAttribute,
                           cublasLtMatmulAlgoGetHeuristic,
                           cublasLtMatmulAlgoCheck,
                           "emulator"};
  return lt;
}

}  // namespace apollo::cuda
