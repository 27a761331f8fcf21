// The pieces of a tensor of which the gradients' norm sums the squares one by one.
#pragma once

#include <cstdint>

namespace apollo {

// Elements of a piece: 64 KiB, small compared with a step and large compared with a call; some 50 pieces for each
// multiprocessor of a GPU. Parts of ranks are whole pieces, so that `squares` gives the bits of gradNorm: shardUnit
// (lib/engine/optim/shards.ts) is the same number.
constexpr std::int64_t kPieceElements = 16384;

}  // namespace apollo
