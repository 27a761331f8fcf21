// The plain attention kernels: any head size up to 256, f32 arithmetic, and the definition that those on tensor cores
// are compared with. Tiles of 32 rows by 32 columns of scores: a warp owns four rows, a lane one column, so that each
// value of a tile that is read from shared memory serves four multiplications. Limited by these reads: a quarter of the
// f32 peak at best.
#include <string>

#include "cuda/lib/block.cuh"
#include "cuda/lib/intrinsics.cuh"
#include "cuda/ops/attention.cuh"

namespace apollo::cuda {
namespace {

constexpr int kTile = 32;  // rows and columns of a tile of scores
constexpr int kRows = 4;   // of a warp
constexpr int kThreads = kTile / kRows * kWarp;

// A tile of positions in shared memory, rows one element longer than the head so that lanes that walk down a column hit
// different banks.
struct Tile {
  float* rows;
  int stride;

  __device__ float& at(int r, int d) const { return rows[r * stride + d]; }
};

template <class T>
__device__ void load_tile(const Tile& tile, const T* from, std::int64_t row, std::int32_t first, std::int32_t extent,
                          int head) {
  for (int i = static_cast<int>(threadIdx.x); i < kTile * head; i += kThreads) {
    const int r = i / head, d = i % head;
    tile.at(r, d) = first + r < extent ? to_float(from[(first + r) * row + d]) : 0.0f;
  }
}

// The multiplier of element (row, key) of the scores.
__device__ float multiplier_of(const Multipliers& multipliers, std::int64_t row, std::int32_t key, std::int32_t keys) {
  const std::uint32_t blocks = static_cast<std::uint32_t>((keys + 7) / 8);
  const uint4 bits = multipliers.bits(static_cast<std::uint32_t>(row) * blocks + static_cast<std::uint32_t>(key) / 8);
  const std::uint32_t words[4] = {bits.x, bits.y, bits.z, bits.w};
  const std::uint32_t word = words[key % 8 / 2];
  return multipliers.multiplier(key % 2 == 0 ? word & 0xffffu : word >> 16);
}

// Where a block works: the tile of rows `tile` of head h, one of `heads`, in sequence b.
struct Place {
  std::int32_t b, h, tile;

  __device__ Place(std::int32_t heads, std::int32_t tiles) {
    const auto block = static_cast<std::int32_t>(blockIdx.x);
    tile = block % tiles;
    h = block / tiles % heads;
    b = block / tiles / heads;
  }
};

__device__ __forceinline__ bool attends(const AttentionShape& shape, std::int32_t query, std::int32_t key) {
  return !shape.causal || key <= query + shape.offset();
}

// 32 queries per block; walks the keys tile by tile. kChunks: head size in units of 32.
template <class T, int kChunks>
__global__ void __launch_bounds__(kThreads) plain_forward_kernel(const AttentionForward<T> args) {
  const AttentionShape& shape = args.shape;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const std::int32_t tiles = (shape.queries + kTile - 1) / kTile;
  const Place place(shape.heads, tiles);
  const std::int32_t first = place.tile * kTile;
  const std::int64_t keys_at = shape.start_keys(place.b, place.h / shape.group);
  const int head = shape.head, stride = head + 1;
  auto* memory = reinterpret_cast<float*>(shared_memory());
  const Tile q{memory, stride}, k{q.rows + kTile * stride, stride}, v{k.rows + kTile * stride, stride};
  const Tile p{v.rows + kTile * stride, kTile + 1};
  const Multipliers multipliers(args.dropout);

  load_tile(q, args.q + shape.start_queries(place.b, place.h), shape.query_row, first, shape.queries, head);
  float acc[kRows][kChunks] = {}, maximum[kRows], sum[kRows] = {};
  for (float& m : maximum) m = kMinusInfinity;
  const std::int32_t last_query = min(first + kTile, shape.queries) - 1;
  const std::int32_t end = shape.causal ? min(shape.keys, last_query + shape.offset() + 1) : shape.keys;
  for (std::int32_t begin = 0; begin < end; begin += kTile) {
    __syncthreads();
    load_tile(k, args.k + keys_at, shape.key_row, begin, shape.keys, head);
    load_tile(v, args.v + keys_at, shape.key_row, begin, shape.keys, head);
    __syncthreads();
    float score[kRows] = {};
    for (int d = 0; d < head; ++d) {
      const float key = k.at(lane, d);
      for (int i = 0; i < kRows; ++i) score[i] = fmaf(q.at(kRows * warp + i, d), key, score[i]);
    }
    const std::int32_t key = begin + lane;
    const bool attended = key_attended(args.mask, shape, place.b, key);
    for (int i = 0; i < kRows; ++i) {
      const std::int32_t query = first + kRows * warp + i;
      const bool valid = attended && attends(shape, query, key);
      const float scaled = valid ? score[i] * shape.scale : kMinusInfinity;
      const float highest = fmaxf(maximum[i], warp_max(scaled));
      const float shift = highest == kMinusInfinity ? 0.0f : highest;  // nothing to attend to so far
      const float factor = expf(maximum[i] - shift), e = expf(scaled - shift);
      maximum[i] = highest;
      sum[i] = fmaf(sum[i], factor, warp_sum(e));
      float kept = e;
      if (args.dropout.drops() && valid) {
        kept *= multiplier_of(multipliers, shape.score_row(place.b, place.h, query), key, shape.keys);
      }
      p.at(kRows * warp + i, lane) = kept;
      for (float& a : acc[i]) a *= factor;
    }
    __syncwarp();
    for (int j = 0; j < kTile; ++j) {
      for (int c = 0; c < kChunks; ++c) {
        const int d = c * kWarp + lane;
        const float value = d < head ? v.at(j, d) : 0.0f;
        for (int i = 0; i < kRows; ++i) acc[i][c] = fmaf(p.at(kRows * warp + i, j), value, acc[i][c]);
      }
    }
  }
  for (int i = 0; i < kRows; ++i) {
    const std::int32_t query = first + kRows * warp + i;
    if (query >= shape.queries) continue;
    const float inverse = sum[i] == 0.0f ? 0.0f : 1.0f / sum[i];
    T* to = args.o + shape.start_output(place.b, place.h) + query * shape.width;
    for (int c = 0; c < kChunks; ++c) {
      if (c * kWarp + lane < head) to[c * kWarp + lane] = from_float<T>(acc[i][c] * inverse);
    }
    if (lane == 0) args.lse[shape.score_row(place.b, place.h, query)] = maximum[i] + logf(sum[i]);
  }
}

// The terms of a query of head h.
template <class T>
__device__ RowTerms terms_of(const AttentionBackward<T>& args, std::int32_t b, std::int32_t h, std::int32_t query) {
  if (query >= args.shape.queries) return {-kMinusInfinity, 0.0f};
  const std::int64_t head = static_cast<std::int64_t>(b) * args.shape.heads + h;
  return args.terms[head * args.shape.padded_queries() + query];
}

// With the probability e and its dropout multiplier u: `dropped` = u e and `gradient` = e (u dP - delta).
struct ScoreGradient {
  float dropped, gradient;

  template <class T>
  __device__ ScoreGradient(const AttentionBackward<T>& args, const Multipliers& multipliers, const RowTerms& terms,
                           bool valid, std::int64_t row, std::int32_t key, float score, float d_p) {
    const float e = valid ? expf(score * args.shape.scale - terms.lse) : 0.0f;
    float u = 1.0f;
    if (args.dropout.drops() && valid) u = multiplier_of(multipliers, row, key, args.shape.keys);
    dropped = e * u;
    gradient = e * (d_p * u - terms.delta);
  }
};

// dq = scale sum over keys of dS k: 32 queries per block, as in the forward pass.
template <class T, int kChunks>
__global__ void __launch_bounds__(kThreads) plain_queries_kernel(const AttentionBackward<T> args) {
  const AttentionShape& shape = args.shape;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const Place place(shape.heads, (shape.queries + kTile - 1) / kTile);
  const std::int32_t first = place.tile * kTile;
  const std::int64_t keys_at = shape.start_keys(place.b, place.h / shape.group);
  const int head = shape.head, stride = head + 1;
  auto* memory = reinterpret_cast<float*>(shared_memory());
  const Tile q{memory, stride}, g{q.rows + kTile * stride, stride}, k{g.rows + kTile * stride, stride};
  const Tile v{k.rows + kTile * stride, stride}, s{v.rows + kTile * stride, kTile + 1};
  const Multipliers multipliers(args.dropout);

  load_tile(q, args.q + shape.start_queries(place.b, place.h), shape.query_row, first, shape.queries, head);
  load_tile(g, args.d_o + shape.start_output(place.b, place.h), shape.width, first, shape.queries, head);
  float acc[kRows][kChunks] = {};
  const std::int32_t last_query = min(first + kTile, shape.queries) - 1;
  const std::int32_t end = shape.causal ? min(shape.keys, last_query + shape.offset() + 1) : shape.keys;
  for (std::int32_t begin = 0; begin < end; begin += kTile) {
    __syncthreads();
    load_tile(k, args.k + keys_at, shape.key_row, begin, shape.keys, head);
    load_tile(v, args.v + keys_at, shape.key_row, begin, shape.keys, head);
    __syncthreads();
    float score[kRows] = {}, d_p[kRows] = {};
    for (int d = 0; d < head; ++d) {
      const float key = k.at(lane, d), value = v.at(lane, d);
      for (int i = 0; i < kRows; ++i) {
        score[i] = fmaf(q.at(kRows * warp + i, d), key, score[i]);
        d_p[i] = fmaf(g.at(kRows * warp + i, d), value, d_p[i]);
      }
    }
    const std::int32_t key = begin + lane;
    const bool attended = key_attended(args.mask, shape, place.b, key);
    for (int i = 0; i < kRows; ++i) {
      const std::int32_t query = first + kRows * warp + i;
      const std::int64_t row = shape.score_row(place.b, place.h, query);
      const RowTerms terms = terms_of(args, place.b, place.h, query);
      const ScoreGradient at(args, multipliers, terms, attended && attends(shape, query, key), row, key, score[i],
                             d_p[i]);
      s.at(kRows * warp + i, lane) = at.gradient;
    }
    __syncwarp();
    for (int j = 0; j < kTile; ++j) {
      for (int c = 0; c < kChunks; ++c) {
        const int d = c * kWarp + lane;
        const float value = d < head ? k.at(j, d) : 0.0f;
        for (int i = 0; i < kRows; ++i) acc[i][c] = fmaf(s.at(kRows * warp + i, j), value, acc[i][c]);
      }
    }
  }
  for (int i = 0; i < kRows; ++i) {
    const std::int32_t query = first + kRows * warp + i;
    if (query >= shape.queries) continue;
    T* to = args.dq + shape.start_queries(place.b, place.h) + query * shape.query_row;
    for (int c = 0; c < kChunks; ++c) {
      if (c * kWarp + lane < head) to[c * kWarp + lane] = from_float<T>(acc[i][c] * shape.scale);
    }
  }
}

// dk = scale sum over queries of dS q and dv = sum over queries of (u e) dO: 32 keys per block; a lane is a query here.
// The query heads that share these keys come one after the other.
template <class T, int kChunks>
__global__ void __launch_bounds__(kThreads) plain_keys_kernel(const AttentionBackward<T> args) {
  const AttentionShape& shape = args.shape;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const Place place(shape.key_value_heads(), (shape.keys + kTile - 1) / kTile);
  const std::int32_t first = place.tile * kTile;
  const std::int64_t keys_at = shape.start_keys(place.b, place.h);
  const int head = shape.head, stride = head + 1;
  auto* memory = reinterpret_cast<float*>(shared_memory());
  const Tile k{memory, stride}, v{k.rows + kTile * stride, stride}, q{v.rows + kTile * stride, stride};
  const Tile g{q.rows + kTile * stride, stride};
  const Tile p{g.rows + kTile * stride, kTile + 1}, s{p.rows + kTile * (kTile + 1), kTile + 1};
  const Multipliers multipliers(args.dropout);

  load_tile(k, args.k + keys_at, shape.key_row, first, shape.keys, head);
  load_tile(v, args.v + keys_at, shape.key_row, first, shape.keys, head);
  float d_k[kRows][kChunks] = {}, d_v[kRows][kChunks] = {};
  // The first query that attends to any of these keys, rounded down to a tile.
  const std::int32_t begin_query = shape.causal ? max(0, first - shape.offset()) / kTile * kTile : 0;
  const std::int32_t tiles = (shape.queries - begin_query + kTile - 1) / kTile;
  for (std::int32_t step = 0; step < shape.group * tiles; ++step) {
    const std::int32_t h = place.h * shape.group + step / tiles, begin = begin_query + step % tiles * kTile;
    __syncthreads();
    load_tile(q, args.q + shape.start_queries(place.b, h), shape.query_row, begin, shape.queries, head);
    load_tile(g, args.d_o + shape.start_output(place.b, h), shape.width, begin, shape.queries, head);
    __syncthreads();
    float score[kRows] = {}, d_p[kRows] = {};
    for (int d = 0; d < head; ++d) {
      const float query = q.at(lane, d), gradient = g.at(lane, d);
      for (int i = 0; i < kRows; ++i) {
        score[i] = fmaf(k.at(kRows * warp + i, d), query, score[i]);
        d_p[i] = fmaf(v.at(kRows * warp + i, d), gradient, d_p[i]);
      }
    }
    const std::int32_t query = begin + lane;
    const std::int64_t row = shape.score_row(place.b, h, query);
    const RowTerms terms = terms_of(args, place.b, h, query);
    for (int i = 0; i < kRows; ++i) {
      const std::int32_t key = first + kRows * warp + i;
      const bool valid =
          query < shape.queries && key_attended(args.mask, shape, place.b, key) && attends(shape, query, key);
      const ScoreGradient at(args, multipliers, terms, valid, row, key, score[i], d_p[i]);
      p.at(kRows * warp + i, lane) = at.dropped;
      s.at(kRows * warp + i, lane) = at.gradient;
    }
    __syncwarp();
    for (int j = 0; j < kTile; ++j) {
      for (int c = 0; c < kChunks; ++c) {
        const int d = c * kWarp + lane;
        const float query_value = d < head ? q.at(j, d) : 0.0f, gradient = d < head ? g.at(j, d) : 0.0f;
        for (int i = 0; i < kRows; ++i) {
          d_k[i][c] = fmaf(s.at(kRows * warp + i, j), query_value, d_k[i][c]);
          d_v[i][c] = fmaf(p.at(kRows * warp + i, j), gradient, d_v[i][c]);
        }
      }
    }
  }
  for (int i = 0; i < kRows; ++i) {
    const std::int32_t key = first + kRows * warp + i;
    if (key >= shape.keys) continue;
    const std::int64_t at = keys_at + key * shape.key_row;
    for (int c = 0; c < kChunks; ++c) {
      const int d = c * kWarp + lane;
      if (d >= head) continue;
      args.dk[at + d] = from_float<T>(d_k[i][c] * shape.scale);
      args.dv[at + d] = from_float<T>(d_v[i][c]);
    }
  }
}

template <class T, int kChunks>
class PlainAttention final : public AttentionKernels<T> {
 public:
  PlainAttention(const AttentionShape& shape, AttentionPass pass, const Context& context) {
    const std::size_t available = context.properties.sharedMemPerBlockOptin;
    if (pass == AttentionPass::Forward) {
      const std::size_t bytes = fitting(shape, shared_bytes(shape, 3, 1), available, "attention");
      allow_shared(plain_forward_kernel<T, kChunks>, bytes);
    } else {
      const std::size_t bytes = fitting(shape, shared_bytes(shape, 4, 2), available, "attention's backward pass");
      allow_shared(plain_queries_kernel<T, kChunks>, shared_bytes(shape, 4, 1));
      allow_shared(plain_keys_kernel<T, kChunks>, bytes);
    }
  }

  void forward(const AttentionForward<T>& args, void* stream) const override {
    launch(plain_forward_kernel<T, kChunks>, how(args.shape, args.shape.heads, args.shape.queries, 3, 1), stream, args);
  }
  std::size_t partial_bytes(const AttentionShape&) const override { return 0; }
  void backward(const AttentionBackward<T>& args, void* stream) const override {
    const AttentionShape& shape = args.shape;
    launch(plain_queries_kernel<T, kChunks>, how(shape, shape.heads, shape.queries, 4, 1), stream, args);
    launch(plain_keys_kernel<T, kChunks>, how(shape, shape.key_value_heads(), shape.keys, 4, 2), stream, args);
  }

 private:
  static std::size_t fitting(const AttentionShape& shape, std::size_t bytes, std::size_t available,
                             const std::string& what) {
    if (bytes <= available) return bytes;
    throw Error(what + " with heads of " + std::to_string(shape.head) + " needs " + std::to_string(bytes) +
                    " bytes of shared memory a block on cuda; this GPU has " + std::to_string(available) +
                    ". Use more heads.",
                "APOLLO_NO_KERNEL");
  }
  // Tiles of positions and of scores.
  static std::size_t shared_bytes(const AttentionShape& shape, int positions, int scores) {
    return sizeof(float) * static_cast<std::size_t>(kTile * (positions * (shape.head + 1) + scores * (kTile + 1)));
  }
  static Launch how(const AttentionShape& shape, std::int32_t heads, std::int32_t rows, int positions, int scores) {
    const std::int64_t blocks = ceil_div(rows, kTile) * heads * shape.batch;
    return {blocks_for(blocks, 1), kThreads, shared_bytes(shape, positions, scores)};
  }
};

}  // namespace

template <class T>
std::unique_ptr<AttentionKernels<T>> plain_attention(const AttentionShape& shape, AttentionPass pass,
                                                     const Context& context) {
  if (shape.head <= 32) return std::make_unique<PlainAttention<T, 1>>(shape, pass, context);
  if (shape.head <= 64) return std::make_unique<PlainAttention<T, 2>>(shape, pass, context);
  if (shape.head <= 128) return std::make_unique<PlainAttention<T, 4>>(shape, pass, context);
  return std::make_unique<PlainAttention<T, 8>>(shape, pass, context);
}

template std::unique_ptr<AttentionKernels<float>> plain_attention(const AttentionShape&, AttentionPass, const Context&);
template std::unique_ptr<AttentionKernels<Bf16>> plain_attention(const AttentionShape&, AttentionPass, const Context&);

}  // namespace apollo::cuda
