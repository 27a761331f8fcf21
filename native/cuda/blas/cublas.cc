#include "cuda/blas/cublas.h"

#include <dlfcn.h>

#include <cstdlib>
#include <vector>

namespace apollo::cuda {
namespace {

template <class Function>
void bind(void* library, const std::string& file, const char* symbol, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, symbol));
  if (function == nullptr) throw Error(file + " is no usable cuBLASLt: it lacks " + symbol, "APOLLO_NO_DEVICE");
}

CublasLt load() {
  std::vector<std::string> files = {"libcublasLt.so.13", "libcublasLt.so.12",
                                    "/usr/local/cuda/lib64/libcublasLt.so.13"};
  if (const char* chosen = std::getenv("APOLLO_CUBLASLT"); chosen != nullptr && *chosen != '\0') files = {chosen};
  std::string tried;
  for (const std::string& file : files) {
    void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      tried.append(tried.empty() ? "" : "; ").append(dlerror());
      continue;
    }
    CublasLt lt{};
    lt.file = file;
    bind(library, file, "cublasLtGetVersion", lt.version);
    bind(library, file, "cublasLtGetStatusString", lt.status_string);
    bind(library, file, "cublasLtCreate", lt.create);
    bind(library, file, "cublasLtDestroy", lt.destroy);
    bind(library, file, "cublasLtMatmul", lt.matmul);
    bind(library, file, "cublasLtMatmulDescCreate", lt.desc_create);
    bind(library, file, "cublasLtMatmulDescDestroy", lt.desc_destroy);
    bind(library, file, "cublasLtMatmulDescSetAttribute", lt.desc_set);
    bind(library, file, "cublasLtMatrixLayoutCreate", lt.layout_create);
    bind(library, file, "cublasLtMatrixLayoutDestroy", lt.layout_destroy);
    bind(library, file, "cublasLtMatrixLayoutSetAttribute", lt.layout_set);
    bind(library, file, "cublasLtMatmulPreferenceCreate", lt.preference_create);
    bind(library, file, "cublasLtMatmulPreferenceDestroy", lt.preference_destroy);
    bind(library, file, "cublasLtMatmulPreferenceSetAttribute", lt.preference_set);
    bind(library, file, "cublasLtMatmulAlgoGetHeuristic", lt.heuristic);
    bind(library, file, "cublasLtMatmulAlgoCheck", lt.algo_check);
    return lt;
  }
  throw Error("cuBLASLt not found (" + tried +
                  "). Install the CUDA toolkit or the Python package nvidia-cublas, or set "
                  "APOLLO_CUBLASLT=/path/to/libcublasLt.so.13; without a GPU use device \"cpu\"",
              "APOLLO_NO_DEVICE");
}

}  // namespace

const CublasLt& CublasLt::get() {
  static const CublasLt lt = load();  // a failure is tried again at the next call
  return lt;
}

}  // namespace apollo::cuda
