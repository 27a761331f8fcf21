#include "core/planner.h"

#include <algorithm>
#include <numeric>

namespace apollo {

MemoryPlan plan_memory(std::span<const Lifetime> values) {
  constexpr std::size_t kAlign = 64;
  const auto aligned = [](std::size_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; };

  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return values[a].bytes > values[b].bytes; });

  MemoryPlan plan;
  plan.offsets.assign(values.size(), 0);
  std::vector<std::size_t> placed;  // indices, sorted by offset
  for (const std::size_t index : order) {
    const Lifetime& value = values[index];
    const std::size_t bytes = aligned(value.bytes);
    std::size_t offset = 0;
    for (const std::size_t other : placed) {
      const Lifetime& neighbour = values[other];
      if (neighbour.last < value.first || value.last < neighbour.first) continue;
      if (plan.offsets[other] >= offset + bytes) break;  // the gap before this neighbour is wide enough
      offset = std::max(offset, plan.offsets[other] + aligned(neighbour.bytes));
    }
    plan.offsets[index] = offset;
    plan.arena_bytes = std::max(plan.arena_bytes, offset + bytes);
    const auto at = std::upper_bound(placed.begin(), placed.end(), index,
                                     [&](std::size_t a, std::size_t b) { return plan.offsets[a] < plan.offsets[b]; });
    placed.insert(at, index);
  }
  return plan;
}

}  // namespace apollo
