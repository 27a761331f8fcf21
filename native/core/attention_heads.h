// How query heads and key/value heads are in the rows of attention's tensors. H query heads, G key/value heads (as many
// as query heads, or fewer: Ainslie et al., arXiv 2305.13245), D elements per head; query head h attends with key/value
// head h / (H / G). A packed row is H query heads, G key heads and G value heads; else q has rows of H heads, k and v
// of G.
#pragma once

#include <cstdint>

#include "core/op.h"

namespace apollo {

struct AttentionHeads {
  std::int64_t heads, key_value_heads, head;
  bool packed;

  // `row`: elements of a row of q, or of a packed row.
  AttentionHeads(const OpDesc& desc, std::int64_t row)
      : heads(desc.attrs.integer("heads")),
        key_value_heads(desc.attrs.integer("keyValueHeads")),
        packed(desc.attrs.flag("packed")) {
    require(heads > 0 && key_value_heads > 0 && heads % key_value_heads == 0,
            desc.op + ": key/value heads must divide the heads");
    const std::int64_t in_row = packed ? heads + 2 * key_value_heads : heads;
    require(row % in_row == 0, desc.op + ": rows are no whole heads");
    head = row / in_row;
  }

  // Query heads that share a key/value head.
  std::int64_t group() const { return heads / key_value_heads; }
  // Elements of a row of the output, and of one of keys or values.
  std::int64_t width() const { return heads * head; }
  std::int64_t key_value_width() const { return key_value_heads * head; }

  // Of q (part 0), k (1) and v (2): elements from one position to the next, and those before the first head.
  std::int64_t stride(int part) const {
    if (packed) return width() + 2 * key_value_width();
    return part == 0 ? width() : key_value_width();
  }
  std::int64_t first(int part) const { return !packed || part == 0 ? 0 : width() + (part - 1) * key_value_width(); }
};

}  // namespace apollo
