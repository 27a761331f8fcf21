// Dropout by the rule of core/philox.h, on the device: the same integers as everywhere.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/philox.h"

namespace apollo::cuda {

// Philox4x32-10 (Salmon et al. 2011) of one counter: 128 bits, those of 8 neighbours in a row.
__device__ __forceinline__ uint4 philox(uint4 counter, std::uint32_t key0, std::uint32_t key1) {
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const std::uint32_t high0 = __umulhi(kPhiloxM0, counter.x), low0 = kPhiloxM0 * counter.x;
    const std::uint32_t high1 = __umulhi(kPhiloxM1, counter.z), low1 = kPhiloxM1 * counter.z;
    counter = make_uint4(high1 ^ counter.y ^ key0, low1, high0 ^ counter.w ^ key1, low0);
    key0 += kPhiloxW0;
    key1 += kPhiloxW1;
  }
  return counter;
}

// A kernel's dropout: the rule of its op and the state of the run, which is in device memory.
struct DropoutState {
  Dropout rule;
  const std::int32_t* rng;  // i32[4]; null: nothing is dropped

  __host__ __device__ bool drops() const { return rng != nullptr; }
};

// Values that are the same for all elements of a kernel.
struct Multipliers {
  std::uint32_t key0, key1, step, micro, stream, threshold;
  float keep_scale;

  __device__ explicit Multipliers(const DropoutState& state)
      : key0(0),
        key1(0),
        step(0),
        micro(0),
        stream(state.rule.stream),
        threshold(state.rule.threshold),
        keep_scale(state.rule.keep_scale) {
    if (!state.drops()) return;
    key0 = static_cast<std::uint32_t>(__ldg(state.rng));
    key1 = static_cast<std::uint32_t>(__ldg(state.rng + 1));
    step = static_cast<std::uint32_t>(__ldg(state.rng + 2));
    micro = static_cast<std::uint32_t>(__ldg(state.rng + 3));
  }

  // The random bits of block `index` (row * blocks + block within the row): 16 an element, low half of a word first.
  __device__ __forceinline__ uint4 bits(std::uint32_t index) const {
    return philox(make_uint4(index, stream, step, micro), key0, key1);
  }
  __device__ __forceinline__ float multiplier(std::uint32_t sixteen_bits) const {
    return sixteen_bits < threshold ? 0.0f : keep_scale;
  }
  // The multipliers of all 8 elements of a block.
  __device__ __forceinline__ void block(std::uint32_t index, float (&to)[8]) const {
    const uint4 word = bits(index);
    const std::uint32_t words[4] = {word.x, word.y, word.z, word.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      to[2 * i] = multiplier(words[i] & 0xffffu);
      to[2 * i + 1] = multiplier(words[i] >> 16);
    }
  }
  // Bit j set: element j of the block is kept.
  __device__ __forceinline__ std::uint32_t kept(std::uint32_t index) const {
    const uint4 word = bits(index);
    const std::uint32_t words[4] = {word.x, word.y, word.z, word.w};
    std::uint32_t kept = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      kept |= (words[i] & 0xffffu) < threshold ? 0u : 1u << (2 * i);
      kept |= (words[i] >> 16) < threshold ? 0u : 2u << (2 * i);
    }
    return kept;
  }
};

}  // namespace apollo::cuda
