// muon (Keller Jordan et al., 2024): momentum, its orthogonalisation by Newton-Schulz iterations, and the update. The
// iterations are products of oneDNN over batches of matrices of one shape, limited by FLOPs: 4 m^2 n + 2 m^3 each for
// [m, n] with m <= n. What is between them passes over memory once.
#include "cpu/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/ops/muon.cc"
#include "hwy/foreach_target.h"

#include <cmath>
#include <memory>
#include <vector>

#include "core/muon.h"
#include "cpu/cpu.h"
#include "cpu/onednn/onednn.h"
#include "cpu/parallel.h"
#include "cpu/simd/simd-inl.h"
#include "cpu/simd/sum-squares-inl.h"

#ifndef APOLLO_CPU_MUON_ARGS_
#define APOLLO_CPU_MUON_ARGS_
namespace apollo::cpu {

struct MuonMomentum {
  float gradient;            // gradScale * clip
  float kept, added;         // momentum = kept momentum + added g
  float of_mean, of_newest;  // x = of_mean momentum + of_newest g: Nesterov's momentum, or 1 and 0
};

}  // namespace apollo::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace apollo::cpu::HWY_NAMESPACE {

// One row: momentum and x as above, g = 0. Returns the sum of the squares of x.
double muon_momentum_row(const MuonMomentum& f, float* g, float* momentum, float* x, std::size_t count) {
  const F32 d;
  const auto gradient = hn::Set(d, f.gradient), kept = hn::Set(d, f.kept), added = hn::Set(d, f.added);
  const auto of_mean = hn::Set(d, f.of_mean), of_newest = hn::Set(d, f.of_newest);
  for_vectors(d, count, [&](std::size_t i, auto part) HWY_ATTR {
    const auto newest = hn::Mul(load(d, g + i, part), gradient);
    const auto mean = hn::MulAdd(kept, load(d, momentum + i, part), hn::Mul(added, newest));
    store(mean, d, momentum + i, part);
    store(hn::MulAdd(of_mean, mean, hn::Mul(of_newest, newest)), d, x + i, part);
    store(hn::Zero(d), d, g + i, part);
  });
  return sum_of_squares_of(x, count);
}

// operand = scale x, in the products' dtype, and x = a scale x, to which a product will be added.
template <class T>
HWY_INLINE void operand(float scale, float* x, T* to, std::size_t count) {
  const F32 d;
  const auto factor = hn::Set(d, scale), a = hn::Set(d, kMuonA);
  for_vectors(d, count, [&](std::size_t i, auto part) HWY_ATTR {
    const auto v = hn::Mul(load(d, x + i, part), factor);
    store(v, d, to + i, part);
    store(hn::Mul(v, a), d, x + i, part);
  });
}
void muon_operand_f32(float scale, float* x, float* to, std::size_t count) { operand(scale, x, to, count); }
void muon_operand_bf16(float scale, float* x, Bf16* to, std::size_t count) { operand(scale, x, to, count); }

// polynomial = b gram + c square, in the products' dtype.
template <class T>
HWY_INLINE void polynomial(const T* gram, const float* square, T* to, std::size_t count) {
  const F32 d;
  const auto b = hn::Set(d, kMuonB), c = hn::Set(d, kMuonC);
  for_vectors(d, count, [&](std::size_t i, auto part) HWY_ATTR {
    store(hn::MulAdd(b, load(d, gram + i, part), hn::Mul(c, load(d, square + i, part))), d, to + i, part);
  });
}
void muon_polynomial_f32(const float* gram, const float* square, float* to, std::size_t count) {
  polynomial(gram, square, to, count);
}
void muon_polynomial_bf16(const Bf16* gram, const float* square, Bf16* to, std::size_t count) {
  polynomial(gram, square, to, count);
}

// p = decay p - rate x, and its bf16 copy where there is one.
void muon_update_row(float decay, float rate, const float* x, float* p, Bf16* shadow, std::size_t count) {
  const F32 d;
  const auto kept = hn::Set(d, decay), step = hn::Set(d, rate);
  for_vectors(d, count, [&](std::size_t i, auto part) HWY_ATTR {
    const auto v = hn::NegMulAdd(step, load(d, x + i, part), hn::Mul(kept, load(d, p + i, part)));
    store(v, d, p + i, part);
    if (shadow != nullptr) store(v, d, shadow + i, part);
  });
}

}  // namespace apollo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apollo::cpu {
namespace {

HWY_EXPORT(muon_momentum_row);
HWY_EXPORT(muon_operand_f32);
HWY_EXPORT(muon_operand_bf16);
HWY_EXPORT(muon_polynomial_f32);
HWY_EXPORT(muon_polynomial_bf16);
HWY_EXPORT(muon_update_row);

// Elements of a batch: enough to fill all threads with small matrices, few enough to stay near the caches.
constexpr std::int64_t kBatchElements = std::int64_t{1} << 21;

// The matrices [side, side] or [rows, columns] of a batch.
MatrixDesc stack(DType dtype, std::int64_t count, std::int64_t rows, std::int64_t columns, bool transposed = false) {
  if (count == 1) return MatrixDesc::dense(dtype, {rows, columns}, transposed);
  return MatrixDesc::dense(dtype, {count, rows, columns}, transposed);
}

Product product(MatrixDesc a, MatrixDesc b, MatrixDesc c, bool accumulate = false) {
  ProductDesc desc;
  desc.a = std::move(a);
  desc.b = std::move(b);
  desc.c = std::move(c);
  desc.accumulate = accumulate;
  return Product(desc);
}

// The products of an iteration over a batch: with G = X X^T (X^T X where X is tall), G^2, and X += P X (X P).
struct Iteration {
  Iteration(const MuonBatch& batch, DType dtype)
      : gram(batch.tall()
                 ? product(stack(dtype, batch.count(), batch.columns, batch.rows, true),
                           stack(dtype, batch.count(), batch.rows, batch.columns), square_of(batch, dtype))
                 : product(stack(dtype, batch.count(), batch.rows, batch.columns),
                           stack(dtype, batch.count(), batch.columns, batch.rows, true), square_of(batch, dtype))),
        square(product(square_of(batch, dtype), square_of(batch, dtype), square_of(batch, DType::F32))),
        add(batch.tall() ? product(stack(dtype, batch.count(), batch.rows, batch.columns), square_of(batch, dtype),
                                   stack(DType::F32, batch.count(), batch.rows, batch.columns), true)
                         : product(square_of(batch, dtype), stack(dtype, batch.count(), batch.rows, batch.columns),
                                   stack(DType::F32, batch.count(), batch.rows, batch.columns), true)) {}

  std::size_t scratch_bytes() const {
    return std::max({gram.scratch_bytes(), square.scratch_bytes(), add.scratch_bytes()});
  }

  Product gram, square, add;

 private:
  static MatrixDesc square_of(const MuonBatch& batch, DType dtype) {
    return stack(dtype, batch.count(), batch.side(), batch.side());
  }
};

// Where a batch's arrays are in scratch memory.
struct Layout {
  std::size_t x, operand, gram, square, polynomial, sums, product, bytes;

  Layout(const MuonBatch& batch, std::size_t element_bytes, std::size_t product_bytes) {
    std::size_t next = 0;
    const auto place = [&](std::int64_t elements, std::size_t size) {
      const std::size_t at = next;
      next += whole_lines(static_cast<std::size_t>(elements) * size);
      return at;
    };
    x = place(batch.elements(), sizeof(float));
    operand = place(batch.elements(), element_bytes);
    gram = place(batch.gram_elements(), element_bytes);
    square = place(batch.gram_elements(), sizeof(float));
    polynomial = place(batch.gram_elements(), element_bytes);
    sums = place(batch.count() * batch.rows, sizeof(double));
    product = next;
    bytes = next + product_bytes;
  }
};

void to_operand(float scale, float* x, float* to, std::size_t count) {
  HWY_DYNAMIC_DISPATCH(muon_operand_f32)(scale, x, to, count);
}
void to_operand(float scale, float* x, Bf16* to, std::size_t count) {
  HWY_DYNAMIC_DISPATCH(muon_operand_bf16)(scale, x, to, count);
}
void to_polynomial(const float* gram, const float* square, float* to, std::size_t count) {
  HWY_DYNAMIC_DISPATCH(muon_polynomial_f32)(gram, square, to, count);
}
void to_polynomial(const Bf16* gram, const float* square, Bf16* to, std::size_t count) {
  HWY_DYNAMIC_DISPATCH(muon_polynomial_bf16)(gram, square, to, count);
}

// (hyper, counts, rates, norm) -> in and out per tensor: parameter, gradient, momentum, and a bf16 copy where
// `hasShadow` says so. `hyper`: lr, momentum, weightDecay, maxNorm, gradScale.
class Muon final : public Kernel {
 public:
  explicit Muon(const OpDesc& desc) : plan_(desc, "cpu", kBatchElements) {
    const std::size_t element_bytes = plan_.bf16 ? sizeof(Bf16) : sizeof(float);
    std::size_t most = 0;
    for (const MuonBatch& batch : plan_.batches) {
      iterations_.emplace_back(batch, plan_.bf16 ? DType::BF16 : DType::F32);
      layouts_.emplace_back(batch, element_bytes, iterations_.back().scratch_bytes());
      scratch_bytes_ = std::max(scratch_bytes_, layouts_.back().bytes);
      most = std::max(most, batch.matrices.size());
    }
    scales_.resize(most);
  }

  std::size_t scratch_bytes() const override { return scratch_bytes_; }

  void run(const RunContext& c) override {
    for (std::size_t i = 0; i < plan_.batches.size(); ++i) {
      plan_.bf16 ? run_batch<Bf16>(c, i) : run_batch<float>(c, i);
    }
  }

 private:
  // Calls body(matrix's number, matrix, row) for all rows of a batch.
  template <class Body>
  static void each_row(const MuonBatch& batch, std::int64_t element_bytes, const Body& body) {
    parallel_rows(batch.count() * batch.rows, batch.columns * element_bytes, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const auto matrix = static_cast<std::size_t>(i / batch.rows);
        body(matrix, batch.matrices[matrix], i % batch.rows);
      }
    });
  }

  template <class T>
  T* row_of(const RunContext& c, const MuonMatrix& matrix, std::size_t output, std::int64_t row) const {
    const MuonTensor& tensor = plan_.tensors[matrix.tensor];
    return c.out<T>(tensor.output + output) + row * tensor.columns + matrix.column;
  }

  template <class T>
  void run_batch(const RunContext& c, std::size_t index) {
    const MuonBatch& batch = plan_.batches[index];
    const Layout& layout = layouts_[index];
    const std::int32_t* counts = c.in<std::int32_t>(1);
    const bool finite = std::isfinite(*c.in<float>(3));
    const auto active = [&](const MuonMatrix& matrix) { return finite && counts[matrix.tensor] != 0; };
    const auto columns = static_cast<std::size_t>(batch.columns);
    if (std::none_of(batch.matrices.begin(), batch.matrices.end(), active)) {  // the gradients are gone
      each_row(batch, sizeof(float), [&](std::size_t, const MuonMatrix& matrix, std::int64_t row) {
        std::fill_n(row_of<float>(c, matrix, 1, row), columns, 0.0f);
      });
      return;
    }

    auto* scratch = static_cast<std::byte*>(c.scratch);
    auto* x = reinterpret_cast<float*>(scratch + layout.x);
    auto* operand = reinterpret_cast<T*>(scratch + layout.operand);
    auto* gram = reinterpret_cast<T*>(scratch + layout.gram);
    auto* square = reinterpret_cast<float*>(scratch + layout.square);
    auto* polynomial = reinterpret_cast<T*>(scratch + layout.polynomial);
    auto* sums = reinterpret_cast<double*>(scratch + layout.sums);
    void* memory = scratch + layout.product;

    const MuonMomentum momentum = momentum_of(c);
    each_row(batch, 4 * sizeof(float), [&](std::size_t number, const MuonMatrix& matrix, std::int64_t row) {
      const std::int64_t at = static_cast<std::int64_t>(number) * batch.rows + row;
      float *g = row_of<float>(c, matrix, 1, row), *to = x + at * batch.columns;
      if (!active(matrix)) {
        std::fill_n(g, columns, 0.0f);
        std::fill_n(to, columns, 0.0f);
        sums[at] = 0.0;
        return;
      }
      sums[at] = HWY_DYNAMIC_DISPATCH(muon_momentum_row)(momentum, g, row_of<float>(c, matrix, 2, row), to, columns);
    });
    for (std::size_t i = 0; i < batch.matrices.size(); ++i) {  // row by row: the same bits for any number of threads
      const double* rows = sums + static_cast<std::int64_t>(i) * batch.rows;
      double sum = 0;
      for (std::int64_t row = 0; row < batch.rows; ++row) sum += rows[row];
      scales_[i] = 1.0f / std::max(static_cast<float>(std::sqrt(sum)), kMuonEpsilon);
    }

    Iteration& iteration = iterations_[index];
    for (std::int64_t i = 0; i < plan_.iterations; ++i) {
      each_row(batch, 3 * sizeof(float), [&](std::size_t number, const MuonMatrix&, std::int64_t row) {
        const std::int64_t at = (static_cast<std::int64_t>(number) * batch.rows + row) * batch.columns;
        to_operand(i == 0 ? scales_[number] : 1.0f, x + at, operand + at, columns);
      });
      iteration.gram.run(operand, operand, gram, memory);
      iteration.square.run(gram, gram, square, memory);
      parallel_elements(batch.gram_elements(), 3 * sizeof(float), [&](std::int64_t begin, std::int64_t end) {
        to_polynomial(gram + begin, square + begin, polynomial + begin, static_cast<std::size_t>(end - begin));
      });
      const void *left = batch.tall() ? operand : polynomial, *right = batch.tall() ? polynomial : operand;
      iteration.add.run(left, right, x, memory);
    }

    const float *hyper = c.in<float>(0), *rates = c.in<float>(2);
    const double adjustment = muon_adjustment(plan_.match_rms, batch.rows, batch.columns);
    each_row(batch, 3 * sizeof(float), [&](std::size_t number, const MuonMatrix& matrix, std::int64_t row) {
      if (!active(matrix)) return;
      const MuonTensor& tensor = plan_.tensors[matrix.tensor];
      const double lr = static_cast<double>(hyper[0]) * rates[matrix.tensor];
      const float decay = tensor.decay ? static_cast<float>(1 - lr * static_cast<double>(hyper[2])) : 1.0f;
      const float* from = x + (static_cast<std::int64_t>(number) * batch.rows + row) * batch.columns;
      HWY_DYNAMIC_DISPATCH(muon_update_row)
      (decay, static_cast<float>(lr * adjustment), from, row_of<float>(c, matrix, 0, row),
       tensor.shadow ? row_of<Bf16>(c, matrix, 3, row) : nullptr, columns);
    });
  }

  MuonMomentum momentum_of(const RunContext& c) const {
    const float* hyper = c.in<float>(0);
    const double kept = hyper[1], max_norm = hyper[3], scale = hyper[4], norm = *c.in<float>(3);
    const double clip = max_norm > 0 ? std::min(1.0, max_norm / (norm * scale + 1e-6)) : 1.0;
    MuonMomentum f;
    f.gradient = static_cast<float>(scale * clip);
    f.kept = static_cast<float>(kept);
    f.added = static_cast<float>(1 - kept);
    f.of_mean = plan_.nesterov ? f.kept : 1.0f;
    f.of_newest = plan_.nesterov ? f.added : 0.0f;
    return f;
  }

  MuonPlan plan_;
  std::vector<Iteration> iterations_;
  std::vector<Layout> layouts_;
  std::vector<float> scales_;  // of a batch's matrices
  std::size_t scratch_bytes_ = 0;
};

}  // namespace

void register_muon(OpTable& table) {
  table.add("muon", [](const OpDesc& desc) -> std::unique_ptr<Kernel> { return std::make_unique<Muon>(desc); });
}

}  // namespace apollo::cpu
#endif  // HWY_ONCE
