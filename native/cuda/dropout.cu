// dropout: y = x * multiplier, the multipliers by the rule of core/philox.h. Its backward is the same op on dy. Limited
// by memory, one read and one write an element: Philox's some eighty instructions serve 8 elements.
#include "cuda/cuda.h"
#include "cuda/division.cuh"
#include "cuda/launch.cuh"
#include "cuda/random.cuh"
#include "cuda/vector.cuh"

namespace apollo::cuda {
namespace {

constexpr int kDropoutThreads = 256;

// A thread takes one block of the rule, 8 neighbours in a row: in packs where rows are whole blocks (kPacked), which
// makes the blocks of all rows lie one behind the other; else one by one, the last block of a row being cut.
template <class T, bool kPacked>
__global__ void __launch_bounds__(kDropoutThreads)
    dropout_kernel(const T* x, T* y, std::int64_t blocks, Divisor row_blocks, std::int64_t columns,
                   DropoutState state) {
  const std::int64_t block = static_cast<std::int64_t>(blockIdx.x) * kDropoutThreads + threadIdx.x;
  if (block >= blocks) return;
  float v[8] = {}, multiplier[8];
  std::int64_t begin = 8 * block;
  int count = 8;
  if constexpr (kPacked) {
    load(x + begin, v);
  } else {
    const std::int64_t row = row_blocks.quotient(block), column = 8 * (block - row * row_blocks.value);
    begin = row * columns + column;
    count = static_cast<int>(min(columns - column, std::int64_t{8}));
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      if (i < count) v[i] = to_float(x[begin + i]);
    }
  }
  Multipliers(state).block(static_cast<std::uint32_t>(block), multiplier);
#pragma unroll
  for (int i = 0; i < 8; ++i) v[i] *= multiplier[i];
  if constexpr (kPacked) {
    store(v, y + begin);
  } else {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      if (i < count) y[begin + i] = from_float<T>(v[i]);
    }
  }
}

template <class T, bool kPacked>
std::unique_ptr<Kernel> dropout_of(const TensorDesc& x, const Dropout& rule) {
  const std::int64_t columns = x.last(), row_blocks = ceil_div(columns, 8), blocks = x.rows() * row_blocks;
  return std::make_unique<FunctionKernel>([=](const RunContext& c) {
    if (blocks == 0) return;
    launch(dropout_kernel<T, kPacked>, {blocks_for(blocks, kDropoutThreads), kDropoutThreads}, c.stream, c.in<T>(0),
           c.out<T>(0), blocks, Divisor(row_blocks), columns, DropoutState{rule, c.in<std::int32_t>(1)});
  });
}

// (x, rng) -> y; attributes p, stream.
std::unique_ptr<Kernel> make_dropout(const OpDesc& desc) {
  const TensorDesc& x = desc.inputs[0];
  if (x.dtype == DType::I32 || desc.outputs[0].dtype != x.dtype) unsupported(desc, "cuda");
  const Dropout rule = Dropout::make(desc.attrs.number("p"), static_cast<std::uint32_t>(desc.attrs.integer("stream")));
  const bool packed = x.last() % 8 == 0;
  if (x.dtype == DType::F32) return packed ? dropout_of<float, true>(x, rule) : dropout_of<float, false>(x, rule);
  return packed ? dropout_of<Bf16, true>(x, rule) : dropout_of<Bf16, false>(x, rule);
}

}  // namespace

void register_dropout(OpTable& table, Context&) { table.add("dropout", make_dropout); }

}  // namespace apollo::cuda
