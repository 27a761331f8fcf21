// Tiles of AVX-512's bf16 dot products, written with the compiler's own intrinsics: Highway has no target that stands
// for every processor with them. A tile is 8 rows by up to 3 vectors of 16 columns, whose 24 sums stay in registers;
// each sum runs over the pairs in order, as oneDNN's do.
#include "cpu/tiles/bf16_tiles.h"

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

// Two bf16 of memory that others see as 16-bit elements.
using Pair = std::int32_t __attribute__((may_alias));

struct Tile {
  const Pair* a;
  const Pair* b;
  std::byte* to;
};

template <TileStore kStore>
APOLLO_TILES inline void store_sums(__m512 sums, std::byte* to) {
  if constexpr (kStore == TileStore::Round) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(sums)));
  } else {
    auto* f32 = reinterpret_cast<float*>(to);
    _mm512_storeu_ps(f32, kStore == TileStore::Add ? _mm512_add_ps(sums, _mm512_loadu_ps(f32)) : sums);
  }
}

template <TileStore kStore, int kVectors>
APOLLO_TILES void run_tile(const TileRows& t, const Tile& tile) {
  constexpr int kRows = static_cast<int>(kTileRows);
  __m512 sums[kRows][kVectors];
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 3
    for (int n = 0; n < kVectors; ++n) sums[m][n] = _mm512_setzero_ps();
  }
  constexpr std::int64_t kElement = kStore == TileStore::Round ? 2 : 4;
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) {  // the result is needed when the sums are ready
#pragma GCC unroll 3
    for (int n = 0; n < kVectors; ++n) {
      _mm_prefetch(reinterpret_cast<const char*>(tile.to + (m * t.to_stride + 16 * n) * kElement), _MM_HINT_T0);
    }
  }
  const Pair *a = tile.a, *b = tile.b;
  const std::int64_t row = t.row, step = t.step, b_stride = t.b_stride, pairs = t.pairs;
  for (std::int64_t j = 0; j < pairs; ++j, a += step, b += b_stride) {
    __m512i columns[kVectors];
#pragma GCC unroll 3
    for (int n = 0; n < kVectors; ++n) columns[n] = _mm512_loadu_si512(b + 16 * n);
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) {
      const __m512i pair = _mm512_set1_epi32(a[m * row]);
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
      store_sums<kStore>(sums[m][n], tile.to + (m * t.to_stride + 16 * n) * kElement);
    }
  }
}

template <TileStore kStore>
APOLLO_TILES void run_rows(const TileRows& t) {
  constexpr std::int64_t kElement = kStore == TileStore::Round ? 2 : 4;
  Tile tile{static_cast<const Pair*>(t.a), static_cast<const Pair*>(t.b), static_cast<std::byte*>(t.to)};
  for (std::int64_t vectors = t.columns / 16; vectors > 0;) {
    const std::int64_t wide = vectors == 4 ? 2 : vectors < 3 ? vectors : 3;  // 4 as 2 + 2
    if (wide == 3) run_tile<kStore, 3>(t, tile);
    if (wide == 2) run_tile<kStore, 2>(t, tile);
    if (wide == 1) run_tile<kStore, 1>(t, tile);
    tile.b += 16 * wide;
    tile.to += 16 * wide * kElement;
    vectors -= wide;
  }
}

void rows(const TileRows& t) {
  switch (t.store) {
    case TileStore::Write: return run_rows<TileStore::Write>(t);
    case TileStore::Add: return run_rows<TileStore::Add>(t);
    case TileStore::Round: return run_rows<TileStore::Round>(t);
  }
}

// Where elements of a row (0..31) and of the next (32..63) go: the first or second 16 columns.
alignas(64) constexpr std::uint16_t kInterleave[2][32] = {
    {0, 32, 1, 33, 2,  34, 3,  35, 4,  36, 5,  37, 6,  38, 7,  39,
     8, 40, 9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47},
    {16, 48, 17, 49, 18, 50, 19, 51, 20, 52, 21, 53, 22, 54, 23, 55,
     24, 56, 25, 57, 26, 58, 27, 59, 28, 60, 29, 61, 30, 62, 31, 63}};

APOLLO_TILES void pair_rows(const void* from, std::int64_t stride, std::int64_t pairs, std::int64_t columns, void* to,
                            std::int64_t to_stride) {
  const auto* first = static_cast<const std::uint16_t*>(from);
  auto* target = static_cast<Pair*>(to);
  const __m512i low = _mm512_load_si512(kInterleave[0]), high = _mm512_load_si512(kInterleave[1]);
  const std::int64_t whole = columns / 32 * 32;
  for (std::int64_t j = 0; j < pairs; ++j, first += 2 * stride, target += to_stride) {
    const auto* second = first + stride;
    for (std::int64_t c = 0; c < whole; c += 32) {
      const __m512i x = _mm512_loadu_si512(first + c), y = _mm512_loadu_si512(second + c);
      _mm512_storeu_si512(target + c, _mm512_permutex2var_epi16(x, low, y));
      _mm512_storeu_si512(target + c + 16, _mm512_permutex2var_epi16(x, high, y));
    }
    if (whole < columns) {
      const __m512i x = _mm512_maskz_loadu_epi16(0xFFFF, first + whole);
      const __m512i y = _mm512_maskz_loadu_epi16(0xFFFF, second + whole);
      _mm512_storeu_si512(target + whole, _mm512_permutex2var_epi16(x, low, y));
    }
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

APOLLO_TILES void transpose_pairs(const void* from, std::int64_t stride, std::int64_t rows, std::int64_t pairs,
                                  void* to, std::int64_t to_stride) {
  const auto* source = static_cast<const Pair*>(from);
  auto* target = static_cast<Pair*>(to);
  for (std::int64_t r = 0; r < rows; r += 16) {
    for (std::int64_t j = 0; j < pairs; j += 16) {
      transpose_block(source + r * stride + j, stride, pairs - j, target + j * to_stride + r, to_stride);
    }
  }
}

}  // namespace

const Bf16Tiles* bf16_tiles() {
  static const Bf16Tiles tiles{pair_rows, transpose_pairs, rows};
  static const bool used =
      dnnl::get_effective_cpu_isa() == dnnl::cpu_isa::avx512_core_bf16 && __builtin_cpu_supports("avx512bf16");
  return used ? &tiles : nullptr;
}

}  // namespace apollo::cpu

#else

namespace apollo::cpu {
const Bf16Tiles* bf16_tiles() { return nullptr; }
}  // namespace apollo::cpu

#endif
