#include "cuda/blas/blas_product.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "cuda/device/device_memory.h"
#include "cuda/device/timing.h"

namespace apollo::cuda {
namespace {

constexpr int kCandidates = 8;
// Below this a product is done in a few microseconds with any algorithm. (APOLLO_TUNE_FLOPS: another limit, for
// tests.)
double tuned_flops() {
  const char* chosen = std::getenv("APOLLO_TUNE_FLOPS");
  return chosen == nullptr ? 1e9 : std::strtod(chosen, nullptr);
}

cudaDataType_t type_of(DType dtype) { return dtype == DType::F32 ? CUDA_R_32F : CUDA_R_16BF; }

std::int64_t bytes_of(DType dtype, std::int64_t elements) {
  return elements * static_cast<std::int64_t>(size_of(dtype));
}

cublasLtEpilogue_t epilogue_of(Epilogue epilogue) {
  switch (epilogue) {
    case Epilogue::None: return CUBLASLT_EPILOGUE_DEFAULT;
    case Epilogue::Bias: return CUBLASLT_EPILOGUE_BIAS;
    case Epilogue::GeluKept: return CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
    case Epilogue::GeluGradient: return CUBLASLT_EPILOGUE_DGELU;
    case Epilogue::BiasGradient: return CUBLASLT_EPILOGUE_BGRADA;
  }
  return CUBLASLT_EPILOGUE_DEFAULT;
}

// The largest power of two up to 64, the arena's alignment, that divides the bytes between rows and between batches.
std::uint32_t alignment_of(DType dtype, std::int64_t ld, std::int64_t stride) {
  const std::int64_t all = 64 | bytes_of(dtype, ld) | bytes_of(dtype, stride);
  return static_cast<std::uint32_t>(all & -all);
}

cublasLtMatmulAlgo_t algorithm_of(const MatmulChoice& choice) {
  cublasLtMatmulAlgo_t algorithm;
  static_assert(sizeof algorithm == sizeof choice.algorithm);
  std::memcpy(&algorithm, choice.algorithm.data(), sizeof algorithm);
  return algorithm;
}

}  // namespace

std::string BlasProductDesc::key(bool tf32) const {
  std::string text;
  const auto add = [&](std::int64_t value) { text.append(text.empty() ? "" : " ").append(std::to_string(value)); };
  text.append(name_of(dtype)).append(">").append(name_of(out)).append(tf32 && dtype == DType::F32 ? " tf32" : "");
  for (const std::int64_t value : {m, n, k, lda, ldb, ldc, batch, stride_a, stride_b, stride_c}) add(value);
  text.append(trans_a ? " aT" : " a").append(trans_b ? " bT" : " b").append(accumulate ? " +=" : " =");
  add(static_cast<std::int64_t>(epilogue));
  return text;
}

// Column-major, a row-major matrix is its transpose: c^T = op(b)^T op(a)^T, so cuBLASLt's first operand is b.
BlasProduct::BlasProduct(Context& context, const BlasProductDesc& desc)
    : context_(context), lt_(context.blas->lt()), desc_(desc) {
  require(desc.dtype != DType::I32 && (desc.out == desc.dtype || desc.out == DType::F32), "a product's dtypes");
  require(desc.batch == 1 || desc.epilogue == Epilogue::None, "a stack of products takes no epilogue");
  const bool tf32 = context.options.tf32 && desc.dtype == DType::F32;
  cublasLtMatmulDesc_t operation = nullptr;
  lt_.check(lt_.desc_create(&operation, tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F),
            "describing a product");
  operation_ = {operation, lt_.desc_destroy};
  const auto set = [&](cublasLtMatmulDescAttributes_t attribute, auto value) {
    lt_.check(lt_.desc_set(operation_.get(), attribute, &value, sizeof value), "describing a product");
  };
  set(CUBLASLT_MATMUL_DESC_TRANSA, desc.trans_b ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(CUBLASLT_MATMUL_DESC_TRANSB, desc.trans_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(desc.epilogue));
  // For the heuristic, which looks at nothing of an address but its alignment: the arena's and the buffers'.
  void* const aligned = reinterpret_cast<void*>(std::uintptr_t{64});
  if (desc.epilogue == Epilogue::Bias || desc.epilogue == Epilogue::GeluKept ||
      desc.epilogue == Epilogue::BiasGradient) {
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, aligned);
    set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type_of(desc.out));
  }
  if (desc.epilogue == Epilogue::GeluKept || desc.epilogue == Epilogue::GeluGradient) {
    set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, aligned);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, desc.n);
  }
  const auto layout = [&](DType dtype, std::int64_t rows, std::int64_t columns, std::int64_t ld, std::int64_t stride) {
    cublasLtMatrixLayout_t raw = nullptr;
    lt_.check(lt_.layout_create(&raw, type_of(dtype), static_cast<std::uint64_t>(columns),
                                static_cast<std::uint64_t>(rows), ld),
              "describing a matrix");
    LtObject<cublasLtMatrixLayout_t> made(raw, lt_.layout_destroy);
    const auto batch = static_cast<std::int32_t>(desc.batch);
    if (batch > 1) {
      lt_.check(lt_.layout_set(raw, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batch, sizeof batch), "describing a stack");
      lt_.check(lt_.layout_set(raw, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof stride),
                "describing a stack");
    }
    return made;
  };
  a_ = desc.trans_b ? layout(desc.dtype, desc.n, desc.k, desc.ldb, desc.stride_b)
                    : layout(desc.dtype, desc.k, desc.n, desc.ldb, desc.stride_b);
  b_ = desc.trans_a ? layout(desc.dtype, desc.k, desc.m, desc.lda, desc.stride_a)
                    : layout(desc.dtype, desc.m, desc.k, desc.lda, desc.stride_a);
  c_ = layout(desc.out, desc.m, desc.n, desc.ldc, desc.stride_c);

  cublasLtMatmulPreference_t preference = nullptr;
  lt_.check(lt_.preference_create(&preference), "asking for algorithms");
  const LtObject<cublasLtMatmulPreference_t> owned(preference, lt_.preference_destroy);
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    lt_.check(lt_.preference_set(preference, attribute, &value, sizeof value), "asking for algorithms");
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspaceBytes);
  // Parts of a split sum are added in a fixed order and in f32: in place, atomic additions would come in any order, and
  // a sum kept in bf16 would be rounded once per part.
  prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
         std::uint32_t{CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(desc.dtype, desc.ldb, desc.stride_b));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(desc.dtype, desc.lda, desc.stride_a));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment_of(desc.out, desc.ldc, desc.stride_c));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment_of(desc.out, desc.ldc, desc.stride_c));
  cublasLtMatmulHeuristicResult_t results[kCandidates] = {};
  int found = 0;
  const cublasStatus_t status = lt_.heuristic(context.blas->handle(), operation_.get(), a_.get(), b_.get(), c_.get(),
                                              c_.get(), preference, kCandidates, results, &found);
  if (desc.optional && status != CUBLAS_STATUS_SUCCESS) return;
  lt_.check(status, ("finding an algorithm for the product " + desc.key(tf32)).c_str());
  for (int i = 0; i < found; ++i) {
    if (results[i].state != CUBLAS_STATUS_SUCCESS) continue;
    MatmulChoice choice;
    std::memcpy(choice.algorithm.data(), &results[i].algo, sizeof choice.algorithm);
    choice.workspace_bytes = results[i].workspaceSize;
    candidates_.push_back(choice);
  }
  if (desc.optional && candidates_.empty()) return;
  require(!candidates_.empty(), "cuBLASLt has no algorithm for the product " + desc.key(tf32));
  chosen_ = candidates_.front();
}

// Whether cuBLASLt takes the algorithm for this product, in the workspace that there is.
bool BlasProduct::runnable(const MatmulChoice& choice) const {
  const cublasLtMatmulAlgo_t algorithm = algorithm_of(choice);
  cublasLtMatmulHeuristicResult_t result{};
  return lt_.algo_check(context_.blas->handle(), operation_.get(), a_.get(), b_.get(), c_.get(), c_.get(), &algorithm,
                        &result) == CUBLAS_STATUS_SUCCESS &&
         result.workspaceSize <= kWorkspaceBytes;
}

void BlasProduct::tune(std::span<std::byte> arena, cudaStream_t stream) {
  if (candidates_.size() < 2 || desc_.flops() < tuned_flops()) return;
  const std::string key = desc_.key(context_.options.tf32);
  // The file may be damaged, or of a library that calls itself the same: what does not fit is chosen again.
  const auto known = context_.matmuls->find(key);
  if (known && runnable(*known)) {
    chosen_ = *known;
    return;
  }
  if (!context_.matmuls->lasting()) return;  // a choice that is forgotten would give other bits next time
  const auto keep = [&](const MatmulChoice& choice) {
    if (const auto kept = context_.matmuls->add(key, choice, known); kept && runnable(*kept)) chosen_ = *kept;
  };
  const std::size_t needed = place({}, nullptr);
  DeviceMemory own;
  if (needed > arena.size()) {
    own = DeviceMemory::try_allocate(needed);
    // What is not timed is kept as well: a run that finds the memory would choose another one, and have other bits.
    if (own.get() == nullptr) return keep(candidates_.front());
    arena = {static_cast<std::byte*>(own.get()), needed};
  }
  Operands operands{};
  place(arena, &operands);
  for (MatmulChoice& candidate : candidates_) {
    candidate.microseconds = microseconds_of(stream, [&] { launch(operands, candidate, arena.data(), stream); });
  }
  const MatmulChoice& fastest =
      *std::min_element(candidates_.begin(), candidates_.end(),
                        [](const MatmulChoice& x, const MatmulChoice& y) { return x.microseconds < y.microseconds; });
  keep(fastest);
}

// Places for the operands behind the workspace; returns the bytes that takes.
std::size_t BlasProduct::place(std::span<std::byte> memory, Operands* operands) const {
  std::size_t end = kWorkspaceBytes;
  const auto next = [&](DType dtype, std::int64_t rows, std::int64_t ld, std::int64_t stride) -> std::byte* {
    const std::size_t begin = end;
    const std::int64_t bytes = bytes_of(dtype, (desc_.batch - 1) * stride + rows * ld);
    end += static_cast<std::size_t>((bytes + 255) / 256 * 256);
    return operands == nullptr ? nullptr : memory.data() + begin;
  };
  const bool keeps = desc_.epilogue == Epilogue::GeluKept || desc_.epilogue == Epilogue::GeluGradient;
  Operands placed{};
  placed.a = next(desc_.dtype, desc_.trans_a ? desc_.k : desc_.m, desc_.lda, desc_.stride_a);
  placed.b = next(desc_.dtype, desc_.trans_b ? desc_.n : desc_.k, desc_.ldb, desc_.stride_b);
  placed.c = next(desc_.out, desc_.m, desc_.ldc, desc_.stride_c);
  placed.bias = next(desc_.out, 1, desc_.n, 0);
  placed.aux = keeps ? next(desc_.out, desc_.m, desc_.n, 0) : nullptr;
  if (operands != nullptr) *operands = placed;
  return end;
}

void BlasProduct::run(const Operands& operands, void* workspace, cudaStream_t stream) const {
  launch(operands, chosen_, workspace, stream);
}

void BlasProduct::launch(const Operands& operands, const MatmulChoice& choice, void* workspace,
                         cudaStream_t stream) const {
  const auto set = [&](cublasLtMatmulDescAttributes_t attribute, void* pointer) {
    lt_.check(lt_.desc_set(operation_.get(), attribute, &pointer, sizeof pointer), "describing a product");
  };
  if (desc_.epilogue == Epilogue::Bias || desc_.epilogue == Epilogue::GeluKept ||
      desc_.epilogue == Epilogue::BiasGradient) {
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, operands.bias);
  }
  if (desc_.epilogue == Epilogue::GeluKept || desc_.epilogue == Epilogue::GeluGradient) {
    set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, operands.aux);
  }
  const float alpha = 1.0f, beta = desc_.accumulate ? 1.0f : 0.0f;
  const cublasLtMatmulAlgo_t algorithm = algorithm_of(choice);
  lt_.check(
      lt_.matmul(context_.blas->handle(), operation_.get(), &alpha, operands.b, a_.get(), operands.a, b_.get(), &beta,
                 operands.c, c_.get(), operands.c, c_.get(), &algorithm, workspace, kWorkspaceBytes, stream),
      "a matrix product");
}

}  // namespace apollo::cuda
