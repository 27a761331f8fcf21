// Products of large bf16 matrices by tiles of AVX-512's dot products.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "cpu/onednn/onednn.h"
#include "cpu/tiles/avx512_tiles.h"

namespace apollo::cpu {

// c (+)= a b, planned when constructed for as many threads as OpenMP would use. Each thread takes rows of c or, of a
// wide c, columns. It goes through blocks of rows whose part of a stays in L2 (a transposed one is brought into panels
// of kPanelRows rows there) and, within each, through panels of kTileColumns columns of b: brought into pairs
// beforehand by all threads where they share rows, else on the way.
//
// Each element of c is one sum over the inner index in order. So are oneDNN's up to an inner size of 512, and the bits
// are the same; longer ones are left to it.
class TiledProduct {
 public:
  // Whether this processor has the tiles, and extents and strides suit them.
  static bool suits(const ProductDesc& desc);

  explicit TiledProduct(const ProductDesc& desc);
  std::size_t scratch_bytes() const {
    return b_bytes_ + (a_bytes_ + panel_bytes_) * static_cast<std::size_t>(threads_);
  }
  void run(const void* a, const void* b, void* c, void* scratch) const;

 private:
  struct Part;  // of c, of one thread
  std::int64_t width(std::int64_t n, std::int64_t end) const { return std::min(kTileColumns, end - n); }
  void pack_rows(const void* b, void* packed, std::int64_t first) const;
  void pack_panel(const void* b, std::int64_t n, std::int64_t columns, void* panel) const;
  void pack_a(const void* a, std::int64_t first, std::int64_t rows, void* block) const;
  void multiply(const void* a, const void* b, void* c, const Part& part) const;

  std::int64_t m_, n_, k_;
  bool a_transposed_, b_transposed_, by_columns_;
  std::int64_t a_stride_, b_stride_, c_stride_;  // elements from one row in memory to the next
  TileStore store_;
  int threads_;
  std::int64_t block_rows_;                      // rows of c that one block of a serves
  std::size_t b_bytes_, a_bytes_, panel_bytes_;  // of b if packed beforehand; of each thread
};

}  // namespace apollo::cpu
