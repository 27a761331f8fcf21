// The language-model head with its loss: logits = x table^T + bias in chunks of rows, cross-entropy and, in the same
// pass, the gradients. The full logits [M, V] never exist. Three products per chunk (one for the loss alone) run on all
// threads and set the pace; between them each logit is read twice and written twice in f32, which the chunk's size
// keeps in the shared cache.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "cpu/cpu.h"
#include "cpu/indices.h"
#include "cpu/onednn/onednn.h"
#include "cpu/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/ops/head.cc"
#include "cpu/simd/targets.h"
#include "hwy/foreach_target.h"
// The above must come first.
#include "cpu/simd/exp-inl.h"
#include "cpu/simd/simd-inl.h"
#include "hwy/highway.h"

#ifndef APOLLO_CPU_HEAD_TYPES_
#define APOLLO_CPU_HEAD_TYPES_
namespace apollo::cpu {
struct HeadParts {
  // ln(sum_v e^logits[v]); leaves e^(logits[v] - maximum) in `logits` and their sum in `sum`.
  float (*exponentials)(float* logits, std::int64_t count, float* sum);
  // to[v] = factor * from[v]
  void (*scale)(const float* from, std::int64_t count, float factor, void* to);
  // to[v] (+)= sum over `rows` rows, `stride` apart, of from[r, v], for v in [0, count).
  void (*sum_rows)(const void* from, std::int64_t rows, std::int64_t stride, std::int64_t count, bool add, float* to);
};
}  // namespace apollo::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace apollo::cpu::HWY_NAMESPACE {
namespace {

float exponentials(float* logits, std::int64_t count, float* sum) {
  const F32 d;
  const auto size = static_cast<std::size_t>(count);
  const auto lowest = hn::Set(d, std::numeric_limits<float>::lowest());
  auto high = lowest;
  for_vectors(d, size, [&](std::size_t i, auto part) HWY_ATTR {
    auto v = load(d, logits + i, part);
    if constexpr (std::is_same_v<decltype(part), Tail>) v = hn::IfThenElse(hn::FirstN(d, part.count), v, lowest);
    high = hn::Max(high, v);
  });
  const float maximum = hn::GetLane(hn::MaxOfLanes(d, high));
  const auto shift = hn::Set(d, maximum);
  auto total = hn::Zero(d);
  for_vectors(d, size, [&](std::size_t i, auto part) HWY_ATTR {
    const auto e = keep(d, exp_nonpositive(d, hn::Sub(load(d, logits + i, part), shift)), part);
    total = hn::Add(total, e);
    store(e, d, logits + i, part);
  });
  *sum = sum_lanes(d, total);
  return maximum + std::log(*sum);
}

template <class T>
void scale(const float* from, std::int64_t count, float factor, void* to) {
  const F32 d;
  T* y = static_cast<T*>(to);
  const auto f = hn::Set(d, factor);
  for_vectors(d, static_cast<std::size_t>(count),
              [&](std::size_t i, auto part) HWY_ATTR { store(hn::Mul(load(d, from + i, part), f), d, y + i, part); });
}

template <class T>
void sum_rows(const void* from, std::int64_t rows, std::int64_t stride, std::int64_t count, bool add, float* to) {
  const F32 d;
  const T* x = static_cast<const T*>(from);
  for_vectors(d, static_cast<std::size_t>(count), [&](std::size_t i, auto part) HWY_ATTR {
    auto sum = add ? load(d, to + i, part) : hn::Zero(d);
    for (std::int64_t r = 0; r < rows; ++r) sum = hn::Add(sum, load(d, x + r * stride + i, part));
    store(sum, d, to + i, part);
  });
}

HeadParts find_head(DType dtype) {
  if (dtype == DType::F32) return {exponentials, scale<float>, sum_rows<float>};
  return {exponentials, scale<Bf16>, sum_rows<Bf16>};
}

}  // namespace
}  // namespace apollo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apollo::cpu {
namespace {

HWY_EXPORT(find_head);

// Rows per chunk: enough that adding into dTable [V, C] each time costs little next to the product.
constexpr std::int64_t kChunkRows = 256;
// Words a slice of dx = dlogits table, whose inner size is the vocabulary (V 8192, C 256, bf16 with AMX: the whole
// gradient ran a tenth to a fifth faster than with one long product; V 50257, C 768: the same).
constexpr std::int64_t kSlice = 1024;

// The products of a chunk of `rows` rows. The sum into dTable exists twice, overwriting and adding.
struct ChunkProducts {
  Product logits;
  std::optional<SlicedProduct> d_x;
  std::optional<Product> d_table_first, d_table_next;

  ChunkProducts(DType dtype, std::int64_t rows, std::int64_t width, std::int64_t vocab, bool has_bias, bool gradient)
      : logits([&] {
          ProductDesc desc;
          desc.a = MatrixDesc::dense(dtype, {rows, width});
          desc.b = MatrixDesc::dense(dtype, {width, vocab}, /*transposed=*/true);
          desc.c = MatrixDesc::dense(DType::F32, {rows, vocab});
          desc.bias = has_bias;
          return Product(desc);
        }()) {
    if (!gradient) return;
    ProductDesc to_x;
    to_x.a = MatrixDesc::dense(dtype, {rows, vocab});
    to_x.b = MatrixDesc::dense(dtype, {vocab, width});
    to_x.c = MatrixDesc::dense(dtype, {rows, width});
    d_x.emplace(to_x, kSlice);
    ProductDesc to_table;
    to_table.a = MatrixDesc::dense(dtype, {vocab, rows}, /*transposed=*/true);
    to_table.b = MatrixDesc::dense(dtype, {rows, width});
    to_table.c = MatrixDesc::dense(DType::F32, {vocab, width});
    to_table.pack_b = true;
    d_table_first.emplace(to_table);
    to_table.accumulate = true;
    d_table_next.emplace(to_table);
  }

  std::size_t scratch_bytes() const {
    std::size_t bytes = std::max(logits.scratch_bytes(), d_x ? d_x->scratch_bytes() : 0);
    for (const auto* product : {&d_table_first, &d_table_next}) {
      if (*product) bytes = std::max(bytes, (*product)->scratch_bytes());
    }
    return bytes;
  }
};

// lmHeadLoss and, with `gradient`, lmHeadLossGradient. With p = softmax(logits), w = g / count for counted rows, else
// 0:
//   loss = mean(lse - logits[label]), dlogits = w (p - onehot(label)),
//   dx = dlogits table, dTable (+)= dlogits^T x, dBias (+)= column sums of dlogits.
class HeadKernel final : public Kernel {
 public:
  HeadKernel(const OpDesc& desc, bool gradient)
      : name_(desc.op),
        dtype_(desc.inputs[0].dtype),
        rows_(desc.inputs[0].shape[0]),
        width_(desc.inputs[0].shape[1]),
        vocab_(desc.inputs[1].shape[0]),
        has_bias_(desc.attrs.flag("hasBias")),
        gradient_(gradient),
        add_table_(desc.accumulates(3)),
        add_bias_(desc.accumulates(4)),
        chunks_((rows_ + kChunkRows - 1) / kChunkRows),
        chunk_((rows_ + chunks_ - 1) / chunks_),
        parts_(HWY_DYNAMIC_DISPATCH(find_head)(dtype_)),
        whole_(dtype_, chunk_, width_, vocab_, has_bias_, gradient) {
    if (const std::int64_t last = rows_ - (chunks_ - 1) * chunk_; last != chunk_) {
      last_.emplace(dtype_, last, width_, vocab_, has_bias_, gradient);
    }
  }

  std::size_t scratch_bytes() const override {
    return product_offset() + std::max(whole_.scratch_bytes(), last_ ? last_->scratch_bytes() : 0);
  }

  void run(const RunContext& c) override {
    const auto* labels = c.in<std::int32_t>(has_bias_ ? 3 : 2);
    check_indices(name_, "labels", labels, rows_, vocab_, /*ignore=*/true);
    const auto counted = rows_ - std::count(labels, labels + rows_, kIgnoredLabel);
    auto* scratch = static_cast<std::byte*>(c.scratch);
    auto* losses = reinterpret_cast<float*>(scratch);
    auto* logits = reinterpret_cast<float*>(scratch + losses_bytes());
    void* d_logits = scratch + losses_bytes() + logits_bytes();
    void* product_scratch = scratch + product_offset();
    const float* bias = has_bias_ ? c.in<float>(2) : nullptr;
    const float g = gradient_ ? *c.in<float>(has_bias_ ? 4 : 3) : 0.0f;
    const float factor = counted == 0 ? 0.0f : g / static_cast<float>(counted);
    const std::int64_t row_bytes = width_ * static_cast<std::int64_t>(size_of(dtype_));

    for (std::int64_t chunk = 0; chunk < chunks_; ++chunk) {
      const std::int64_t first = chunk * chunk_, rows = std::min(chunk_, rows_ - first);
      ChunkProducts& products = rows == chunk_ ? whole_ : *last_;
      const auto* x = c.in<std::byte>(0) + first * row_bytes;
      products.logits.run(x, c.inputs[1], logits, product_scratch, bias);
      softmax_rows(rows, labels + first, factor, logits, losses + first, d_logits);
      if (!gradient_) continue;
      products.d_x->run(d_logits, c.inputs[1], c.out<std::byte>(2) + first * row_bytes, product_scratch);
      const bool adds = chunk > 0 || add_table_;
      (adds ? products.d_table_next : products.d_table_first)->run(d_logits, x, c.outputs[3], product_scratch);
      if (has_bias_) sum_columns(rows, d_logits, chunk > 0 || add_bias_, c.out<float>(4));
    }

    double sum = 0.0;
    for (std::int64_t r = 0; r < rows_; ++r) sum += static_cast<double>(losses[r]);
    *c.out<float>(0) = counted == 0 ? 0.0f : static_cast<float>(sum / static_cast<double>(counted));
    *c.out<float>(1) = static_cast<float>(counted);
  }

 private:
  std::size_t losses_bytes() const { return whole_lines(static_cast<std::size_t>(rows_) * sizeof(float)); }
  std::size_t logits_bytes() const { return whole_lines(static_cast<std::size_t>(chunk_ * vocab_) * sizeof(float)); }
  std::size_t product_offset() const {
    const auto d_logits = gradient_ ? static_cast<std::size_t>(chunk_ * vocab_) * size_of(dtype_) : 0;
    return losses_bytes() + logits_bytes() + whole_lines(d_logits);
  }

  // The loss of each row and, for the gradient, dlogits. Rows whose label is ignored give 0.
  void softmax_rows(std::int64_t rows, const std::int32_t* labels, float factor, float* logits, float* losses,
                    void* d_logits) const {
    const std::int64_t element = static_cast<std::int64_t>(size_of(dtype_));
    parallel_rows(rows, 2 * vocab_ * 4, [=, this](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        float* row = logits + r * vocab_;
        auto* d_row = static_cast<std::byte*>(d_logits) + r * vocab_ * element;
        if (labels[r] == kIgnoredLabel) {
          losses[r] = 0.0f;
          if (gradient_) std::memset(d_row, 0, static_cast<std::size_t>(vocab_ * element));
          continue;
        }
        const float at_label = row[labels[r]];
        float sum;
        const float lse = parts_.exponentials(row, vocab_, &sum);
        losses[r] = lse - at_label;
        if (!gradient_) continue;
        parts_.scale(row, vocab_, factor / sum, d_row);
        // p - 1 computed as such, so that a confident row keeps its small gradient.
        const float d_label = factor * std::expm1(at_label - lse);
        if (dtype_ == DType::F32) {
          assign(reinterpret_cast<float*>(d_row)[labels[r]], d_label);
        } else {
          assign(reinterpret_cast<Bf16*>(d_row)[labels[r]], d_label);
        }
      }
    });
  }

  // Threads take columns, each summing its rows in order.
  void sum_columns(std::int64_t rows, const void* d_logits, bool add, float* d_bias) const {
    const std::int64_t element = static_cast<std::int64_t>(size_of(dtype_));
    parallel_ranges(vocab_, kParallelBytes / (rows * element) + 1, 64, [=, this](std::int64_t begin, std::int64_t end) {
      parts_.sum_rows(static_cast<const std::byte*>(d_logits) + begin * element, rows, vocab_, end - begin, add,
                      d_bias + begin);
    });
  }

  std::string name_;
  DType dtype_;
  std::int64_t rows_, width_, vocab_;
  bool has_bias_, gradient_, add_table_, add_bias_;
  std::int64_t chunks_, chunk_;
  HeadParts parts_;
  ChunkProducts whole_;
  std::optional<ChunkProducts> last_;
};

void check_head(const OpDesc& desc) {
  const DType dtype = desc.inputs[0].dtype;
  const std::size_t labels = desc.attrs.flag("hasBias") ? 3 : 2;
  if (dtype == DType::I32 || desc.inputs[1].dtype != dtype || desc.inputs[labels].dtype != DType::I32) {
    unsupported(desc, "cpu");
  }
  require(desc.inputs[0].shape.size() == 2 && desc.inputs[0].shape[0] > 0, desc.op + ": x must be [M > 0, C]");
}

// (x, table, [bias], labels) -> (loss, count)
std::unique_ptr<Kernel> make_head_loss(const OpDesc& desc) {
  check_head(desc);
  return std::make_unique<HeadKernel>(desc, /*gradient=*/false);
}

// (x, table, [bias], labels, g) -> (loss, count, dx, dTable, [dBias])
std::unique_ptr<Kernel> make_head_loss_gradient(const OpDesc& desc) {
  check_head(desc);
  return std::make_unique<HeadKernel>(desc, /*gradient=*/true);
}

}  // namespace

void register_head(OpTable& table) {
  table.add("lmHeadLoss", make_head_loss);
  table.add("lmHeadLossGradient", make_head_loss_gradient);
}

}  // namespace apollo::cpu
#endif  // HWY_ONCE
