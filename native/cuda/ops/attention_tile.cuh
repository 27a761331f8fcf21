// Tiles of positions in shared memory, as the attention kernels on tensor cores keep them: rows of D bf16 elements in
// chunks of 16 bytes whose places are exchanged from row to row (swizzled), so that the eight rows that a matrix load
// reads at once are in different banks; and the loads of matrix fragments from them.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/lib/block.cuh"
#include "cuda/lib/intrinsics.cuh"
#include "cuda/ops/attention.cuh"

namespace apollo::cuda {

constexpr int kChunk = 8;  // elements of 16 bytes

// Bytes from the tile's start to chunk `chunk` of row `row`, for rows of kColumns elements. Shared memory repeats its
// banks every 128 bytes: rows of 64 bytes come in pairs.
template <int kColumns>
__device__ __forceinline__ int tile_offset(int row, int chunk) {
  static_assert(kColumns == 32 || kColumns % 64 == 0);
  const int place = kColumns == 32 ? chunk ^ (row / 2 & 3) : chunk ^ (row & 7);
  return row * kColumns * 2 + place * 16;
}

// Begins to copy rows [first, first + kRows) of a head to a tile; rows from `extent` on become zeros. `from` is the
// head's element at position 0.
template <int kRows, int kColumns, int kThreads>
__device__ __forceinline__ void copy_tile(unsigned char* tile, const Bf16* from, std::int64_t row_stride,
                                          std::int32_t first, std::int32_t extent) {
  constexpr int kChunks = kColumns / kChunk;
  static_assert(kRows * kChunks % kThreads == 0);
#pragma unroll
  for (int n = 0; n < kRows * kChunks / kThreads; ++n) {
    const int i = n * kThreads + static_cast<int>(threadIdx.x);
    const int row = i / kChunks, chunk = i % kChunks;
    const bool valid = first + row < extent;
    const std::int64_t position = valid ? first + row : 0;
    copy_async_16(tile + tile_offset<kColumns>(row, chunk), from + position * row_stride + chunk * kChunk, valid);
  }
}

// The fragment of rows [row, row + 16), columns [16 step, 16 step + 16) as a left operand.
template <int kColumns>
__device__ __forceinline__ void load_left(std::uint32_t (&a)[4], const unsigned char* tile, int row, int step) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  load_matrices(a, tile + tile_offset<kColumns>(row + lane % 16, 2 * step + lane / 16));
}

// Two fragments of a right operand that is the tile transposed: columns (of the product) are rows [row, row + 16) of
// the tile, its inner dimension the tile's columns [16 step, ..). b[0], b[1] belong to the first 8 columns, b[2], b[3]
// to the others.
template <int kColumns>
__device__ __forceinline__ void load_right_of_rows(std::uint32_t (&b)[4], const unsigned char* tile, int row,
                                                   int step) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  load_matrices(b, tile + tile_offset<kColumns>(row + lane / 16 * 8 + lane % 8, 2 * step + lane / 8 % 2));
}

// The same of the tile itself: columns are the tile's [16 pair, ..), the inner dimension its rows [row, row + 16).
template <int kColumns>
__device__ __forceinline__ void load_right_of_columns(std::uint32_t (&b)[4], const unsigned char* tile, int row,
                                                      int pair) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  load_matrices_transposed(b, tile + tile_offset<kColumns>(row + lane % 16, 2 * pair + lane / 16));
}

// The fragment of a left operand that is the tile transposed: its rows are the tile's columns [8 chunk, 8 chunk + 16),
// its inner dimension the tile's rows [row, row + 16).
template <int kColumns>
__device__ __forceinline__ void load_left_transposed(std::uint32_t (&a)[4], const unsigned char* tile, int row,
                                                     int chunk) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  load_matrices_transposed(a, tile + tile_offset<kColumns>(row + lane / 16 * 8 + lane % 8, chunk + lane / 8 % 2));
}

// Which of 64 keys from `first` on may be attended to, one bit each; the same in every lane.
__device__ __forceinline__ std::uint64_t attended_keys(const std::int32_t* mask, const AttentionShape& shape,
                                                       std::int32_t b, std::int32_t first) {
  const auto lane = static_cast<std::int32_t>(threadIdx.x) % kWarp;
  const std::uint64_t low = __ballot_sync(kAllLanes, key_attended(mask, shape, b, first + lane));
  const std::uint64_t high = __ballot_sync(kAllLanes, key_attended(mask, shape, b, first + kWarp + lane));
  return low | high << 32;
}

}  // namespace apollo::cuda
