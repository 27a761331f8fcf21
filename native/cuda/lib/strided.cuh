// The loops of core/strided.h on the device: where the elements of an index space are in several tensors. The host cuts
// spaces into parts whose indices fit 31 bits, so that kernels divide by multiplication.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "core/strided.h"
#include "cuda/lib/division.cuh"
#include "cuda/lib/launch.cuh"

namespace apollo::cuda {

// Loops that are left once neighbours are merged: what a parameter of a kernel holds.
constexpr int kMaxLoops = 8;

inline Error too_many_axes(const std::string& op, std::size_t axes) {
  return Error("op '" + op + "' on cuda takes tensors of up to " + std::to_string(kMaxLoops) +
                   " axes, where those that lie in memory as one count as one; got " + std::to_string(axes),
               "APOLLO_NO_KERNEL");
}

// The loops of a space of N operands, as kernels take them.
template <int N>
struct Walk {
  int loops = 0;
  std::uint32_t count = 0;    // elements of the index space
  Divisor extent[kMaxLoops];  // innermost first
  std::int64_t stride[kMaxLoops][N] = {};

  // Where elements `index` of the space, counted in row-major order, are in each operand. All of them loop by loop, so
  // that the loads that follow are in progress together.
  template <int kCount>
  __device__ __forceinline__ void offsets(std::uint32_t (&index)[kCount], std::int64_t (&to)[kCount][N]) const {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
#pragma unroll
      for (int n = 0; n < N; ++n) to[i][n] = 0;
    }
    for (int loop = 0; loop + 1 < loops; ++loop) {
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
        const std::uint32_t outer = extent[loop].quotient(index[i]), own = index[i] - outer * extent[loop].value;
#pragma unroll
        for (int n = 0; n < N; ++n) to[i][n] += stride[loop][n] * own;
        index[i] = outer;
      }
    }
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
#pragma unroll
      for (int n = 0; n < N; ++n) to[i][n] += stride[loops - 1][n] * index[i];
    }
  }
};

// A part of an index space: its loops, outermost first, and where it begins in each operand.
template <std::size_t N>
struct SpacePart {
  using Loops = std::vector<typename LoopNest<N>::Loop>;
  Loops loops;
  std::array<std::int64_t, N> first{};

  std::int64_t count() const {
    std::int64_t product = 1;
    for (const auto& loop : loops) product *= loop.extent;
    return product;
  }

  // The loops as kernels take them. Throws Error when there are too many.
  Walk<static_cast<int>(N)> walk(const std::string& op) const {
    if (loops.size() > static_cast<std::size_t>(kMaxLoops)) throw too_many_axes(op, loops.size());
    Walk<static_cast<int>(N)> walk;
    walk.loops = static_cast<int>(loops.size());
    walk.count = static_cast<std::uint32_t>(count());
    for (std::size_t d = 0; d < loops.size(); ++d) {
      const auto& loop = loops[loops.size() - 1 - d];
      walk.extent[d] = Divisor(loop.extent);
      for (std::size_t n = 0; n < N; ++n) walk.stride[d][n] = loop.stride[n];
    }
    return walk;
  }
};

constexpr std::int64_t kMaxPart = std::int64_t{1} << 30;

// Cuts `part` along its outermost loops into parts of at most kMaxPart elements; nearly always there is one.
template <std::size_t N>
std::vector<SpacePart<N>> small_parts(const SpacePart<N>& part) {
  const std::int64_t count = part.count();
  if (count == 0) return {};
  if (count <= kMaxPart) return {part};
  std::vector<SpacePart<N>> parts;
  const auto outer = part.loops.front();
  const std::int64_t inner = count / outer.extent, step = std::max<std::int64_t>(1, kMaxPart / inner);
  for (std::int64_t begin = 0; begin < outer.extent; begin += step) {
    SpacePart<N> piece = part;
    piece.loops.front().extent = std::min(step, outer.extent - begin);
    for (std::size_t n = 0; n < N; ++n) piece.first[n] += begin * outer.stride[n];
    if (inner > kMaxPart) piece.loops.erase(piece.loops.begin());
    for (SpacePart<N>& small : small_parts(piece)) parts.push_back(std::move(small));
  }
  return parts;
}

constexpr int kSpaceThreads = 256;

// Calls body.run(index) for all elements of the space body.walk, Body::kCount a thread; those from body.walk.count on
// are beyond its end. They are a block apart, so that a warp's accesses are neighbours.
template <class Body>
__global__ void __launch_bounds__(kSpaceThreads) space_kernel(const __grid_constant__ Body body) {
  std::uint32_t index[Body::kCount];
#pragma unroll
  for (int i = 0; i < Body::kCount; ++i) {
    index[i] = (blockIdx.x * Body::kCount + static_cast<unsigned>(i)) * kSpaceThreads + threadIdx.x;
  }
  body.run(index);
}

template <class Body>
void for_space(const Body& body, void* stream) {
  if (body.walk.count == 0) return;
  launch(space_kernel<Body>, {blocks_for(body.walk.count, Body::kCount * kSpaceThreads), kSpaceThreads}, stream, body);
}

}  // namespace apollo::cuda
