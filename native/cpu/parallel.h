// Static division of rows or elements among OpenMP threads: which thread does what depends on the sizes and on the
// number of threads only, so that sums in a fixed order give the same bits at each run.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

namespace apollo::cpu {

struct Range {
  std::int64_t begin, end;
};

// Part `index` of [0, count) cut into `parts`; inner borders are multiples of `granule`.
inline Range part_of(std::int64_t count, std::int64_t index, std::int64_t parts, std::int64_t granule = 1) {
  const std::int64_t granules = (count + granule - 1) / granule;
  return {std::min(count, granules * index / parts * granule),
          std::min(count, granules * (index + 1) / parts * granule)};
}

// Work per thread, in bytes moved, below which waking another thread costs more than it saves (a few microseconds).
constexpr std::int64_t kBytesPerThread = 32 * 1024;

// How many threads `bytes` of memory traffic deserve: 1 .. the size of the pool.
inline int threads_for(std::int64_t bytes) {
  return static_cast<int>(std::clamp<std::int64_t>(bytes / kBytesPerThread, 1, omp_get_max_threads()));
}

// Calls body(range, thread) with the parts of [0, count), one part a thread.
template <class Body>
void parallel_parts(std::int64_t count, std::int64_t granule, int threads, const Body& body) {
  if (threads <= 1) {
    body(Range{0, count}, 0);
    return;
  }
#pragma omp parallel num_threads(threads)
  {
    // The runtime may give fewer threads than asked for; the parts stay the same.
    for (int part = omp_get_thread_num(); part < threads; part += omp_get_num_threads()) {
      body(part_of(count, part, threads, granule), part);
    }
  }
}

// The same for elements of one flat array; borders fall on cache lines.
template <class Body>
void parallel_elements(std::int64_t count, std::int64_t bytes_per_element, const Body& body) {
  parallel_parts(count, 64, threads_for(count * bytes_per_element), body);
}

}  // namespace apollo::cpu
