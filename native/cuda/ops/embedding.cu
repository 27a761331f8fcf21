// Rows picked by index and their gradient: embedding and gatherRows copy rows; embeddingBackward and scatterRows add
// rows into a table. Limited by memory traffic: each row is read once and each row of the result written once.
#include <algorithm>
#include <bit>
#include <memory>
#include <type_traits>

#include "cuda/cuda.h"
#include "cuda/lib/block.cuh"
#include "cuda/lib/indices.cuh"
#include "cuda/lib/launch.cuh"
#include "cuda/lib/sort.cuh"
#include "cuda/lib/vector.cuh"

namespace apollo::cuda {
namespace {

constexpr int kGatherWarps = 8, kPieceWarps = 4, kRunWarps = 8;

// y[p, :] = table[ids[p], :], and 0 where the id is wrong. A warp copies a row, 4 words per lane at once; a word is 16
// bytes where rows are multiples of it.
template <class Word>
__global__ void __launch_bounds__(kGatherWarps* kWarp)
    gather_kernel(const Word* table, const std::int32_t* ids, std::int64_t count, std::int32_t limit,
                  std::int64_t words, Word* y) {
  constexpr int kAhead = 4;
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * kGatherWarps + threadIdx.x / kWarp;
  if (row >= count) return;
  const std::int32_t id = ids[row];
  const bool valid = allowed(id, limit, false);
  const Word* from = table + (valid ? id : 0) * words;
  Word* to = y + row * words;
  for (std::int64_t c = threadIdx.x % kWarp; c < words; c += kAhead * kWarp) {
    Word word[kAhead] = {};
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      if (valid && c + a * kWarp < words) word[a] = from[c + a * kWarp];
    }
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      if (c + a * kWarp < words) to[c + a * kWarp] = word[a];
    }
  }
}

template <class Word>
void gather(const RunContext& c, std::int64_t count, std::int64_t limit, std::int64_t row_bytes) {
  launch(gather_kernel<Word>, {blocks_for(count, kGatherWarps), kGatherWarps * kWarp}, c.stream, c.in<Word>(0),
         c.in<std::int32_t>(1), count, static_cast<std::int32_t>(limit),
         row_bytes / static_cast<std::int64_t>(sizeof(Word)), c.out<Word>(0));
}

class Gather final : public Kernel {
 public:
  Gather(const OpDesc& desc, const char* indices_name, Context& context) {
    const TensorDesc &table = desc.inputs[0], &ids = desc.inputs[1], &y = desc.outputs[0];
    if (table.dtype != y.dtype || ids.dtype != DType::I32) unsupported(desc, "cuda");
    require(table.shape.size() == 2, desc.op + ": the table must be a matrix");
    limit_ = table.shape[0];
    count_ = ids.elements();
    row_bytes_ = table.shape[1] * static_cast<std::int64_t>(size_of(table.dtype));
    require(y.elements() == count_ * table.shape[1], desc.op + ": y has not one row an index");
    check_ = std::make_unique<IndexCheck>(context, IndexRule{desc.op, indices_name, limit_}, count_);
  }

  void run(const RunContext& c) override {
    if (count_ == 0) return;
    check_->run(c.in<std::int32_t>(1), c.stream);
    if (row_bytes_ == 0) return;
    if (row_bytes_ % 16 == 0) {
      gather<uint4>(c, count_, limit_, row_bytes_);
    } else if (row_bytes_ % 4 == 0) {
      gather<std::uint32_t>(c, count_, limit_, row_bytes_);
    } else {
      gather<std::uint16_t>(c, count_, limit_, row_bytes_);
    }
  }

 private:
  std::int64_t limit_ = 0, count_ = 0, row_bytes_ = 0;
  std::unique_ptr<IndexCheck> check_;
};

// ---- sums of rows ----
//
// table[v, :] (+)= sum over p with ids[p] = v of dy[p, :], rows without such p becoming 0 (or staying, with +=).
// The positions are sorted by id, stably, and cut into pieces of equal length, so that a frequent id is shared out like
// any other work. A warp adds the rows of a piece, id by id ("runs"). A run that is in its piece goes to the table;
// one that crosses borders leaves a partial sum in each piece, and a second kernel adds those in a fixed order. No
// atomics: equal inputs give equal bits.

// Wrong ids get the key `limit`: they come last, and are skipped.
__global__ void keys_kernel(const std::int32_t* ids, std::int32_t count, std::int32_t limit, std::uint32_t* keys,
                            std::int32_t* positions) {
  const auto p = static_cast<std::int32_t>(blockIdx.x * blockDim.x + threadIdx.x);
  if (p >= count) return;
  keys[p] = static_cast<std::uint32_t>(allowed(ids[p], limit, false) ? ids[p] : limit);
  positions[p] = p;
}

struct Pieces {
  const std::uint32_t* keys;      // [count], sorted
  const std::int32_t* positions;  // [count], in the order of the keys
  std::int32_t count, length, pieces;
  std::uint32_t limit;
  std::int32_t width;
  bool add;
  // [pieces][2][width]: for the run that comes from the previous piece, and for the run that starts here and continues.
  float* partials;

  __device__ float* head(std::int32_t piece) const { return partials + static_cast<std::int64_t>(piece) * 2 * width; }
  __device__ float* tail(std::int32_t piece) const { return head(piece) + width; }
};

template <class T, int kCount>
struct alignas(sizeof(T) * kCount) Elements {
  T values[kCount];
};

template <class To, int kCount>
__device__ __forceinline__ void put(float (&sum)[kCount], bool add, To* to) {
  if (add) {
    float before[kCount];
    load(to, before);
#pragma unroll
    for (int k = 0; k < kCount; ++k) sum[k] += before[k];
  }
  store(sum, to);
}

// A warp has one piece and 32 kWidth columns; 8 rows are in progress at once: 4 KiB per warp, and of warps there are
// some 8 a multiprocessor and strip of columns. kWidth: a pack, or 1 where rows are no multiples of it.
template <class From, class To, int kWidth>
__global__ void __launch_bounds__(kPieceWarps* kWarp)
    sum_pieces_kernel(const From* dy, Pieces all, std::int32_t strips, To* table) {
  constexpr int kAhead = 8;
  const std::int64_t warp = static_cast<std::int64_t>(blockIdx.x) * kPieceWarps + threadIdx.x / kWarp;
  const auto piece = static_cast<std::int32_t>(warp / strips);
  if (piece >= all.pieces) return;
  const auto column =
      (static_cast<std::int32_t>(warp % strips) * kWarp + static_cast<std::int32_t>(threadIdx.x) % kWarp) * kWidth;
  if (column >= all.width) return;  // nothing below is done by the lanes of a warp together
  const std::int32_t begin = piece * all.length, end = min(all.count, begin + all.length);
  const bool from_before = begin > 0 && all.keys[begin - 1] == all.keys[begin];
  const bool goes_on = end < all.count && all.keys[end] == all.keys[end - 1];

  float sum[kWidth] = {};
  std::uint32_t key = all.keys[begin];
  bool is_first = true;  // of the piece's runs
  const auto close = [&](bool is_last) {
    if (key == all.limit) return;
    if (is_first && from_before) {
      store(sum, all.head(piece) + column);
    } else if (is_last && goes_on) {
      store(sum, all.tail(piece) + column);
    } else {
      put(sum, all.add, table + static_cast<std::int64_t>(key) * all.width + column);
    }
  };
  const auto add_rows = [&](auto rows_at_once, std::int32_t first) {
    constexpr int kCount = decltype(rows_at_once)::value;
    std::uint32_t keys[kCount];
    Elements<From, kWidth> row[kCount];
#pragma unroll
    for (int a = 0; a < kCount; ++a) {
      keys[a] = all.keys[first + a];
      const std::int64_t position = all.positions[first + a];
      row[a] = *reinterpret_cast<const Elements<From, kWidth>*>(dy + position * all.width + column);
    }
#pragma unroll
    for (int a = 0; a < kCount; ++a) {
      if (keys[a] != key) {
        close(false);
#pragma unroll
        for (float& element : sum) element = 0.0f;
        key = keys[a];
        is_first = false;
      }
#pragma unroll
      for (int k = 0; k < kWidth; ++k) sum[k] += to_float(row[a].values[k]);
    }
  };
  std::int32_t next = begin;
  for (; next + kAhead <= end; next += kAhead) add_rows(std::integral_constant<int, kAhead>(), next);
  for (; next < end; ++next) add_rows(std::integral_constant<int, 1>(), next);
  close(true);
}

// Adds the partial sums of the run that starts in piece blockIdx.x and continues, if there is one: the warps take every
// 8th, their sums are added in order. blockIdx.y: 32 kWidth columns.
template <class To, int kWidth>
__global__ void __launch_bounds__(kRunWarps* kWarp) sum_runs_kernel(Pieces all, To* table) {
  constexpr int kAhead = 4;
  const auto piece = static_cast<std::int32_t>(blockIdx.x);
  const std::int32_t begin = piece * all.length, end = begin + all.length;
  if (end >= all.count) return;
  const std::uint32_t key = all.keys[end];
  if (all.keys[end - 1] != key || key == all.limit || (begin > 0 && all.keys[begin - 1] == key)) return;

  // The last piece that starts with `key`: each lane tries one of 32 borders in what is left of [last, beyond).
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  std::int32_t last = piece + 1, beyond = all.pieces;
  while (beyond - last > 1) {
    const std::int32_t step = (beyond - last - 2) / kWarp + 1, probe = last + (lane + 1) * step;
    const bool equal = probe < beyond && all.keys[static_cast<std::int64_t>(probe) * all.length] == key;
    last += __popc(__ballot_sync(kAllLanes, equal)) * step;
    beyond = min(beyond, last + step);
  }

  const std::int32_t column = (static_cast<std::int32_t>(blockIdx.y) * kWarp + lane) * kWidth;
  const std::int32_t parts = last - piece + 1;
  float sum[kWidth] = {};
  if (column < all.width) {
    const auto at = [&](std::int32_t part) { return (part == 0 ? all.tail(piece) : all.head(piece + part)) + column; };
    std::int32_t first = warp;
    for (; first + (kAhead - 1) * kRunWarps < parts; first += kAhead * kRunWarps) {
      float part[kAhead][kWidth];
#pragma unroll
      for (int a = 0; a < kAhead; ++a) load(at(first + a * kRunWarps), part[a]);
#pragma unroll
      for (int a = 0; a < kAhead; ++a) {
#pragma unroll
        for (int k = 0; k < kWidth; ++k) sum[k] += part[a][k];
      }
    }
    for (; first < parts; first += kRunWarps) {
      float part[kWidth];
      load(at(first), part);
#pragma unroll
      for (int k = 0; k < kWidth; ++k) sum[k] += part[k];
    }
  }
  __shared__ float shared[kRunWarps][kWidth][kWarp];
#pragma unroll
  for (int k = 0; k < kWidth; ++k) shared[warp][k][lane] = sum[k];
  __syncthreads();
  if (warp > 0 || column >= all.width) return;
#pragma unroll
  for (int w = 1; w < kRunWarps; ++w) {
#pragma unroll
    for (int k = 0; k < kWidth; ++k) sum[k] += shared[w][k][lane];
  }
  put(sum, all.add, table + static_cast<std::int64_t>(key) * all.width + column);
}

template <class From, class To, int kFromWidth, int kPartWidth>
void sum_rows(const RunContext& c, const Pieces& all) {
  const auto strips = static_cast<std::int32_t>(ceil_div(all.width, kWarp * kFromWidth));
  launch(sum_pieces_kernel<From, To, kFromWidth>,
         {blocks_for(static_cast<std::int64_t>(all.pieces) * strips, kPieceWarps), kPieceWarps * kWarp}, c.stream,
         c.in<From>(0), all, strips, c.out<To>(0));
  if (all.pieces == 1) return;
  const dim3 grid(static_cast<unsigned>(all.pieces - 1), blocks_for(all.width, kWarp * kPartWidth));
  launch(sum_runs_kernel<To, kPartWidth>, {grid, kRunWarps * kWarp}, c.stream, all, c.out<To>(0));
}

class ScatterAdd final : public Kernel {
 public:
  ScatterAdd(const OpDesc& desc, const char* indices_name, Context& context) {
    const TensorDesc &dy = desc.inputs[0], &ids = desc.inputs[1], &table = desc.outputs[0];
    add_ = desc.accumulates(0);
    from_ = dy.dtype;
    to_ = table.dtype;
    if (from_ == DType::I32 || to_ == DType::I32 || ids.dtype != DType::I32 || (add_ && to_ != DType::F32)) {
      unsupported(desc, "cuda");
    }
    require(table.shape.size() == 2, desc.op + ": the result must be a matrix");
    rows_ = table.shape[0];
    width_ = table.shape[1];
    count_ = static_cast<std::int32_t>(ids.elements());
    table_bytes_ = table.bytes();
    require(dy.elements() == count_ * width_, desc.op + ": dy has not one row an index");
    check_ = std::make_unique<IndexCheck>(context, IndexRule{desc.op, indices_name, rows_}, count_);
    // Short pieces for few positions, so that all multiprocessors have some; long ones make few partial sums.
    const std::int64_t share = ceil_div(count_, std::int64_t{8} * context.multiprocessors());
    length_ = static_cast<std::int32_t>(std::clamp<std::int64_t>(ceil_div(share, 8) * 8, 8, 64));
    pieces_ = static_cast<std::int32_t>(ceil_div(count_, length_));
    bits_ = static_cast<int>(std::bit_width(static_cast<std::uint32_t>(rows_)));
    if (count_ > 0) sort_bytes_ = sort_pairs_bytes(count_, bits_);
  }

  std::size_t scratch_bytes() const override {
    return sort_offset() + padded(sort_bytes_) + static_cast<std::size_t>(pieces_ * 2 * width_) * sizeof(float);
  }

  void run(const RunContext& c) override {
    const auto* ids = c.in<std::int32_t>(1);
    if (count_ > 0) check_->run(ids, c.stream);
    if (width_ == 0 || rows_ == 0) return;
    if (!add_) {
      check(cudaMemsetAsync(c.outputs[0], 0, table_bytes_, static_cast<cudaStream_t>(c.stream)), "clearing a table");
    }
    if (count_ == 0) return;
    auto* scratch = static_cast<std::byte*>(c.scratch);
    const auto array = [&](int i) { return scratch + static_cast<std::size_t>(i) * list_bytes(); };
    auto *keys = reinterpret_cast<std::uint32_t*>(array(0)), *sorted = reinterpret_cast<std::uint32_t*>(array(1));
    auto *positions = reinterpret_cast<std::int32_t*>(array(2)), *order = reinterpret_cast<std::int32_t*>(array(3));
    constexpr int kThreads = 256;
    launch(keys_kernel, {blocks_for(count_, kThreads), kThreads}, c.stream, ids, count_,
           static_cast<std::int32_t>(rows_), keys, positions);
    sort_pairs(scratch + sort_offset(), sort_bytes_, keys, sorted, positions, order, count_, bits_, c.stream);

    Pieces all{};
    all.keys = sorted;
    all.positions = order;
    all.count = count_;
    all.length = length_;
    all.pieces = pieces_;
    all.limit = static_cast<std::uint32_t>(rows_);
    all.width = static_cast<std::int32_t>(width_);
    all.add = add_;
    all.partials = reinterpret_cast<float*>(scratch + sort_offset() + padded(sort_bytes_));
    if (from_ == DType::F32) {
      to_ == DType::F32 ? sum_from<float, float>(c, all) : sum_from<float, Bf16>(c, all);
    } else {
      to_ == DType::F32 ? sum_from<Bf16, float>(c, all) : sum_from<Bf16, Bf16>(c, all);
    }
  }

 private:
  static std::size_t padded(std::size_t bytes) { return (bytes + 255) / 256 * 256; }
  std::size_t list_bytes() const { return padded(static_cast<std::size_t>(count_) * sizeof(std::int32_t)); }
  std::size_t sort_offset() const { return 4 * list_bytes(); }

  template <class From, class To>
  static void sum_from(const RunContext& c, const Pieces& all) {
    if (all.width % kPack<From> == 0 && all.width % kPack<To> == 0) {
      sum_rows<From, To, kPack<From>, kPack<To>>(c, all);
    } else {
      sum_rows<From, To, 1, 1>(c, all);
    }
  }

  std::unique_ptr<IndexCheck> check_;
  DType from_ = DType::F32, to_ = DType::F32;
  std::int64_t rows_ = 0, width_ = 0;
  std::int32_t count_ = 0, length_ = 0, pieces_ = 0;
  int bits_ = 0;
  std::size_t sort_bytes_ = 0, table_bytes_ = 0;
  bool add_ = false;
};

template <class K>
KernelFactory indexed(Context& context, const char* indices_name) {
  return [&context, indices_name](const OpDesc& desc) { return std::make_unique<K>(desc, indices_name, context); };
}

}  // namespace

void register_embedding(OpTable& table, Context& context) {
  table.add("embedding", indexed<Gather>(context, "ids"));
  table.add("embeddingBackward", [&context](const OpDesc& desc) -> std::unique_ptr<Kernel> {
    if (desc.outputs[0].dtype != DType::F32) unsupported(desc, "cuda");
    return std::make_unique<ScatterAdd>(desc, "ids", context);
  });
  table.add("gatherRows", indexed<Gather>(context, "indices"));
  table.add("scatterRows", indexed<ScatterAdd>(context, "indices"));
}

}  // namespace apollo::cuda
