// Attention over a cache of keys and values (decoding): appendToCache writes the new tokens' keys and values into it,
// cachedAttention computes softmax(scale q K^T) V for the new tokens' queries over the positions up to their own.
// Limited by memory: a query reads its head's keys and values once, 2 D elements a position; query heads that share
// them follow each other, so that all but the first find them in the caches. Threads share (sequence, head); within
// one, sums run in a fixed order, so results do not depend on the number of threads.
#include <omp.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "core/cache_shape.h"
#include "cpu/cpu.h"
#include "cpu/indices.h"
#include "cpu/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/ops/cache.cc"
#include "cpu/simd/targets.h"
#include "hwy/foreach_target.h"
// The above must come first.
#include "cpu/simd/exp-inl.h"
#include "cpu/simd/simd-inl.h"
#include "hwy/highway.h"

#ifndef APOLLO_CPU_CACHE_TYPES_
#define APOLLO_CPU_CACHE_TYPES_
namespace apollo::cpu {

// One query of one head, in elements of the tensors' type. Rows of keys and values are `stride` apart.
struct CachedQuery {
  const void *q, *keys, *values;
  void* o;
  std::int64_t head, stride, positions;  // positions that are attended to, at least 1
  float scale;
};

// `scores` has room for query.positions, rounded up to 64.
using CachedQueryRun = void (*)(const CachedQuery& query, float* scores);

}  // namespace apollo::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace apollo::cpu::HWY_NAMESPACE {
namespace {

template <class T>
HWY_INLINE float score_of(const T* q, const T* key, std::size_t head) {
  const F32 d;
  auto sum = hn::Zero(d);
  for_vectors(d, head, [&](std::size_t i, auto part) HWY_ATTR {
    sum = hn::MulAdd(load(d, q + i, part), load(d, key + i, part), sum);
  });
  return sum_lanes(d, sum);
}

// o[0, count) = factor * sum over j of p[j] values[j, 0..count), for up to four vectors that stay in registers.
template <class T, class Part>
HWY_INLINE void weighted_sum(const float* p, std::int64_t positions, const T* values, std::int64_t stride, float factor,
                             T* o, Part last, std::size_t whole) {
  const F32 d;
  const std::size_t lanes = hn::Lanes(d);
  auto s0 = hn::Zero(d), s1 = hn::Zero(d), s2 = hn::Zero(d), s3 = hn::Zero(d);
  for (std::int64_t j = 0; j < positions; ++j, values += stride) {
    const auto weight = hn::Set(d, p[j]);
    if (whole > 0) s0 = hn::MulAdd(weight, load(d, values, Full()), s0);
    if (whole > 1) s1 = hn::MulAdd(weight, load(d, values + lanes, Full()), s1);
    if (whole > 2) s2 = hn::MulAdd(weight, load(d, values + 2 * lanes, Full()), s2);
    if (whole > 3) {
      s3 = hn::MulAdd(weight, load(d, values + 3 * lanes, Full()), s3);
    } else if constexpr (std::is_same_v<Part, Tail>) {
      s3 = hn::MulAdd(weight, load(d, values + whole * lanes, last), s3);
    }
  }
  const auto f = hn::Set(d, factor);
  if (whole > 0) store(hn::Mul(s0, f), d, o, Full());
  if (whole > 1) store(hn::Mul(s1, f), d, o + lanes, Full());
  if (whole > 2) store(hn::Mul(s2, f), d, o + 2 * lanes, Full());
  if (whole > 3) {
    store(hn::Mul(s3, f), d, o + 3 * lanes, Full());
  } else if constexpr (std::is_same_v<Part, Tail>) {
    store(hn::Mul(s3, f), d, o + whole * lanes, last);
  }
}

template <class T>
void cached_query(const CachedQuery& query, float* scores) {
  const F32 d;
  const auto head = static_cast<std::size_t>(query.head), positions = static_cast<std::size_t>(query.positions);
  const T *q = static_cast<const T*>(query.q), *key = static_cast<const T*>(query.keys);
  for (std::size_t j = 0; j < positions; ++j, key += query.stride) scores[j] = query.scale * score_of(q, key, head);

  auto high = hn::Set(d, scores[0]);
  for_vectors(d, positions, [&](std::size_t j, auto part) HWY_ATTR {
    const auto s = load(d, scores + j, part);
    if constexpr (std::is_same_v<decltype(part), Tail>) {
      high = hn::Max(high, hn::IfThenElse(hn::FirstN(d, part.count), s, hn::Set(d, scores[0])));
    } else {
      high = hn::Max(high, s);
    }
  });
  const auto top = hn::MaxOfLanes(d, high);
  auto total = hn::Zero(d);
  for_vectors(d, positions, [&](std::size_t j, auto part) HWY_ATTR {
    const auto e = keep(d, exp_nonpositive(d, hn::Sub(load(d, scores + j, part), top)), part);
    total = hn::Add(total, e);
    store(e, d, scores + j, part);
  });
  const float factor = 1.0f / sum_lanes(d, total);

  const std::size_t lanes = hn::Lanes(d);
  const T* values = static_cast<const T*>(query.values);
  T* o = static_cast<T*>(query.o);
  for (std::size_t i = 0; i < head; i += 4 * lanes) {
    const std::size_t whole = std::min<std::size_t>(4, (head - i) / lanes), rest = head - i - whole * lanes;
    if (whole == 4) {
      weighted_sum(scores, query.positions, values + i, query.stride, factor, o + i, Full(), 4);
    } else if (rest == 0) {
      weighted_sum(scores, query.positions, values + i, query.stride, factor, o + i, Full(), whole);
    } else {
      weighted_sum(scores, query.positions, values + i, query.stride, factor, o + i, Tail{rest}, whole);
    }
  }
}

CachedQueryRun find_cached_query(DType dtype) { return dtype == DType::F32 ? cached_query<float> : cached_query<Bf16>; }

}  // namespace
}  // namespace apollo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apollo::cpu {
namespace {

HWY_EXPORT(find_cached_query);

// (qkv, keys, values, positions) -> keys, values in place: row positions[b, t] of sequence b is token t's.
std::unique_ptr<Kernel> make_append(const OpDesc& desc) {
  const CacheShape shape(desc);
  if (desc.inputs[0].dtype == DType::I32) unsupported(desc, "cpu");
  const std::size_t element = size_of(desc.inputs[0].dtype), row = static_cast<std::size_t>(shape.width) * element;
  return std::make_unique<FunctionKernel>([=, op = desc.op](const RunContext& c) {
    const auto* positions = c.in<std::int32_t>(3);
    check_indices(op, "positions", positions, shape.rows * shape.tokens, shape.length);
    // A sequence stays with one thread: of tokens at one position the last one stays.
    const std::int64_t bytes = 4 * shape.tokens * static_cast<std::int64_t>(row);
    parallel_rows(shape.batch, bytes, [&](std::int64_t begin, auto end) {
      for (std::int64_t i = begin * shape.tokens; i < end * shape.tokens; ++i) {
        const std::int64_t b = i / shape.tokens, from = (shape.rows == 1 ? 0 : b * shape.tokens) + i % shape.tokens;
        const auto* keys =
            c.in<std::byte>(0) + static_cast<std::size_t>(from * shape.row + shape.query_width) * element;
        const std::size_t to = static_cast<std::size_t>(b * shape.length + positions[from]) * row;
        std::memcpy(c.out<std::byte>(0) + to, keys, row);
        std::memcpy(c.out<std::byte>(1) + to, keys + row, row);
      }
    });
  });
}

// (qkv, keys, values, positions) -> o
class CachedAttention final : public Kernel {
 public:
  explicit CachedAttention(const OpDesc& desc)
      : op_(desc.op), shape_(desc), element_(static_cast<std::int64_t>(size_of(desc.inputs[0].dtype))) {
    if (desc.inputs[0].dtype == DType::I32) unsupported(desc, "cpu");
    require(shape_.rows == shape_.batch, "cachedAttention: qkv and the cache differ in sequences");
    heads_ = desc.attrs.integer("heads");
    head_ = shape_.query_width / heads_;
    group_ = shape_.query_width / shape_.width;
    scale_ = static_cast<float>(desc.attrs.number("scale"));
    run_ = HWY_DYNAMIC_DISPATCH(find_cached_query)(desc.inputs[0].dtype);
  }

  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(omp_get_max_threads()) * static_cast<std::size_t>(slice()) * sizeof(float);
  }

  void run(const RunContext& c) override {
    const auto* positions = c.in<std::int32_t>(3);
    check_indices(op_, "positions", positions, shape_.batch * shape_.tokens, shape_.length);
    auto* scores = static_cast<float*>(c.scratch);
    std::int64_t attended = 0;
    for (std::int64_t i = 0; i < shape_.batch * shape_.tokens; ++i) attended += positions[i] + 1;
    const std::int64_t tasks = shape_.batch * heads_;
    const std::int64_t bytes = 2 * attended * shape_.query_width * element_, least = 8 * kParallelBytes;
    parallel_ranges(tasks, tasks * least / std::max<std::int64_t>(bytes, 1), 1, [&](auto begin, auto end) {
      float* mine = scores + omp_get_thread_num() * slice();
      for (std::int64_t task = begin; task < end; ++task) head(c, positions, task / heads_, task % heads_, mine);
    });
  }

 private:
  std::int64_t slice() const { return (shape_.length + 63) / 64 * 64; }

  void head(const RunContext& c, const std::int32_t* positions, std::int64_t b, std::int64_t h, float* scores) const {
    const std::int64_t first = h * head_, kv_head = h / group_;
    const std::int64_t cache = (b * shape_.length * shape_.width + kv_head * head_) * element_;
    for (std::int64_t t = 0; t < shape_.tokens; ++t) {
      const std::int64_t row = b * shape_.tokens + t;
      CachedQuery query{};
      query.q = c.in<std::byte>(0) + (row * shape_.row + first) * element_;
      query.keys = c.in<std::byte>(1) + cache;
      query.values = c.in<std::byte>(2) + cache;
      query.o = c.out<std::byte>(0) + (row * shape_.query_width + first) * element_;
      query.head = head_;
      query.stride = shape_.width;
      query.positions = positions[row] + 1;
      query.scale = scale_;
      run_(query, scores);
    }
  }

  std::string op_;
  CacheShape shape_;
  std::int64_t element_, heads_ = 1, head_ = 1, group_ = 1;  // group: query heads that share a key/value head
  float scale_ = 1.0f;
  CachedQueryRun run_ = nullptr;
};

std::unique_ptr<Kernel> make_cached_attention(const OpDesc& desc) { return std::make_unique<CachedAttention>(desc); }

}  // namespace

void register_cache(OpTable& table) {
  table.add("appendToCache", make_append);
  table.add("cachedAttention", make_cached_attention);
}

}  // namespace apollo::cpu
#endif  // HWY_ONCE
