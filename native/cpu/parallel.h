// How the CPU kernels share work: a range is cut into one contiguous piece per thread, without any run-time queue.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

namespace apollo::cpu {

// Bytes that one thread should at least move before a second one is worth waking.
constexpr std::int64_t kParallelBytes = 32768;

// Calls body(begin, end) on disjoint pieces that cover [0, count), at most one per thread. Borders fall on multiples of
// `align`, and no piece is made for less than `grain` items: small work stays on the calling thread. The body must
// not throw.
template <class Body>
void parallel_ranges(std::int64_t count, std::int64_t grain, std::int64_t align, const Body& body) {
  if (count <= 0) return;
  const std::int64_t blocks = (count + align - 1) / align;
  const std::int64_t wanted = std::min(blocks, count / std::max<std::int64_t>(grain, 1));
  const int threads = static_cast<int>(std::clamp<std::int64_t>(wanted, 1, omp_get_max_threads()));
  if (threads == 1) {
    body(std::int64_t{0}, count);
    return;
  }
#pragma omp parallel num_threads(threads)
  {
    const std::int64_t team = omp_get_num_threads(), rank = omp_get_thread_num();
    const std::int64_t begin = std::min(count, blocks * rank / team * align);
    const std::int64_t end = std::min(count, blocks * (rank + 1) / team * align);
    if (begin < end) body(begin, end);
  }
}

// Rows of `row_bytes` each, shared so that no thread is woken for less than kParallelBytes.
template <class Body>
void parallel_rows(std::int64_t rows, std::int64_t row_bytes, const Body& body) {
  parallel_ranges(rows, kParallelBytes / std::max<std::int64_t>(row_bytes, 1), 1, body);
}

// Elements of one long array; borders on multiples of 64 elements, so that no cache line is written by two threads.
template <class Body>
void parallel_elements(std::int64_t count, std::int64_t element_bytes, const Body& body) {
  parallel_ranges(count, kParallelBytes / element_bytes, 64, body);
}

}  // namespace apollo::cpu
