// Numbered parts for kernels that sum across threads: which rows belong to which part depends on the sizes and on the
// number of parts only, so that partial sums added in the order of the parts give the same bits at each run. (Kernels
// without sums use parallel.h.)
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

// Calls body(part) for each part in [0, parts), one per thread. Should the runtime give fewer threads than asked for,
// the parts stay the same.
template <class Body>
void parallel_parts(int parts, const Body& body) {
  if (parts == 1) {
    body(0);
    return;
  }
#pragma omp parallel num_threads(parts)
  {
    for (int part = omp_get_thread_num(); part < parts; part += omp_get_num_threads()) body(part);
  }
}

}  // namespace apollo::cpu
