// Attention's forward pass on tensor cores (mma.sync, sm_80 and later) for heads of 32, 64 and 128, in the manner of
// FlashAttention-2 (Dao 2023): 128 queries per block and 64 keys per step, a warp owning 32 queries, so that a fragment
// of K or V serves two products and softmax needs the four lanes of a row only. Limited by FLOPs, of which the
// exponentials and, with dropout, the random integers cost as much as the products: 24 instructions a score.
#include "cuda/ops/attention_mma.cuh"
#include "cuda/ops/attention_tile.cuh"

namespace apollo::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kQueries = 128;  // of a block
constexpr int kKeys = 64;      // of a step
constexpr int kTiles = 2;      // of 16 queries, of a warp
constexpr int kBlocks = kKeys / 8;

// For one tile of 16 queries: bit (2 lane + 0 or 1) of byte (2 half + octet % 2) of word octet / 2 says whether the
// lane's element is kept, half 0 being query lane / 4 and half 1 the one 8 below. Each lane draws four of the 128
// blocks of 8 scores; what it needs of the others comes from the lanes of its row.
__device__ __forceinline__ void draw_kept(const Multipliers& multipliers, std::uint32_t first_row, std::uint32_t blocks,
                                          std::uint32_t first_octet, std::uint32_t (&words)[4]) {
  const std::uint32_t lane = threadIdx.x % kWarp, group = lane / 4, part = lane % 4;
  std::uint32_t own = 0;
#pragma unroll
  for (std::uint32_t half = 0; half < 2; ++half) {
#pragma unroll
    for (std::uint32_t odd = 0; odd < 2; ++odd) {
      const std::uint32_t row = first_row + group + 8 * half, octet = first_octet + 2 * part + odd;
      own |= multipliers.kept(row * blocks + octet) << (8 * (2 * half + odd));
    }
  }
#pragma unroll
  for (std::uint32_t i = 0; i < 4; ++i) words[i] = __shfl_sync(kAllLanes, own, group * 4 + i) >> (2 * part);
}

template <int kHead, bool kDrop>
__global__ void __launch_bounds__(kThreads) forward_kernel(const AttentionForward<Bf16> args) {
  constexpr int kSteps = kHead / 16;           // of the product q k^T
  constexpr int kColumns = kHead / 8;          // blocks of 8 columns of o
  constexpr bool kKeepsQueries = kHead < 128;  // in registers; else they are read again at each step
  constexpr int kTileBytes = kKeys * kHead * 2;
  const AttentionShape& shape = args.shape;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int group = lane / 4, part = lane % 4;

  // Blocks of one head, and of the heads that share its keys and values, follow each other, so that these stay in the
  // second-level cache; the last queries, which have most keys to see under a causal mask, come first.
  const std::int32_t tiles = (shape.queries + kQueries - 1) / kQueries;
  const auto block = static_cast<std::int32_t>(blockIdx.x);
  const std::int32_t first = (tiles - 1 - block % tiles) * kQueries, h = block / tiles % shape.heads,
                     b = block / tiles / shape.heads;

  unsigned char* q_tile = shared_memory();
  unsigned char* k_tiles = q_tile + kQueries * kHead * 2;  // two of each: one is filled while the other is used
  unsigned char* v_tiles = k_tiles + 2 * kTileBytes;
  const Bf16* q = args.q + shape.start_queries(b, h);
  const Bf16* k = args.k + shape.start_keys(b, h / shape.group);
  const Bf16* v = args.v + shape.start_keys(b, h / shape.group);

  const std::int32_t last = min(first + kQueries, shape.queries) - 1;
  const std::int32_t end = shape.causal ? min(shape.keys, last + shape.offset() + 1) : shape.keys;
  const std::int32_t steps = (end + kKeys - 1) / kKeys;
  copy_tile<kQueries, kHead, kThreads>(q_tile, q, shape.query_row, first, shape.queries);
  copy_tile<kKeys, kHead, kThreads>(k_tiles, k, shape.key_row, 0, shape.keys);
  copy_tile<kKeys, kHead, kThreads>(v_tiles, v, shape.key_row, 0, shape.keys);
  copy_async_commit();

  const float scale = shape.scale * kLog2E;  // exponentials are powers of two
  const Multipliers multipliers(args.dropout);
  const auto dropout_blocks = static_cast<std::uint32_t>((shape.keys + 7) / 8);
  std::uint32_t q_parts[kKeepsQueries ? kTiles : 1][kKeepsQueries ? kSteps : 1][4];
  float acc[kTiles][kColumns][4] = {};
  float maximum[kTiles][2], sum[kTiles][2] = {};
#pragma unroll
  for (int i = 0; i < kTiles; ++i) maximum[i][0] = maximum[i][1] = kMinusInfinity;

  for (std::int32_t step = 0; step < steps; ++step) {
    copy_async_wait<0>();
    __syncthreads();  // this step's tiles are there for all, and nobody uses the other ones any more
    const unsigned char* k_tile = k_tiles + step % 2 * kTileBytes;
    const unsigned char* v_tile = v_tiles + step % 2 * kTileBytes;
    if (step + 1 < steps) {
      const int other = (step + 1) % 2 * kTileBytes;
      copy_tile<kKeys, kHead, kThreads>(k_tiles + other, k, shape.key_row, (step + 1) * kKeys, shape.keys);
      copy_tile<kKeys, kHead, kThreads>(v_tiles + other, v, shape.key_row, (step + 1) * kKeys, shape.keys);
      copy_async_commit();
    }
    if constexpr (kKeepsQueries) {
      if (step == 0) {
#pragma unroll
        for (int i = 0; i < kTiles; ++i) {
#pragma unroll
          for (int s = 0; s < kSteps; ++s) {
            load_left<kHead>(q_parts[i][s], q_tile, kTiles * 16 * warp + 16 * i, s);
          }
        }
      }
    }

    float score[kTiles][kBlocks][4] = {};
#pragma unroll(kKeepsQueries ? kSteps : 1)
    for (int s = 0; s < kSteps; ++s) {
      std::uint32_t again[kTiles][4];
      if constexpr (!kKeepsQueries) {
#pragma unroll
        for (int i = 0; i < kTiles; ++i) load_left<kHead>(again[i], q_tile, kTiles * 16 * warp + 16 * i, s);
      }
#pragma unroll
      for (int pair = 0; pair < kBlocks / 2; ++pair) {
        std::uint32_t keys[4];
        load_right_of_rows<kHead>(keys, k_tile, 16 * pair, s);
#pragma unroll
        for (int i = 0; i < kTiles; ++i) {
          const std::uint32_t(&left)[4] =
              kKeepsQueries ? q_parts[kKeepsQueries ? i : 0][kKeepsQueries ? s : 0] : again[i];
          multiply_add(score[i][2 * pair], left, keys[0], keys[1]);
          multiply_add(score[i][2 * pair + 1], left, keys[2], keys[3]);
        }
      }
    }

    const std::int32_t first_key = step * kKeys;
    const bool diagonal = shape.causal && first_key + kKeys - 1 > first + shape.offset();
    if (args.mask != nullptr || diagonal || first_key + kKeys > shape.keys) {
      const std::uint64_t attended = attended_keys(args.mask, shape, b, first_key);
#pragma unroll
      for (int i = 0; i < kTiles; ++i) {
        // The key that a row sees last, counted from this step's first.
        const std::int32_t query = first + kTiles * 16 * warp + 16 * i + group;
        const std::int32_t visible = shape.causal ? query + shape.offset() - first_key : kKeys;
#pragma unroll
        for (int n = 0; n < kBlocks; ++n) {
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            const std::int32_t key = 8 * n + 2 * part + e % 2;
            if ((attended >> key & 1) == 0 || key > visible + (e < 2 ? 0 : 8)) score[i][n][e] = kMinusInfinity;
          }
        }
      }
    }

#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float highest = maximum[i][half];
#pragma unroll
        for (int n = 0; n < kBlocks; ++n) {
          highest = fmaxf(highest, fmaxf(score[i][n][2 * half], score[i][n][2 * half + 1]));
        }
        highest = warp_max<4>(highest);
        const float shift = highest == kMinusInfinity ? 0.0f : highest * scale;  // nothing to attend to so far
        const float factor = exp2_fast(fmaf(maximum[i][half], scale, -shift));
        maximum[i][half] = highest;
        float total = 0.0f;
#pragma unroll
        for (int n = 0; n < kBlocks; ++n) {
#pragma unroll
          for (int e = 2 * half; e < 2 * half + 2; ++e) {
            score[i][n][e] = exp2_fast(fmaf(score[i][n][e], scale, -shift));
            total += score[i][n][e];
          }
        }
        sum[i][half] = fmaf(sum[i][half], factor, total);  // of this lane's columns
#pragma unroll
        for (int n = 0; n < kColumns; ++n) {
          acc[i][n][2 * half] *= factor;
          acc[i][n][2 * half + 1] *= factor;
        }
      }
      if constexpr (kDrop) {
        std::uint32_t kept[4];
        const std::int64_t row = shape.score_row(b, h, first + kTiles * 16 * warp + 16 * i);
        draw_kept(multipliers, static_cast<std::uint32_t>(row), dropout_blocks,
                  static_cast<std::uint32_t>(first_key / 8), kept);
#pragma unroll
        for (int n = 0; n < kBlocks; ++n) {
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            const int bit = 8 * (2 * (e / 2) + n % 2) + e % 2;
            if ((kept[n / 2] >> bit & 1) == 0) score[i][n][e] = 0.0f;
          }
        }
      }
    }

#pragma unroll
    for (int s = 0; s < kKeys / 16; ++s) {
      std::uint32_t p[kTiles][4];
#pragma unroll
      for (int i = 0; i < kTiles; ++i) {
        p[i][0] = pack_bf16(score[i][2 * s][0], score[i][2 * s][1]);
        p[i][1] = pack_bf16(score[i][2 * s][2], score[i][2 * s][3]);
        p[i][2] = pack_bf16(score[i][2 * s + 1][0], score[i][2 * s + 1][1]);
        p[i][3] = pack_bf16(score[i][2 * s + 1][2], score[i][2 * s + 1][3]);
      }
#pragma unroll
      for (int pair = 0; pair < kColumns / 2; ++pair) {
        std::uint32_t values[4];
        load_right_of_columns<kHead>(values, v_tile, 16 * s, pair);
#pragma unroll
        for (int i = 0; i < kTiles; ++i) {
          multiply_add(acc[i][2 * pair], p[i], values[0], values[1]);
          multiply_add(acc[i][2 * pair + 1], p[i], values[2], values[3]);
        }
      }
    }
  }

#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float total = warp_sum<4>(sum[i][half]);
      const std::int32_t query = first + kTiles * 16 * warp + 16 * i + 8 * half + group;
      if (query >= shape.queries) continue;
      const float inverse = total == 0.0f ? 0.0f : (kDrop ? multipliers.keep_scale : 1.0f) / total;
      Bf16* to = args.o + shape.start_output(b, h) + query * shape.width;
#pragma unroll
      for (int n = 0; n < kColumns; ++n) {
        const std::uint32_t pair = pack_bf16(acc[i][n][2 * half] * inverse, acc[i][n][2 * half + 1] * inverse);
        *reinterpret_cast<std::uint32_t*>(to + 8 * n + 2 * part) = pair;
      }
      if (part == 0) {
        args.lse[shape.score_row(b, h, query)] = fmaf(maximum[i][half], shape.scale, logf(total));
      }
    }
  }
}

template <int kHead>
constexpr std::size_t kSharedBytes = (kQueries + 4 * kKeys) * kHead * 2;

}  // namespace

template <int kHead>
std::size_t AttentionTensorCores<kHead>::forward_bytes() {
  return kSharedBytes<kHead>;
}

template <int kHead>
void AttentionTensorCores<kHead>::prepare_forward() const {
  allow_shared(forward_kernel<kHead, false>, kSharedBytes<kHead>);
  allow_shared(forward_kernel<kHead, true>, kSharedBytes<kHead>);
}

template <int kHead>
void AttentionTensorCores<kHead>::forward(const AttentionForward<Bf16>& args, void* stream) const {
  const AttentionShape& shape = args.shape;
  const std::int64_t blocks = ceil_div(shape.queries, kQueries) * shape.heads * shape.batch;
  const Launch how{blocks_for(blocks, 1), kThreads, kSharedBytes<kHead>};
  launch(args.dropout.drops() ? forward_kernel<kHead, true> : forward_kernel<kHead, false>, how, stream, args);
}

template class AttentionTensorCores<32>;
template class AttentionTensorCores<64>;
template class AttentionTensorCores<128>;

}  // namespace apollo::cuda
