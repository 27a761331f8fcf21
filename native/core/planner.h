// Memory plan of a program: values that live at the same time get disjoint places in one arena, others may share.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace apollo {

// A value of `bytes`, written first by instruction `first` and read last by instruction `last` (inclusive).
struct Lifetime {
  std::size_t bytes = 0;
  int first = 0;
  int last = 0;
};

struct MemoryPlan {
  std::vector<std::size_t> offsets;  // one a value, multiples of 64
  std::size_t arena_bytes = 0;
};

// Greedy by size (Pisarchyk and Lee, "Efficient memory management for deep neural net inference", 2020, section 4):
// largest value first, each at the lowest offset free during its lifetime. The order of equal sizes is fixed, so the
// plan is a function of its input.
MemoryPlan plan_memory(std::span<const Lifetime> values);

}  // namespace apollo
