// reduce (sum, mean, max, min over any axes), columnSum and argmax. (Softmax and cross-entropy are in softmax.cu.) All
// read their input once and are limited by that. How a sum is cut into parts depends on shapes alone, not on the GPU.
#include "cuda/ops/reduce.cuh"

#include <algorithm>
#include <string_view>
#include <vector>

#include "core/op_shapes.h"
#include "cuda/cuda.h"
#include "cuda/lib/launch.cuh"

namespace apollo::cuda {
namespace {

// Four blocks for each of an H100's multiprocessors: as each thread has four packs in progress, one wave of them is
// enough for the memory's bandwidth. Fixed, so that the order of sums is the same on every GPU.
constexpr std::int64_t kManyBlocks = 528;

// One reduction of the middle axis: [outer, reduced, inner] -> [outer, parts, inner]. With parts > 1 the next pass
// joins them.
struct Pass {
  std::int64_t outer, reduced, inner;
  std::int64_t parts = 1, part_size = 0;
  int threads = 0;    // an item of a row reduction
  int log_width = 0;  // of a column reduction
  bool packs = false;

  std::int64_t outputs() const { return outer * parts * inner; }
  void cut(std::int64_t wanted, std::int64_t multiple) {
    part_size = ceil_div(ceil_div(std::max<std::int64_t>(reduced, 1), wanted), multiple) * multiple;
    parts = std::max<std::int64_t>(1, ceil_div(reduced, part_size));
  }
};

// Rows from 2048 elements on are a block's work, and parts of them if there are few rows; a part has four packs for
// each thread. Shorter rows are the work of as many threads of a warp as they have packs.
void plan_rows(Pass& pass, std::int64_t width) {
  const std::int64_t least = 4 * width * kReduceThreads;
  if (pass.reduced >= 2048) {
    pass.threads = kReduceThreads;
    const std::int64_t most = std::max<std::int64_t>(1, pass.reduced / least);
    pass.cut(std::clamp<std::int64_t>(kManyBlocks / std::max<std::int64_t>(1, pass.outer), 1, most), width);
  } else {
    pass.threads = 1;
    while (pass.threads < kWarp && pass.threads * width < pass.reduced) pass.threads *= 2;
    pass.cut(1, 1);
  }
}

// A warp goes along 512 bytes of a row where there are as many, and eight rows are in progress in a block; with fewer
// than 32 rows to add, fewer. Where that leaves multiprocessors idle, blocks share out the rows if there are many, else
// they become narrower, down to 128 bytes of a row.
void plan_columns(Pass& pass, std::int64_t width, std::int64_t element_bytes) {
  pass.packs = pass.inner % width == 0;
  if (!pass.packs) width = 1;
  const std::int64_t columns = std::max<std::int64_t>(1, pass.outer * pass.inner / width);
  const auto blocks = [&] { return ceil_div(columns, std::int64_t{1} << pass.log_width); };
  const auto rows = [&] { return std::int64_t{kReduceThreads} >> pass.log_width; };
  while ((1 << pass.log_width) < std::min<std::int64_t>(columns, kReduceThreads)) ++pass.log_width;
  while (pass.log_width > 0 && rows() < 8 && 8 * rows() <= pass.reduced) --pass.log_width;
  const std::int64_t shared = kManyBlocks / blocks();  // blocks for the rows of one tile
  if (pass.reduced > 512 && shared > 1) {
    const std::int64_t most = std::clamp<std::int64_t>(pass.reduced / (4 * rows()), 1, 512);
    pass.cut(std::min(shared, most), 4 * rows());
    return;
  }
  const std::int64_t narrow = std::max<std::int64_t>(1, 128 / (width * element_bytes));
  while ((1 << pass.log_width) > narrow && 8 * rows() <= pass.reduced && blocks() < kManyBlocks / 2) --pass.log_width;
  pass.cut(1, 1);
}

// Passes that reduce the marked axes, from the last to the first; neighbouring axes of one kind count as one.
std::vector<Pass> plan_passes(const TensorDesc& x, const std::vector<bool>& reduced) {
  struct Group {
    std::int64_t extent;
    bool reduced;
  };
  std::vector<Group> groups;
  for (std::size_t d = 0; d < x.shape.size(); ++d) {
    if (x.shape[d] == 1) continue;
    if (!groups.empty() && groups.back().reduced == reduced[d]) {
      groups.back().extent *= x.shape[d];
    } else {
      groups.push_back({x.shape[d], reduced[d]});
    }
  }
  std::vector<Pass> passes;
  const auto add = [&](Pass pass) {
    // Only the first pass reads x; the others read 4 bytes per element. Integers are seldom and have no packs of
    // columns.
    const auto bytes = static_cast<std::int64_t>(passes.empty() ? size_of(x.dtype) : 4);
    if (pass.inner == 1) {
      plan_rows(pass, 16 / bytes);
    } else {
      plan_columns(pass, x.dtype == DType::I32 ? 1 : 16 / bytes, bytes);
    }
    passes.push_back(pass);
  };
  std::int64_t inner = 1;
  for (std::size_t g = groups.size(); g-- > 0;) {
    if (!groups[g].reduced) {
      inner *= groups[g].extent;
      continue;
    }
    std::int64_t outer = 1;
    for (std::size_t before = 0; before < g; ++before) outer *= groups[before].extent;
    add({outer, groups[g].extent, inner});
    while (passes.back().parts > 1) add({outer, passes.back().parts, inner});
  }
  if (passes.empty()) add({1, 1, inner});  // nothing to reduce: y = x
  return passes;
}

template <class T, class Op>
void launch_pass(const Pass& pass, const T* x, Op op, const Finish& finish, void* stream) {
  if (pass.inner == 1) {
    RowReduction plan;
    plan.items = pass.outer * pass.parts;
    plan.reduced = pass.reduced;
    plan.part_size = pass.part_size;
    plan.parts = static_cast<unsigned>(pass.parts);
    plan.threads = pass.threads;
    const unsigned blocks = blocks_for(plan.items * pass.threads, kReduceThreads);
    if (pass.threads == kReduceThreads) {
      launch(reduce_rows_kernel<T, Op, true>, {blocks, kReduceThreads}, stream, x, plan, op, finish);
    } else {
      launch(reduce_rows_kernel<T, Op, false>, {blocks, kReduceThreads}, stream, x, plan, op, finish);
    }
    return;
  }
  const auto launch_columns = [&](auto kernel, std::int64_t width) {
    ColumnReduction plan;
    plan.packs = Divisor(pass.inner / width);
    plan.columns = pass.outer * plan.packs.value;
    plan.reduced = pass.reduced;
    plan.inner = pass.inner;
    plan.part_size = pass.part_size;
    plan.parts = static_cast<int>(pass.parts);
    plan.log_width = pass.log_width;
    const dim3 grid(blocks_for(plan.columns, std::int64_t{1} << plan.log_width), static_cast<unsigned>(pass.parts));
    launch(kernel, {grid, kReduceThreads}, stream, x, plan, op, finish);
  };
  if constexpr (!std::is_same_v<T, std::int32_t>) {
    if (pass.packs) return launch_columns(reduce_columns_kernel<T, kPack<T>, Op>, kPack<T>);
  }
  launch_columns(reduce_columns_kernel<T, 1, Op>, 1);
}

// y (+)= factor * reduction of x: the passes, each into its half of scratch, the last one into y.
class ReduceKernel final : public Kernel {
 public:
  ReduceKernel(const OpDesc& desc, std::string_view kind, const std::vector<bool>& reduced)
      : x_(desc.inputs[0].dtype), passes_(plan_passes(desc.inputs[0], reduced)) {
    const DType y = desc.outputs[0].dtype;
    finish_ = {nullptr, y, 1.0f, desc.accumulates(0)};
    if (x_ == DType::I32 ? y != DType::I32 || kind == "mean" || finish_.add
                         : y == DType::I32 || (finish_.add && y != DType::F32)) {
      unsupported(desc, "cuda");
    }
    count_ = passes_.back().outputs();
    require(count_ == desc.outputs[0].elements(), desc.op + ": y's size is not that of the axes kept");
    if (kind == "mean") {
      finish_.factor = static_cast<float>(static_cast<double>(count_) / static_cast<double>(desc.inputs[0].elements()));
    }
    sums_ = kind == "sum" || kind == "mean";
    smallest_ = kind == "min";
    for (std::size_t p = 0; p + 1 < passes_.size(); ++p)
      half_ = std::max(half_, ceil_div(passes_[p].outputs(), 16) * 16);
  }

  std::size_t scratch_bytes() const override { return static_cast<std::size_t>(half_) * 2 * sizeof(float); }

  void run(const RunContext& c) override {
    if (count_ == 0) return;
    if (x_ == DType::I32) {
      sums_ ? run_passes<std::int32_t>(c, SumOf<std::int32_t>{})
            : run_passes<std::int32_t>(c, LargestOf<std::int32_t>{smallest_});
    } else if (x_ == DType::F32) {
      sums_ ? run_passes<float>(c, SumOf<float>{}) : run_passes<float>(c, LargestOf<float>{smallest_});
    } else {
      sums_ ? run_passes<Bf16>(c, SumOf<float>{}) : run_passes<Bf16>(c, LargestOf<float>{smallest_});
    }
  }

 private:
  template <class T, class Op>
  void run_passes(const RunContext& c, Op op) const {
    using L = Lane<T>;
    const L* from = nullptr;
    for (std::size_t p = 0; p < passes_.size(); ++p) {
      L* half = static_cast<L*>(c.scratch) + (p % 2 == 0 ? 0 : half_);
      Finish finish{half, x_ == DType::I32 ? DType::I32 : DType::F32};
      if (p + 1 == passes_.size()) {
        finish = finish_;
        finish.y = c.outputs[0];
      }
      if (p == 0) {
        launch_pass(passes_[p], c.in<T>(0), op, finish, c.stream);
      } else {
        launch_pass(passes_[p], from, op, finish, c.stream);
      }
      from = half;
    }
  }

  DType x_;
  std::vector<Pass> passes_;
  Finish finish_{};
  std::int64_t count_ = 0, half_ = 0;
  bool sums_ = false, smallest_ = false;
};

// Attributes `kind` and `axes`; all axes when they are absent. (y's shape says whether reduced axes stay as 1.)
std::unique_ptr<Kernel> make_reduce(const OpDesc& desc) {
  return std::make_unique<ReduceKernel>(desc, reduction_kind(desc), reduced_axes(desc));
}

// y[n] (+)= sum of x[..., n]: the gradient of a bias. x [65536, 768] of bf16 becomes 3 tiles of columns times 171 parts
// of 384 rows, whose sums are 0.5 % of what is read, and 24 blocks that join them.
std::unique_ptr<Kernel> make_column_sum(const OpDesc& desc) {
  if (desc.outputs[0].dtype != DType::F32) unsupported(desc, "cuda");
  return std::make_unique<ReduceKernel>(desc, "sum", axes_before_last(desc.inputs[0]));
}

// An element and where it is; `column` is kNone until there is one above the lowest value.
template <class L>
struct Best {
  static constexpr std::int32_t kNone = std::numeric_limits<std::int32_t>::max();
  L value;
  std::int32_t column;

  __device__ bool less_than(L other) const { return other > value || (other != other && value == value); }
  // The larger element, the earlier one of equals; NaNs are above all and equal.
  __device__ void join(const Best& other) {
    const bool equal = !less_than(other.value) && !other.less_than(value);
    if (equal ? other.column < column : less_than(other.value)) *this = other;
  }
};

// y[row] = the first column of the largest x[row, column] (of the first NaN, if there is one). A block takes a row, or
// each of its warps does.
template <class T, bool kBlock>
__global__ void __launch_bounds__(kReduceThreads)
    argmax_kernel(const T* __restrict__ x, std::int32_t* y, std::int64_t rows, int columns) {
  using L = Lane<T>;
  constexpr int kThreads = kBlock ? kReduceThreads : kWarp, kWarps = kReduceThreads / kWarp;
  const int thread = static_cast<int>(threadIdx.x) % kThreads, lane = thread % kWarp;
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * (kReduceThreads / kThreads) + threadIdx.x / kThreads;
  if (row >= rows) return;  // whole warps; with kBlock there is none
  const std::int64_t first = row * columns;
  Best<L> best{LargestOf<L>::kInitial, Best<L>::kNone};
  for_row<kPack<T>>(first, columns, thread, kThreads, [&](auto count, int column) {
    L v[decltype(count)::value];
    load_lanes(x + first + column, v);
#pragma unroll
    for (int k = 0; k < decltype(count)::value; ++k) {
      if (best.less_than(v[k])) best = {v[k], column + k};
    }
  });
#pragma unroll
  for (int step = kWarp / 2; step > 0; step /= 2) {
    best.join({__shfl_xor_sync(kAllLanes, best.value, step), __shfl_xor_sync(kAllLanes, best.column, step)});
  }
  if constexpr (kBlock) {
    __shared__ L values[kWarps];
    __shared__ std::int32_t places[kWarps];
    const int warp = thread / kWarp;
    if (lane == 0) {
      values[warp] = best.value;
      places[warp] = best.column;
    }
    __syncthreads();
    for (int other = 0; other < kWarps; ++other) best.join({values[other], places[other]});
  }
  if (thread == 0) y[row] = best.column == Best<L>::kNone ? 0 : best.column;  // all lowest: the first is as good
}

template <class T>
std::unique_ptr<Kernel> argmax_of(std::int64_t rows, std::int64_t columns) {
  return std::make_unique<FunctionKernel>([=](const RunContext& c) {
    if (rows == 0) return;
    const auto width = static_cast<int>(columns);
    if (columns >= 2048) {
      launch(argmax_kernel<T, true>, {blocks_for(rows, 1), kReduceThreads}, c.stream, c.in<T>(0),
             c.out<std::int32_t>(0), rows, width);
    } else {
      launch(argmax_kernel<T, false>, {blocks_for(rows, kReduceThreads / kWarp), kReduceThreads}, c.stream, c.in<T>(0),
             c.out<std::int32_t>(0), rows, width);
    }
  });
}

std::unique_ptr<Kernel> make_argmax(const OpDesc& desc) {
  const TensorDesc& x = desc.inputs[0];
  if (desc.outputs[0].dtype != DType::I32) unsupported(desc, "cuda");
  const std::int64_t rows = x.rows(), columns = x.last();
  require(desc.outputs[0].elements() == rows, "argmax: y has not one element a row");
  switch (x.dtype) {
    case DType::F32: return argmax_of<float>(rows, columns);
    case DType::BF16: return argmax_of<Bf16>(rows, columns);
    default: return argmax_of<std::int32_t>(rows, columns);
  }
}

}  // namespace

void register_reduce(OpTable& table, Context& context) {
  table.add("reduce", make_reduce);
  table.add("columnSum", make_column_sum);
  table.add("argmax", make_argmax);
  register_softmax(table, context);
}

}  // namespace apollo::cuda
