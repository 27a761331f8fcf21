#include "cpu/tiles/tiled_product.h"

#include <omp.h>

#include "cpu/partition.h"

namespace apollo::cpu {
namespace {

constexpr std::int64_t kBlockBytes = 256 * 1024;  // of a: a quarter of L2, so that panels of b pass beside it
constexpr std::int64_t kPanelRows = 32;           // of a transposed a: a cache line of each of its rows
constexpr std::int64_t kPackRows = 32;            // inner rows that are brought into pairs at a time
constexpr std::int64_t kLeastRows = 32;           // fewer do not repay bringing b into pairs
constexpr std::int64_t kMostInner = 512;

bool row_major(const MatrixDesc& matrix) { return matrix.strides[1] == 1; }

std::size_t bytes_of(std::int64_t elements) { return whole_lines(static_cast<std::size_t>(elements) * 2); }

const std::uint16_t* bf16_at(const void* matrix, std::int64_t index) {
  return static_cast<const std::uint16_t*>(matrix) + index;
}

// Rows of memory that will be brought into pairs next, fetched into L2 a few at each tile: they lie apart, which the
// processor's own prefetching does not foresee.
class Ahead {
 public:
  Ahead() = default;
  Ahead(const void* first, std::int64_t stride, std::int64_t rows, std::int64_t columns, std::int64_t tiles)
      : next_(static_cast<const std::byte*>(first)),
        stride_(stride * 2),
        bytes_(columns * 2),
        left_(rows),
        rows_(rows / tiles + 1) {}

  void advance() {
    for (std::int64_t i = std::min(rows_, left_); i > 0; --i, --left_, next_ += stride_) {
      for (std::int64_t at = 0; at < bytes_; at += 64) __builtin_prefetch(next_ + at, 0, 2);
    }
  }

 private:
  const std::byte* next_ = nullptr;
  std::int64_t stride_ = 0, bytes_ = 0, left_ = 0, rows_ = 0;
};

}  // namespace

bool TiledProduct::suits(const ProductDesc& desc) {
  const bool plain = desc.a.shape.size() == 2 && !desc.bias && desc.activation == Activation::None;
  if (!plain || desc.a.dtype != DType::BF16 || desc.b.dtype != DType::BF16 || bf16_tiles() == nullptr) return false;
  const std::int64_t m = desc.c.shape[0], n = desc.c.shape[1], k = desc.a.shape[1];
  const bool a_rows = row_major(desc.a), b_rows = row_major(desc.b);
  if ((!a_rows && desc.a.strides[0] != 1) || (!b_rows && desc.b.strides[0] != 1) || !row_major(desc.c)) return false;
  // Pairs along rows begin at even elements.
  if ((a_rows && desc.a.strides[0] % 2 != 0) || (!b_rows && desc.b.strides[1] % 2 != 0)) return false;
  return m >= kLeastRows && m % (a_rows ? kTileRows : 16) == 0 && n > 0 && n % 16 == 0 && k > 0 && k % 2 == 0 &&
         k <= kMostInner;
}

TiledProduct::TiledProduct(const ProductDesc& desc)
    : m_(desc.c.shape[0]),
      n_(desc.c.shape[1]),
      k_(desc.a.shape[1]),
      a_transposed_(!row_major(desc.a)),
      b_transposed_(!row_major(desc.b)),
      by_columns_(n_ > m_),
      a_stride_(desc.a.strides[a_transposed_ ? 1 : 0]),
      b_stride_(desc.b.strides[b_transposed_ ? 1 : 0]),
      c_stride_(desc.c.strides[0]),
      store_(desc.c.dtype == DType::BF16 ? TileStore::Round
             : desc.accumulate           ? TileStore::Add
                                         : TileStore::Write),
      threads_(static_cast<int>(std::min<std::int64_t>(omp_get_max_threads(), std::max(m_, n_) / kPanelRows))),
      block_rows_(std::max<std::int64_t>(kBlockBytes / (2 * k_) / kPanelRows, 1) * kPanelRows),
      b_bytes_(by_columns_ ? 0 : bytes_of(n_ * k_)),
      a_bytes_(a_transposed_ ? bytes_of((std::min(block_rows_, m_) + kPanelRows - 1) / kPanelRows * kPanelRows * k_)
                             : 0),
      panel_bytes_(by_columns_ ? bytes_of(kTileColumns * k_) : 0) {}

struct TiledProduct::Part {
  Range rows, columns;
  std::byte *block, *panel;  // memory of this thread
  const std::byte* packed;   // all of b, or null
};

void TiledProduct::run(const void* a, const void* b, void* c, void* scratch) const {
  auto* packed = static_cast<std::byte*>(scratch);
  const std::int64_t panels = (n_ + kTileColumns - 1) / kTileColumns;
#pragma omp parallel num_threads(threads_)
  {
    if (!by_columns_ && b_transposed_) {
#pragma omp for schedule(static)
      for (std::int64_t p = 0; p < panels; ++p) {
        const std::int64_t n = p * kTileColumns;
        pack_panel(b, n, width(n, n_), word_at(packed, n * (k_ / 2)));
      }
    } else if (!by_columns_) {
#pragma omp for schedule(static)
      for (std::int64_t k = 0; k < k_; k += kPackRows) pack_rows(b, packed, k);
    }
#pragma omp for schedule(static, 1)
    for (int t = 0; t < threads_; ++t) {
      auto* mine = packed + b_bytes_ + (a_bytes_ + panel_bytes_) * static_cast<std::size_t>(t);
      Part part{{0, m_}, {0, n_}, mine, mine + a_bytes_, by_columns_ ? nullptr : packed};
      if (by_columns_) {
        part.columns = part_of(n_, t, threads_, 16);
      } else {
        part.rows = part_of(m_, t, threads_, a_transposed_ ? 16 : kTileRows);
      }
      multiply(a, b, c, part);
    }
  }
}

// Panel p holds the pairs of columns from p kTileColumns on, pair by pair, and lies where the panels before it end.
// Rows [first, first + kPackRows) of b in all panels: read in the order of memory.
void TiledProduct::pack_rows(const void* b, void* packed, std::int64_t first) const {
  const std::int64_t count = std::min(kPackRows, k_ - first) / 2;
  for (std::int64_t n = 0; n < n_; n += kTileColumns) {
    const std::int64_t columns = width(n, n_);
    bf16_tiles()->pair_rows(bf16_at(b, first * b_stride_ + n), b_stride_, count, columns,
                            word_at(packed, n * (k_ / 2) + first / 2 * columns), columns);
  }
}

void TiledProduct::pack_panel(const void* b, std::int64_t n, std::int64_t columns, void* panel) const {
  if (b_transposed_) {
    bf16_tiles()->transpose(bf16_at(b, n * b_stride_), b_stride_ / 2, columns, k_ / 2, panel, columns);
  } else {
    bf16_tiles()->pair_rows(bf16_at(b, n), b_stride_, k_ / 2, columns, panel, columns);
  }
}

// Columns [first, first + rows) of a transposed a as panels of kPanelRows.
void TiledProduct::pack_a(const void* a, std::int64_t first, std::int64_t rows, void* block) const {
  for (std::int64_t k = 0; k < k_; k += kPackRows) {
    const std::int64_t count = std::min(kPackRows, k_ - k) / 2;
    for (std::int64_t m = 0; m < rows; m += kPanelRows) {
      bf16_tiles()->pair_rows(bf16_at(a, k * a_stride_ + first + m), a_stride_, count, std::min(kPanelRows, rows - m),
                              word_at(block, m * (k_ / 2) + k / 2 * kPanelRows), kPanelRows);
    }
  }
}

void TiledProduct::multiply(const void* a, const void* b, void* c, const Part& part) const {
  const std::int64_t pairs = k_ / 2, element = store_ == TileStore::Round ? 2 : 4;
  TileRows tile{};
  tile.row = a_transposed_ ? 1 : a_stride_ / 2;
  tile.step = a_transposed_ ? kPanelRows : 1;
  tile.words = pairs;
  tile.to_stride = c_stride_;
  tile.store = store_;
  for (std::int64_t first = part.rows.begin; first < part.rows.end; first += block_rows_) {
    const std::int64_t rows = std::min(block_rows_, part.rows.end - first), tiles = rows / kTileRows;
    if (a_transposed_) pack_a(a, first, rows, part.block);
    Ahead ahead;
    if (const std::int64_t next = first + rows; a_transposed_ && part.packed != nullptr && next < part.rows.end) {
      ahead = {bf16_at(a, next), a_stride_, k_, std::min(block_rows_, part.rows.end - next),
               tiles * (n_ + kTileColumns - 1) / kTileColumns};
    }
    for (std::int64_t n = part.columns.begin; n < part.columns.end; n += kTileColumns) {
      tile.columns = tile.b_stride = width(n, part.columns.end);
      tile.b = part.packed == nullptr ? part.panel : word_at(part.packed, n * pairs);
      if (part.packed == nullptr) {
        pack_panel(b, n, tile.columns, part.panel);
        const std::int64_t next = n + kTileColumns, columns = std::max<std::int64_t>(width(next, part.columns.end), 0);
        ahead = b_transposed_ ? Ahead(bf16_at(b, next * b_stride_), b_stride_, columns, k_, tiles)
                              : Ahead(bf16_at(b, next), b_stride_, columns == 0 ? 0 : k_, columns, tiles);
      }
      for (std::int64_t m = 0; m < rows; m += kTileRows) {
        tile.a = a_transposed_ ? word_at(part.block, m / kPanelRows * kPanelRows * pairs + m % kPanelRows)
                               : word_at(a, (first + m) * tile.row);
        tile.to = static_cast<std::byte*>(c) + ((first + m) * c_stride_ + n) * element;
        ahead.advance();
        bf16_tiles()->rows(tile);
      }
    }
  }
}

}  // namespace apollo::cpu
