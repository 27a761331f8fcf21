// Ops that move elements and compute nothing: transpose, concat, slice, unslice, broadcast. All are limited by memory
// traffic, one read and one write an element; dtypes matter only by their size.
#include <cstring>
#include <numeric>

#include "core/op_shapes.h"
#include "cpu/cpu.h"
#include "cpu/parallel.h"

namespace apollo::cpu {
namespace {

using Nest = LoopNest<2>;  // operand 0: destination, operand 1: source

// destination[nest] = source[nest]; made for runs that are contiguous in both, or repeat one source element. The
// elements of the index space are shared evenly, regardless of the lengths of the runs.
template <class T>
void copy_nest(const Nest& nest, T* to, const T* from) {
  const std::int64_t to_stride = nest.run().stride[0], from_stride = nest.run().stride[1];
  const bool contiguous = to_stride == 1 && from_stride == 1, repeats = to_stride == 1 && from_stride == 0;
  parallel_elements(nest.elements, sizeof(T), [&](std::int64_t begin, std::int64_t end) {
    nest.walk(begin, end, [&](const auto& offset, std::int64_t count) {
      T* destination = to + offset[0];
      const T* source = from + offset[1];
      if (repeats) {
        std::fill_n(destination, count, *source);
      } else if (contiguous && count >= 16) {  // a call to memcpy costs more than a shorter run
        std::memcpy(destination, source, static_cast<std::size_t>(count) * sizeof(T));
      } else {
        for (std::int64_t i = 0; i < count; ++i) destination[i * to_stride] = source[i * from_stride];
      }
    });
  });
}

// Transposes one tile: rows of the source (`row_stride` apart, contiguous inside) become columns of the destination
// (its rows `column_stride` apart). A full tile is read and written as whole cache lines through a buffer, so that
// strides of a power of two do not evict lines half used.
template <class T>
constexpr std::int64_t kTile = 64 / sizeof(T);

template <class T>
void transpose_tile(T* to, std::int64_t column_stride, const T* from, std::int64_t row_stride, std::int64_t rows,
                    std::int64_t columns) {
  constexpr std::int64_t tile = kTile<T>;
  if (rows < tile || columns < tile) {
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < columns; ++c) to[c * column_stride + r] = from[r * row_stride + c];
    }
    return;
  }
  alignas(64) T in[tile][tile];
  alignas(64) T out[tile][tile];
  for (std::int64_t r = 0; r < tile; ++r) std::memcpy(in[r], from + r * row_stride, 64);
  for (std::int64_t r = 0; r < tile; ++r) {
    for (std::int64_t c = 0; c < tile; ++c) out[r][c] = in[c][r];
  }
  for (std::int64_t r = 0; r < tile; ++r) std::memcpy(to + r * column_stride, out[r], 64);
}

// destination[nest] = source[nest] where the destination is contiguous and the source's contiguous loop is not the
// last one. The plane of that loop ("columns") and the last one ("rows") is cut into blocks of 4 x 4 tiles, small
// enough for L1 and for the pages that a TLB holds; the other loops are outside. Threads share the blocks.
template <class T>
void transpose_nest(const Nest& nest, std::size_t source_loop, T* to, const T* from) {
  constexpr std::int64_t tile = kTile<T>, block = 4 * tile;
  const std::int64_t rows = nest.run().extent, row_stride = nest.run().stride[1];
  const std::int64_t columns = nest.loops[source_loop].extent, column_stride = nest.loops[source_loop].stride[0];
  std::vector<Nest::Loop> outer(nest.loops.begin(), nest.loops.end() - 1);
  outer.erase(outer.begin() + static_cast<std::ptrdiff_t>(source_loop));
  const std::int64_t row_blocks = (rows + block - 1) / block, column_blocks = (columns + block - 1) / block;
  const std::int64_t items = nest.elements / (rows * columns) * column_blocks * row_blocks;
  const std::int64_t item_bytes = nest.elements / items * static_cast<std::int64_t>(2 * sizeof(T));
  parallel_rows(items, item_bytes, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t item = begin; item < end; ++item) {
      const std::int64_t row = item % row_blocks * block, column = item / row_blocks % column_blocks * block;
      std::int64_t rest = item / row_blocks / column_blocks, to_offset = 0, from_offset = 0;
      for (std::size_t d = outer.size(); d-- > 0;) {
        to_offset += rest % outer[d].extent * outer[d].stride[0];
        from_offset += rest % outer[d].extent * outer[d].stride[1];
        rest /= outer[d].extent;
      }
      for (std::int64_t c = column; c < std::min(column + block, columns); c += tile) {
        for (std::int64_t r = row; r < std::min(row + block, rows); r += tile) {
          transpose_tile(to + to_offset + c * column_stride + r, column_stride, from + from_offset + r * row_stride + c,
                         row_stride, std::min(tile, rows - r), std::min(tile, columns - c));
        }
      }
    }
  });
}

// y[i_0, …] = x[…] with y's axis k being x's axis perm[k]. Where the last axis stays last it is a copy of runs.
template <class T>
void transpose(const Nest& nest, T* y, const T* x) {
  if (nest.elements == 0) return;
  std::size_t source_loop = nest.loops.size() - 1;
  for (std::size_t d = 0; d < nest.loops.size(); ++d) {
    if (nest.loops[d].stride[1] == 1) source_loop = d;
  }
  if (source_loop + 1 == nest.loops.size()) {
    copy_nest(nest, y, x);
  } else {
    transpose_nest(nest, source_loop, y, x);
  }
}

// Calls body with a null pointer of the unsigned type that is as wide as the dtype's elements.
template <class Body>
void by_width(DType dtype, const Body& body) {
  if (size_of(dtype) == 2) {
    body(static_cast<std::uint16_t*>(nullptr));
  } else {
    body(static_cast<std::uint32_t*>(nullptr));
  }
}

std::unique_ptr<Kernel> make_transpose(const OpDesc& desc) {
  const TensorDesc &x = desc.inputs[0], &y = desc.outputs[0];
  if (x.dtype != y.dtype) unsupported(desc, "cpu");
  const Nest nest(y.shape, {row_major_strides(y.shape), transposed_strides(desc)});
  return std::make_unique<FunctionKernel>([nest, dtype = x.dtype](const RunContext& c) {
    by_width(dtype, [&]<class T>(T*) { transpose<T>(nest, c.out<T>(0), c.in<T>(0)); });
  });
}

std::unique_ptr<Kernel> make_broadcast(const OpDesc& desc) {
  const TensorDesc &x = desc.inputs[0], &y = desc.outputs[0];
  if (x.dtype != y.dtype) unsupported(desc, "cpu");
  const Nest nest(y.shape, {row_major_strides(y.shape), broadcast_strides(x.shape, y.shape)});
  return std::make_unique<FunctionKernel>([nest, dtype = x.dtype](const RunContext& c) {
    by_width(dtype, [&]<class T>(T*) { copy_nest<T>(nest, c.out<T>(0), c.in<T>(0)); });
  });
}

// y = x[starts : starts + y.shape].
std::unique_ptr<Kernel> make_slice(const OpDesc& desc) {
  const TensorDesc &x = desc.inputs[0], &y = desc.outputs[0];
  if (x.dtype != y.dtype) unsupported(desc, "cpu");
  const std::int64_t offset = region_offset(x.shape, desc.attrs.integers("starts"), y.shape, "slice");
  const Nest nest(y.shape, {row_major_strides(y.shape), row_major_strides(x.shape)});
  return std::make_unique<FunctionKernel>([nest, offset, dtype = x.dtype](const RunContext& c) {
    by_width(dtype, [&]<class T>(T*) { copy_nest<T>(nest, c.out<T>(0), c.in<T>(0) + offset); });
  });
}

// dx = 0 but dx[starts : starts + dy.shape] = dy. The region is written twice; it is seldom the larger part.
std::unique_ptr<Kernel> make_unslice(const OpDesc& desc) {
  const TensorDesc &dy = desc.inputs[0], &dx = desc.outputs[0];
  if (dy.dtype != dx.dtype) unsupported(desc, "cpu");
  const std::int64_t offset = region_offset(dx.shape, desc.attrs.integers("starts"), dy.shape, "unslice");
  const Nest nest(dy.shape, {row_major_strides(dx.shape), row_major_strides(dy.shape)});
  const std::int64_t elements = dx.elements();
  return std::make_unique<FunctionKernel>([nest, offset, elements, dtype = dy.dtype](const RunContext& c) {
    by_width(dtype, [&]<class T>(T*) {
      T* to = c.out<T>(0);
      if (nest.elements != elements) {
        parallel_elements(elements, sizeof(T),
                          [&](std::int64_t begin, std::int64_t end) { std::fill(to + begin, to + end, T{0}); });
      }
      copy_nest<T>(nest, to + offset, c.in<T>(0));
    });
  });
}

// y = x_1 … x_n, one behind the other along `axis`: each input is copied to its region of y.
std::unique_ptr<Kernel> make_concat(const OpDesc& desc) {
  const TensorDesc& y = desc.outputs[0];
  const auto axis = static_cast<std::size_t>(desc.attrs.integer("axis"));
  require(axis < y.shape.size(), "concat: axis beyond the rank");
  std::vector<Nest> nests;
  Dims offsets, starts(y.shape.size(), 0);
  for (const TensorDesc& x : desc.inputs) {
    if (x.dtype != y.dtype) unsupported(desc, "cpu");
    offsets.push_back(region_offset(y.shape, starts, x.shape, "concat"));
    nests.emplace_back(x.shape, std::array<Dims, 2>{row_major_strides(y.shape), row_major_strides(x.shape)});
    starts[axis] += x.shape[axis];
  }
  require(starts[axis] == y.shape[axis], "concat: the inputs do not fill y");
  return std::make_unique<FunctionKernel>([nests, offsets, dtype = y.dtype](const RunContext& c) {
    by_width(dtype, [&]<class T>(T*) {
      for (std::size_t i = 0; i < nests.size(); ++i) copy_nest<T>(nests[i], c.out<T>(0) + offsets[i], c.in<T>(i));
    });
  });
}

}  // namespace

void register_shape(OpTable& table) {
  table.add("transpose", make_transpose);
  table.add("broadcast", make_broadcast);
  table.add("concat", make_concat);
  table.add("slice", make_slice);
  table.add("unslice", make_unslice);
}

}  // namespace apollo::cpu
