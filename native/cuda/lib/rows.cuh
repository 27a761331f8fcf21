// Rows of any length in packs of 16 bytes: a row that does not begin at a multiple of 16 bytes (a vocabulary of 50257
// has seven such rows in eight) is single elements up to the first multiple, packs, and single elements at its end.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

namespace apollo::cuda {

template <int kCount>
using Count = std::integral_constant<int, kCount>;

// Calls body(Count<kWidth>(), column) or body(Count<1>(), column) for this thread's share of `columns` columns, which
// begin at element `first` of a tensor; `thread` is one of `threads`. A thread's columns come in ascending order.
template <int kWidth, class Body>
__device__ __forceinline__ void for_row(std::int64_t first, int columns, int thread, int threads, const Body& body) {
  const int head = min(columns, static_cast<int>(-first & (kWidth - 1)));
  const int packs = (columns - head) / kWidth, tail = head + packs * kWidth;
#pragma unroll 1
  for (int c = thread; c < head; c += threads) body(Count<1>(), c);
#pragma unroll 4
  for (int p = thread; p < packs; p += threads) body(Count<kWidth>(), head + p * kWidth);
#pragma unroll 1
  for (int c = tail + thread; c < columns; c += threads) body(Count<1>(), c);
}

}  // namespace apollo::cuda
