#include "cpu/tiles/block_product.h"

#include <algorithm>

#include "cpu/tiles/bf16_tiles.h"

namespace apollo::cpu {
namespace {

// `rows` rows of `columns` bf16 by twos. Of a block with limits, only what the two rows attend to.
void pair_all(const Bf16Tiles& tiles, const void* from, std::int64_t rows, std::int64_t columns, void* to,
              const ScoreLimits* limits = nullptr) {
  for (std::int64_t r = 0; r < rows; r += 2) {
    const std::int64_t used = limits == nullptr ? columns : (limits->limit(r + 1) + 15) / 16 * 16;
    tiles.pair_rows(pair_at(from, r * columns / 2), columns, 1, used, pair_at(to, r / 2 * columns), columns);
  }
}

Product library_product(BlockKind kind, DType dtype, std::int64_t rows, std::int64_t columns, std::int64_t head,
                        bool accumulate) {
  const std::int64_t m = kind == BlockKind::ToKeys ? columns : rows;
  const std::int64_t n = kind == BlockKind::Scores ? columns : head;
  const std::int64_t k = kind == BlockKind::Scores ? head : kind == BlockKind::ToRows ? columns : rows;
  ProductDesc desc;
  desc.a = MatrixDesc::dense(dtype, {m, k}, kind == BlockKind::ToKeys);
  desc.b = MatrixDesc::dense(dtype, {k, n}, kind == BlockKind::Scores);
  desc.c = MatrixDesc::dense(DType::F32, {m, n});
  desc.accumulate = accumulate;
  return Product(desc);
}

}  // namespace

BlockProduct::BlockProduct(BlockKind kind, DType dtype, std::int64_t rows, std::int64_t columns, std::int64_t head)
    : kind_(kind), rows_(rows), columns_(columns), head_(head) {
  if (dtype == DType::BF16 && bf16_tiles() != nullptr) return;
  write_.emplace(library_product(kind, dtype, rows, columns, head, false));
  if (kind != BlockKind::Scores) add_.emplace(library_product(kind, dtype, rows, columns, head, true));
}

std::size_t BlockProduct::scratch_bytes() const {
  if (write_) return std::max(write_->scratch_bytes(), add_ ? add_->scratch_bytes() : 0);
  const std::int64_t b = (kind_ == BlockKind::ToKeys ? rows_ : columns_) * head_;
  return static_cast<std::size_t>(b + (kind_ == BlockKind::ToKeys ? rows_ * columns_ : 0)) * size_of(DType::BF16);
}

void BlockProduct::run(const void* a, const void* b, float* to, void* scratch, const ScoreLimits& limits, bool add) {
  if (write_) {
    (add ? *add_ : *write_).run(a, b, to, scratch);
    return;
  }
  const Bf16Tiles& tiles = *bf16_tiles();
  const std::int64_t row = (kind_ == BlockKind::Scores ? head_ : columns_) / 2;
  TileRows tile{a, row, 1, scratch, head_, head_ / 2, to, head_, head_, add ? TileStore::Add : TileStore::Write};
  switch (kind_) {
    case BlockKind::Scores:
      tiles.transpose_pairs(b, head_ / 2, columns_, head_ / 2, scratch, columns_);
      tile.b_stride = tile.to_stride = columns_;
      for (std::int64_t r = 0; r < rows_; r += kTileRows) {
        tile.a = pair_at(a, r * row);
        tile.to = to + r * columns_;
        tile.columns = (limits.limit(r + kTileRows - 1) + 15) / 16 * 16;
        tiles.rows(tile);
      }
      return;
    case BlockKind::ToRows:
      pair_all(tiles, b, columns_, head_, scratch);
      for (std::int64_t r = 0; r < rows_; r += kTileRows) {
        tile.a = pair_at(a, r * row);
        tile.to = to + r * head_;
        tile.pairs = (limits.limit(r + kTileRows - 1) + 1) / 2;
        tiles.rows(tile);
      }
      return;
    case BlockKind::ToKeys: {
      void* paired = pair_at(scratch, rows_ * head_ / 2);
      pair_all(tiles, b, rows_, head_, scratch);
      pair_all(tiles, a, rows_, columns_, paired, &limits);
      tile.row = 1;
      tile.step = columns_;
      for (std::int64_t c = 0; c < columns_; c += kTileRows) {
        // Row i attends to column c from i = c + 1 - first on.
        const std::int64_t skipped = std::clamp<std::int64_t>(c + 1 - limits.first, 0, rows_) / 2;
        tile.a = pair_at(paired, skipped * columns_ + c);
        tile.b = pair_at(scratch, skipped * head_);
        tile.to = to + c * head_;
        tile.pairs = rows_ / 2 - skipped;
        tiles.rows(tile);
      }
    }
  }
}

}  // namespace apollo::cpu
