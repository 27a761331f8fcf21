// The choice between doing something on a product's tiles and in a pass of its own. On the tiles it saves that pass
// over memory but slows the product; which is faster depends on GPU, library and shape, so both ways are timed and the
// choice is kept next to those of algorithms. Where nothing is timed, or cuBLASLt cannot, it is a pass of its own.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <span>
#include <string>
#include <utility>

#include "cuda/blas/blas_product.h"
#include "cuda/device/timing.h"

namespace apollo::cuda {

class EpilogueChoice {
 public:
  EpilogueChoice(Context& context, const BlasProductDesc& separate, BlasProductDesc fused)
      : context_(context), key_("epilogue " + fused.key(false)), separate_(context, separate) {
    fused.optional = true;
    fused_ = std::make_unique<BlasProduct>(context, fused);
    uses_fused_ = wanted_way() == "fused" && fused_->usable();
  }

  // Tunes both products and compares them: the separate one with what `pass` launches after it, the fused one with what
  // `rest` launches after that. Both may use `arena`, which has room for `needed` bytes or is not enough for timing.
  template <class Pass, class Rest>
  void tune(std::span<std::byte> arena, std::size_t needed, cudaStream_t stream, const Pass& pass, const Rest& rest) {
    separate_.tune(arena, stream);
    if (!fused_->usable()) return;
    fused_->tune(arena, stream);
    if (!wanted_way().empty()) return;
    if (const auto known = context_.matmuls->find(key_)) {
      uses_fused_ = known->algorithm[0] == 1;
      return;
    }
    if (separate_.microseconds() == 0.0 || fused_->microseconds() == 0.0 || arena.size() < needed) return;
    const double apart = separate_.microseconds() + microseconds_of(stream, pass);
    const double together = fused_->microseconds() + microseconds_of(stream, rest);
    MatmulChoice choice;
    choice.algorithm[0] = together < apart ? 1 : 0;
    choice.microseconds = std::min(together, apart);
    const auto kept = context_.matmuls->add(key_, choice);
    uses_fused_ = kept && kept->algorithm[0] == 1;
  }

  bool uses_fused() const { return uses_fused_; }
  const BlasProduct& product() const { return uses_fused_ ? *fused_ : separate_; }

 private:
  // APOLLO_MATMUL_EPILOGUES=fused or separate: one way for all, for tests and measurements.
  static std::string wanted_way() {
    const char* choice = std::getenv("APOLLO_MATMUL_EPILOGUES");
    return choice == nullptr ? "" : choice;
  }

  Context& context_;
  std::string key_;
  BlasProduct separate_;
  std::unique_ptr<BlasProduct> fused_;
  bool uses_fused_ = false;
};

}  // namespace apollo::cuda
