// dropout: y = x * multiplier, the multipliers by the rule of core/philox.h. Its backward is the same op on dy. Limited
// by memory, one read and one write an element: Philox's some eighty instructions serve 8 elements, of f32 4.
#include "cuda/cuda.h"
#include "cuda/lib/division.cuh"
#include "cuda/lib/launch.cuh"
#include "cuda/lib/random.cuh"
#include "cuda/lib/vector.cuh"

namespace apollo::cuda {
namespace {

constexpr int kDropoutThreads = 256;

// Rows that are whole blocks of the rule, 8 neighbours each: the blocks of all rows are one behind the other, and a
// thread takes a pack. Of f32 that is half a block, whose bits two threads compute: instructions are to spare, and so
// every store of a warp fills whole sectors.
template <class T>
__global__ void __launch_bounds__(kDropoutThreads)
    dropout_packs_kernel(const T* x, T* y, std::int64_t packs, DropoutState state) {
  constexpr int kWidth = kPack<T>, kThreads = 8 / kWidth;  // of a block
  const std::int64_t pack = static_cast<std::int64_t>(blockIdx.x) * kDropoutThreads + threadIdx.x;
  if (pack >= packs) return;
  float v[kWidth];
  load(x + pack * kWidth, v);
  const Multipliers multipliers(state);
  const uint4 bits = multipliers.bits(static_cast<std::uint32_t>(pack / kThreads));
  const bool second = kThreads == 2 && pack % 2 != 0;
  const std::uint32_t words[4] = {second ? bits.z : bits.x, second ? bits.w : bits.y, bits.z, bits.w};
#pragma unroll
  for (int i = 0; i < kWidth; i += 2) {
    v[i] *= multipliers.multiplier(words[i / 2] & 0xffffu);
    v[i + 1] *= multipliers.multiplier(words[i / 2] >> 16);
  }
  store(v, y + pack * kWidth);
}

// Other rows: a thread takes a block, the last one of each row being cut.
template <class T>
__global__ void __launch_bounds__(kDropoutThreads)
    dropout_blocks_kernel(const T* x, T* y, std::int64_t blocks, Divisor row_blocks, std::int64_t columns,
                          DropoutState state) {
  const std::int64_t block = static_cast<std::int64_t>(blockIdx.x) * kDropoutThreads + threadIdx.x;
  if (block >= blocks) return;
  const std::int64_t row = row_blocks.quotient(block), column = 8 * (block - row * row_blocks.value);
  const std::int64_t begin = row * columns + column, left = columns - column;
  float v[8] = {}, multiplier[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    if (i < left) v[i] = to_float(x[begin + i]);
  }
  Multipliers(state).block(static_cast<std::uint32_t>(block), multiplier);
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    if (i < left) y[begin + i] = from_float<T>(v[i] * multiplier[i]);
  }
}

template <class T>
std::unique_ptr<Kernel> dropout_of(const TensorDesc& x, const Dropout& rule) {
  const std::int64_t columns = x.last(), row_blocks = ceil_div(columns, 8), blocks = x.rows() * row_blocks;
  return std::make_unique<FunctionKernel>([=](const RunContext& c) {
    if (blocks == 0) return;
    const DropoutState state{rule, c.in<std::int32_t>(1)};
    if (columns % 8 == 0) {
      const std::int64_t packs = 8 * blocks / kPack<T>;
      launch(dropout_packs_kernel<T>, {blocks_for(packs, kDropoutThreads), kDropoutThreads}, c.stream, c.in<T>(0),
             c.out<T>(0), packs, state);
    } else {
      launch(dropout_blocks_kernel<T>, {blocks_for(blocks, kDropoutThreads), kDropoutThreads}, c.stream, c.in<T>(0),
             c.out<T>(0), blocks, Divisor(row_blocks), columns, state);
    }
  });
}

// (x, rng) -> y; attributes p, stream.
std::unique_ptr<Kernel> make_dropout(const OpDesc& desc) {
  const TensorDesc& x = desc.inputs[0];
  if (x.dtype == DType::I32 || desc.outputs[0].dtype != x.dtype) unsupported(desc, "cuda");
  const Dropout rule = Dropout::make(desc.attrs.number("p"), static_cast<std::uint32_t>(desc.attrs.integer("stream")));
  return x.dtype == DType::F32 ? dropout_of<float>(x, rule) : dropout_of<Bf16>(x, rule);
}

}  // namespace

void register_dropout(OpTable& table, Context&) { table.add("dropout", make_dropout); }

}  // namespace apollo::cuda
