#include "cuda/blas/cublas.h"

#include "core/late_library.h"

namespace apollo::cuda {
namespace {

CublasLt load() {
  const LateLibrary library =
      LateLibrary::open({"cuBLASLt",
                         "APOLLO_CUBLASLT",
                         {"libcublasLt.so.13", "libcublasLt.so.12", "/usr/local/cuda/lib64/libcublasLt.so.13"},
                         "Install the CUDA toolkit or the Python package nvidia-cublas, or set "
                         "APOLLO_CUBLASLT=/path/to/libcublasLt.so.13; without a GPU use device \"cpu\"",
                         "APOLLO_NO_DEVICE"});
  CublasLt lt{};
  lt.file = library.file();
  library.bind("cublasLtGetVersion", lt.version);
  library.bind("cublasLtGetStatusString", lt.status_string);
  library.bind("cublasLtCreate", lt.create);
  library.bind("cublasLtDestroy", lt.destroy);
  library.bind("cublasLtMatmul", lt.matmul);
  library.bind("cublasLtMatmulDescCreate", lt.desc_create);
  library.bind("cublasLtMatmulDescDestroy", lt.desc_destroy);
  library.bind("cublasLtMatmulDescSetAttribute", lt.desc_set);
  library.bind("cublasLtMatrixLayoutCreate", lt.layout_create);
  library.bind("cublasLtMatrixLayoutDestroy", lt.layout_destroy);
  library.bind("cublasLtMatrixLayoutSetAttribute", lt.layout_set);
  library.bind("cublasLtMatmulPreferenceCreate", lt.preference_create);
  library.bind("cublasLtMatmulPreferenceDestroy", lt.preference_destroy);
  library.bind("cublasLtMatmulPreferenceSetAttribute", lt.preference_set);
  library.bind("cublasLtMatmulAlgoGetHeuristic", lt.heuristic);
  library.bind("cublasLtMatmulAlgoCheck", lt.algo_check);
  return lt;
}

}  // namespace

const CublasLt& CublasLt::get() {
  static const CublasLt lt = load();  // a failure is tried again at the next call
  return lt;
}

}  // namespace apollo::cuda
