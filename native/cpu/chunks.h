// The elements of several tensors as one list of pieces, so that many small tensors and few large ones divide equally
// well among threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/pieces.h"
#include "cpu/parallel.h"

namespace apollo::cpu {

class Chunks {
 public:
  struct Chunk {
    std::size_t tensor;
    std::int64_t begin, count;
    std::int64_t before;  // elements in earlier chunks
  };

  void add(std::size_t tensor, std::int64_t elements) {
    for (std::int64_t begin = 0; begin < elements; begin += kPieceElements) {
      const std::int64_t count = std::min(kPieceElements, elements - begin);
      list_.push_back({tensor, begin, count, elements_});
      elements_ += count;
    }
  }

  std::size_t size() const { return list_.size(); }

  // Calls body(index, chunk) for every chunk; each thread has a contiguous run of chunks with about as many elements
  // as every other thread's.
  template <class Body>
  void for_each(std::int64_t element_bytes, const Body& body) const {
    const std::int64_t wanted = elements_ * element_bytes / kBytesPerThread;
    const int parts = static_cast<int>(std::clamp<std::int64_t>(wanted, 1, omp_get_max_threads()));
    parallel_parts(parts, [&](int part) {
      const std::size_t end = first_at(elements_ * (part + 1) / parts);
      for (std::size_t i = first_at(elements_ * part / parts); i < end; ++i) body(i, list_[i]);
    });
  }

 private:
  static constexpr std::int64_t kBytesPerThread = 65536;

  // The first chunk with at least `elements` elements before it.
  std::size_t first_at(std::int64_t elements) const {
    const auto before = [](const Chunk& chunk, std::int64_t value) { return chunk.before < value; };
    return static_cast<std::size_t>(std::lower_bound(list_.begin(), list_.end(), elements, before) - list_.begin());
  }

  std::vector<Chunk> list_;
  std::int64_t elements_ = 0;
};

}  // namespace apollo::cpu
