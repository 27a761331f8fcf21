// The CUDA backend's inside: registration of its op families. The same families as cpu/cpu.h, each in the file of its
// name.
#pragma once

#include <memory>

#include "core/op.h"
#include "cuda/device/context.h"

namespace apollo::cuda {

void register_matmul(OpTable& table, Context& context);
void register_attention(OpTable& table, Context& context);
void register_cache(OpTable& table, Context& context);
void register_head(OpTable& table, Context& context);
void register_norm(OpTable& table, Context& context);
void register_activation(OpTable& table, Context& context);
void register_elementwise(OpTable& table, Context& context);
void register_reduce(OpTable& table, Context& context);
void register_shape(OpTable& table, Context& context);
void register_embedding(OpTable& table, Context& context);
void register_rotary(OpTable& table, Context& context);
void register_dropout(OpTable& table, Context& context);
void register_optimizer(OpTable& table, Context& context);

// Parts of a family in a file of their own, called by the family's function above.
void register_matmul_column_sum(OpTable& table, Context& context);  // matmul
void register_matmul_gelu(OpTable& table, Context& context);        // matmul
void register_swiglu(OpTable& table, Context& context);             // activation
void register_binary(OpTable& table, Context& context);             // elementwise
void register_norm_backward(OpTable& table, Context& context);      // norm
void register_softmax(OpTable& table, Context& context);            // reduce
void register_muon(OpTable& table, Context& context);               // optimizer

// A factory that makes `K` from (descriptor, context).
template <class K>
KernelFactory factory_of(Context& context) {
  return [&context](const OpDesc& desc) { return std::make_unique<K>(desc, context); };
}

}  // namespace apollo::cuda
