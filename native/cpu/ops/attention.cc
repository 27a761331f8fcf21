// Multi-head attention that never stores the T x T scores: O = dropout(softmax(scale Q K^T + mask)) V in blocks of
// queries and keys with a running softmax (FlashAttention: Dao et al. 2022, Algorithm 1), and its gradient from the
// kept row statistics lse (ibid., Algorithm 4). The heads are read in place, also out of a packed qkv; query heads may
// share key/value heads (Ainslie et al. 2023).
//
// The products of the blocks (tiles/block_product.h) work on dense copies that stay in L1/L2 (rows padded with zeros to
// multiples of 16, so that one plan serves every block); what is between them is vectorised (attention_parts.h).
// Forward shares (sequence, head, query block) among threads, backward (sequence, key/value head): within one, sums run
// in a fixed order, so results do not depend on the number of threads. Limited by FLOPs for long rows; at T 128, D 64
// products, exponentials with conversions, and copies cost about the same.
#include <omp.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <vector>

#include "core/attention_heads.h"
#include "cpu/cpu.h"
#include "cpu/onednn/onednn.h"
#include "cpu/ops/attention_parts.h"
#include "cpu/tiles/block_product.h"

namespace apollo::cpu {
namespace {

// A dimension cut into blocks of equal, padded size.
struct Blocking {
  std::int64_t extent, count, size;
  explicit Blocking(std::int64_t extent)
      : extent(extent),
        count(std::max<std::int64_t>(1, (extent + kTarget - 1) / kTarget)),
        size(((extent + count - 1) / count + 15) / 16 * 16) {}
  std::int64_t begin(std::int64_t block) const { return std::min(extent, block * size); }
  std::int64_t rows(std::int64_t block) const { return std::min(size, extent - begin(block)); }

 private:
  static constexpr std::int64_t kTarget = 128;
};

// Sizes, places and settings of one attention op. `first` is the index of input q (or qkv).
struct Geometry : AttentionHeads {
  std::int64_t batch, padded;  // padded: D to a multiple of 16
  Blocking queries, keys;
  DType dtype;
  bool causal, has_mask, drops;
  float scale;
  Dropout dropout;
  std::size_t element, q, k, v, after;  // inputs; `after`: the first one behind q, k, v (and o, lse in backward)

  Geometry(const OpDesc& desc, std::size_t first, std::size_t kept)
      : AttentionHeads(desc, desc.inputs[first].shape[2]),
        queries(desc.inputs[first].shape[1]),
        keys(desc.inputs[first + (packed ? 0 : 1)].shape[1]) {
    const Attrs& attrs = desc.attrs;
    const TensorDesc& tensor = desc.inputs[first];
    batch = tensor.shape[0];
    padded = (head + 15) / 16 * 16;
    dtype = tensor.dtype;
    if (dtype == DType::I32) unsupported(desc, "cpu");
    element = size_of(dtype);
    causal = attrs.flag("causal");
    has_mask = attrs.flag("hasMask");
    scale = static_cast<float>(attrs.number("scale"));
    const double p = attrs.number("p", 0.0);
    drops = p > 0.0;
    dropout = Dropout::make(p, static_cast<std::uint32_t>(attrs.integer("stream", 0)));
    q = first;
    k = packed ? first : first + 1;
    v = packed ? first : first + 2;
    after = v + 1 + kept;
  }

  // First element of (sequence b, head h of that tensor, position t) in the tensor of q (part 0), k (1) or v (2).
  std::int64_t at(int part, std::int64_t b, std::int64_t h, std::int64_t t) const {
    return (b * (part == 0 ? queries.extent : keys.extent) + t) * stride(part) + first(part) + h * head;
  }
  // As the above in o and dO [B, Tq, H D].
  std::int64_t at_output(std::int64_t b, std::int64_t h, std::int64_t t) const {
    return (b * queries.extent + t) * width() + h * head;
  }
  // Queries are aligned with the last keys: query t attends to keys up to t + offset.
  std::int64_t offset() const { return keys.extent - queries.extent; }
  // Key blocks whose gradients the backward pass keeps: all of them where several heads add to each.
  std::int64_t kept_key_blocks() const { return group() == 1 ? 1 : keys.count; }
  // Whether some query of block i attends to some key of block j.
  bool touches(std::int64_t i, std::int64_t j) const {
    return !causal || keys.begin(j) <= queries.begin(i) + queries.rows(i) - 1 + offset();
  }

  ScoreBlock block(const RunContext& c, const float* bias, std::int64_t b, std::int64_t h, std::int64_t i,
                   std::int64_t j) const {
    ScoreBlock block{};
    block.rows = queries.rows(i);
    block.columns = keys.rows(j);
    block.stride = keys.size;
    block.first = causal ? queries.begin(i) + offset() + 1 - keys.begin(j) : keys.size;
    block.bias = bias;
    block.scale = scale;
    if (drops) {
      block.dropout = &dropout;
      block.rng = RngState::from(c.in<std::int32_t>(after + (has_mask ? 1 : 0)));
      block.dropout_row = (b * heads + h) * queries.extent + queries.begin(i);
      block.dropout_columns = keys.extent;
      block.dropout_first = keys.begin(j);
    }
    return block;
  }

  // 0 for keys to attend to, -infinity for the others, of key block j; null without a mask.
  const float* bias_of(const RunContext& c, std::int64_t b, std::int64_t j, float* bias) const {
    if (!has_mask) return nullptr;
    const std::int32_t* mask = c.in<std::int32_t>(after) + b * keys.extent + keys.begin(j);
    for (std::int64_t i = 0; i < keys.size; ++i) bias[i] = i < keys.rows(j) && mask[i] != 0 ? 0.0f : kLowest;
    return bias;
  }

  // Copies `rows` rows of one head into a dense block of `size` rows of `padded` elements, zeros around them.
  void load(const void* tensor, std::int64_t first, std::int64_t stride, std::int64_t rows, std::int64_t size,
            void* block) const {
    const auto* from = static_cast<const std::byte*>(tensor) + first * static_cast<std::int64_t>(element);
    auto* to = static_cast<std::byte*>(block);
    const std::size_t used = static_cast<std::size_t>(head) * element, all = static_cast<std::size_t>(padded) * element;
    for (std::int64_t r = 0; r < rows; ++r, to += all) {
      std::memcpy(to, from + r * stride * static_cast<std::int64_t>(element), used);
      if (used != all) std::memset(to + used, 0, all - used);
    }
    std::memset(to, 0, static_cast<std::size_t>(size - rows) * all);
  }
};

// Cuts one thread's scratch memory into arrays. Run once with a null base, it counts the bytes.
class Carver {
 public:
  explicit Carver(void* base) : base_(static_cast<std::byte*>(base)) {}
  template <class T = void>
  T* take(std::int64_t elements, std::size_t element) {
    auto* piece = base_ == nullptr ? nullptr : base_ + used_;
    used_ += whole_lines(static_cast<std::size_t>(elements) * element);
    return reinterpret_cast<T*>(piece);
  }
  std::size_t used() const { return used_; }

 private:
  std::byte* base_;
  std::size_t used_ = 0;
};

// Calls body(task, worker) for each task of [0, tasks) with a worker no other thread uses; rethrows what it throws.
template <class Worker, class Body>
void share_tasks(std::int64_t tasks, std::vector<Worker>& workers, const Body& body) {
  std::exception_ptr failure;
#pragma omp parallel for schedule(dynamic) num_threads(static_cast <int>(workers.size()))
  for (std::int64_t task = 0; task < tasks; ++task) {
    try {
      body(task, workers[static_cast<std::size_t>(omp_get_thread_num())]);
    } catch (...) {
#pragma omp critical(apollo_attention_failure)
      failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

// A product of this op's blocks.
BlockProduct block_product(const Geometry& g, BlockKind kind) {
  return {kind, g.dtype, g.queries.size, g.keys.size, g.padded};
}

// Per thread: products with their memory objects, and a slice of the kernel's scratch.
struct ForwardWorker {
  BlockProduct scores, values;
  explicit ForwardWorker(const Geometry& g)
      : scores(block_product(g, BlockKind::Scores)), values(block_product(g, BlockKind::ToRows)) {}
};

struct ForwardScratch {
  void *q, *kv, *p, *product;
  float *scores, *output, *bias, *maximum, *sum, *shrink;
  std::size_t bytes;
  ForwardScratch(const Geometry& g, const ForwardWorker& worker, void* base) {
    Carver carver(base);
    q = carver.take(g.queries.size * g.padded, g.element);
    kv = carver.take(g.keys.size * g.padded, g.element);
    p = carver.take(g.queries.size * g.keys.size, g.element);
    scores = carver.take<float>(g.queries.size * g.keys.size, 4);
    output = carver.take<float>(g.queries.size * g.padded, 4);
    bias = carver.take<float>(g.keys.size, 4);
    maximum = carver.take<float>(g.queries.size, 4);
    sum = carver.take<float>(g.queries.size, 4);
    shrink = carver.take<float>(g.queries.size, 4);
    product = carver.take(
        static_cast<std::int64_t>(std::max(worker.scores.scratch_bytes(), worker.values.scratch_bytes())), 1);
    bytes = carver.used();
  }
};

template <class Worker>
std::vector<Worker> make_workers(const Geometry& g) {
  const int threads = omp_get_max_threads();
  const SingleThreadPlanning single;
  std::vector<Worker> workers;
  for (int t = 0; t < threads; ++t) workers.emplace_back(g);
  return workers;
}

class AttentionKernel final : public Kernel {
 public:
  explicit AttentionKernel(const OpDesc& desc)
      : g_(desc, 0, 0),
        parts_(attention_parts(g_.dtype)),
        workers_(make_workers<ForwardWorker>(g_)),
        slice_(ForwardScratch(g_, workers_[0], nullptr).bytes) {}

  std::size_t scratch_bytes() const override { return slice_ * workers_.size(); }

  void run(const RunContext& c) override {
    const std::int64_t blocks = g_.queries.count;
    share_tasks(g_.batch * g_.heads * blocks, workers_, [&](std::int64_t task, ForwardWorker& worker) {
      const auto slice = static_cast<std::size_t>(&worker - workers_.data()) * slice_;
      const ForwardScratch s(g_, worker, static_cast<std::byte*>(c.scratch) + slice);
      // Within a head the last query blocks, the longest ones of causal attention, come first.
      const std::int64_t b = task / blocks / g_.heads, h = task / blocks % g_.heads;
      query_block(c, worker, s, b, h, blocks - 1 - task % blocks);
    });
  }

 private:
  void query_block(const RunContext& c, ForwardWorker& worker, const ForwardScratch& s, std::int64_t b, std::int64_t h,
                   std::int64_t i) const {
    const std::int64_t rows = g_.queries.rows(i), begin = g_.queries.begin(i);
    const std::int64_t kv_head = h / g_.group();
    g_.load(c.inputs[g_.q], g_.at(0, b, h, begin), g_.stride(0), rows, g_.queries.size, s.q);
    std::fill_n(s.maximum, g_.queries.size, kLowest);
    std::fill_n(s.sum, g_.queries.size, 0.0f);
    std::fill_n(s.shrink, g_.queries.size, 0.0f);
    // Probabilities of rows that are padding are 0 in every block.
    std::memset(static_cast<std::byte*>(s.p) + static_cast<std::size_t>(rows * g_.keys.size) * g_.element, 0,
                static_cast<std::size_t>((g_.queries.size - rows) * g_.keys.size) * g_.element);
    for (std::int64_t j = 0; j < g_.keys.count && g_.touches(i, j); ++j) {
      const std::int64_t keys = g_.keys.rows(j), first = g_.keys.begin(j);
      g_.load(c.inputs[g_.k], g_.at(1, b, kv_head, first), g_.stride(1), keys, g_.keys.size, s.kv);
      const ScoreBlock block = g_.block(c, g_.bias_of(c, b, j, s.bias), b, h, i, j);
      worker.scores.run(s.q, s.kv, s.scores, s.product, block);
      parts_.softmax(block, s.scores, s.maximum, s.sum, s.shrink, s.p);
      if (j > 0) parts_.scale_rows(s.output, rows, g_.padded, s.shrink);
      g_.load(c.inputs[g_.v], g_.at(2, b, kv_head, first), g_.stride(2), keys, g_.keys.size, s.kv);
      worker.values.run(s.p, s.kv, s.output, s.product, block, j > 0);
    }
    float* lse = c.out<float>(1) + (b * g_.heads + h) * g_.queries.extent + begin;
    parts_.finish(rows, s.maximum, s.sum, lse, s.shrink);
    parts_.store_rows(s.output, g_.padded, rows, g_.head, 1.0f, s.shrink,
                      c.out<std::byte>(0) + g_.at_output(b, h, begin) * static_cast<std::int64_t>(g_.element),
                      g_.width());
  }

  Geometry g_;
  AttentionParts parts_;
  std::vector<ForwardWorker> workers_;
  std::size_t slice_;
};

struct BackwardWorker {
  BlockProduct scores, to_keys, to_queries;  // scores: Q K^T, and dO V^T
  explicit BackwardWorker(const Geometry& g)
      : scores(block_product(g, BlockKind::Scores)),
        to_keys(block_product(g, BlockKind::ToKeys)),
        to_queries(block_product(g, BlockKind::ToRows)) {}
};

struct BackwardScratch {
  void *q, *d_o, *k, *v, *p, *d_s, *product;
  float *scores, *d_p, *d_q, *d_k, *d_v, *bias, *delta;
  std::size_t bytes;
  BackwardScratch(const Geometry& g, const BackwardWorker& worker, void* base) {
    Carver carver(base);
    const std::int64_t queries = g.queries.size * g.queries.count, pairs = g.queries.size * g.keys.size;
    q = carver.take(queries * g.padded, g.element);
    d_o = carver.take(queries * g.padded, g.element);
    k = carver.take(g.keys.size * g.padded, g.element);
    v = carver.take(g.keys.size * g.padded, g.element);
    p = carver.take(pairs, g.element);
    d_s = carver.take(pairs, g.element);
    scores = carver.take<float>(pairs, 4);
    d_p = carver.take<float>(pairs, 4);
    d_q = carver.take<float>(queries * g.padded, 4);
    d_k = carver.take<float>(g.kept_key_blocks() * g.keys.size * g.padded, 4);
    d_v = carver.take<float>(g.kept_key_blocks() * g.keys.size * g.padded, 4);
    bias = carver.take<float>(g.keys.size, 4);
    delta = carver.take<float>(queries, 4);
    product =
        carver.take(static_cast<std::int64_t>(std::max({worker.scores.scratch_bytes(), worker.to_keys.scratch_bytes(),
                                                        worker.to_queries.scratch_bytes()})),
                    1);
    bytes = carver.used();
  }
};

// With P = softmax, u the dropout multipliers and delta = rowsum(dO * O):
//   dV = (u P)^T dO,  dS = P (u (dO V^T) - delta),  dQ = scale dS K,  dK = scale dS^T Q.
// Key blocks outside, query blocks inside: dK, dV of a block and dQ of the whole head stay in scratch. Query heads that
// share a key/value head come one after the other and add to its dK and dV, which then stay there for all blocks.
class AttentionBackwardKernel final : public Kernel {
 public:
  explicit AttentionBackwardKernel(const OpDesc& desc)
      : g_(desc, 1, 2),
        parts_(attention_parts(g_.dtype)),
        workers_(make_workers<BackwardWorker>(g_)),
        slice_(BackwardScratch(g_, workers_[0], nullptr).bytes) {}

  std::size_t scratch_bytes() const override { return slice_ * workers_.size(); }

  void run(const RunContext& c) override {
    share_tasks(g_.batch * g_.key_value_heads, workers_, [&](std::int64_t task, BackwardWorker& worker) {
      const auto slice = static_cast<std::size_t>(&worker - workers_.data()) * slice_;
      const BackwardScratch s(g_, worker, static_cast<std::byte*>(c.scratch) + slice);
      const std::int64_t b = task / g_.key_value_heads, kv_head = task % g_.key_value_heads;
      for (std::int64_t member = 0; member < g_.group(); ++member) head(c, worker, s, b, kv_head, member);
    });
  }

 private:
  // Where the gradient of q (part 0), k or v of position t goes.
  void* gradient_at(const RunContext& c, int part, std::int64_t b, std::int64_t h, std::int64_t t) const {
    return c.out<std::byte>(g_.packed ? 0 : static_cast<std::size_t>(part)) +
           g_.at(part, b, h, t) * static_cast<std::int64_t>(g_.element);
  }

  // Row `row` of a dense array of one head's blocks.
  void* row_of(void* base, std::int64_t row) const {
    return static_cast<std::byte*>(base) + static_cast<std::size_t>(row * g_.padded) * g_.element;
  }

  // dQ of query head `member` of those that share a key/value head, and its part of dK and dV, which the last one
  // stores.
  void head(const RunContext& c, BackwardWorker& worker, const BackwardScratch& s, std::int64_t b, std::int64_t kv_head,
            std::int64_t member) const {
    const std::int64_t queries = g_.queries.extent, size = g_.queries.size, h = kv_head * g_.group() + member;
    g_.load(c.inputs[g_.q], g_.at(0, b, h, 0), g_.stride(0), queries, size * g_.queries.count, s.q);
    g_.load(c.inputs[0], g_.at_output(b, h, 0), g_.width(), queries, size * g_.queries.count, s.d_o);
    const auto* o = c.in<std::byte>(g_.v + 1);
    for (std::int64_t t = 0; t < queries; ++t) {
      s.delta[t] =
          parts_.dot(row_of(s.d_o, t), o + g_.at_output(b, h, t) * static_cast<std::int64_t>(g_.element), g_.head);
    }
    const float* lse = c.in<float>(g_.v + 2) + (b * g_.heads + h) * queries;

    for (std::int64_t j = 0; j < g_.keys.count; ++j) {
      const std::int64_t rows = g_.keys.rows(j), begin = g_.keys.begin(j);
      g_.load(c.inputs[g_.k], g_.at(1, b, kv_head, begin), g_.stride(1), rows, g_.keys.size, s.k);
      g_.load(c.inputs[g_.v], g_.at(2, b, kv_head, begin), g_.stride(2), rows, g_.keys.size, s.v);
      const float* bias = g_.bias_of(c, b, j, s.bias);
      const std::int64_t kept = j % g_.kept_key_blocks() * g_.keys.size * g_.padded;
      bool is_first = member == 0;
      for (std::int64_t i = 0; i < g_.queries.count; ++i) {
        if (!g_.touches(i, j)) continue;
        const std::int64_t at = g_.queries.begin(i);
        void *q = row_of(s.q, i * size), *d_o = row_of(s.d_o, i * size);
        const ScoreBlock block = g_.block(c, bias, b, h, i, j);
        worker.scores.run(q, s.k, s.scores, s.product, block);
        worker.scores.run(d_o, s.v, s.d_p, s.product, block);
        zero_padding(s.p, g_.queries.rows(i));
        zero_padding(s.d_s, g_.queries.rows(i));
        parts_.gradient(block, s.scores, s.d_p, lse + at, s.delta + at, s.p, s.d_s);
        worker.to_keys.run(s.p, d_o, s.d_v + kept, s.product, block, !is_first);
        worker.to_keys.run(s.d_s, q, s.d_k + kept, s.product, block, !is_first);
        worker.to_queries.run(s.d_s, s.k, s.d_q + i * size * g_.padded, s.product, block, j > 0);
        is_first = false;
      }
      if (member + 1 < g_.group()) continue;
      parts_.store_rows(s.d_k + kept, g_.padded, rows, g_.head, g_.scale, nullptr, gradient_at(c, 1, b, kv_head, begin),
                        g_.stride(1));
      parts_.store_rows(s.d_v + kept, g_.padded, rows, g_.head, 1.0f, nullptr, gradient_at(c, 2, b, kv_head, begin),
                        g_.stride(2));
    }
    parts_.store_rows(s.d_q, g_.padded, queries, g_.head, g_.scale, nullptr, gradient_at(c, 0, b, h, 0), g_.stride(0));
  }

  // Rows of a block of probabilities that are padding.
  void zero_padding(void* p, std::int64_t rows) const {
    const std::size_t row = static_cast<std::size_t>(g_.keys.size) * g_.element;
    std::memset(static_cast<std::byte*>(p) + static_cast<std::size_t>(rows) * row, 0,
                static_cast<std::size_t>(g_.queries.size - rows) * row);
  }

  Geometry g_;
  AttentionParts parts_;
  std::vector<BackwardWorker> workers_;
  std::size_t slice_;
};

// ([qkv | q, k, v], [mask], [rng]) -> (o, lse)
std::unique_ptr<Kernel> make_attention(const OpDesc& desc) { return std::make_unique<AttentionKernel>(desc); }

// (dO, [qkv | q, k, v], o, lse, [mask], [rng]) -> dqkv, or dq, dk, dv
std::unique_ptr<Kernel> make_attention_backward(const OpDesc& desc) {
  return std::make_unique<AttentionBackwardKernel>(desc);
}

}  // namespace

void register_attention(OpTable& table) {
  table.add("attention", make_attention);
  table.add("attentionBackward", make_attention_backward);
}

}  // namespace apollo::cpu
