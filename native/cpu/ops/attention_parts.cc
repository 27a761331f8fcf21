#include "cpu/ops/attention_parts.h"

#include <cmath>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/ops/attention_parts.cc"
#include "cpu/simd/targets.h"
#include "hwy/foreach_target.h"
// The above must come first.
#include "cpu/simd/exp-inl.h"
#include "cpu/simd/math-inl.h"
#include "cpu/simd/random-inl.h"
#include "cpu/simd/simd-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace apollo::cpu::HWY_NAMESPACE {
namespace {

// scale * score + bias in the row's first `limit` columns, -infinity beyond.
template <class Part>
HWY_INLINE hn::Vec<F32> masked_score(const ScoreBlock& block, const float* scores, std::size_t i, Part part) {
  const F32 d;
  const auto scaled = hn::Mul(hn::LoadU(d, scores + i), hn::Set(d, block.scale));  // padding makes full loads safe
  const auto score = block.bias == nullptr ? scaled : hn::Add(scaled, hn::LoadU(d, block.bias + i));
  if constexpr (std::is_same_v<Part, Tail>) {
    return hn::IfThenElse(hn::FirstN(d, part.count), score, hn::Set(d, kLowest));
  } else {
    return score;
  }
}

// NaN where one of the row's first `limit` scores is NaN, else kLowest.
float nan_or_lowest(const ScoreBlock& block, const float* scores, std::int64_t limit) {
  for (std::int64_t i = 0; i < limit; ++i) {
    const float score = block.scale * scores[i] + (block.bias == nullptr ? 0.0f : block.bias[i]);
    if (std::isnan(score)) return score;
  }
  return kLowest;
}

// Dropout multipliers of the first `limit` columns of a block's row, in `out`.
HWY_INLINE void multipliers_of_row(const Multipliers& multipliers, const ScoreBlock& block, std::int64_t row,
                                   std::int64_t limit, float* out) {
  const auto first = first_block(block.dropout_row + row, block.dropout_columns);
  fill_multipliers(multipliers, first + static_cast<std::uint32_t>(block.dropout_first / 8), limit, out);
}

// Widest block, so that a row's dropout multipliers fit the stack.
constexpr std::int64_t kMaxColumns = 256;

template <class T>
void zero_from(T* row, std::int64_t limit, std::int64_t stride) {
  if (limit < stride) std::memset(row + limit, 0, static_cast<std::size_t>(stride - limit) * sizeof(T));
}

// Where the last vector of a row's first `limit` columns ends.
HWY_INLINE std::int64_t padded_limit(std::int64_t limit) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(F32()));
  return (limit + lanes - 1) / lanes * lanes;
}

// Row by row twice, so that the maxima's and the sums' chains of dependent steps overlap between rows.
template <class T>
void softmax_block(const ScoreBlock& block, const float* scores, float* maximum, float* sum, float* shrink, void* p) {
  const F32 d;
  HWY_ALIGN float kept[kMaxColumns];
  const bool drops = block.dropout != nullptr;
  const Multipliers multipliers(drops ? *block.dropout : Dropout{}, block.rng);
  for (std::int64_t r = 0; r < block.rows; ++r) {
    auto high = hn::Set(d, maximum[r]);
    for_vectors(d, static_cast<std::size_t>(block.limit(r)), [&](std::size_t i, auto part) HWY_ATTR {
      high = hn::Max(high, masked_score(block, scores + r * block.stride, i, part));
    });
    float top = hn::GetLane(hn::MaxOfLanes(d, high));
    // The maximum of some processors passes over NaN.
    if (top == kLowest) top = nan_or_lowest(block, scores + r * block.stride, block.limit(r));
    shrink[r] = top == kLowest ? 0.0f : maximum[r] - top;
    maximum[r] = top;
  }
  for_vectors(d, static_cast<std::size_t>(block.rows), [&](std::size_t r, auto) HWY_ATTR {
    const auto factor = exp_nonpositive(d, hn::LoadU(d, shrink + r));
    hn::StoreU(factor, d, shrink + r);
    hn::StoreU(hn::Mul(factor, hn::LoadU(d, sum + r)), d, sum + r);
  });
  for (std::int64_t r = 0; r < block.rows; ++r) {
    const float* row = scores + r * block.stride;
    T* to = static_cast<T*>(p) + r * block.stride;
    const std::int64_t limit = maximum[r] == kLowest ? 0 : block.limit(r);  // 0: nothing to attend to so far
    if (drops) multipliers_of_row(multipliers, block, r, limit, kept);
    const auto shift = hn::Set(d, maximum[r]);
    auto total = hn::Zero(d);
    for_vectors(d, static_cast<std::size_t>(limit), [&](std::size_t i, auto part) HWY_ATTR {
      auto e = exp_nonpositive(d, hn::Sub(masked_score(block, row, i, part), shift));
      total = hn::Add(total, e);
      if (drops) e = hn::Mul(e, hn::LoadU(d, kept + i));
      store(keep(d, e, part), d, to + i, Full());
    });
    sum[r] += sum_lanes(d, total);
    zero_from(to, padded_limit(limit), block.stride);
  }
}

void finish_rows(std::int64_t rows, const float* maximum, const float* sum, float* lse, float* factor) {
  const F32 d;
  for_vectors(d, static_cast<std::size_t>(rows), [&](std::size_t r, auto part) HWY_ATTR {
    const auto total = hn::LoadU(d, sum + r);
    const auto inverse = hn::IfThenZeroElse(hn::Eq(total, hn::Zero(d)), hn::Div(hn::Set(d, 1.0f), total));
    hn::StoreU(inverse, d, factor + r);
    store(hn::Add(hn::LoadU(d, maximum + r), fast::log(d, total)), d, lse + r, part);
  });
}

void scale_rows(float* x, std::int64_t rows, std::int64_t stride, const float* factor) {
  const F32 d;
  for (std::int64_t r = 0; r < rows; ++r) {
    if (factor[r] == 1.0f) continue;
    const auto f = hn::Set(d, factor[r]);
    for_vectors(d, static_cast<std::size_t>(stride), [&](std::size_t i, auto part) HWY_ATTR {
      store(hn::Mul(load(d, x + r * stride + i, part), f), d, x + r * stride + i, part);
    });
  }
}

template <class T>
void gradient_block(const ScoreBlock& block, const float* scores, const float* d_p, const float* lse,
                    const float* delta, void* p, void* d_s) {
  const F32 d;
  HWY_ALIGN float kept[kMaxColumns];
  const bool drops = block.dropout != nullptr;
  const Multipliers multipliers(drops ? *block.dropout : Dropout{}, block.rng);
  for (std::int64_t r = 0; r < block.rows; ++r) {
    const std::int64_t at = r * block.stride, limit = block.limit(r);
    T *p_row = static_cast<T*>(p) + at, *d_row = static_cast<T*>(d_s) + at;
    if (drops) multipliers_of_row(multipliers, block, r, limit, kept);
    // A row without keys has lse -infinity; its probabilities are 0.
    const auto shift = hn::Set(d, lse[r] == kLowest ? -kLowest : lse[r]), mean = hn::Set(d, delta[r]);
    for_vectors(d, static_cast<std::size_t>(limit), [&](std::size_t i, auto part) HWY_ATTR {
      const auto e = exp_nonpositive(d, hn::Sub(masked_score(block, scores + at, i, part), shift));
      auto gradient = hn::LoadU(d, d_p + at + i);
      auto dropped = e;
      if (drops) {
        const auto u = hn::LoadU(d, kept + i);
        gradient = hn::Mul(gradient, u);
        dropped = hn::Mul(e, u);
      }
      store(keep(d, dropped, part), d, p_row + i, Full());
      store(keep(d, hn::Mul(e, hn::Sub(gradient, mean)), part), d, d_row + i, Full());
    });
    zero_from(p_row, padded_limit(limit), block.stride);
    zero_from(d_row, padded_limit(limit), block.stride);
  }
}

template <class T>
void store_rows(const float* from, std::int64_t from_stride, std::int64_t rows, std::int64_t columns, float factor,
                const float* factors, void* to, std::int64_t to_stride) {
  const F32 d;
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto f = hn::Set(d, factors == nullptr ? factor : factor * factors[r]);
    T* row = static_cast<T*>(to) + r * to_stride;
    for_vectors(d, static_cast<std::size_t>(columns), [&](std::size_t i, auto part) HWY_ATTR {
      store(hn::Mul(load(d, from + r * from_stride + i, part), f), d, row + i, part);
    });
  }
}

template <class T>
float dot(const void* a, const void* b, std::int64_t count) {
  const F32 d;
  const T *x = static_cast<const T*>(a), *y = static_cast<const T*>(b);
  auto sum = hn::Zero(d);
  for_vectors(d, static_cast<std::size_t>(count), [&](std::size_t i, auto part) HWY_ATTR {
    sum = hn::MulAdd(load(d, x + i, part), load(d, y + i, part), sum);
  });
  return sum_lanes(d, sum);
}

template <class T>
AttentionParts parts_of() {
  return {softmax_block<T>, finish_rows, scale_rows, gradient_block<T>, store_rows<T>, dot<T>};
}
AttentionParts find_attention(DType dtype) { return dtype == DType::F32 ? parts_of<float>() : parts_of<Bf16>(); }

}  // namespace
}  // namespace apollo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apollo::cpu {

HWY_EXPORT(find_attention);

AttentionParts attention_parts(DType dtype) { return HWY_DYNAMIC_DISPATCH(find_attention)(dtype); }

}  // namespace apollo::cpu
#endif  // HWY_ONCE
