// Walking several tensors of one index space at once: the loops of an N-dimensional copy, transpose or broadcast.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"

namespace apollo {

using Dims = std::vector<std::int64_t>;

inline Dims row_major_strides(const Dims& shape) {
  Dims strides(shape.size(), 1);
  for (std::size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

// Strides that read a tensor of `shape` as if it had shape `to` (numpy's rule: aligned at the right, size 1 repeats).
inline Dims broadcast_strides(const Dims& shape, const Dims& to) {
  require(shape.size() <= to.size(), "broadcast to a smaller rank");
  const Dims own = row_major_strides(shape);
  const std::size_t lead = to.size() - shape.size();
  Dims strides(to.size(), 0);
  for (std::size_t i = 0; i < shape.size(); ++i) {
    require(shape[i] == to[lead + i] || shape[i] == 1, "shapes do not broadcast");
    strides[lead + i] = shape[i] == 1 ? 0 : own[i];
  }
  return strides;
}

// Where the region of extents `box` that begins at `starts` is in a tensor of `shape`.
inline std::int64_t region_offset(const Dims& shape, const Dims& starts, const Dims& box, const std::string& op) {
  require(starts.size() == shape.size() && box.size() == shape.size(), op + ": rank of starts");
  const Dims strides = row_major_strides(shape);
  std::int64_t offset = 0;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    require(starts[d] >= 0 && starts[d] + box[d] <= shape[d], op + ": the region leaves the tensor");
    offset += starts[d] * strides[d];
  }
  return offset;
}

// The loops over an index space for N operands: extents and, per operand, strides in elements (0 repeats). Loops of
// extent 1 are dropped and neighbours that every operand walks as one are merged, so the last loop, the "run", is as
// long as possible.
template <std::size_t N>
struct LoopNest {
  struct Loop {
    std::int64_t extent;
    std::array<std::int64_t, N> stride;
  };
  std::vector<Loop> loops;  // outermost first; at least one
  std::int64_t elements = 1;

  LoopNest(const Dims& extents, const std::array<Dims, N>& strides) {
    for (std::size_t d = 0; d < extents.size(); ++d) {
      elements *= extents[d];
      if (extents[d] == 1) continue;
      Loop loop{extents[d], {}};
      for (std::size_t n = 0; n < N; ++n) loop.stride[n] = strides[n][d];
      if (!loops.empty() && merges(loops.back(), loop)) {
        loop.extent *= loops.back().extent;
        loops.back() = loop;
      } else {
        loops.push_back(loop);
      }
    }
    if (loops.empty()) {
      loops.push_back({1, {}});
      loops.back().stride.fill(1);  // a single element: as good as a run of one
    }
  }

  const Loop& run() const { return loops.back(); }

  // Calls body(offsets, count) for the pieces of runs that make up elements [begin, end) of the space in row-major
  // order; offsets[n] is where the piece starts in operand n.
  template <class Body>
  void walk(std::int64_t begin, std::int64_t end, const Body& body) const {
    if (begin >= end) return;
    std::vector<std::int64_t> index(loops.size());
    std::array<std::int64_t, N> offset{};
    std::int64_t rest = begin;
    for (std::size_t d = loops.size(); d-- > 0;) {
      index[d] = rest % loops[d].extent;
      rest /= loops[d].extent;
      for (std::size_t n = 0; n < N; ++n) offset[n] += index[d] * loops[d].stride[n];
    }
    while (begin < end) {
      const std::int64_t count = std::min(run().extent - index.back(), end - begin);
      body(offset, count);
      begin += count;
      index.back() += count - 1;  // the last element of the piece; the carry below steps to the next run
      for (std::size_t n = 0; n < N; ++n) offset[n] += (count - 1) * run().stride[n];
      for (std::size_t d = loops.size(); d-- > 0;) {
        const Loop& loop = loops[d];
        if (++index[d] < loop.extent) {
          for (std::size_t n = 0; n < N; ++n) offset[n] += loop.stride[n];
          break;
        }
        index[d] = 0;
        for (std::size_t n = 0; n < N; ++n) offset[n] -= (loop.extent - 1) * loop.stride[n];
      }
    }
  }

 private:
  static bool merges(const Loop& outer, const Loop& inner) {
    for (std::size_t n = 0; n < N; ++n) {
      if (outer.stride[n] != inner.stride[n] * inner.extent) return false;
    }
    return true;
  }
};

}  // namespace apollo
