// Products with few rows: y [M, N] = activation(x [M, K] w + bias) with M of at most kFewRows, as when text is
// generated token by token.
#pragma once

#include <cstdint>
#include <memory>

#include "core/op.h"
#include "cpu/onednn/onednn.h"

namespace apollo::cpu {

constexpr std::int64_t kFewRows = 8;

struct FewRowsDesc {
  std::int64_t rows, inner, columns;  // M, K, N
  DType dtype, result;                // of x and w, of y
  bool transposed;                    // w is given as [N, K]
  bool bias;                          // input 2, f32 [N]
  Activation activation;
};

std::unique_ptr<Kernel> make_few_rows(const FewRowsDesc& desc);

}  // namespace apollo::cpu
