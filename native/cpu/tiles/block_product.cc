#include "cpu/tiles/block_product.h"

#include <algorithm>

#include "cpu/tiles/avx512_tiles.h"

namespace apollo::cpu {
namespace {

std::size_t word_bytes(std::int64_t words) { return static_cast<std::size_t>(words) * kWordBytes; }

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
    : kind_(kind),
      rows_(rows),
      columns_(columns),
      head_(head),
      word_(dtype == DType::BF16 ? 2 : 1),
      tiles_(dtype == DType::BF16 ? bf16_tiles() : f32_tiles()) {
  if (tiles_ != nullptr) return;
  write_.emplace(library_product(kind, dtype, rows, columns, head, false));
  if (kind != BlockKind::Scores) add_.emplace(library_product(kind, dtype, rows, columns, head, true));
}

std::size_t BlockProduct::scratch_bytes() const {
  if (write_) return std::max(write_->scratch_bytes(), add_ ? add_->scratch_bytes() : 0);
  if (kind_ == BlockKind::Scores) return word_bytes(columns_ * head_ / word_);
  if (word_ == 1) return 0;
  return word_bytes(kind_ == BlockKind::ToRows ? columns_ * head_ / 2 : rows_ * (head_ + columns_) / 2);
}

void BlockProduct::run(const void* a, const void* b, float* to, void* scratch, const ScoreLimits& limits, bool add) {
  if (tiles_ == nullptr) {
    (add ? *add_ : *write_).run(a, b, to, scratch);
    return;
  }
  TileRows tile{};
  tile.store = add ? TileStore::Add : TileStore::Write;
  switch (kind_) {
    case BlockKind::Scores: {
      const std::int64_t words = head_ / word_;
      tiles_->transpose(b, words, columns_, words, scratch, columns_);
      tile.row = tile.words = words;
      tile.step = 1;
      tile.b = scratch;
      tile.b_stride = tile.to_stride = columns_;
      for (std::int64_t r = 0; r < rows_; r += kTileRows) {
        tile.a = word_at(a, r * words);
        tile.to = to + r * columns_;
        tile.columns = (limits.limit(r + kTileRows - 1) + 15) / 16 * 16;
        tiles_->rows(tile);
      }
      return;
    }
    case BlockKind::ToRows:
      tile.b = words_of(b, columns_, head_, scratch);
      tile.row = columns_ / word_;
      tile.step = 1;
      tile.b_stride = tile.to_stride = tile.columns = head_;
      for (std::int64_t r = 0; r < rows_; r += kTileRows) {
        tile.a = word_at(a, r * tile.row);
        tile.to = to + r * head_;
        tile.words = (limits.limit(r + kTileRows - 1) + word_ - 1) / word_;
        tiles_->rows(tile);
      }
      return;
    case BlockKind::ToKeys: {
      const void* x = words_of(b, rows_, head_, scratch);
      const void* p = words_of(a, rows_, columns_, word_at(scratch, rows_ * head_ / 2), &limits);
      tile.row = 1;
      tile.step = columns_;
      tile.b_stride = tile.to_stride = tile.columns = head_;
      for (std::int64_t c = 0; c < columns_; c += kTileRows) {
        // Row i attends to column c from i = c + 1 - first on.
        const std::int64_t skipped = std::clamp<std::int64_t>(c + 1 - limits.first, 0, rows_) / word_;
        tile.a = word_at(p, skipped * columns_ + c);
        tile.b = word_at(x, skipped * head_);
        tile.to = to + c * head_;
        tile.words = rows_ / word_ - skipped;
        tiles_->rows(tile);
      }
    }
  }
}

const void* BlockProduct::words_of(const void* from, std::int64_t rows, std::int64_t columns, void* scratch,
                                   const ScoreLimits* limits) const {
  if (word_ == 1) return from;
  for (std::int64_t r = 0; r < rows; r += 2) {
    const std::int64_t used = limits == nullptr ? columns : (limits->limit(r + 1) + 15) / 16 * 16;
    tiles_->pair_rows(word_at(from, r * columns / 2), columns, 1, used, word_at(scratch, r / 2 * columns), columns);
  }
  return scratch;
}

}  // namespace apollo::cpu
