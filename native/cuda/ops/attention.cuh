// Shared code of the attention kernels: the problem as one struct, the choice between them, and small device helpers.
// Heads are read in place, also out of a packed qkv (core/attention_heads.h); rows of scores are never stored.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>

#include "cuda/cuda.h"
#include "cuda/lib/launch.cuh"
#include "cuda/lib/random.cuh"
#include "cuda/lib/vector.cuh"

namespace apollo::cuda {

constexpr float kLog2E = 1.44269504f, kLn2 = 0.69314718f;

// One attention op: B sequences, H query heads of width D, Tq queries, Tk keys. `group` query heads share a key/value
// head: query head h attends with key/value head h / group.
struct AttentionShape {
  std::int32_t batch = 0, heads = 0, group = 1, queries = 0, keys = 0, head = 0;
  std::int64_t query_row = 0, key_row = 0;  // elements between positions of q, and of k and v
  std::int64_t width = 0;                   // H D: elements between positions of o and its gradient
  float scale = 0.0f;
  bool causal = false;

  // Queries are aligned with the last keys: query t attends to keys up to t + offset.
  __host__ __device__ std::int32_t offset() const { return keys - queries; }
  __host__ __device__ std::int32_t key_value_heads() const { return heads / group; }
  // Element 0 of query head h at position 0 in q.
  __host__ __device__ std::int64_t start_queries(std::int32_t b, std::int32_t h) const {
    return static_cast<std::int64_t>(b) * queries * query_row + static_cast<std::int64_t>(h) * head;
  }
  // The same of key/value head `kv_head` in k and v.
  __host__ __device__ std::int64_t start_keys(std::int32_t b, std::int32_t kv_head) const {
    return static_cast<std::int64_t>(b) * keys * key_row + static_cast<std::int64_t>(kv_head) * head;
  }
  // The same of query head h in o and dO.
  __host__ __device__ std::int64_t start_output(std::int32_t b, std::int32_t h) const {
    return static_cast<std::int64_t>(b) * queries * width + static_cast<std::int64_t>(h) * head;
  }
  // Rows of terms per head: whole tiles, so that the kernels need not ask where they end.
  __host__ __device__ std::int32_t padded_queries() const { return (queries + 63) / 64 * 64; }
  // Query t of (sequence b, head h) as a row of lse [B, H, Tq], and of the dropout's tensor [B, H, Tq, Tk].
  __host__ __device__ std::int64_t score_row(std::int32_t b, std::int32_t h, std::int32_t t) const {
    return (static_cast<std::int64_t>(b) * heads + h) * queries + t;
  }
};

template <class T>
struct AttentionForward {
  AttentionShape shape;
  const T *q, *k, *v;
  T* o;
  float* lse;
  const std::int32_t* mask;  // i32 [B, Tk], 0 = not attended to; or null
  DropoutState dropout;
};

// Terms of the backward pass for a query's row: its log-sum-exp, infinite where it has no keys or does not exist, so
// that its probabilities are 0; and delta, the sum over d of dO o.
struct alignas(8) RowTerms {
  float lse, delta;
};

template <class T>
struct AttentionBackward {
  AttentionShape shape;
  const T *q, *k, *v, *o, *d_o;
  const float* lse;
  const std::int32_t* mask;
  DropoutState dropout;
  T *dq, *dk, *dv;
  RowTerms* terms;  // scratch [B, H, padded_queries]
  float* partial;   // scratch of the kernels for dq
};

enum class AttentionPass { Forward, Backward };

// Kernels for one descriptor, of the pass that they were made for: the plain ones (any head size up to 256, f32 and
// bf16) and those on tensor cores.
template <class T>
struct AttentionKernels {
  virtual ~AttentionKernels() = default;
  virtual void forward(const AttentionForward<T>& args, void* stream) const = 0;
  virtual std::size_t partial_bytes(const AttentionShape& shape) const = 0;
  virtual void backward(const AttentionBackward<T>& args, void* stream) const = 0;
};

// Throws Error APOLLO_NO_KERNEL when a block of the GPU has too little shared memory for heads of this size.
template <class T>
std::unique_ptr<AttentionKernels<T>> plain_attention(const AttentionShape& shape, AttentionPass pass,
                                                     const Context& context);
// Null for head sizes other than 32, 64 and 128, for a scale that is not positive, and where a block of the GPU has too
// little shared memory.
std::unique_ptr<AttentionKernels<Bf16>> tensor_core_attention(const AttentionShape& shape, AttentionPass pass,
                                                              const Context& context);

// Whether a key may be attended to at all.
__device__ __forceinline__ bool key_attended(const std::int32_t* mask, const AttentionShape& shape, std::int32_t b,
                                             std::int32_t key) {
  return key < shape.keys && (mask == nullptr || mask[static_cast<std::int64_t>(b) * shape.keys + key] != 0);
}

__device__ constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

}  // namespace apollo::cuda
