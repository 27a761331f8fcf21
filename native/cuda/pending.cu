// Families without kernels yet.
#include "cuda/cuda.h"

namespace apollo::cuda {
void register_head(OpTable&, Context&) {}
void register_norm(OpTable&, Context&) {}
void register_embedding(OpTable&, Context&) {}
void register_optimizer(OpTable&, Context&) {}
}  // namespace apollo::cuda
