// The products inside blocks of attention: of dense, row-major matrices that stay in L1/L2, by the calling thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "cpu/cpu.h"
#include "cpu/onednn/onednn.h"
#include "cpu/tiles/avx512_tiles.h"

namespace apollo::cpu {

// Row i of a block of scores [rows, columns] attends to columns below limit(i); beyond it scores are not read and
// probabilities are 0.
struct ScoreLimits {
  std::int64_t first, columns;  // row 0 attends to columns below `first`, each row to one more

  std::int64_t limit(std::int64_t row) const {
    const std::int64_t wanted = first + row;
    return wanted < 0 ? 0 : wanted < columns ? wanted : columns;
  }
};

enum class BlockKind : std::uint8_t {
  Scores,  // s [R, C] = q [R, D] k [C, D]^T; where no row attends, s may be left as it is
  ToRows,  // y [R, D] = p [R, C] v [C, D], for p a block of probabilities or their gradient
  ToKeys,  // y [C, D] = p [R, C]^T x [R, D]
};

// One product for blocks of R x C scores and heads of D elements, all multiples of 16, f32 or bf16 into f32. Not to be
// run by two threads at once.
//
// Where the processor has AVX-512's bf16 dot products, tiles of them, or of f32's, leave out what a causal limit makes
// 0 (at R = C = 128 nearly half) and add up in oneDNN's order, so that the bits are the same. Other processors go
// through oneDNN, and bf16 with AMX does.
class BlockProduct {
 public:
  BlockProduct(BlockKind kind, DType dtype, std::int64_t rows, std::int64_t columns, std::int64_t head);

  // Bytes that `scratch` of run() must have, 64-byte aligned.
  std::size_t scratch_bytes() const;
  // The result is overwritten or, with `add`, added to.
  void run(const void* a, const void* b, float* to, void* scratch, const ScoreLimits& limits, bool add = false);

 private:
  // Rows of elements as rows of words: bf16 by twos in `scratch`; of a block with limits, only what two rows attend to.
  const void* words_of(const void* from, std::int64_t rows, std::int64_t columns, void* scratch,
                       const ScoreLimits* limits = nullptr) const;

  BlockKind kind_;
  std::int64_t rows_, columns_, head_, word_;  // word_: elements of 32 bits
  const Tiles* tiles_;
  std::optional<Product> write_, add_;  // without tiles
};

}  // namespace apollo::cpu
