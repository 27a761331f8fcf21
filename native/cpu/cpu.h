// The CPU backend's inside: registration of its op families and the few helpers they share.
#pragma once

#include <cstdint>

#include "core/op.h"
#include "core/philox.h"

namespace apollo::cpu {

// One function an op family, each in the file of its name; backend.cc calls them all.
void register_matmul(OpTable& table);
void register_attention(OpTable& table);
void register_cache(OpTable& table);
void register_head(OpTable& table);
void register_norm(OpTable& table);
void register_activation(OpTable& table);
void register_elementwise(OpTable& table);
void register_reduce(OpTable& table);
void register_shape(OpTable& table);
void register_embedding(OpTable& table);
void register_rotary(OpTable& table);
void register_dropout(OpTable& table);
void register_optimizer(OpTable& table);

// Parts of a family in a file of their own, called by the family's function above.
void register_swiglu(OpTable& table);   // activation
void register_binary(OpTable& table);   // elementwise
void register_softmax(OpTable& table);  // reduce
void register_muon(OpTable& table);     // optimizer

}  // namespace apollo::cpu
