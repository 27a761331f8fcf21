// Values that several backends derive from an op's descriptor before they choose a kernel, checks included.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "core/op.h"
#include "core/strided.h"

namespace apollo {

// A stack of matrices times one matrix is one tall matrix times it: one large product instead of many small ones.
// Rewrites the descriptors of y = op(a) op(b) where it is so, a [.., M, K], b [1.., K, N] or [1.., N, K], y [.., M, N].
inline void flatten_stack(TensorDesc& a, TensorDesc& b, TensorDesc& y, bool trans_a) {
  const std::size_t rank = a.shape.size();
  const bool one_b = std::all_of(b.shape.begin(), b.shape.end() - 2, [](std::int64_t n) { return n == 1; });
  if (rank <= 2 || !one_b || trans_a) return;
  a.shape = {a.rows(), a.last()};
  b.shape = {b.shape[rank - 2], b.shape[rank - 1]};
  y.shape = {y.rows(), y.last()};
}

// Which axes `reduce` reduces: those of attribute `axes`, all of them when it is absent.
inline std::vector<bool> reduced_axes(const OpDesc& desc) {
  const std::size_t rank = desc.inputs[0].shape.size();
  std::vector<bool> reduced(rank, !desc.attrs.has("axes"));
  for (const std::int64_t axis : desc.attrs.integers("axes")) {
    require(axis >= 0 && axis < static_cast<std::int64_t>(rank), "reduce: axis beyond the rank");
    reduced[static_cast<std::size_t>(axis)] = true;
  }
  return reduced;
}

// Attribute `kind` of `reduce`: sum, mean, max or min.
inline const std::string& reduction_kind(const OpDesc& desc) {
  const std::string& kind = desc.attrs.text("kind");
  require(kind == "sum" || kind == "mean" || kind == "max" || kind == "min", "reduce: unknown kind '" + kind + "'");
  return kind;
}

// All axes but the last: what a sum of columns reduces.
inline std::vector<bool> axes_before_last(const TensorDesc& x) {
  std::vector<bool> reduced(x.shape.size(), true);
  if (!reduced.empty()) reduced.back() = false;
  return reduced;
}

// The strides of x, in elements, along the axes of y = transpose(x): y's axis d is x's axis perm[d].
inline Dims transposed_strides(const OpDesc& desc) {
  const TensorDesc &x = desc.inputs[0], &y = desc.outputs[0];
  const Dims perm = desc.attrs.integers("perm"), strides = row_major_strides(x.shape);
  require(perm.size() == x.shape.size() && y.shape.size() == x.shape.size(), "transpose: perm does not fit the rank");
  Dims source(perm.size());
  for (std::size_t d = 0; d < perm.size(); ++d) {
    const auto axis = static_cast<std::size_t>(perm[d]);
    require(axis < perm.size() && y.shape[d] == x.shape[axis], "transpose: y's shape is not x's under perm");
    source[d] = strides[axis];
  }
  return source;
}

}  // namespace apollo
