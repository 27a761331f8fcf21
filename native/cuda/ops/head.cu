// The language-model head with its loss: logits = x table^T + bias in chunks of rows, cross-entropy and, in the same
// pass, the gradients. The full logits [M, V] never exist. The three products of a chunk (one for the loss alone) set
// the pace; between them the chunk's logits are read once and the gradient is written over them.
#include <algorithm>
#include <cmath>
#include <memory>
#include <type_traits>

#include "cuda/blas/blas_product.h"
#include "cuda/cuda.h"
#include "cuda/lib/block.cuh"
#include "cuda/lib/columns.cuh"
#include "cuda/lib/indices.cuh"
#include "cuda/lib/intrinsics.cuh"
#include "cuda/lib/launch.cuh"
#include "cuda/lib/vector.cuh"
#include "cuda/ops/gelu_each.cuh"

namespace apollo::cuda {
namespace {

constexpr int kTotalThreads = 1024;
constexpr float kLog2E = 1.4426950408889634f;

// e^(x - shift). Logits in bf16 have 8 bits: two instructions that are right to some 1e-6 do for them.
template <class T>
__device__ __forceinline__ float exponential(float x, float shift) {
  if constexpr (sizeof(T) == 2) {
    return exp2_fast(fmaf(x, kLog2E, -shift * kLog2E));
  } else {
    return expf(x - shift);
  }
}

// The number of packs that a thread processes at once, as a type.
template <int kCount>
using Together = std::integral_constant<int, kCount>;

template <class T>
struct RowsArgs {
  T* logits;  // [rows, stride]; dlogits take their place
  const std::int32_t* labels;
  float* losses;
  const float* factor;  // g / count; null for the loss alone
  std::int64_t stride;
  std::int32_t vocab;
};

// loss = log(sum over v of e^logits[v]) - logits[label] and dlogits = factor (softmax(logits) - onehot(label)) by row;
// 0 for ignored labels (and for wrong ones, which IndexCheck reports). A block has a row. The first pass finds the
// maximum and the sum of exponentials at once: each thread keeps both for its own packs, raising its maximum every
// kAhead packs. The label's logit is left out, so that 1 - softmax there is a sum of small terms and a confident row
// keeps its small loss and gradient. The second pass writes the gradient over the logits. Limited by memory, one read
// and one write of 2 bytes per logit; the exponentials, two per logit, are half of that time, and run next to it as at
// least two blocks share a multiprocessor. kKept: the row waits for the second pass in shared memory (100 KiB for 50257
// words in bf16), else in the second-level cache.
template <class T, int kThreads, bool kKept>
__global__ void __launch_bounds__(kThreads, 1024 / kThreads) head_rows_kernel(RowsArgs<T> args) {
  constexpr int kWidth = kPack<T>, kAhead = 4;
  const std::int64_t index = blockIdx.x;
  T* row = args.logits + index * args.stride;
  const std::int32_t label = args.labels[index], vocab = args.vocab;
  const auto packs = static_cast<std::int32_t>((vocab + kWidth - 1) / kWidth);
  const auto thread = static_cast<std::int32_t>(threadIdx.x);
  auto* kept = reinterpret_cast<T*>(shared_memory());

  if (!allowed(label, vocab, false)) {
    if (threadIdx.x == 0) args.losses[index] = 0.0f;
    if (args.factor == nullptr) return;
    const float zero[kWidth] = {};
    for (std::int32_t p = thread; p < packs; p += kThreads) store(zero, row + p * kWidth);
    return;
  }
  const float at_label = to_float(row[label]);

  float high = -INFINITY, own_sum = 0.0f;
  const auto take = [&](auto packs_at_once, std::int32_t first) {
    constexpr int kCount = decltype(packs_at_once)::value;
    Pack<T> pack[kCount];
#pragma unroll
    for (int a = 0; a < kCount; ++a) pack[a] = load_pack(row + (first + a * kThreads) * kWidth);
    const float before = high;
#pragma unroll
    for (int a = 0; a < kCount; ++a) {
      const std::int32_t p = first + a * kThreads;
      if (p == label / kWidth || (p + 1) * kWidth > vocab) {
#pragma unroll
        for (int k = 0; k < kWidth; ++k) {
          const std::int32_t word = p * kWidth + k;
          if (word == label || word >= vocab) pack[a].values[k] = from_float<T>(-INFINITY);
        }
      }
      if constexpr (kKept) store_pack(kept + p * kWidth, pack[a]);
#pragma unroll
      for (int k = 0; k < kWidth; ++k) high = fmaxf(high, to_float(pack[a].values[k]));
    }
    const float shift = high == -INFINITY ? 0.0f : high;  // of nothing but the label
    own_sum *= exponential<T>(before, shift);
#pragma unroll
    for (int a = 0; a < kCount; ++a) {
#pragma unroll
      for (int k = 0; k < kWidth; ++k) own_sum += exponential<T>(to_float(pack[a].values[k]), shift);
    }
  };
  std::int32_t p = thread;
  for (; p + (kAhead - 1) * kThreads < packs; p += kAhead * kThreads) take(Together<kAhead>(), p);
  for (; p < packs; p += kThreads) take(Together<1>(), p);
  const float maximum = fmaxf(block_max<kThreads>(high), at_label);
  const float others = block_sum<kThreads>(own_sum * exponential<T>(high, maximum));
  const float of_label = exponential<T>(at_label, maximum), sum = others + of_label;
  if (threadIdx.x == 0) {
    args.losses[index] = at_label == maximum ? log1pf(others / of_label) : maximum - at_label + logf(sum);
  }
  if (args.factor == nullptr) return;

  const float scale = *args.factor / sum;
  const auto write = [&](auto packs_at_once, std::int32_t first) {
    constexpr int kCount = decltype(packs_at_once)::value;
    Pack<T> pack[kCount];
#pragma unroll
    for (int a = 0; a < kCount; ++a) pack[a] = load_pack((kKept ? kept : row) + (first + a * kThreads) * kWidth);
#pragma unroll
    for (int a = 0; a < kCount; ++a) {
      float v[kWidth];
#pragma unroll
      for (int k = 0; k < kWidth; ++k) v[k] = scale * exponential<T>(to_float(pack[a].values[k]), maximum);
      store(v, row + (first + a * kThreads) * kWidth);
    }
  };
  p = thread;
  for (; p + (kAhead - 1) * kThreads < packs; p += kAhead * kThreads) write(Together<kAhead>(), p);
  for (; p < packs; p += kThreads) write(Together<1>(), p);
  // By the thread that wrote the place. (Between the vocabulary and the stride are any values.)
  if (label / kWidth % kThreads == thread) row[label] = from_float<T>(-scale * others);
}

// count = number of labels that take part, factor = g / count (0 without any). One block.
__global__ void __launch_bounds__(kTotalThreads)
    head_count_kernel(const std::int32_t* labels, std::int64_t rows, std::int32_t vocab, const float* g, float* count,
                      float* factor) {
  std::int32_t counted = 0;
#pragma unroll 8
  for (std::int64_t r = threadIdx.x; r < rows; r += kTotalThreads) counted += allowed(labels[r], vocab, false) ? 1 : 0;
  counted = block_sum<kTotalThreads>(counted);
  if (threadIdx.x != 0) return;
  *count = static_cast<float>(counted);
  if (g != nullptr) *factor = counted == 0 ? 0.0f : *g / static_cast<float>(counted);
}

// loss = sum of losses / count, in f64 and in a fixed order. One block.
__global__ void __launch_bounds__(kTotalThreads)
    head_loss_kernel(const float* losses, std::int64_t rows, const float* count, float* loss) {
  double sum = 0.0;
#pragma unroll 8
  for (std::int64_t r = threadIdx.x; r < rows; r += kTotalThreads) sum += static_cast<double>(losses[r]);
  sum = block_sum<kTotalThreads>(sum);
  if (threadIdx.x == 0) *loss = *count == 0.0f ? 0.0f : static_cast<float>(sum / static_cast<double>(*count));
}

// The products of a chunk of `rows` rows.
struct ChunkProducts {
  std::unique_ptr<BlasProduct> logits, d_x, d_table_first, d_table_next;

  struct Shape {
    DType dtype;
    std::int64_t width, vocab, stride;
    bool has_bias, gradient, add_table, has_next;
  };

  ChunkProducts(Context& context, const Shape& shape, std::int64_t rows) {
    BlasProductDesc desc;
    desc.dtype = desc.out = shape.dtype;
    desc.m = rows;
    desc.n = shape.vocab;
    desc.k = desc.lda = desc.ldb = shape.width;
    desc.ldc = shape.stride;
    desc.trans_b = true;
    if (shape.has_bias) desc.epilogue = Epilogue::Bias;
    logits = std::make_unique<BlasProduct>(context, desc);
    if (!shape.gradient) return;

    BlasProductDesc to_x;
    to_x.dtype = to_x.out = shape.dtype;
    to_x.m = rows;
    to_x.n = to_x.ldb = to_x.ldc = shape.width;
    to_x.k = shape.vocab;
    to_x.lda = shape.stride;
    d_x = std::make_unique<BlasProduct>(context, to_x);

    BlasProductDesc to_table;
    to_table.dtype = shape.dtype;
    to_table.out = DType::F32;
    to_table.m = shape.vocab;
    to_table.n = to_table.ldb = to_table.ldc = shape.width;
    to_table.k = rows;
    to_table.lda = shape.stride;
    to_table.trans_a = true;
    to_table.accumulate = shape.add_table;
    d_table_first = std::make_unique<BlasProduct>(context, to_table);
    to_table.accumulate = true;
    if (shape.has_next) d_table_next = std::make_unique<BlasProduct>(context, to_table);
  }

  void tune(std::span<std::byte> arena, cudaStream_t stream) const {
    for (const auto* product : {&logits, &d_x, &d_table_first, &d_table_next}) {
      if (*product != nullptr) (*product)->tune(arena, stream);
    }
  }
};

// lmHeadLoss and, with `gradient`, lmHeadLossGradient. With p = softmax(logits), w = g / count for counted rows, else
// 0:
//   loss = mean(lse - logits[label]), dlogits = w (p - onehot(label)),
//   dx = dlogits table, dTable (+)= dlogits^T x, dBias (+)= column sums of dlogits.
// Logits have the dtype of x. Their rows are `stride` apart, the vocabulary rounded up to 64, so that each is aligned
// and made of whole packs; what is between enters no product and no sum.
template <class T>
class HeadKernel final : public Kernel {
 public:
  HeadKernel(const OpDesc& desc, bool gradient, Context& context)
      : dtype_(desc.inputs[0].dtype),
        rows_(desc.inputs[0].shape[0]),
        width_(desc.inputs[0].shape[1]),
        vocab_(desc.inputs[1].shape[0]),
        stride_(ceil_div(vocab_, 64) * 64),
        has_bias_(desc.attrs.flag("hasBias")),
        gradient_(gradient),
        add_bias_(desc.accumulates(4)),
        check_(context, IndexRule{desc.op, "labels", vocab_, /*ignore=*/true}, rows_) {
    divide(context.properties.totalGlobalMem);
    const ChunkProducts::Shape shape{dtype_,
                                     width_,
                                     vocab_,
                                     stride_,
                                     has_bias_,
                                     gradient_,
                                     desc.accumulates(3),
                                     chunks_ > 1 && !desc.accumulates(3)};
    whole_ = std::make_unique<ChunkProducts>(context, shape, chunk_);
    const std::int64_t last = rows_ - (chunks_ - 1) * chunk_;
    if (last != chunk_) last_ = std::make_unique<ChunkProducts>(context, shape, last);
    choose(context);
  }

  std::size_t scratch_bytes() const override {
    return logits_offset() + static_cast<std::size_t>(chunk_ * stride_) * sizeof(T);
  }

  void tune(std::span<std::byte> arena, void* stream) override {
    for (const auto* products : {whole_.get(), last_.get()}) {
      if (products != nullptr) products->tune(arena, static_cast<cudaStream_t>(stream));
    }
  }

  void run(const RunContext& c) override {
    const auto* labels = c.in<std::int32_t>(has_bias_ ? 3 : 2);
    const float* g = gradient_ ? c.in<float>(has_bias_ ? 4 : 3) : nullptr;
    auto *loss = c.out<float>(0), *count = c.out<float>(1);
    auto* scratch = static_cast<std::byte*>(c.scratch);
    auto* factor = reinterpret_cast<float*>(scratch + BlasProduct::kWorkspaceBytes);
    auto* losses = reinterpret_cast<float*>(scratch + losses_offset());
    auto* logits = reinterpret_cast<T*>(scratch + logits_offset());
    const auto stream = static_cast<cudaStream_t>(c.stream);

    check_.run(labels, stream);
    launch(head_count_kernel, {1, kTotalThreads}, stream, labels, rows_, static_cast<std::int32_t>(vocab_), g, count,
           factor);
    void* bias = has_bias_ ? const_cast<float*>(c.in<float>(2)) : nullptr;
    if (has_bias_ && dtype_ == DType::BF16) {
      auto* narrow = reinterpret_cast<Bf16*>(scratch + bias_offset());
      each(vocab_, Narrow{c.in<float>(2), narrow}, stream);
      bias = narrow;
    }
    for (std::int64_t chunk = 0; chunk < chunks_; ++chunk) {
      const std::int64_t first = chunk * chunk_, rows = std::min(chunk_, rows_ - first);
      const ChunkProducts& products = rows == chunk_ ? *whole_ : *last_;
      const T* x = c.in<T>(0) + first * width_;
      products.logits->run({x, c.inputs[1], logits, bias}, scratch, stream);
      const RowsArgs<T> args{logits,         labels + first,
                             losses + first, gradient_ ? factor : nullptr,
                             stride_,        static_cast<std::int32_t>(vocab_)};
      launch(rows_kernel_, {static_cast<unsigned>(rows), threads_, shared_}, stream, args);
      if (!gradient_) continue;
      products.d_x->run({logits, c.inputs[1], c.out<T>(2) + first * width_}, scratch, stream);
      const auto& d_table = chunk > 0 && products.d_table_next ? products.d_table_next : products.d_table_first;
      d_table->run({logits, x, c.outputs[3]}, scratch, stream);
      if (!has_bias_) continue;
      column_sums<T, kPack<T>>({{logits, c.out<float>(4), chunk > 0 || add_bias_}}, rows, stride_, vocab_, stream);
    }
    launch(head_loss_kernel, {1, kTotalThreads}, stream, losses, rows_, count, loss);
  }

 private:
  // Equal chunks, of whole tiles of the products where there are several. 512 MiB of logits are enough for products to
  // run at their best and for few passes over dTable; of a GPU with less than 32 GiB they take a 64th.
  void divide(std::size_t memory_bytes) {
    constexpr std::int64_t kTile = 128;
    const auto budget = static_cast<std::int64_t>(std::min(std::size_t{512} << 20, memory_bytes / 64));
    const std::int64_t most = budget / (stride_ * static_cast<std::int64_t>(sizeof(T)));
    if (rows_ <= most) {
      chunk_ = rows_;
    } else {
      const std::int64_t fitting = std::max(most / kTile * kTile, kTile);
      chunk_ = ceil_div(ceil_div(rows_, ceil_div(rows_, fitting)), kTile) * kTile;
    }
    chunks_ = ceil_div(rows_, chunk_);
  }

  // Rows are kept in shared memory where that leaves room for two blocks (each also takes 1 KiB for the system).
  void choose(const Context& context) {
    const std::size_t row_bytes = static_cast<std::size_t>(ceil_div(vocab_, kPack<T>)) * sizeof(Pack<T>);
    const std::size_t room = context.properties.sharedMemPerMultiprocessor / 2 - 2048;
    if (vocab_ <= 4096) {
      rows_kernel_ = head_rows_kernel<T, 128, false>;
      threads_ = 128;
    } else if (!gradient_ || row_bytes > std::min(room, context.properties.sharedMemPerBlockOptin)) {
      rows_kernel_ = head_rows_kernel<T, 512, false>;
      threads_ = 512;
    } else {
      rows_kernel_ = head_rows_kernel<T, 512, true>;
      threads_ = 512;
      shared_ = row_bytes;
    }
    allow_shared(rows_kernel_, shared_);
  }

  static std::size_t padded(std::size_t bytes) { return (bytes + 255) / 256 * 256; }
  // In scratch: the products' workspace, factor, losses, bias, logits.
  static std::size_t losses_offset() { return BlasProduct::kWorkspaceBytes + 256; }
  std::size_t bias_offset() const { return losses_offset() + padded(static_cast<std::size_t>(rows_) * sizeof(float)); }
  std::size_t logits_offset() const {
    return bias_offset() + padded(has_bias_ ? static_cast<std::size_t>(vocab_) * sizeof(Bf16) : 0);
  }

  DType dtype_;
  std::int64_t rows_, width_, vocab_, stride_;
  bool has_bias_, gradient_, add_bias_;
  IndexCheck check_;
  std::int64_t chunks_ = 1, chunk_ = 0;
  std::unique_ptr<ChunkProducts> whole_, last_;
  void (*rows_kernel_)(RowsArgs<T>) = nullptr;
  unsigned threads_ = 0;
  std::size_t shared_ = 0;
};

// (x, table, [bias], labels) -> (loss, count), and with `gradient`
// (x, table, [bias], labels, g) -> (loss, count, dx, dTable, [dBias]).
KernelFactory factory(Context& context, bool gradient) {
  return [&context, gradient](const OpDesc& desc) -> std::unique_ptr<Kernel> {
    const DType dtype = desc.inputs[0].dtype;
    const std::size_t labels = desc.attrs.flag("hasBias") ? 3 : 2;
    if (dtype == DType::I32 || desc.inputs[1].dtype != dtype || desc.inputs[labels].dtype != DType::I32) {
      unsupported(desc, "cuda");
    }
    require(desc.inputs[0].shape.size() == 2 && desc.inputs[0].shape[0] > 0, desc.op + ": x must be [M > 0, C]");
    if (dtype == DType::F32) return std::make_unique<HeadKernel<float>>(desc, gradient, context);
    return std::make_unique<HeadKernel<Bf16>>(desc, gradient, context);
  };
}

}  // namespace

void register_head(OpTable& table, Context& context) {
  table.add("lmHeadLoss", factory(context, /*gradient=*/false));
  table.add("lmHeadLossGradient", factory(context, /*gradient=*/true));
}

}  // namespace apollo::cuda
