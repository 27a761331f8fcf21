// What attention computes between the products of its blocks, vectorised.
#pragma once

#include <cstdint>
#include <limits>

#include "cpu/cpu.h"
#include "cpu/tiles/block_product.h"

namespace apollo::cpu {

constexpr float kLowest = -std::numeric_limits<float>::infinity();

// One block of scores, as the vectorised parts see it. Rows have `stride` elements, a multiple of 16; probabilities
// beyond a row's `limit` are written as 0.
struct ScoreBlock : ScoreLimits {
  std::int64_t rows, stride;  // real rows; padded columns = stride
  const float* bias;          // 0 or -infinity a column, or null
  float scale;
  const Dropout* dropout;  // or null
  RngState rng;
  std::int64_t dropout_row, dropout_columns, dropout_first;  // of element (0, 0), a multiple of 8 columns
};

// The vectorised parts for one element type.
struct AttentionParts {
  // Folds a block of scores into the running maximum and sum of each row; writes p = e^(scores - maximum) * dropout to
  // `p` and the factor by which earlier results shrink to `shrink`. The three arrays are padded like the block.
  void (*softmax)(const ScoreBlock&, const float* scores, float* maximum, float* sum, float* shrink, void* p);
  // lse = maximum + ln(sum) and factor = 1 / sum; -infinity and 0 for rows without keys.
  void (*finish)(std::int64_t rows, const float* maximum, const float* sum, float* lse, float* factor);
  // x[r, :] *= factor[r] for rows of `stride`.
  void (*scale_rows)(float* x, std::int64_t rows, std::int64_t stride, const float* factor);
  // p = e^(scores - lse) and, with its dropout multiplier u, dS = p (u dP - delta): writes u p and dS.
  void (*gradient)(const ScoreBlock&, const float* scores, const float* d_p, const float* lse, const float* delta,
                   void* p, void* d_s);
  // to[r, 0..columns) = factor (and factors[r], if given) * from[r, :]; rows are `from_stride`, `to_stride` apart.
  void (*store_rows)(const float* from, std::int64_t from_stride, std::int64_t rows, std::int64_t columns, float factor,
                     const float* factors, void* to, std::int64_t to_stride);
  // sum of a[i] * b[i]
  float (*dot)(const void* a, const void* b, std::int64_t count);
};

AttentionParts attention_parts(DType dtype);

}  // namespace apollo::cpu
