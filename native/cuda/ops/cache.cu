// Attention over a cache of keys and values (decoding): appendToCache writes the new tokens' keys and values into it,
// cachedAttention computes softmax(scale q K^T) V for the new tokens' queries over the positions up to their own.
// Limited by memory: a query reads its head's keys and values once.
#include <memory>
#include <string>

#include "core/cache_shape.h"
#include "cuda/cuda.h"
#include "cuda/lib/block.cuh"
#include "cuda/lib/indices.cuh"
#include "cuda/lib/intrinsics.cuh"
#include "cuda/lib/launch.cuh"
#include "cuda/lib/vector.cuh"
#include "cuda/ops/attention.cuh"

namespace apollo::cuda {
namespace {

constexpr int kAppendWarps = 8;

// A warp a token: row positions[b, t] of sequence b of keys and values = the last two parts of the token's qkv. Of
// tokens at one position the last one writes.
template <class Word>
__global__ void __launch_bounds__(kAppendWarps* kWarp)
    append_kernel(const CacheShape shape, std::int64_t words, const Word* qkv, const std::int32_t* positions,
                  Word* keys, Word* values) {
  const std::int64_t token = static_cast<std::int64_t>(blockIdx.x) * kAppendWarps + threadIdx.x / kWarp;
  if (token >= shape.batch * shape.tokens) return;
  const std::int64_t b = token / shape.tokens, t = token % shape.tokens;
  const std::int64_t from = (shape.rows == 1 ? 0 : b * shape.tokens) + t;
  const std::int32_t position = positions[from];
  if (!allowed(position, static_cast<std::int32_t>(shape.length), false)) return;
  bool replaced = false;
  for (std::int64_t i = 1 + threadIdx.x % kWarp; i < shape.tokens - t; i += kWarp) {
    replaced = replaced || positions[from + i] == position;
  }
  if (__ballot_sync(kAllLanes, replaced) != 0) return;
  const std::int64_t parts = shape.row / shape.width;  // rows of `words` that a row of qkv is; the last two are wanted
  const Word* source = qkv + ((from + 1) * parts - 2) * words;
  const std::int64_t to = (b * shape.length + position) * words;
  for (std::int64_t i = threadIdx.x % kWarp; i < words; i += kWarp) {
    keys[to + i] = source[i];
    values[to + i] = source[words + i];
  }
}

template <class Word>
void append(const RunContext& c, const CacheShape& shape, std::int64_t row_bytes) {
  launch(append_kernel<Word>, {blocks_for(shape.batch * shape.tokens, kAppendWarps), kAppendWarps * kWarp}, c.stream,
         shape, row_bytes / static_cast<std::int64_t>(sizeof(Word)), c.in<Word>(0), c.in<std::int32_t>(3),
         c.out<Word>(0), c.out<Word>(1));
}

// (qkv, keys, values, positions) -> keys, values in place
class AppendToCache final : public Kernel {
 public:
  AppendToCache(const OpDesc& desc, Context& context)
      : shape_(desc), check_(context, {desc.op, "positions", shape_.length}, shape_.rows * shape_.tokens) {
    const DType dtype = desc.inputs[0].dtype;
    if (dtype == DType::I32) unsupported(desc, "cuda");
    row_bytes_ = shape_.width * static_cast<std::int64_t>(size_of(dtype));
  }

  void run(const RunContext& c) override {
    check_.run(c.in<std::int32_t>(3), c.stream);
    if (row_bytes_ % 16 == 0) {
      append<uint4>(c, shape_, row_bytes_);
    } else if (row_bytes_ % 4 == 0) {
      append<std::uint32_t>(c, shape_, row_bytes_);
    } else {
      append<std::uint16_t>(c, shape_, row_bytes_);
    }
  }

 private:
  CacheShape shape_;
  IndexCheck check_;
  std::int64_t row_bytes_ = 0;
};

constexpr int kAttentionWarps = 16;
constexpr int kAhead = 4;  // positions whose keys and values a warp loads at once

template <class T>
struct CachedQueries {
  CacheShape shape;
  std::int32_t heads, group, head;  // group: query heads that share a key/value head
  float scale;
  const T *qkv, *keys, *values;
  const std::int32_t* positions;
  T* o;
};

// A block a query of one head; its warps share the positions, 4 at once, and keep a running softmax each; these are
// joined in the order of the warps. Lane i has elements i, i + 32, .. of the head. kChunks: head size in units of 32.
template <class T, int kChunks>
__global__ void __launch_bounds__(kAttentionWarps* kWarp) cached_attention_kernel(const CachedQueries<T> args) {
  const CacheShape& shape = args.shape;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const auto h = static_cast<std::int64_t>(blockIdx.x) % args.heads;
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) / args.heads, b = row / shape.tokens;
  const std::int32_t position = args.positions[row], length = static_cast<std::int32_t>(shape.length);
  const std::int32_t count = allowed(position, length, false) ? position + 1 : 0;
  const std::int64_t cache = b * shape.length * shape.width + h / args.group * args.head;

  float q[kChunks], acc[kChunks] = {}, maximum = kMinusInfinity, sum = 0.0f;
#pragma unroll
  for (int c = 0; c < kChunks; ++c) {
    const int d = c * kWarp + lane;
    q[c] = d < args.head ? to_float(args.qkv[row * shape.row + h * args.head + d]) * args.scale : 0.0f;
  }
  for (std::int32_t first = warp * kAhead; first < count; first += kAttentionWarps * kAhead) {
    float score[kAhead], value[kAhead][kChunks], highest = maximum;
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      const bool valid = first + a < count;
      const std::int64_t at = cache + (valid ? first + a : 0) * shape.width;
      float product = 0.0f;
#pragma unroll
      for (int c = 0; c < kChunks; ++c) {
        const int d = c * kWarp + lane;
        const bool inside = valid && d < args.head;
        product = fmaf(q[c], inside ? to_float(args.keys[at + d]) : 0.0f, product);
        value[a][c] = inside ? to_float(args.values[at + d]) : 0.0f;
      }
      product = warp_sum(product);
      score[a] = valid ? product : kMinusInfinity;
      highest = fmaxf(highest, score[a]);
    }
    const float factor = expf(maximum - highest);
    maximum = highest;
    sum *= factor;
#pragma unroll
    for (int c = 0; c < kChunks; ++c) acc[c] *= factor;
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      const float e = expf(score[a] - maximum);
      sum += e;
#pragma unroll
      for (int c = 0; c < kChunks; ++c) acc[c] = fmaf(e, value[a][c], acc[c]);
    }
  }

  // Joined: [warp] maximum, [warp] sum, [warp][head] weighted values.
  auto* maxima = reinterpret_cast<float*>(shared_memory());
  float *sums = maxima + kAttentionWarps, *values = sums + kAttentionWarps;
  if (lane == 0) {
    maxima[warp] = maximum;
    sums[warp] = sum;
  }
#pragma unroll
  for (int c = 0; c < kChunks; ++c) {
    const int d = c * kWarp + lane;
    if (d < args.head) values[warp * args.head + d] = acc[c];
  }
  __syncthreads();
  float top = kMinusInfinity, total = 0.0f;
  for (int w = 0; w < kAttentionWarps; ++w) top = fmaxf(top, maxima[w]);
  if (top == kMinusInfinity) top = 0.0f;  // a wrong position: the run fails
  for (int w = 0; w < kAttentionWarps; ++w) total = fmaf(sums[w], expf(maxima[w] - top), total);
  const float inverse = total == 0.0f ? 0.0f : 1.0f / total;
  for (int d = static_cast<int>(threadIdx.x); d < args.head; d += kAttentionWarps * kWarp) {
    float joined = 0.0f;
    for (int w = 0; w < kAttentionWarps; ++w) {
      joined = fmaf(values[w * args.head + d], expf(maxima[w] - top), joined);
    }
    args.o[row * shape.query_width + h * args.head + d] = from_float<T>(joined * inverse);
  }
}

// (qkv, keys, values, positions) -> o
template <class T>
class CachedAttention final : public Kernel {
 public:
  CachedAttention(const OpDesc& desc, Context& context)
      : check_(context, {desc.op, "positions", desc.inputs[1].shape[1]}, desc.inputs[3].elements()),
        args_{CacheShape(desc), 0, 0, 0, 0.0f, nullptr, nullptr, nullptr, nullptr, nullptr} {
    require(args_.shape.rows == args_.shape.batch, "cachedAttention: qkv and the cache differ in sequences");
    args_.heads = static_cast<std::int32_t>(desc.attrs.integer("heads"));
    args_.group = static_cast<std::int32_t>(args_.shape.query_width / args_.shape.width);
    args_.head = static_cast<std::int32_t>(args_.shape.query_width / args_.heads);
    args_.scale = static_cast<float>(desc.attrs.number("scale"));
    if (args_.head > 256) {
      throw Error("op '" + desc.op + "' on cuda takes heads of at most 256; got " + std::to_string(args_.head) +
                      ". Use more heads.",
                  "APOLLO_NO_KERNEL");
    }
  }

  void run(const RunContext& c) override {
    check_.run(c.in<std::int32_t>(3), c.stream);
    CachedQueries<T> args = args_;
    args.qkv = c.in<T>(0);
    args.keys = c.in<T>(1);
    args.values = c.in<T>(2);
    args.positions = c.in<std::int32_t>(3);
    args.o = c.out<T>(0);
    if (args.head <= 32) return start<1>(args, c.stream);
    if (args.head <= 64) return start<2>(args, c.stream);
    if (args.head <= 128) return start<4>(args, c.stream);
    start<8>(args, c.stream);
  }

 private:
  template <int kChunks>
  static void start(const CachedQueries<T>& args, void* stream) {
    const std::size_t shared = sizeof(float) * static_cast<std::size_t>(kAttentionWarps * (args.head + 2));
    const std::int64_t blocks = args.shape.batch * args.shape.tokens * args.heads;
    launch(cached_attention_kernel<T, kChunks>, {blocks_for(blocks, 1), kAttentionWarps * kWarp, shared}, stream, args);
  }

  IndexCheck check_;
  CachedQueries<T> args_;
};

std::unique_ptr<Kernel> make_cached_attention(const OpDesc& desc, Context& context) {
  switch (desc.inputs[0].dtype) {
    case DType::F32: return std::make_unique<CachedAttention<float>>(desc, context);
    case DType::BF16: return std::make_unique<CachedAttention<Bf16>>(desc, context);
    default: unsupported(desc, "cuda");
  }
}

}  // namespace

void register_cache(OpTable& table, Context& context) {
  table.add("appendToCache", factory_of<AppendToCache>(context));
  table.add("cachedAttention", [&context](const OpDesc& desc) { return make_cached_attention(desc, context); });
}

}  // namespace apollo::cuda
