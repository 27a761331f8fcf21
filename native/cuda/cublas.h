// cuBLASLt, bound when the first device is opened and never linked: the types come from its own header, the functions
// from whichever library the machine has.
#pragma once

#include <cublasLt.h>

#include <string>

#include "core/error.h"

namespace apollo::cuda {

struct CublasLt {
  decltype(&cublasLtGetVersion) version;
  decltype(&cublasLtGetStatusString) status_string;
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtDestroy) destroy;
  decltype(&cublasLtMatmul) matmul;
  decltype(&cublasLtMatmulDescCreate) desc_create;
  decltype(&cublasLtMatmulDescDestroy) desc_destroy;
  decltype(&cublasLtMatmulDescSetAttribute) desc_set;
  decltype(&cublasLtMatrixLayoutCreate) layout_create;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy;
  decltype(&cublasLtMatrixLayoutSetAttribute) layout_set;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic;
  std::string file;

  // Throws Error APOLLO_NO_DEVICE with the files it tried and what to do.
  static const CublasLt& get();

  void check(cublasStatus_t status, const char* what) const {
    if (status == CUBLAS_STATUS_SUCCESS) return;
    throw Error(std::string(what) + " failed in cuBLASLt: " + status_string(status), "APOLLO_NATIVE");
  }
};

// A handle that lives as long as its device.
class BlasHandle {
 public:
  BlasHandle() : lt_(CublasLt::get()) { lt_.check(lt_.create(&handle_), "opening a handle"); }
  ~BlasHandle() { lt_.destroy(handle_); }
  BlasHandle(const BlasHandle&) = delete;
  BlasHandle& operator=(const BlasHandle&) = delete;

  const CublasLt& lt() const { return lt_; }
  cublasLtHandle_t handle() const { return handle_; }

 private:
  const CublasLt& lt_;
  cublasLtHandle_t handle_ = nullptr;
};

}  // namespace apollo::cuda
