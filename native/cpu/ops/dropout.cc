// dropout: y = x * multiplier, the multipliers by the rule of core/philox.h. Its backward is the same op on dy.
#include "cpu/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/ops/dropout.cc"
#include "hwy/foreach_target.h"

#include "cpu/cpu.h"
#include "cpu/parallel.h"
#include "cpu/simd/random-inl.h"

#ifndef APOLLO_CPU_DROPOUT_ARGS_
#define APOLLO_CPU_DROPOUT_ARGS_
namespace apollo::cpu {

struct DropoutArgs {
  Dropout dropout;
  RngState rng;
  std::int64_t rows, columns;
  bool bf16;
  const void* x;
  void* y;
};

// Columns per step: the multipliers' buffer takes 4 KiB of the first-level cache.
constexpr std::int64_t kDropoutChunk = 1024;

}  // namespace apollo::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace apollo::cpu::HWY_NAMESPACE {

template <class T>
void dropout_chunks_of(const DropoutArgs& args, std::int64_t begin, std::int64_t end) {
  const F32 d;
  const Multipliers multipliers(args.dropout, args.rng);
  HWY_ALIGN float buffer[kDropoutChunk];
  const std::int64_t columns = args.columns, chunks_a_row = (columns + kDropoutChunk - 1) / kDropoutChunk;
  for (std::int64_t chunk = begin; chunk < end; ++chunk) {
    const std::int64_t row = chunk / chunks_a_row, column = chunk % chunks_a_row * kDropoutChunk;
    const std::int64_t count = std::min(kDropoutChunk, columns - column);
    fill_multipliers(multipliers, first_block(row, columns) + static_cast<std::uint32_t>(column / 8), count, buffer);
    const T* x = static_cast<const T*>(args.x) + row * columns + column;
    T* y = static_cast<T*>(args.y) + row * columns + column;
    for_vectors(d, static_cast<std::size_t>(count), [&](std::size_t i, auto part) HWY_ATTR {
      store(hn::Mul(load(d, x + i, part), load(d, buffer + i, part)), d, y + i, part);
    });
  }
}

// One pass over x and y, chunks of rows divided among the threads. Limited by Philox:
// 0.25 ns an element and core with AVX-512, so 65 % of a copy's bandwidth in f32 and 40 % in bf16.
void dropout_chunks(const DropoutArgs& args, std::int64_t begin, std::int64_t end) {
  args.bf16 ? dropout_chunks_of<Bf16>(args, begin, end) : dropout_chunks_of<float>(args, begin, end);
}

}  // namespace apollo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apollo::cpu {
namespace {

HWY_EXPORT(dropout_chunks);

// (x, rng) -> y; attributes p, stream.
std::unique_ptr<Kernel> make_dropout(const OpDesc& desc) {
  const TensorDesc& x = desc.inputs[0];
  if (x.dtype == DType::I32 || desc.outputs[0].dtype != x.dtype) unsupported(desc, "cpu");
  DropoutArgs args{};
  args.dropout = Dropout::make(desc.attrs.number("p"), static_cast<std::uint32_t>(desc.attrs.integer("stream")));
  args.rows = x.rows();
  args.columns = x.last();
  args.bf16 = x.dtype == DType::BF16;
  const std::int64_t chunks_a_row = (args.columns + kDropoutChunk - 1) / kDropoutChunk;
  const std::int64_t chunks = args.rows * chunks_a_row;
  const std::int64_t chunk_bytes = std::min(args.columns, kDropoutChunk) * (args.bf16 ? 4 : 8);
  return std::make_unique<FunctionKernel>([args, chunks, chunk_bytes](const RunContext& context) mutable {
    args.rng = RngState::from(context.in<std::int32_t>(1));
    args.x = context.inputs[0];
    args.y = context.outputs[0];
    parallel_rows(chunks, chunk_bytes, [&](std::int64_t begin, std::int64_t end) {
      HWY_DYNAMIC_DISPATCH(dropout_chunks)(args, begin, end);
    });
  });
}

}  // namespace

void register_dropout(OpTable& table) { table.add("dropout", make_dropout); }

}  // namespace apollo::cpu
#endif  // HWY_ONCE
