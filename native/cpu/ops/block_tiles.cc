// Tiles of AVX-512's bf16 dot products, written with the compiler's own intrinsics: Highway has no target that stands
// for every processor with them. A tile is 8 rows by up to 3 vectors of 16 columns, whose 24 sums stay in registers;
// each sum runs over the pairs in order, as oneDNN's do.
#include "cpu/ops/block_product.h"

#if defined(__x86_64__) && defined(__GNUC__)

// GCC's own headers start undefined vectors from themselves, and it then warns of them where they are inlined.
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include <immintrin.h>

#include <dnnl.hpp>

#define APOLLO_TILES __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))

namespace apollo::cpu {
namespace {

constexpr int kRows = 8;

// Two bf16 of memory that others see as 16-bit elements.
using Pair = std::int32_t __attribute__((may_alias));

struct Tile {
  const Pair* a;
  std::int64_t row, step;
  const Pair* b;
  std::int64_t b_stride, pairs;
  float* to;
  std::int64_t to_stride;
  bool add;
};

template <int kVectors>
APOLLO_TILES void run_tile(const Tile& t) {
  __m512 sums[kRows][kVectors];
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 3
    for (int n = 0; n < kVectors; ++n) sums[m][n] = _mm512_setzero_ps();
  }
  const std::int32_t *a = t.a, *b = t.b;
  for (std::int64_t j = 0; j < t.pairs; ++j, a += t.step, b += t.b_stride) {
    __m512i columns[kVectors];
#pragma GCC unroll 3
    for (int n = 0; n < kVectors; ++n) columns[n] = _mm512_loadu_si512(b + 16 * n);
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) {
      const __m512i pair = _mm512_set1_epi32(a[m * t.row]);
#pragma GCC unroll 3
      for (int n = 0; n < kVectors; ++n) {
        sums[m][n] =
            _mm512_dpbf16_ps(sums[m][n], reinterpret_cast<__m512bh>(pair), reinterpret_cast<__m512bh>(columns[n]));
      }
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 3
    for (int n = 0; n < kVectors; ++n) {
      float* to = t.to + m * t.to_stride + 16 * n;
      _mm512_storeu_ps(to, t.add ? _mm512_add_ps(sums[m][n], _mm512_loadu_ps(to)) : sums[m][n]);
    }
  }
}

APOLLO_TILES void rows(const void* a, std::int64_t row, std::int64_t step, const void* b, std::int64_t b_stride,
                       std::int64_t pairs, float* to, std::int64_t to_stride, std::int64_t columns, bool add) {
  Tile tile{static_cast<const Pair*>(a), row, step, static_cast<const Pair*>(b), b_stride, pairs, to, to_stride, add};
  for (std::int64_t vectors = columns / 16; vectors > 0;) {
    const std::int64_t wide = vectors == 4 ? 2 : vectors < 3 ? vectors : 3;  // 4 as 2 + 2: one vector alone waits
    if (wide == 3) run_tile<3>(tile);
    if (wide == 2) run_tile<2>(tile);
    if (wide == 1) run_tile<1>(tile);
    tile.b += 16 * wide;
    tile.to += 16 * wide;
    vectors -= wide;
  }
}

APOLLO_TILES void pair_rows(const void* from, std::int64_t columns, std::int64_t stride, void* to) {
  const auto* first = static_cast<const std::uint16_t*>(from);
  const auto* second = first + stride;
  auto* pairs = static_cast<Pair*>(to);
  for (std::int64_t c = 0; c < columns; c += 16) {
    const __m512i low = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(first + c)));
    const __m512i high = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(second + c)));
    _mm512_storeu_si512(pairs + c, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
  }
}

// Sixteen rows of up to 16 pairs.
APOLLO_TILES void transpose_block(const Pair* from, std::int64_t stride, std::int64_t pairs, Pair* to,
                                  std::int64_t to_stride) {
  const auto used = static_cast<__mmask16>(pairs >= 16 ? 0xFFFF : (1 << pairs) - 1);
  __m512i x[16], y[16];
#pragma GCC unroll 16
  for (int r = 0; r < 16; ++r) x[r] = _mm512_maskz_loadu_epi32(used, from + r * stride);
    // By ones and twos inside the four 128-bit lanes, then the lanes themselves.
#pragma GCC unroll 8
  for (int r = 0; r < 16; r += 2) {
    y[r] = _mm512_unpacklo_epi32(x[r], x[r + 1]);
    y[r + 1] = _mm512_unpackhi_epi32(x[r], x[r + 1]);
  }
#pragma GCC unroll 4
  for (int r = 0; r < 16; r += 4) {
    x[r] = _mm512_unpacklo_epi64(y[r], y[r + 2]);
    x[r + 1] = _mm512_unpackhi_epi64(y[r], y[r + 2]);
    x[r + 2] = _mm512_unpacklo_epi64(y[r + 1], y[r + 3]);
    x[r + 3] = _mm512_unpackhi_epi64(y[r + 1], y[r + 3]);
  }
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    y[c] = _mm512_shuffle_i32x4(x[c], x[c + 4], 0x88);
    y[c + 4] = _mm512_shuffle_i32x4(x[c], x[c + 4], 0xDD);
    y[c + 8] = _mm512_shuffle_i32x4(x[c + 8], x[c + 12], 0x88);
    y[c + 12] = _mm512_shuffle_i32x4(x[c + 8], x[c + 12], 0xDD);
  }
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    x[c] = _mm512_shuffle_i32x4(y[c], y[c + 8], 0x88);
    x[c + 4] = _mm512_shuffle_i32x4(y[c + 4], y[c + 12], 0x88);
    x[c + 8] = _mm512_shuffle_i32x4(y[c], y[c + 8], 0xDD);
    x[c + 12] = _mm512_shuffle_i32x4(y[c + 4], y[c + 12], 0xDD);
  }
#pragma GCC unroll 16
  for (int c = 0; c < 16; ++c) {
    if (c < pairs) _mm512_storeu_si512(to + c * to_stride, x[c]);
  }
}

APOLLO_TILES void transpose_pairs(const void* from, std::int64_t rows, std::int64_t pairs, void* to) {
  const auto* source = static_cast<const Pair*>(from);
  auto* target = static_cast<Pair*>(to);
  for (std::int64_t r = 0; r < rows; r += 16) {
    for (std::int64_t j = 0; j < pairs; j += 16) {
      transpose_block(source + r * pairs + j, pairs, pairs - j, target + j * rows + r, rows);
    }
  }
}

}  // namespace

const BlockTiles* block_tiles() {
  static const BlockTiles tiles{transpose_pairs, pair_rows, rows};
  static const bool used =
      dnnl::get_effective_cpu_isa() == dnnl::cpu_isa::avx512_core_bf16 && __builtin_cpu_supports("avx512bf16");
  return used ? &tiles : nullptr;
}

}  // namespace apollo::cpu

#else

namespace apollo::cpu {
const BlockTiles* block_tiles() { return nullptr; }
}  // namespace apollo::cpu

#endif
