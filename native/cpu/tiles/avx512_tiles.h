// Tiles of products by AVX-512, and the layouts that they want. A word is 32 bits: one f32, or a pair of bf16 of
// consecutive inner index, which AVX-512's bf16 dot products take.
#pragma once

#include <cstddef>
#include <cstdint>

namespace apollo::cpu {

constexpr std::int64_t kTileRows = 8, kTileColumns = 48;
constexpr std::size_t kWordBytes = 4;

inline std::byte* word_at(void* words, std::int64_t index) {
  return static_cast<std::byte*>(words) + static_cast<std::size_t>(index) * kWordBytes;
}
inline const std::byte* word_at(const void* words, std::int64_t index) {
  return static_cast<const std::byte*>(words) + static_cast<std::size_t>(index) * kWordBytes;
}

enum class TileStore : std::uint8_t { Write, Add, Round };  // f32, added to f32, bf16

// kTileRows rows of to[m, n] = sum over j < words of a[m row + j step] . b[j b_stride + n], n < columns, a multiple of
// 16. Distances in a and b count words. Each sum runs over the words in order.
struct TileRows {
  const void* a;
  std::int64_t row, step;
  const void* b;
  std::int64_t b_stride, words;
  void* to;
  std::int64_t to_stride, columns;  // in elements of `to`
  TileStore store;
};

// For one element type of a and b.
struct Tiles {
  // to[j to_stride + c] = (from[2 j, c], from[2 j + 1, c]) for c < columns, a multiple of 16; rows of `from` are
  // `stride` bf16 apart. Null for f32.
  void (*pair_rows)(const void* from, std::int64_t stride, std::int64_t pairs, std::int64_t columns, void* to,
                    std::int64_t to_stride);
  // to[j to_stride + r] = word j of row r, for r < rows, a multiple of 16; rows are `stride` words apart.
  void (*transpose)(const void* from, std::int64_t stride, std::int64_t rows, std::int64_t words, void* to,
                    std::int64_t to_stride);
  void (*rows)(const TileRows& rows);
};

// Null where the processor lacks the instructions; bf16's also where it has something faster (AMX, through oneDNN).
const Tiles* bf16_tiles();
const Tiles* f32_tiles();

}  // namespace apollo::cpu
