// gelu and geluBackward. Limited by memory: one read and one write an element, backward two reads.
#include "cuda/cuda.h"
#include "cuda/ops/column_sum.cuh"
#include "cuda/ops/gelu_each.cuh"

namespace apollo::cuda {
namespace {

template <class T, bool kTanh, bool kBackward>
std::unique_ptr<Kernel> make(std::int64_t count) {
  return std::make_unique<FunctionKernel>([count](const RunContext& c) {
    if constexpr (kBackward) {
      each(count, GeluBackward<T, kTanh>{c.in<T>(0), c.in<T>(1), c.out<T>(0)}, c.stream);
    } else {
      each(count, Gelu<T, kTanh>{c.in<T>(0), c.out<T>(0)}, c.stream);
    }
  });
}

// geluBackward with the sums of dx's columns (see fusion.h).
template <bool kTanh>
std::unique_ptr<Kernel> make_with_sums(const OpDesc& desc) {
  const TensorDesc& dx = desc.outputs[0];
  const ColumnSum sums(dx.rows(), dx.last(), desc.accumulates(1));
  return std::make_unique<FunctionKernel>(
      [sums](const RunContext& c) {
        const GeluGradients<kTanh> source{{c.in<Bf16>(0), c.in<Bf16>(1), c.out<Bf16>(0)}};
        sums.run(source, c.out<float>(1), c.scratch, c.stream);
      },
      sums.scratch_bytes());
}

// gelu (x) -> y; geluBackward (dy, x) -> dx. Attribute `tanh`.
template <bool kBackward>
std::unique_ptr<Kernel> make_gelu(const OpDesc& desc) {
  const TensorDesc& x = desc.inputs[kBackward ? 1 : 0];
  if (x.dtype == DType::I32 || desc.inputs[0].dtype != x.dtype || desc.outputs[0].dtype != x.dtype) {
    unsupported(desc, "cuda");
  }
  const std::int64_t count = x.elements();
  const bool tanh = desc.attrs.flag("tanh");
  if (kBackward && desc.attrs.flag("columnSum")) return tanh ? make_with_sums<true>(desc) : make_with_sums<false>(desc);
  if (x.dtype == DType::F32) return tanh ? make<float, true, kBackward>(count) : make<float, false, kBackward>(count);
  return tanh ? make<Bf16, true, kBackward>(count) : make<Bf16, false, kBackward>(count);
}

}  // namespace

void register_activation(OpTable& table, Context& context) {
  table.add("gelu", make_gelu<false>);
  table.add("geluBackward", make_gelu<true>);
  register_swiglu(table, context);
}

}  // namespace apollo::cuda
