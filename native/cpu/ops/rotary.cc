// Rotary position embedding (Su et al., arXiv 2104.09864): the first heads of each row rotated pair by pair, the others
// copied. Pairs are element j of a head's first half and element j of its second.
#include "cpu/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/ops/rotary.cc"
#include "hwy/foreach_target.h"

#include <omp.h>

#include <algorithm>
#include <cstring>

#include "core/rotary_shape.h"
#include "cpu/cpu.h"
#include "cpu/parallel.h"
#include "cpu/simd/math-inl.h"
#include "cpu/simd/simd-inl.h"

#ifndef APOLLO_CPU_ROTARY_ARGS_
#define APOLLO_CPU_ROTARY_ARGS_
namespace apollo::cpu {

struct RotaryArgs {
  RotaryShape shape;
  bool bf16;
  const float* frequencies;       // [head / 2]
  const std::int32_t* positions;  // [batch, tokens]; null: token t is at position t
  const void* x;
  void* y;
};

// Neighbouring tokens of a sequence whose angles are kept: enough for the memory to see long reads and writes.
constexpr std::int64_t kRotaryTokens = 16;

}  // namespace apollo::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace apollo::cpu::HWY_NAMESPACE {

// cos and sin of one position's angles, half a head each; sin negated for the rotation back.
HWY_INLINE void fill_angles(const RotaryArgs& args, std::int32_t position, float* cosines) {
  const F32 d;
  float* sines = cosines + args.shape.head / 2;
  const auto at = hn::Set(d, static_cast<float>(position));
  for_vectors(d, static_cast<std::size_t>(args.shape.head / 2), [&](std::size_t i, auto part) HWY_ATTR {
    const auto angle = hn::Mul(at, load(d, args.frequencies + i, part));
    const auto sine = fast::sin(d, angle);
    store(fast::cos(d, angle), d, cosines + i, part);
    store(args.shape.inverse ? hn::Neg(sine) : sine, d, sines + i, part);
  });
}

template <class T>
HWY_INLINE void rotate_head(const T* x, std::size_t half, const float* cosines, T* y) {
  const F32 d;
  for_vectors(d, half, [&](std::size_t i, auto part) HWY_ATTR {
    const auto c = load(d, cosines + i, part), s = load(d, cosines + half + i, part);
    const auto a = load(d, x + i, part), b = load(d, x + half + i, part);
    store(hn::NegMulAdd(b, s, hn::Mul(a, c)), d, y + i, part);
    store(hn::MulAdd(a, s, hn::Mul(b, c)), d, y + half + i, part);
  });
}

template <class T>
void rotary_pieces_of(const RotaryArgs& args, std::int64_t begin, std::int64_t end, float* angles) {
  const RotaryShape& shape = args.shape;
  const std::int64_t rotated = shape.heads * shape.head;
  for (std::int64_t piece = begin; piece < end; ++piece) {
    const std::int64_t first = piece / shape.batch * kRotaryTokens, b = piece % shape.batch;
    const std::int64_t count = std::min(kRotaryTokens, shape.tokens - first), row = b * shape.tokens + first;
    if (args.positions != nullptr || b == 0 || piece == begin) {
      for (std::int64_t t = 0; t < count; ++t) {
        const std::int64_t position = args.positions != nullptr ? args.positions[row + t] : first + t;
        fill_angles(args, static_cast<std::int32_t>(position), angles + t * shape.head);
      }
    }
    for (std::int64_t t = 0; t < count; ++t) {
      const T* x = static_cast<const T*>(args.x) + (row + t) * shape.width;
      T* y = static_cast<T*>(args.y) + (row + t) * shape.width;
      for (std::int64_t h = 0; h < rotated; h += shape.head) {
        rotate_head(x + h, static_cast<std::size_t>(shape.head / 2), angles + t * shape.head, y + h);
      }
      std::memcpy(y + rotated, x + rotated, static_cast<std::size_t>(shape.width - rotated) * sizeof(T));
    }
  }
}

// Pieces [begin, end) of kRotaryTokens tokens of one sequence; those of the same tokens in all sequences follow each
// other, so that their angles are computed once. `angles` has room for as many heads as a piece has tokens. Limited by
// memory: x is read and y written once.
void rotary_pieces(const RotaryArgs& args, std::int64_t begin, std::int64_t end, float* angles) {
  args.bf16 ? rotary_pieces_of<Bf16>(args, begin, end, angles) : rotary_pieces_of<float>(args, begin, end, angles);
}

}  // namespace apollo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apollo::cpu {
namespace {

HWY_EXPORT(rotary_pieces);

// (x [B, T, n * headSize], [positions]) -> y; attributes heads, headSize, frequencies, inverse.
std::unique_ptr<Kernel> make_rotary(const OpDesc& desc) {
  const TensorDesc& x = desc.inputs[0];
  if (x.dtype == DType::I32 || desc.outputs[0].dtype != x.dtype) unsupported(desc, "cpu");
  const RotaryShape shape(desc);
  const bool bf16 = x.dtype == DType::BF16;
  const std::int64_t tokens = std::min(kRotaryTokens, shape.tokens);  // of a piece
  const std::int64_t pieces = shape.batch * ((shape.tokens + kRotaryTokens - 1) / kRotaryTokens);
  const std::int64_t piece_bytes = 2 * tokens * shape.width * (bf16 ? 2 : 4);
  const std::int64_t slice = (tokens * shape.head + 15) / 16 * 16;  // of a thread's angles
  return std::make_unique<FunctionKernel>(
      [=, frequencies = rotary_frequencies(desc, shape)](const RunContext& context) {
        RotaryArgs args{shape, bf16, frequencies.data(), nullptr, context.inputs[0], context.outputs[0]};
        if (shape.has_positions) args.positions = context.in<std::int32_t>(1);
        parallel_rows(pieces, piece_bytes, [&](std::int64_t begin, std::int64_t end) {
          float* angles = static_cast<float*>(context.scratch) + omp_get_thread_num() * slice;
          HWY_DYNAMIC_DISPATCH(rotary_pieces)(args, begin, end, angles);
        });
      },
      static_cast<std::size_t>(omp_get_max_threads() * slice) * sizeof(float));
}

}  // namespace

void register_rotary(OpTable& table) { table.add("rotary", make_rotary); }

}  // namespace apollo::cpu
#endif  // HWY_ONCE
