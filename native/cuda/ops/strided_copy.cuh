// Copies between tensors that are in memory in different ways, without a change of the order within runs: broadcast,
// slice, concat, transposes that leave the last axis where it is. Limited by memory: one read and one write an element.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/dtype.h"
#include "cuda/lib/strided.cuh"
#include "cuda/lib/vector.cuh"

namespace apollo::cuda {

// Operand 0 is the destination, 1 the source.
using CopySpace = SpacePart<2>;

// to[space] = from[space]: a thread copies 16 bytes, as one word of 16 or as several smaller ones.
template <class Word>
struct CopyWords {
  static constexpr int kCount = 16 / static_cast<int>(sizeof(Word));
  Walk<2> walk;
  Word* to;
  const Word* from;

  __device__ void run(std::uint32_t (&index)[kCount]) const {
    const std::uint32_t first = index[0];
    std::int64_t at[kCount][2];
    walk.offsets(index, at);
    Word words[kCount];
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      if (first + i * kSpaceThreads < walk.count) words[i] = from[at[i][1]];
    }
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      if (first + i * kSpaceThreads < walk.count) to[at[i][0]] = words[i];
    }
  }
};

// Each element of the source fills packs of the destination, which `walk` counts.
template <class Word>
struct RepeatWords {
  static constexpr int kCount = 1;
  Walk<2> walk;
  Word* to;
  const Word* from;

  __device__ void run(std::uint32_t (&index)[1]) const {
    if (index[0] >= walk.count) return;
    std::int64_t at[1][2];
    walk.offsets(index, at);
    const Word word = from[at[0][1]];
    Pack<Word> pack;
#pragma unroll
    for (int k = 0; k < kPack<Word>; ++k) pack.values[k] = word;
    store_pack(to + at[0][0], pack);
  }
};

class StridedCopy {
 public:
  StridedCopy(const std::string& op, CopySpace space, DType dtype) : word_bytes_(size_of(dtype)) {
    auto& run = space.loops.back();
    const auto pack = static_cast<std::int64_t>(16 / word_bytes_);
    repeats_ = run.stride[0] == 1 && run.stride[1] == 0 && whole(space, pack, /*operands=*/1);
    if (repeats_) {
      run.extent /= pack;
      run.stride[0] = pack;
    } else if (run.stride[0] == 1 && run.stride[1] == 1) {
      // Words as wide as all runs and their beginnings allow.
      std::int64_t factor = pack;
      while (!whole(space, factor, /*operands=*/2)) factor /= 2;
      word_bytes_ *= static_cast<std::size_t>(factor);
      for (std::int64_t& first : space.first) first /= factor;
      for (auto& loop : space.loops) {
        for (std::int64_t& stride : loop.stride) stride /= factor;
      }
      run.extent /= factor;
      run.stride = {1, 1};
    }
    for (const CopySpace& part : small_parts(space)) parts_.push_back({part.walk(op), part.first});
  }

  void run(void* to, const void* from, void* stream) const {
    switch (word_bytes_) {
      case 16: return run_words<uint4>(to, from, stream);
      case 8: return run_words<uint2>(to, from, stream);
      case 4:
        return repeats_ ? run_repeated<std::uint32_t>(to, from, stream) : run_words<std::uint32_t>(to, from, stream);
      default:
        return repeats_ ? run_repeated<std::uint16_t>(to, from, stream) : run_words<std::uint16_t>(to, from, stream);
    }
  }

 private:
  struct Part {
    Walk<2> walk;
    std::array<std::int64_t, 2> first;
  };

  // Whether runs, and where they begin in the first `operands` operands, are multiples of `factor`.
  static bool whole(const CopySpace& space, std::int64_t factor, std::size_t operands) {
    bool whole = space.loops.back().extent % factor == 0;
    for (std::size_t n = 0; n < operands; ++n) {
      whole &= space.first[n] % factor == 0;
      for (std::size_t d = 0; d + 1 < space.loops.size(); ++d) whole &= space.loops[d].stride[n] % factor == 0;
    }
    return whole;
  }
  template <class Word>
  void run_words(void* to, const void* from, void* stream) const {
    for (const Part& part : parts_) {
      for_space(CopyWords<Word>{part.walk, static_cast<Word*>(to) + part.first[0],
                                static_cast<const Word*>(from) + part.first[1]},
                stream);
    }
  }
  template <class Word>
  void run_repeated(void* to, const void* from, void* stream) const {
    for (const Part& part : parts_) {
      for_space(RepeatWords<Word>{part.walk, static_cast<Word*>(to) + part.first[0],
                                  static_cast<const Word*>(from) + part.first[1]},
                stream);
    }
  }

  std::size_t word_bytes_;
  bool repeats_ = false;
  std::vector<Part> parts_;
};

}  // namespace apollo::cuda
