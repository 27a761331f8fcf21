#include "comm/nccl/pack.h"

#include <algorithm>
#include <cstdint>
#include <span>

#include "cuda/lib/launch.cuh"
#include "cuda/lib/vector.cuh"

namespace apollo::comm {
namespace {

using cuda::Bf16;

constexpr int kBlock = 256;
constexpr std::int64_t kEach = 16;   // elements of a thread, about
constexpr std::size_t kRanges = 64;  // of a launch, whose arguments they are

struct Ranges {
  FlatRange list[kRanges];
};

// A row of blocks for each range.
template <class Body>
__device__ __forceinline__ void for_each(const FlatRange& range, const Body& body) {
  const std::size_t stride = static_cast<std::size_t>(gridDim.x) * blockDim.x;
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < range.count; i += stride) {
    body(i);
  }
}

template <class T>
__global__ void pack_kernel(const __grid_constant__ Ranges ranges, float factor, T* flat) {
  const FlatRange& range = ranges.list[blockIdx.y];
  for_each(range, [&](std::size_t i) { flat[range.at + i] = cuda::from_float<T>(range.values[i] * factor); });
}

template <class T>
__global__ void unpack_kernel(const __grid_constant__ Ranges ranges, const T* flat) {
  const FlatRange& range = ranges.list[blockIdx.y];
  for_each(range, [&](std::size_t i) { range.values[i] = cuda::to_float(flat[range.at + i]); });
}

// Calls start(ranges, how) for as many ranges at a time as fit in a launch.
template <class Start>
void launches(const std::vector<FlatRange>& all, const Start& start) {
  for (std::size_t from = 0; from < all.size(); from += kRanges) {
    const std::size_t count = std::min(kRanges, all.size() - from);
    Ranges ranges{};
    std::size_t longest = 1;
    for (std::size_t i = 0; i < count; ++i) {
      ranges.list[i] = all[from + i];
      longest = std::max(longest, ranges.list[i].count);
    }
    const unsigned blocks = cuda::blocks_for(static_cast<std::int64_t>(longest), kBlock * kEach);
    start(ranges, cuda::Launch{dim3(blocks, static_cast<unsigned>(count)), dim3(kBlock)});
  }
}

}  // namespace

void pack(const std::vector<FlatRange>& ranges, Wire wire, float factor, void* flat, void* stream) {
  launches(ranges, [&](const Ranges& some, const cuda::Launch& how) {
    if (wire == Wire::F32)
      cuda::launch(pack_kernel<float>, how, stream, some, factor, static_cast<float*>(flat));
    else
      cuda::launch(pack_kernel<Bf16>, how, stream, some, factor, static_cast<Bf16*>(flat));
  });
}

void unpack(const std::vector<FlatRange>& ranges, Wire wire, const void* flat, void* stream) {
  launches(ranges, [&](const Ranges& some, const cuda::Launch& how) {
    if (wire == Wire::F32)
      cuda::launch(unpack_kernel<float>, how, stream, some, static_cast<const float*>(flat));
    else
      cuda::launch(unpack_kernel<Bf16>, how, stream, some, static_cast<const Bf16*>(flat));
  });
}

}  // namespace apollo::comm
