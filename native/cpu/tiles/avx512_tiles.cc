// Written with the compiler's own intrinsics: Highway has no target that stands for every processor with AVX-512's bf16
// dot products. A tile is 8 rows by up to 3 vectors of 16 columns, whose 24 sums stay in registers; each sum runs over
// the words in order, as oneDNN's do.
#include "cpu/tiles/avx512_tiles.h"

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

// 32 bits of memory that others see as f32 or as two bf16.
using Word = std::int32_t __attribute__((may_alias));

struct Tile {
  const Word* a;
  const Word* b;
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

enum class WordKind : std::uint8_t { Bf16Pair, F32 };

// sums + a word of a times a vector of words of b.
template <WordKind kKind>
APOLLO_TILES inline __m512 add_products(__m512 sums, __m512i a, __m512i b) {
  if constexpr (kKind == WordKind::Bf16Pair) {
    return _mm512_dpbf16_ps(sums, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
  } else {
    return _mm512_fmadd_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), sums);
  }
}

template <WordKind kKind, TileStore kStore, int kVectors>
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
  const Word *a = tile.a, *b = tile.b;
  const std::int64_t row = t.row, step = t.step, b_stride = t.b_stride, words = t.words;
  for (std::int64_t j = 0; j < words; ++j, a += step, b += b_stride) {
    __m512i columns[kVectors];
#pragma GCC unroll 3
    for (int n = 0; n < kVectors; ++n) columns[n] = _mm512_loadu_si512(b + 16 * n);
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) {
      const __m512i word = _mm512_set1_epi32(a[m * row]);
#pragma GCC unroll 3
      for (int n = 0; n < kVectors; ++n) sums[m][n] = add_products<kKind>(sums[m][n], word, columns[n]);
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

template <WordKind kKind, TileStore kStore>
APOLLO_TILES void run_rows(const TileRows& t) {
  constexpr std::int64_t kElement = kStore == TileStore::Round ? 2 : 4;
  Tile tile{static_cast<const Word*>(t.a), static_cast<const Word*>(t.b), static_cast<std::byte*>(t.to)};
  for (std::int64_t vectors = t.columns / 16; vectors > 0;) {
    const std::int64_t wide = vectors == 4 ? 2 : vectors < 3 ? vectors : 3;  // 4 as 2 + 2
    if (wide == 3) run_tile<kKind, kStore, 3>(t, tile);
    if (wide == 2) run_tile<kKind, kStore, 2>(t, tile);
    if (wide == 1) run_tile<kKind, kStore, 1>(t, tile);
    tile.b += 16 * wide;
    tile.to += 16 * wide * kElement;
    vectors -= wide;
  }
}

template <WordKind kKind>
void rows(const TileRows& t) {
  switch (t.store) {
    case TileStore::Write: return run_rows<kKind, TileStore::Write>(t);
    case TileStore::Add: return run_rows<kKind, TileStore::Add>(t);
    case TileStore::Round: return run_rows<kKind, TileStore::Round>(t);
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
  auto* target = static_cast<Word*>(to);
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

// Sixteen rows of up to 16 words.
APOLLO_TILES void transpose_block(const Word* from, std::int64_t stride, std::int64_t words, Word* to,
                                  std::int64_t to_stride) {
  const auto used = static_cast<__mmask16>(words >= 16 ? 0xFFFF : (1 << words) - 1);
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
    if (c < words) _mm512_storeu_si512(to + c * to_stride, x[c]);
  }
}

APOLLO_TILES void transpose(const void* from, std::int64_t stride, std::int64_t rows, std::int64_t words, void* to,
                            std::int64_t to_stride) {
  const auto* source = static_cast<const Word*>(from);
  auto* target = static_cast<Word*>(to);
  for (std::int64_t r = 0; r < rows; r += 16) {
    for (std::int64_t j = 0; j < words; j += 16) {
      transpose_block(source + r * stride + j, stride, words - j, target + j * to_stride + r, to_stride);
    }
  }
}

}  // namespace

const Tiles* bf16_tiles() {
  static const Tiles tiles{pair_rows, transpose, rows<WordKind::Bf16Pair>};
  static const bool used =
      dnnl::get_effective_cpu_isa() == dnnl::cpu_isa::avx512_core_bf16 && __builtin_cpu_supports("avx512bf16");
  return used ? &tiles : nullptr;
}

const Tiles* f32_tiles() {
  static const Tiles tiles{nullptr, transpose, rows<WordKind::F32>};
  // Compiled for processors with the bf16 dot products, although f32 uses none.
  static const bool used = __builtin_cpu_supports("avx512bf16");
  return used ? &tiles : nullptr;
}

}  // namespace apollo::cpu

#else

namespace apollo::cpu {
const Tiles* bf16_tiles() { return nullptr; }
const Tiles* f32_tiles() { return nullptr; }
}  // namespace apollo::cpu

#endif
