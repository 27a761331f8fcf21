#include "cuda/cuda.h"
#include "cuda/elementwise.cuh"
namespace apollo::cuda {
struct Widen {
  static constexpr int kWidth = 4;
  const Bf16* x;
  float* y;
  template <int kCount>
  __device__ void at(std::int64_t i) const {
    for (int k = 0; k < kCount; ++k) y[i + k] = to_float(x[i + k]);
  }
};
std::unique_ptr<Kernel> make_cast(const OpDesc& desc) {
  const std::int64_t count = desc.outputs[0].elements();
  return std::make_unique<FunctionKernel>([count](const RunContext& c) {
    each(count, Widen{c.in<Bf16>(0), c.out<float>(0)}, c.stream);
  });
}
void register_head(OpTable&, Context&) {}
void register_norm(OpTable&, Context&) {}
void register_elementwise(OpTable& t, Context&) { t.add("cast", make_cast); }
void register_reduce(OpTable&, Context&) {}
void register_shape(OpTable&, Context&) {}
void register_embedding(OpTable&, Context&) {}
void register_dropout(OpTable&, Context&) {}
void register_optimizer(OpTable&, Context&) {}
}  // namespace apollo::cuda
