#include "cpu/ops/block_product.h"

#include <algorithm>

namespace apollo::cpu {
namespace {

constexpr std::int64_t kTileRows = 8;
constexpr std::size_t kPair = 4;  // bytes of two bf16

std::byte* at(void* pairs, std::int64_t index) {
  return static_cast<std::byte*>(pairs) + static_cast<std::size_t>(index) * kPair;
}
const std::byte* at(const void* pairs, std::int64_t index) {
  return static_cast<const std::byte*>(pairs) + static_cast<std::size_t>(index) * kPair;
}

// `rows` rows of `columns` bf16 by twos. Of a block with limits, only what the two rows attend to.
void pair_all(const BlockTiles& tiles, const void* from, std::int64_t rows, std::int64_t columns, void* to,
              const ScoreLimits* limits = nullptr) {
  for (std::int64_t r = 0; r < rows; r += 2) {
    const std::int64_t used = limits == nullptr ? columns : (limits->limit(r + 1) + 15) / 16 * 16;
    tiles.pair_rows(at(from, r * columns / 2), used, columns, at(to, r / 2 * columns));
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
  if (dtype == DType::BF16 && block_tiles() != nullptr) return;
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
  const BlockTiles& tiles = *block_tiles();
  const std::int64_t row = (kind_ == BlockKind::Scores ? head_ : columns_) / 2;
  switch (kind_) {
    case BlockKind::Scores:
      tiles.transpose_pairs(b, columns_, head_ / 2, scratch);
      for (std::int64_t r = 0; r < rows_; r += kTileRows) {
        const std::int64_t used = (limits.limit(r + kTileRows - 1) + 15) / 16 * 16;
        tiles.rows(at(a, r * row), row, 1, scratch, columns_, head_ / 2, to + r * columns_, columns_, used, add);
      }
      return;
    case BlockKind::ToRows:
      pair_all(tiles, b, columns_, head_, scratch);
      for (std::int64_t r = 0; r < rows_; r += kTileRows) {
        const std::int64_t pairs = (limits.limit(r + kTileRows - 1) + 1) / 2;
        tiles.rows(at(a, r * row), row, 1, scratch, head_, pairs, to + r * head_, head_, head_, add);
      }
      return;
    case BlockKind::ToKeys: {
      void* paired = at(scratch, rows_ * head_ / 2);
      pair_all(tiles, b, rows_, head_, scratch);
      pair_all(tiles, a, rows_, columns_, paired, &limits);
      for (std::int64_t c = 0; c < columns_; c += kTileRows) {
        // Row i attends to column c from i = c + 1 - first on.
        const std::int64_t skipped = std::clamp<std::int64_t>(c + 1 - limits.first, 0, rows_) / 2;
        tiles.rows(at(paired, skipped * columns_ + c), 1, columns_, at(scratch, skipped * head_), head_,
                   rows_ / 2 - skipped, to + c * head_, head_, head_, add);
      }
    }
  }
}

}  // namespace apollo::cpu
