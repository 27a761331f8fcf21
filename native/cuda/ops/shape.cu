// Ops that move elements and compute nothing: transpose, broadcast, slice, unslice, concat. All are limited by memory
// traffic, one read and one write an element; dtypes matter only by their size.
#include <functional>
#include <utility>

#include "core/op_shapes.h"
#include "cuda/cuda.h"
#include "cuda/ops/strided_copy.cuh"
#include "cuda/ops/transpose.cuh"

namespace apollo::cuda {
namespace {

// A copy of one part of an op's elements from input to output.
using Move = std::function<void(void* to, const void* from, void* stream)>;

std::unique_ptr<Kernel> kernel_of(std::vector<Move> moves) {
  return std::make_unique<FunctionKernel>([moves = std::move(moves)](const RunContext& c) {
    for (const Move& move : moves) move(c.outputs[0], c.inputs[0], c.stream);
  });
}

Move strided_copy(const OpDesc& desc, const CopySpace& space) {
  return [copy = StridedCopy(desc.op, space, desc.outputs[0].dtype)](void* to, const void* from, void* stream) {
    copy.run(to, from, stream);
  };
}

// Below this a tile would be mostly empty, and the extent is so small that lines of the strided side stay in caches
// until they are used up.
constexpr std::int64_t kLeastTiled = 8;

Move transpose_move(const OpDesc& desc, const CopySpace& space) {
  std::size_t source_loop = space.loops.size() - 1;
  for (std::size_t d = 0; d < space.loops.size(); ++d) {
    if (space.loops[d].stride[1] == 1) source_loop = d;
  }
  const bool tiled = source_loop + 1 < space.loops.size() && space.loops.back().extent >= kLeastTiled &&
                     space.loops[source_loop].extent >= kLeastTiled;
  if (!tiled) return strided_copy(desc, space);
  const auto move = [&](auto copy) -> Move {
    return [copy](void* to, const void* from, void* stream) { copy.run(to, from, stream); };
  };
  if (size_of(desc.outputs[0].dtype) == 2) return move(TiledCopy<std::uint16_t>(desc.op, space, source_loop));
  return move(TiledCopy<std::uint32_t>(desc.op, space, source_loop));
}

// y[i_0, …] = x[…] with y's axis k being x's axis perm[k].
std::unique_ptr<Kernel> make_transpose(const OpDesc& desc) {
  const TensorDesc &x = desc.inputs[0], &y = desc.outputs[0];
  if (x.dtype != y.dtype) unsupported(desc, "cuda");
  const LoopNest<2> nest(y.shape, {row_major_strides(y.shape), transposed_strides(desc)});
  std::vector<Move> moves;
  for (const CopySpace& part : small_parts(CopySpace{nest.loops, {}})) moves.push_back(transpose_move(desc, part));
  return kernel_of(std::move(moves));
}

std::unique_ptr<Kernel> make_broadcast(const OpDesc& desc) {
  const TensorDesc &x = desc.inputs[0], &y = desc.outputs[0];
  if (x.dtype != y.dtype) unsupported(desc, "cuda");
  const LoopNest<2> nest(y.shape, {row_major_strides(y.shape), broadcast_strides(x.shape, y.shape)});
  return kernel_of({strided_copy(desc, {nest.loops, {}})});
}

// y = x[starts : starts + y.shape].
std::unique_ptr<Kernel> make_slice(const OpDesc& desc) {
  const TensorDesc &x = desc.inputs[0], &y = desc.outputs[0];
  if (x.dtype != y.dtype) unsupported(desc, "cuda");
  const std::int64_t offset = region_offset(x.shape, desc.attrs.integers("starts"), y.shape, "slice");
  const LoopNest<2> nest(y.shape, {row_major_strides(y.shape), row_major_strides(x.shape)});
  return kernel_of({strided_copy(desc, {nest.loops, {0, offset}})});
}

// y = x_1 … x_n, one behind the other along `axis`: each input is copied to its region of y.
std::unique_ptr<Kernel> make_concat(const OpDesc& desc) {
  const TensorDesc& y = desc.outputs[0];
  const auto axis = static_cast<std::size_t>(desc.attrs.integer("axis"));
  require(axis < y.shape.size(), "concat: axis beyond the rank");
  std::vector<Move> moves;
  Dims starts(y.shape.size(), 0);
  for (const TensorDesc& x : desc.inputs) {
    if (x.dtype != y.dtype) unsupported(desc, "cuda");
    const std::int64_t offset = region_offset(y.shape, starts, x.shape, "concat");
    const LoopNest<2> nest(x.shape, {row_major_strides(y.shape), row_major_strides(x.shape)});
    moves.push_back(strided_copy(desc, {nest.loops, {offset, 0}}));
    starts[axis] += x.shape[axis];
  }
  require(starts[axis] == y.shape[axis], "concat: the inputs do not fill y");
  return std::make_unique<FunctionKernel>([moves = std::move(moves)](const RunContext& c) {
    for (std::size_t i = 0; i < moves.size(); ++i) moves[i](c.outputs[0], c.inputs[i], c.stream);
  });
}

// An axis of dx, or several merged: `extent` elements, of which the `size` from `start` on are dy's.
struct Window {
  std::int64_t extent, start, size;
  std::int64_t stride;  // between dy's elements
};

// A part of dx, outermost window first, and where it and its part of dy begin.
struct WindowPart {
  std::vector<Window> windows;
  std::int64_t to = 0, from = 0;
};

WindowPart windows_of(const Dims& shape, const Dims& starts, const Dims& box) {
  const Dims strides = row_major_strides(box);
  WindowPart part;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    const bool full = box[d] == shape[d];
    if (full && !part.windows.empty()) {
      Window& outer = part.windows.back();
      outer = {outer.extent * shape[d], outer.start * shape[d], outer.size * shape[d], strides[d]};
    } else {
      part.windows.push_back({shape[d], starts[d], box[d], strides[d]});
    }
  }
  if (part.windows.empty()) part.windows.push_back({1, 0, 1, 1});
  return part;
}

// small_parts() for windows.
std::vector<WindowPart> small_window_parts(const WindowPart& part) {
  std::int64_t count = 1;
  for (const Window& window : part.windows) count *= window.extent;
  if (count == 0) return {};
  if (count <= kMaxPart) return {part};
  std::vector<WindowPart> parts;
  const Window outer = part.windows.front();
  const std::int64_t inner = count / outer.extent, step = std::max<std::int64_t>(1, kMaxPart / inner);
  for (std::int64_t begin = 0; begin < outer.extent; begin += step) {
    const std::int64_t end = std::min(begin + step, outer.extent);
    const std::int64_t low = std::clamp(outer.start, begin, end),
                       high = std::clamp(outer.start + outer.size, begin, end);
    WindowPart piece = part;
    piece.windows.front() = {end - begin, low - begin, high - low, outer.stride};
    piece.to += begin * inner;
    piece.from += (low - outer.start) * outer.stride;
    if (inner > kMaxPart) {
      piece.windows.erase(piece.windows.begin());
      if (high == low) piece.windows.front().size = 0;
    }
    for (WindowPart& small : small_window_parts(piece)) parts.push_back(std::move(small));
  }
  return parts;
}

// dx[part] = dy where it is inside of all windows, else 0. One pass, which writes dx once: 16 bytes per thread.
template <class Word>
struct UnsliceBody {
  static constexpr int kCount = 16 / static_cast<int>(sizeof(Word));
  struct {
    std::uint32_t count = 0;
  } walk;
  int loops = 0;
  Divisor extent[kMaxLoops];  // innermost first
  std::uint32_t start[kMaxLoops] = {}, size[kMaxLoops] = {};
  std::int64_t stride[kMaxLoops] = {};
  Word* dx = nullptr;
  const Word* dy = nullptr;

  __device__ void run(std::uint32_t (&index)[kCount]) const {
    const std::uint32_t first = index[0];
    Word words[kCount] = {};
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      std::uint32_t rest = index[i];
      std::int64_t at = 0;
      bool inside = rest < walk.count;
      for (int loop = 0; loop < loops; ++loop) {
        const std::uint32_t outer = extent[loop].quotient(rest);
        const std::uint32_t own = rest - outer * extent[loop].value - start[loop];  // huge before the window
        inside &= own < size[loop];
        at += stride[loop] * own;
        rest = outer;
      }
      if (inside) words[i] = dy[at];
    }
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      if (first + i * kSpaceThreads < walk.count) dx[first + i * kSpaceThreads] = words[i];
    }
  }
};

// In words of `factor` elements.
template <class Word>
Move unslice_move(const OpDesc& desc, const WindowPart& part) {
  if (part.windows.size() > static_cast<std::size_t>(kMaxLoops)) throw too_many_axes(desc.op, part.windows.size());
  UnsliceBody<Word> body;
  std::int64_t count = 1;
  for (const Window& window : part.windows) {
    const int at = static_cast<int>(part.windows.size()) - 1 - body.loops++;
    body.extent[at] = Divisor(window.extent);
    body.start[at] = static_cast<std::uint32_t>(window.start);
    body.size[at] = static_cast<std::uint32_t>(window.size);
    body.stride[at] = window.stride;
    count *= window.extent;
  }
  body.walk.count = static_cast<std::uint32_t>(count);
  return [body, to = part.to, from = part.from](void* dx, const void* dy, void* stream) {
    UnsliceBody<Word> bound = body;
    bound.dx = static_cast<Word*>(dx) + to;
    bound.dy = static_cast<const Word*>(dy) + from;
    for_space(bound, stream);
  };
}

// dx = 0 but dx[starts : starts + dy.shape] = dy.
std::unique_ptr<Kernel> make_unslice(const OpDesc& desc) {
  const TensorDesc &dy = desc.inputs[0], &dx = desc.outputs[0];
  if (dy.dtype != dx.dtype) unsupported(desc, "cuda");
  const Dims starts = desc.attrs.integers("starts");
  region_offset(dx.shape, starts, dy.shape, "unslice");  // checks them
  WindowPart whole = windows_of(dx.shape, starts, dy.shape);
  // Words as wide as the innermost window allows; all other strides are multiples of it.
  Window& inner = whole.windows.back();
  std::int64_t word_bytes = 16;
  const auto element_bytes = static_cast<std::int64_t>(size_of(dx.dtype));
  while ((inner.extent | inner.start | inner.size) * element_bytes % word_bytes != 0) word_bytes /= 2;
  const std::int64_t factor = word_bytes / element_bytes;
  inner.extent /= factor;
  inner.start /= factor;
  inner.size /= factor;
  for (Window& window : whole.windows) window.stride = std::max<std::int64_t>(1, window.stride / factor);
  std::vector<Move> moves;
  for (const WindowPart& part : small_window_parts(whole)) {
    moves.push_back(word_bytes == 16  ? unslice_move<uint4>(desc, part)
                    : word_bytes == 8 ? unslice_move<uint2>(desc, part)
                    : word_bytes == 4 ? unslice_move<std::uint32_t>(desc, part)
                                      : unslice_move<std::uint16_t>(desc, part));
  }
  return kernel_of(std::move(moves));
}

}  // namespace

void register_shape(OpTable& table, Context&) {
  table.add("transpose", make_transpose);
  table.add("broadcast", make_broadcast);
  table.add("concat", make_concat);
  table.add("slice", make_slice);
  table.add("unslice", make_unslice);
}

}  // namespace apollo::cuda
