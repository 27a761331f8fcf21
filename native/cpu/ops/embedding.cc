// Rows picked by index and their gradient: embedding and gatherRows copy rows; embeddingBackward and scatterRows add
// rows into a table. Limited by memory traffic: each row is read once and each row of the result written once.
#include <cstring>

#include "cpu/cpu.h"
#include "cpu/indices.h"
#include "cpu/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/ops/embedding.cc"
#include "cpu/simd/targets.h"
#include "hwy/foreach_target.h"
// The above must come first.
#include "cpu/simd/simd-inl.h"
#include "hwy/highway.h"

#ifndef APOLLO_CPU_EMBEDDING_TYPES_
#define APOLLO_CPU_EMBEDDING_TYPES_
namespace apollo::cpu {
// to[c] (+)= sum over k < count, in this order, of rows[positions[k] * width + c], for c < columns.
using SumRowsRun = void (*)(const void* rows, std::size_t width, const std::int32_t* positions, std::size_t count,
                            std::size_t columns, bool add, void* to);
}  // namespace apollo::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace apollo::cpu::HWY_NAMESPACE {
namespace {

// Eight vectors of the sum are held in registers while the rows pass by, so a frequent id costs one read of its rows.
template <class From, class To>
void sum_rows_run(const void* rows, std::size_t width, const std::int32_t* positions, std::size_t count,
                  std::size_t columns, bool add, void* result) {
  const F32 d;
  const From* from = static_cast<const From*>(rows);
  To* to = static_cast<To*>(result);
  const std::size_t lanes = hn::Lanes(d), block = 8 * lanes;
  std::size_t c = 0;
  for (; c + block <= columns; c += block) {
    hn::Vec<F32> sum[8];
    for (std::size_t v = 0; v < 8; ++v) sum[v] = add ? load(d, to + c + v * lanes, Full()) : hn::Zero(d);
    for (std::size_t k = 0; k < count; ++k) {
      const From* row = from + static_cast<std::size_t>(positions[k]) * width + c;
      for (std::size_t v = 0; v < 8; ++v) sum[v] = hn::Add(sum[v], load(d, row + v * lanes, Full()));
    }
    for (std::size_t v = 0; v < 8; ++v) store(sum[v], d, to + c + v * lanes, Full());
  }
  for_vectors(d, columns - c, [&](std::size_t i, auto part) HWY_ATTR {
    auto sum = add ? load(d, to + c + i, part) : hn::Zero(d);
    for (std::size_t k = 0; k < count; ++k) {
      sum = hn::Add(sum, load(d, from + static_cast<std::size_t>(positions[k]) * width + c + i, part));
    }
    store(sum, d, to + c + i, part);
  });
}

SumRowsRun find_sum_rows(DType from, DType to) {
  if (from == DType::F32) return to == DType::F32 ? sum_rows_run<float, float> : sum_rows_run<float, Bf16>;
  return to == DType::F32 ? sum_rows_run<Bf16, float> : sum_rows_run<Bf16, Bf16>;
}

}  // namespace
}  // namespace apollo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apollo::cpu {
namespace {

HWY_EXPORT(find_sum_rows);

// y[p, :] = table[ids[p], :]. Threads take contiguous p.
std::unique_ptr<Kernel> make_gather(const OpDesc& desc, const char* indices_name) {
  const TensorDesc &table = desc.inputs[0], &ids = desc.inputs[1], &y = desc.outputs[0];
  if (table.dtype != y.dtype || ids.dtype != DType::I32) unsupported(desc, "cpu");
  require(table.shape.size() == 2, desc.op + ": the table must be a matrix");
  const std::int64_t limit = table.shape[0], count = ids.elements();
  const std::int64_t row_bytes = table.shape[1] * static_cast<std::int64_t>(size_of(table.dtype));
  require(y.elements() == count * table.shape[1], desc.op + ": y has not one row an index");
  return std::make_unique<FunctionKernel>([=, op = desc.op](const RunContext& c) {
    const auto* index = c.in<std::int32_t>(1);
    check_indices(op, indices_name, index, count, limit);
    if (row_bytes == 0) return;
    parallel_rows(count, 2 * row_bytes, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t p = begin; p < end; ++p) {
        std::memcpy(c.out<std::byte>(0) + p * row_bytes, c.in<std::byte>(0) + index[p] * row_bytes,
                    static_cast<std::size_t>(row_bytes));
      }
    });
  });
}

// table[v, :] (+)= sum over p with ids[p] = v of dy[p, :], rows without such p becoming 0 (or staying, with +=).
// The positions are sorted by id (a stable counting sort in scratch), so that each element of the table is written by
// one thread, adding in the order of p: the same bits for any number of threads. Threads share the columns first, as
// far as pieces of kPiece columns go, which is even however skewed the ids are; beyond that, ranges of rows of about
// equal work.
class ScatterAdd final : public Kernel {
 public:
  ScatterAdd(const OpDesc& desc, const char* indices_name) : op_(desc.op), indices_name_(indices_name) {
    const TensorDesc &dy = desc.inputs[0], &ids = desc.inputs[1], &table = desc.outputs[0];
    add_ = desc.accumulates(0);
    if (dy.dtype == DType::I32 || table.dtype == DType::I32 || ids.dtype != DType::I32 ||
        (add_ && table.dtype != DType::F32)) {
      unsupported(desc, "cpu");
    }
    require(table.shape.size() == 2, op_ + ": the result must be a matrix");
    rows_ = table.shape[0];
    width_ = table.shape[1];
    positions_ = ids.elements();
    require(dy.elements() == positions_ * width_, op_ + ": dy has not one row an index");
    dy_size_ = static_cast<std::int64_t>(size_of(dy.dtype));
    table_size_ = static_cast<std::int64_t>(size_of(table.dtype));
    run_ = HWY_DYNAMIC_DISPATCH(find_sum_rows)(dy.dtype, table.dtype);
  }

  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(rows_ + 1 + positions_) * sizeof(std::int32_t);
  }

  void run(const RunContext& c) override {
    const auto* ids = c.in<std::int32_t>(1);
    check_indices(op_, indices_name_, ids, positions_, rows_);
    if (width_ == 0 || rows_ == 0) return;
    auto* begins = static_cast<std::int32_t*>(c.scratch);  // [rows + 1]: where the positions of row v begin in `order`
    auto* order = begins + rows_ + 1;                      // [positions]
    sort(ids, begins, order);

    const std::int64_t work = add_ ? positions_ : positions_ + rows_;
    const std::int64_t threads =
        std::clamp<std::int64_t>(work * width_ * dy_size_ / kParallelBytes, 1, omp_get_max_threads());
    const std::int64_t pieces = std::clamp<std::int64_t>(width_ / kPiece, 1, threads);
    const std::int64_t row_shares = (threads + pieces - 1) / pieces, column_shares = threads / row_shares;
    parallel_ranges(column_shares * row_shares, 1, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t share = begin; share < end; ++share) {
        const std::int64_t column = share / row_shares, row = share % row_shares;
        const std::int64_t first_column = first_of(column, column_shares);
        add_share(c, begins, order, row_at(begins, work * row / row_shares),
                  row_at(begins, work * (row + 1) / row_shares), first_column,
                  first_of(column + 1, column_shares) - first_column);
      }
    });
  }

 private:
  static constexpr std::int64_t kPiece = 64;

  void sort(const std::int32_t* ids, std::int32_t* begins, std::int32_t* order) const {
    std::fill_n(begins, rows_ + 1, 0);
    for (std::int64_t p = 0; p < positions_; ++p) ++begins[ids[p]];
    std::int32_t sum = 0;
    for (std::int64_t v = 0; v <= rows_; ++v) sum += begins[v], begins[v] = sum;  // ends, and the total last
    for (std::int64_t p = positions_; p-- > 0;) order[--begins[ids[p]]] = static_cast<std::int32_t>(p);
  }

  // Where a share of the columns begins: on a whole cache line of f32, so that no two threads write to one.
  std::int64_t first_of(std::int64_t share, std::int64_t shares) const {
    return share == shares ? width_ : width_ * share / shares / 16 * 16;
  }

  // The first row before which at least `work` is: the additions and, where rows are cleared, those too.
  std::int64_t row_at(const std::int32_t* begins, std::int64_t work) const {
    std::int64_t low = 0, high = rows_;
    while (low < high) {
      const std::int64_t middle = (low + high) / 2;
      if (begins[middle] + (add_ ? 0 : middle) < work) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  void add_share(const RunContext& c, const std::int32_t* begins, const std::int32_t* order, std::int64_t first_row,
                 std::int64_t last_row, std::int64_t first_column, std::int64_t columns) const {
    const auto* from = c.in<std::byte>(0) + first_column * dy_size_;
    for (std::int64_t v = first_row; v < last_row; ++v) {
      auto* to = c.out<std::byte>(0) + (v * width_ + first_column) * table_size_;
      const std::int32_t begin = begins[v], end = begins[v + 1];
      if (begin != end) {
        run_(from, static_cast<std::size_t>(width_), order + begin, static_cast<std::size_t>(end - begin),
             static_cast<std::size_t>(columns), add_, to);
      } else if (!add_) {
        std::memset(to, 0, static_cast<std::size_t>(columns * table_size_));
      }
    }
  }

  std::string op_;
  const char* indices_name_;
  std::int64_t rows_ = 0, width_ = 0, positions_ = 0, dy_size_ = 4, table_size_ = 4;
  bool add_ = false;
  SumRowsRun run_ = nullptr;
};

std::unique_ptr<Kernel> make_embedding(const OpDesc& desc) { return make_gather(desc, "ids"); }
std::unique_ptr<Kernel> make_gather_rows(const OpDesc& desc) { return make_gather(desc, "indices"); }

std::unique_ptr<Kernel> make_embedding_backward(const OpDesc& desc) {
  if (desc.outputs[0].dtype != DType::F32) unsupported(desc, "cpu");
  return std::make_unique<ScatterAdd>(desc, "ids");
}
std::unique_ptr<Kernel> make_scatter_rows(const OpDesc& desc) { return std::make_unique<ScatterAdd>(desc, "indices"); }

}  // namespace

void register_embedding(OpTable& table) {
  table.add("embedding", make_embedding);
  table.add("embeddingBackward", make_embedding_backward);
  table.add("gatherRows", make_gather_rows);
  table.add("scatterRows", make_scatter_rows);
}

}  // namespace apollo::cpu
#endif  // HWY_ONCE
