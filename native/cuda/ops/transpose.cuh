// Copies that exchange which axis is contiguous in memory, through tiles in shared memory, so that both sides are
// read and written in runs of 128 bytes. Limited by memory: one read and one write an element.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "cuda/lib/block.cuh"
#include "cuda/lib/strided.cuh"

namespace apollo::cuda {

constexpr int kTileThreads = 256;
// A row of a tile is 128 bytes, 4 a lane.
template <class Word>
constexpr int kTile = 128 / static_cast<int>(sizeof(Word));

// Bytes of a row that a lane moves: 4.
template <class Word>
struct alignas(4) TileLane {
  Word words[4 / sizeof(Word)];
};

// to[column * column_stride + row] = from[row * row_stride + column] in each of the matrices that `outer` counts.
template <class Word>
struct TransposeArgs {
  Word* to = nullptr;
  const Word* from = nullptr;
  std::uint32_t rows = 0, columns = 0;
  std::int64_t row_stride = 0, column_stride = 0;
  Divisor row_tiles, column_tiles;
  Walk<2> outer;         // operand 0: to, 1: from
  bool aligned = false;  // every row of both begins at a multiple of 4 bytes
};

// A block moves one tile, a warp one row of it at a time; all that a thread reads, 16 or 32 bytes, is in progress at
// once. The rows of the tile are an odd number of elements apart: whether a warp goes along a row or down a column, it
// meets each bank of shared memory once.
template <class Word>
__global__ void __launch_bounds__(kTileThreads) transpose_kernel(const __grid_constant__ TransposeArgs<Word> args) {
  using Lane4 = TileLane<Word>;
  constexpr int kSide = kTile<Word>, kWarps = kTileThreads / kWarp, kLane = kSide / kWarp;
  __shared__ Word tile[kSide][kSide + 1];
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const std::uint32_t along = args.row_tiles.quotient(blockIdx.x), matrix = args.column_tiles.quotient(along);
  const std::uint32_t row0 = (blockIdx.x - along * args.row_tiles.value) * kSide;
  const std::uint32_t column0 = (along - matrix * args.column_tiles.value) * kSide;
  const std::uint32_t rows = args.rows - row0, columns = args.columns - column0;  // from the tile's corner on
  std::uint32_t index[1] = {matrix};
  std::int64_t offset[1][2];
  args.outer.offsets(index, offset);

  const auto mine = static_cast<std::uint32_t>(lane * kLane);  // this lane's part of a row, on either side
  const Word* from = args.from + offset[0][1] + row0 * args.row_stride + column0 + mine;
  Lane4 held[kSide / kWarps];
#pragma unroll
  for (int i = 0; i < kSide / kWarps; ++i) {
    const auto r = static_cast<std::uint32_t>(i * kWarps + warp);
    const Word* row = from + r * args.row_stride;
    if (r < rows && args.aligned && mine + kLane <= columns) {
      const std::uint32_t bits = *reinterpret_cast<const std::uint32_t*>(row);
      held[i] = reinterpret_cast<const Lane4&>(bits);
    } else {
#pragma unroll
      for (int k = 0; k < kLane; ++k) held[i].words[k] = r < rows && mine + k < columns ? row[k] : Word{0};
    }
  }
#pragma unroll
  for (int i = 0; i < kSide / kWarps; ++i) {
#pragma unroll
    for (int k = 0; k < kLane; ++k) tile[i * kWarps + warp][lane * kLane + k] = held[i].words[k];
  }
  __syncthreads();

  Word* to = args.to + offset[0][0] + column0 * args.column_stride + row0 + mine;
#pragma unroll
  for (int i = 0; i < kSide / kWarps; ++i) {
    const auto c = static_cast<std::uint32_t>(i * kWarps + warp);
    if (c >= columns) break;
    Word* column = to + c * args.column_stride;
    Lane4 out;
#pragma unroll
    for (int k = 0; k < kLane; ++k) out.words[k] = tile[lane * kLane + k][c];
    if (args.aligned && mine + kLane <= rows) {
      *reinterpret_cast<std::uint32_t*>(column) = reinterpret_cast<const std::uint32_t&>(out);
    } else {
#pragma unroll
      for (int k = 0; k < kLane; ++k) {
        if (mine + k < rows) column[k] = out.words[k];
      }
    }
  }
}

// Loop `columns` of the space is the one that is contiguous in the source; the last one does so in the destination.
template <class Word>
class TiledCopy {
 public:
  TiledCopy(const std::string& op, SpacePart<2> space, std::size_t columns) : first_(space.first) {
    const auto inner = space.loops[columns], last = space.loops.back();
    space.loops.pop_back();
    space.loops.erase(space.loops.begin() + static_cast<std::ptrdiff_t>(columns));
    space.first = {};
    if (space.loops.empty()) space.loops.push_back({1, {}});
    args_.rows = static_cast<std::uint32_t>(last.extent);
    args_.columns = static_cast<std::uint32_t>(inner.extent);
    args_.row_stride = last.stride[1];
    args_.column_stride = inner.stride[0];
    const std::int64_t row_tiles = ceil_div(last.extent, kTile<Word>),
                       column_tiles = ceil_div(inner.extent, kTile<Word>);
    args_.row_tiles = Divisor(row_tiles);
    args_.column_tiles = Divisor(column_tiles);
    args_.outer = space.walk(op);
    tiles_ = static_cast<unsigned>(row_tiles * column_tiles * space.count());

    std::int64_t steps = args_.row_stride | args_.column_stride | first_[0] | first_[1];
    for (const auto& loop : space.loops) steps |= loop.stride[0] | loop.stride[1];
    args_.aligned = steps * static_cast<std::int64_t>(sizeof(Word)) % 4 == 0;
  }

  void run(void* to, const void* from, void* stream) const {
    TransposeArgs<Word> args = args_;
    args.to = static_cast<Word*>(to) + first_[0];
    args.from = static_cast<const Word*>(from) + first_[1];
    launch(transpose_kernel<Word>, {tiles_, kTileThreads}, stream, args);
  }

 private:
  std::array<std::int64_t, 2> first_;
  TransposeArgs<Word> args_;
  unsigned tiles_ = 0;
};

}  // namespace apollo::cuda
