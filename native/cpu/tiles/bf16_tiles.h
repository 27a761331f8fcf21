// Tiles of bf16 products: AVX-512's dot products of pairs, and the layouts that they want. A pair is two bf16 of
// consecutive inner index in 32 bits; extents and distances named in pairs count 32-bit elements.
#pragma once

#include <cstddef>
#include <cstdint>

namespace apollo::cpu {

constexpr std::int64_t kTileRows = 8, kTileColumns = 48;
constexpr std::size_t kPairBytes = 4;

inline std::byte* pair_at(void* pairs, std::int64_t index) {
  return static_cast<std::byte*>(pairs) + static_cast<std::size_t>(index) * kPairBytes;
}
inline const std::byte* pair_at(const void* pairs, std::int64_t index) {
  return static_cast<const std::byte*>(pairs) + static_cast<std::size_t>(index) * kPairBytes;
}

enum class TileStore : std::uint8_t { Write, Add, Round };  // f32, added to f32, bf16

// kTileRows rows of to[m, n] = sum over j of a[m row + j step] . b[j b_stride + n], n < columns, a multiple of 16. Each
// sum runs over the pairs in order.
struct TileRows {
  const void* a;
  std::int64_t row, step;
  const void* b;
  std::int64_t b_stride, pairs;
  void* to;
  std::int64_t to_stride, columns;  // in elements of `to`
  TileStore store;
};

struct Bf16Tiles {
  // to[j to_stride + c] = (from[2 j, c], from[2 j + 1, c]) for c < columns, a multiple of 16; rows of `from` are
  // `stride` bf16 apart.
  void (*pair_rows)(const void* from, std::int64_t stride, std::int64_t pairs, std::int64_t columns, void* to,
                    std::int64_t to_stride);
  // to[j to_stride + r] = pair j of row r, for r < rows, a multiple of 16; rows are `stride` pairs apart.
  void (*transpose_pairs)(const void* from, std::int64_t stride, std::int64_t rows, std::int64_t pairs, void* to,
                          std::int64_t to_stride);
  void (*rows)(const TileRows& rows);
};

// Null where the processor lacks these dot products, or has something faster (AMX, through oneDNN).
const Bf16Tiles* bf16_tiles();

}  // namespace apollo::cpu
