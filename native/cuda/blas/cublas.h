// cuBLASLt, bound when the first device is opened and never linked: the types come from its own header, the functions
// from whichever library the machine has.
#pragma once

#include <cublasLt.h>

#include <string>
#include <utility>

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
  decltype(&cublasLtMatmulAlgoCheck) algo_check;
  std::string file;

  // Throws Error APOLLO_NO_DEVICE with the files it tried and what to do.
  static const CublasLt& get();

  void check(cublasStatus_t status, const char* what) const {
    if (status == CUBLAS_STATUS_SUCCESS) return;
    throw Error(std::string(what) + " failed in cuBLASLt: " + status_string(status), "APOLLO_NATIVE");
  }
};

// One of cuBLASLt's descriptors, destroyed with its owner.
template <class T>
class LtObject {
 public:
  using Destroy = cublasStatus_t (*)(T);

  LtObject() = default;
  LtObject(T object, Destroy destroy) : object_(object), destroy_(destroy) {}
  ~LtObject() {
    if (object_ != nullptr) destroy_(object_);
  }
  LtObject(LtObject&& other) noexcept : object_(std::exchange(other.object_, nullptr)), destroy_(other.destroy_) {}
  LtObject& operator=(LtObject&& other) noexcept {
    std::swap(object_, other.object_);
    std::swap(destroy_, other.destroy_);
    return *this;
  }

  T get() const { return object_; }

 private:
  T object_ = nullptr;
  Destroy destroy_ = nullptr;
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
