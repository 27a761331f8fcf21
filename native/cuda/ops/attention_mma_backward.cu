// Attention's backward pass on tensor cores (mma.sync, sm_80 and later): scores again, then dV, dP, dQ and dK, five
// products for the forward pass's two. A block of 8 warps holds 128 keys, 16 a warp, and walks the queries 64 a step.
// The scores are computed transposed, keys as rows, so that probabilities and their gradients are left operands of the
// products for dV and dK as they are in the registers; only dS passes through shared memory, for dQ.
//
// dQ sums over keys. One block takes all keys of a key/value head (or a fixed share of them when there are fewer heads
// than multiprocessors) and adds to dQ in f32 scratch memory, 128 keys after the other: no atomics, the same bits each
// time. Query heads that share a key/value head are one block's, one after the other, so that dK and dV sum over them
// in registers. Limited by FLOPs and by reads from shared memory, which take about as long as the products.
#include <algorithm>

#include "cuda/ops/attention_mma.cuh"
#include "cuda/ops/attention_tile.cuh"

namespace apollo::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kKeys = 128;    // of a block, 16 a warp
constexpr int kQueries = 64;  // of a step

// Tiles of queries of a head, and of keys.
__host__ __device__ std::int32_t query_tiles(const AttentionShape& shape) { return shape.padded_queries() / kQueries; }
__host__ __device__ std::int32_t key_tiles(const AttentionShape& shape) { return (shape.keys + kKeys - 1) / kKeys; }
// Whether some query of tile i attends to some key of tile j.
__device__ __forceinline__ bool touches(const AttentionShape& shape, std::int32_t i, std::int32_t j) {
  const std::int32_t last = min(i * kQueries + kQueries, shape.queries) - 1;
  return j * kKeys < shape.keys && (!shape.causal || j * kKeys <= last + shape.offset());
}

// How a block's warps share a tile of dQ [64, kHead]: 4 x 2, each 16 queries and half of the columns.
template <int kHead>
struct QueryPart {
  static constexpr int kColumns = kHead / 16;  // blocks of 8 columns of a warp
  int row, column;                             // of this warp's part

  __device__ QueryPart() {
    const int warp = static_cast<int>(threadIdx.x) / kWarp;
    row = 16 * (warp % 4);
    column = kHead / 2 * (warp / 4);
  }

  // The partial sums of tile `index` are in the order in which threads hold them: 16 bytes per thread, all coalesced.
  static __device__ float4* place(float* partial, std::int64_t index, int n) {
    return reinterpret_cast<float4*>(partial + index * (kQueries * kHead)) + n * kThreads + threadIdx.x;
  }
  // Writes the finished tile i of head (b, h).
  __device__ void write(const AttentionBackward<Bf16>& args, std::int32_t b, std::int32_t h, std::int32_t i,
                        const float (&acc)[kColumns][4]) const {
    const AttentionShape& shape = args.shape;
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const std::int32_t query = i * kQueries + row + 8 * half + lane / 4;
      if (query >= shape.queries) continue;
      Bf16* to = args.dq + shape.start_queries(b, h) + query * shape.query_row + column + 2 * (lane % 4);
#pragma unroll
      for (int n = 0; n < kColumns; ++n) {
        *reinterpret_cast<std::uint32_t*>(to + 8 * n) =
            pack_bf16(acc[n][2 * half] * shape.scale, acc[n][2 * half + 1] * shape.scale);
      }
    }
  }
};

// The kept bits of 16 keys by 64 queries: element e of the lane's block n of 8 queries is kept when bit 8 e of
// `shuffle(word, n) >> lane / 4` is set. Each lane draws four of the 128 blocks of 8 scores: those of two queries of
// block lane / 4, whose rows of scores have them as neighbours.
__device__ __forceinline__ std::uint32_t draw_kept(const Multipliers& multipliers, std::uint32_t first_row,
                                                   std::uint32_t blocks, std::uint32_t first_octet) {
  const std::uint32_t lane = threadIdx.x % kWarp;
  std::uint32_t word = 0;
#pragma unroll
  for (std::uint32_t octet = 0; octet < 2; ++octet) {
#pragma unroll
    for (std::uint32_t odd = 0; odd < 2; ++odd) {
      const std::uint32_t row = first_row + 8 * (lane / 4) + 2 * (lane % 4) + odd;
      word |= multipliers.kept(row * blocks + first_octet + octet) << (8 * (2 * octet + odd));
    }
  }
  return word;
}

template <int kHead, bool kDrop>
__global__ void __launch_bounds__(kThreads, 1)
    backward_kernel(const AttentionBackward<Bf16> args, std::int32_t splits) {
  constexpr int kSteps = kHead / 16, kColumns = kHead / 8;
  constexpr int kPart = kHead < 128 ? 32 : 16;  // queries whose scores are in registers at a time
  constexpr int kBlocks = kPart / 8;
  constexpr bool kKeepsKeys = kHead < 128;  // fragments of K and V in registers; else they are read again
  constexpr int kKeyBytes = kKeys * kHead * 2, kQueryBytes = kQueries * kHead * 2;
  const AttentionShape& shape = args.shape;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int group = lane / 4, part = lane % 4;
  const auto block = static_cast<std::int32_t>(blockIdx.x);
  const std::int32_t split = block % splits, kv_head = block / splits % shape.key_value_heads();
  const std::int32_t b = block / splits / shape.key_value_heads(), tiles = query_tiles(shape);

  unsigned char* k_tile = shared_memory();
  unsigned char* v_tile = k_tile + kKeyBytes;
  unsigned char* q_tiles = v_tile + kKeyBytes;  // two of each: one is filled while the other is used
  unsigned char* g_tiles = q_tiles + 2 * kQueryBytes;
  unsigned char* s_tile = g_tiles + 2 * kQueryBytes;  // dS transposed: [keys, queries]
  const Bf16* k = args.k + shape.start_keys(b, kv_head);
  const Bf16* v = args.v + shape.start_keys(b, kv_head);
  const QueryPart<kHead> own;

  const float scale = shape.scale * kLog2E;
  const Multipliers multipliers(args.dropout);
  const auto dropout_blocks = static_cast<std::uint32_t>((shape.keys + 7) / 8);
  // Tile i of the queries of head h, and of their gradients.
  const auto copy_queries = [&](std::int32_t h, std::int32_t i, std::int32_t step) {
    const int to = step % 2 * kQueryBytes;
    const Bf16 *q = args.q + shape.start_queries(b, h), *g = args.d_o + shape.start_output(b, h);
    copy_tile<kQueries, kHead, kThreads>(q_tiles + to, q, shape.query_row, i * kQueries, shape.queries);
    copy_tile<kQueries, kHead, kThreads>(g_tiles + to, g, shape.width, i * kQueries, shape.queries);
    copy_async_commit();
  };

  for (std::int32_t j = split; j < key_tiles(shape); j += splits) {
    const std::int32_t first_key = j * kKeys;
    const std::int32_t first_tile = shape.causal ? max(0, first_key - shape.offset()) / kQueries : 0;
    __syncthreads();  // nobody uses the last tiles any more
    copy_tile<kKeys, kHead, kThreads>(k_tile, k, shape.key_row, first_key, shape.keys);
    copy_tile<kKeys, kHead, kThreads>(v_tile, v, shape.key_row, first_key, shape.keys);
    copy_queries(kv_head * shape.group, first_tile, 0);
    bool attended[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      attended[half] = key_attended(args.mask, shape, b, first_key + 16 * warp + 8 * half + group);
    }
    std::uint32_t k_parts[kKeepsKeys ? kSteps : 1][4], v_parts[kKeepsKeys ? kSteps : 1][4];
    float d_k[kColumns][4] = {}, d_v[kColumns][4] = {};

    // All tiles i of the queries of all heads h that share these keys.
    const std::int32_t last_head = (kv_head + 1) * shape.group - 1;
    std::int32_t h = kv_head * shape.group, i = first_tile;
    for (std::int32_t step = 0; h <= last_head; ++step) {
      copy_async_wait<0>();
      __syncthreads();  // this step's tiles are there for all, and nobody uses the other ones or dS any more
      const unsigned char* q_tile = q_tiles + step % 2 * kQueryBytes;
      const unsigned char* g_tile = g_tiles + step % 2 * kQueryBytes;
      if (i + 1 < tiles) {
        copy_queries(h, i + 1, step + 1);
      } else if (h < last_head) {
        copy_queries(h + 1, first_tile, step + 1);
      }
      const std::int64_t head = static_cast<std::int64_t>(b) * shape.heads + h;
      const RowTerms* terms = args.terms + head * shape.padded_queries();
      const std::int64_t partial = (static_cast<std::int64_t>(split) * shape.batch * shape.heads + head) * tiles + i;
      if constexpr (kKeepsKeys) {
        if (step == 0) {
#pragma unroll
          for (int s = 0; s < kSteps; ++s) {
            load_left<kHead>(k_parts[s], k_tile, 16 * warp, s);
            load_left<kHead>(v_parts[s], v_tile, 16 * warp, s);
          }
        }
      }
      std::uint32_t kept = 0;
      if constexpr (kDrop) {
        kept = draw_kept(multipliers, static_cast<std::uint32_t>(shape.score_row(b, h, i * kQueries)), dropout_blocks,
                         static_cast<std::uint32_t>(first_key + 16 * warp) / 8);
      }
      const bool diagonal = shape.causal && first_key + kKeys - 1 > i * kQueries + shape.offset();
      const bool masked = args.mask != nullptr || diagonal || first_key + kKeys > shape.keys;

#pragma unroll 1  // the parts' registers must not live at once
      for (int c = 0; c < kQueries / kPart; ++c) {
        // The terms of the lane's columns: queries 8 n + 2 part and the next.
        float4 columns[kBlocks];
#pragma unroll
        for (int n = 0; n < kBlocks; ++n) {
          const RowTerms* at = terms + i * kQueries + c * kPart + 8 * n + 2 * part;
          columns[n] = *reinterpret_cast<const float4*>(at);
        }
        float score[kBlocks][4] = {}, d_p[kBlocks][4] = {};
#pragma unroll
        for (int s = 0; s < kSteps; ++s) {
          std::uint32_t again[2][4];
          if constexpr (!kKeepsKeys) {
            load_left<kHead>(again[0], k_tile, 16 * warp, s);
            load_left<kHead>(again[1], v_tile, 16 * warp, s);
          }
          const std::uint32_t(&keys)[4] = kKeepsKeys ? k_parts[kKeepsKeys ? s : 0] : again[0];
          const std::uint32_t(&values)[4] = kKeepsKeys ? v_parts[kKeepsKeys ? s : 0] : again[1];
#pragma unroll
          for (int pair = 0; pair < kBlocks / 2; ++pair) {
            std::uint32_t right[4];
            load_right_of_rows<kHead>(right, q_tile, c * kPart + 16 * pair, s);
            multiply_add(score[2 * pair], keys, right[0], right[1]);
            multiply_add(score[2 * pair + 1], keys, right[2], right[3]);
            load_right_of_rows<kHead>(right, g_tile, c * kPart + 16 * pair, s);
            multiply_add(d_p[2 * pair], values, right[0], right[1]);
            multiply_add(d_p[2 * pair + 1], values, right[2], right[3]);
          }
        }

        // From here on `score` holds u e, the dropped probabilities, and `d_p` dS = e (u dP - delta).
#pragma unroll
        for (int n = 0; n < kBlocks; ++n) {
          std::uint32_t bits = 0;
          if constexpr (kDrop) {
            bits = __shfl_sync(kAllLanes, kept, (c * kBlocks + n) * 4 + part) >> group;
          }
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            const float lse = e % 2 == 0 ? columns[n].x : columns[n].z;
            const float delta = e % 2 == 0 ? columns[n].y : columns[n].w;
            float probability = exp2_fast(fmaf(score[n][e], scale, -lse * kLog2E));
            if (masked) {
              const std::int32_t key = first_key + 16 * warp + 8 * (e / 2) + group;
              const std::int32_t query = i * kQueries + c * kPart + 8 * n + 2 * part + e % 2;
              if (!attended[e / 2] || (shape.causal && key > query + shape.offset())) probability = 0.0f;
            }
            float dropped = probability, gradient = d_p[n][e];
            if constexpr (kDrop) {
              const float u = (bits >> (8 * e) & 1) != 0 ? multipliers.keep_scale : 0.0f;
              dropped *= u;
              gradient *= u;
            }
            score[n][e] = dropped;
            d_p[n][e] = probability * (gradient - delta);
          }
        }

#pragma unroll
        for (int s = 0; s < kPart / 16; ++s) {
          std::uint32_t p[4], ds[4];
#pragma unroll
          for (int m = 0; m < 4; ++m) {
            const int n = 2 * s + m / 2, e = 2 * (m % 2);
            p[m] = pack_bf16(score[n][e], score[n][e + 1]);
            ds[m] = pack_bf16(d_p[n][e], d_p[n][e + 1]);
            const int row = 16 * warp + 8 * (m % 2) + group;
            *reinterpret_cast<std::uint32_t*>(s_tile + tile_offset<kQueries>(row, c * kBlocks + n) + 4 * part) = ds[m];
          }
#pragma unroll
          for (int pair = 0; pair < kColumns / 2; ++pair) {
            std::uint32_t right[4];
            load_right_of_columns<kHead>(right, g_tile, c * kPart + 16 * s, pair);
            multiply_add(d_v[2 * pair], p, right[0], right[1]);
            multiply_add(d_v[2 * pair + 1], p, right[2], right[3]);
            load_right_of_columns<kHead>(right, q_tile, c * kPart + 16 * s, pair);
            multiply_add(d_k[2 * pair], ds, right[0], right[1]);
            multiply_add(d_k[2 * pair + 1], ds, right[2], right[3]);
          }
        }
      }

      // dQ of this tile, on top of what the keys before have given.
      float acc[QueryPart<kHead>::kColumns][4] = {};
      if (j != split) {
#pragma unroll
        for (int n = 0; n < QueryPart<kHead>::kColumns; ++n) {
          const float4 sum = *own.place(args.partial, partial, n);
          acc[n][0] = sum.x, acc[n][1] = sum.y, acc[n][2] = sum.z, acc[n][3] = sum.w;
        }
      }
      __syncthreads();  // dS is written
#pragma unroll
      for (int s = 0; s < kKeys / 16; ++s) {
        std::uint32_t ds[4];
        load_left_transposed<kQueries>(ds, s_tile, 16 * s, own.row / 8);
#pragma unroll
        for (int pair = 0; pair < QueryPart<kHead>::kColumns / 2; ++pair) {
          std::uint32_t right[4];
          load_right_of_columns<kHead>(right, k_tile, 16 * s, own.column / 16 + pair);
          multiply_add(acc[2 * pair], ds, right[0], right[1]);
          multiply_add(acc[2 * pair + 1], ds, right[2], right[3]);
        }
      }
      if (splits == 1 && !touches(shape, i, j + 1)) {
        own.write(args, b, h, i, acc);
      } else {
#pragma unroll
        for (int n = 0; n < QueryPart<kHead>::kColumns; ++n) {
          *own.place(args.partial, partial, n) = make_float4(acc[n][0], acc[n][1], acc[n][2], acc[n][3]);
        }
      }
      if (++i == tiles) {
        i = first_tile;
        ++h;
      }
    }

#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const std::int32_t key = first_key + 16 * warp + 8 * half + group;
      if (key >= shape.keys) continue;
      const std::int64_t at = shape.start_keys(b, kv_head) + key * shape.key_row + 2 * part;
#pragma unroll
      for (int n = 0; n < kColumns; ++n) {
        *reinterpret_cast<std::uint32_t*>(args.dk + at + 8 * n) =
            pack_bf16(d_k[n][2 * half] * shape.scale, d_k[n][2 * half + 1] * shape.scale);
        *reinterpret_cast<std::uint32_t*>(args.dv + at + 8 * n) = pack_bf16(d_v[n][2 * half], d_v[n][2 * half + 1]);
      }
    }
  }
}

// dQ from the sums of several splits, in their order. A block a tile; limited by memory.
template <int kHead>
__global__ void __launch_bounds__(kThreads) join_kernel(const AttentionBackward<Bf16> args, std::int32_t splits) {
  const AttentionShape& shape = args.shape;
  const std::int32_t tiles = query_tiles(shape);
  const auto block = static_cast<std::int32_t>(blockIdx.x);
  const std::int32_t i = block % tiles, head = block / tiles;
  const QueryPart<kHead> own;
  float acc[QueryPart<kHead>::kColumns][4] = {};
  for (std::int32_t split = 0; split < splits && touches(shape, i, split); ++split) {
    const std::int64_t index = (static_cast<std::int64_t>(split) * shape.batch * shape.heads + head) * tiles + i;
#pragma unroll
    for (int n = 0; n < QueryPart<kHead>::kColumns; ++n) {
      const float4 sum = *own.place(args.partial, index, n);
      acc[n][0] += sum.x, acc[n][1] += sum.y, acc[n][2] += sum.z, acc[n][3] += sum.w;
    }
  }
  own.write(args, head / shape.heads, head % shape.heads, i, acc);
}

template <int kHead>
constexpr std::size_t kSharedBytes = (2 * kKeys + 4 * kQueries) * kHead * 2 + kKeys* kQueries * 2;

}  // namespace

// Enough blocks for all multiprocessors; more would only cost memory.
template <int kHead>
AttentionTensorCores<kHead>::AttentionTensorCores(const AttentionShape& shape, AttentionPass pass, int multiprocessors)
    : splits_(static_cast<std::int32_t>(std::clamp<std::int64_t>(
          ceil_div(multiprocessors, shape.batch * shape.key_value_heads()), 1, key_tiles(shape)))) {
  if (pass == AttentionPass::Forward) {
    prepare_forward();
  } else {
    prepare_backward();
  }
}

template <int kHead>
std::size_t AttentionTensorCores<kHead>::backward_bytes() {
  return kSharedBytes<kHead>;
}

template <int kHead>
void AttentionTensorCores<kHead>::prepare_backward() const {
  allow_shared(backward_kernel<kHead, false>, kSharedBytes<kHead>);
  allow_shared(backward_kernel<kHead, true>, kSharedBytes<kHead>);
}

// Where a head's keys are one tile of one split, dQ is finished at once.
template <int kHead>
std::size_t AttentionTensorCores<kHead>::partial_bytes(const AttentionShape& shape) const {
  if (key_tiles(shape) == 1) return 0;
  return static_cast<std::size_t>(splits_) * static_cast<std::size_t>(shape.batch) *
         static_cast<std::size_t>(shape.heads) * static_cast<std::size_t>(shape.padded_queries()) * kHead *
         sizeof(float);
}

template <int kHead>
void AttentionTensorCores<kHead>::backward(const AttentionBackward<Bf16>& args, void* stream) const {
  const std::int64_t heads = static_cast<std::int64_t>(args.shape.batch) * args.shape.heads;
  launch(args.dropout.drops() ? backward_kernel<kHead, true> : backward_kernel<kHead, false>,
         {blocks_for(heads / args.shape.group * splits_, 1), kThreads, kSharedBytes<kHead>}, stream, args, splits_);
  if (splits_ == 1) return;
  launch(join_kernel<kHead>, {blocks_for(heads * query_tiles(args.shape), 1), kThreads}, stream, args, splits_);
}

template class AttentionTensorCores<32>;
template class AttentionTensorCores<64>;
template class AttentionTensorCores<128>;

namespace {

template <int kHead>
std::unique_ptr<AttentionKernels<Bf16>> made(const AttentionShape& shape, AttentionPass pass, const Context& context) {
  using Kernels = AttentionTensorCores<kHead>;
  if (Kernels::shared_bytes(pass) > context.properties.sharedMemPerBlockOptin) return nullptr;
  return std::make_unique<Kernels>(shape, pass, context.multiprocessors());
}

}  // namespace

std::unique_ptr<AttentionKernels<Bf16>> tensor_core_attention(const AttentionShape& shape, AttentionPass pass,
                                                              const Context& context) {
  if (shape.scale <= 0.0f) return nullptr;
  switch (shape.head) {
    case 32: return made<32>(shape, pass, context);
    case 64: return made<64>(shape, pass, context);
    case 128: return made<128>(shape, pass, context);
    default: return nullptr;
  }
}

}  // namespace apollo::cuda
