// Shared code of both backends for Muon (Keller Jordan et al., 2024, "Muon: an optimizer for hidden layers in neural
// networks"): the constants, which matrices an op has, and how they are batched.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/op.h"

namespace apollo {

// One iteration takes each singular value s to a s + b s^3 + c s^5.
constexpr float kMuonA = 3.4445f, kMuonB = -4.7750f, kMuonC = 2.0315f;
// A matrix is divided by its Frobenius norm, or by this where that is smaller: zeros stay zeros.
constexpr float kMuonEpsilon = 1e-7f;

constexpr std::int64_t kMatricesPerBatch = 32768;  // fewer than a grid may have in its second dimension

// A parameter [rows, columns] = [inputs, outputs], whose columns may hold several matrices side by side.
struct MuonTensor {
  std::size_t output;  // its first output: parameter, gradient, momentum, [bf16 copy]
  std::int64_t rows, columns;
  bool decay, shadow;
};

struct MuonMatrix {
  std::size_t tensor;
  std::int64_t column;  // its first
};

// Matrices of one shape [rows, columns], orthogonalised together.
struct MuonBatch {
  std::int64_t rows, columns;
  std::vector<MuonMatrix> matrices;

  std::int64_t count() const { return static_cast<std::int64_t>(matrices.size()); }
  std::int64_t elements() const { return count() * rows * columns; }
  // The Gram matrix is taken over the longer side.
  bool tall() const { return rows > columns; }
  std::int64_t side() const { return std::min(rows, columns); }
  std::int64_t gram_elements() const { return count() * side() * side(); }
};

struct MuonPlan {
  std::vector<MuonTensor> tensors;
  std::vector<MuonBatch> batches;
  std::int64_t iterations;
  bool bf16;  // inputs of the products; sums, and the matrix between iterations, are f32
  bool nesterov;
  bool match_rms;  // the rate's adjustment, see muon_adjustment

  MuonPlan(const OpDesc& desc, const std::string& device, std::int64_t elements_per_batch) {
    const auto decay = desc.attrs.integers("decay"), has_shadow = desc.attrs.integers("hasShadow");
    const auto parts = desc.attrs.integers("parts"), widths = desc.attrs.integers("widths");
    require(decay.size() == has_shadow.size() && decay.size() == parts.size(),
            "muon: 'decay', 'hasShadow' and 'parts' differ in length");
    iterations = desc.attrs.integer("iterations");
    require(iterations >= 1, "muon: at least one iteration");
    const std::string& precision = desc.attrs.text("precision");
    require(precision == "f32" || precision == "bf16", "muon: unknown precision '" + precision + "'");
    bf16 = precision == "bf16";
    nesterov = desc.attrs.flag("nesterov");
    const std::string& adjust = desc.attrs.text("adjust");
    require(adjust == "original" || adjust == "match_rms_adamw", "muon: unknown adjustment '" + adjust + "'");
    match_rms = adjust == "match_rms_adamw";

    std::map<std::pair<std::int64_t, std::int64_t>, std::vector<MuonMatrix>> by_shape;
    std::size_t output = 0, width = 0;
    for (std::size_t i = 0; i < decay.size(); ++i) {
      const bool shadow = has_shadow[i] != 0;
      require(output + (shadow ? 4 : 3) <= desc.outputs.size(), "muon: too few outputs");
      for (std::size_t j = 0; j < 3; ++j) {
        if (desc.outputs[output + j].dtype != DType::F32) unsupported(desc, device);
      }
      if (shadow && desc.outputs[output + 3].dtype != DType::BF16) unsupported(desc, device);
      const auto& shape = desc.outputs[output].shape;
      require(shape.size() == 2, "muon: parameters are matrices");
      std::int64_t column = 0;
      for (std::int64_t part = 0; part < parts[i]; ++part) {
        require(width < widths.size() && widths[width] > 0, "muon: a width for each matrix");
        by_shape[{shape[0], widths[width]}].push_back({i, column});
        column += widths[width++];
      }
      require(column == shape[1], "muon: the widths of a parameter's matrices must add up to its columns");
      tensors.push_back({output, shape[0], shape[1], decay[i] != 0, shadow});
      output += shadow ? 4 : 3;
    }
    require(output == desc.outputs.size(), "muon: too many outputs");

    for (const auto& [shape, matrices] : by_shape) {
      const std::int64_t count = static_cast<std::int64_t>(matrices.size());
      const std::int64_t most =
          std::clamp<std::int64_t>(elements_per_batch / (shape.first * shape.second), 1, kMatricesPerBatch);
      const std::int64_t pieces = (count + most - 1) / most;
      for (std::int64_t piece = 0; piece < pieces; ++piece) {
        batches.push_back(
            {shape.first,
             shape.second,
             {matrices.begin() + count * piece / pieces, matrices.begin() + count * (piece + 1) / pieces}});
      }
    }
  }
};

// Factor on the learning rate of a matrix [inputs, outputs]. 'original' (Jordan): sqrt(max(1, outputs / inputs)).
// 'match_rms_adamw' (Liu et al. 2025, arXiv 2502.16982, section 2.2): 0.2 sqrt(max(inputs, outputs)), an update with
// the root mean square of AdamW's.
inline double muon_adjustment(bool match_rms, std::int64_t inputs, std::int64_t outputs) {
  const auto in = static_cast<double>(inputs), out = static_cast<double>(outputs);
  return match_rms ? 0.2 * std::sqrt(std::max(in, out)) : std::sqrt(std::max(1.0, out / in));
}

}  // namespace apollo
