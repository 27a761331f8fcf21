// Rotary position embedding (Su et al., arXiv 2104.09864): the first heads of each row rotated pair by pair, the others
// copied. Pairs are element j of a head's first half and element j of its second. Limited by memory: one read and one
// write.
#include <memory>
#include <string>
#include <vector>

#include "core/rotary_shape.h"
#include "cuda/cuda.h"
#include "cuda/lib/division.cuh"
#include "cuda/lib/intrinsics.cuh"
#include "cuda/lib/launch.cuh"
#include "cuda/lib/table.cuh"
#include "cuda/lib/vector.cuh"

namespace apollo::cuda {
namespace {

constexpr int kThreads = 128;

template <class T>
struct RotaryArgs {
  const T* x;
  T* y;
  const float* frequencies;       // [head / 2]
  const std::int32_t* positions;  // [rows]; null: row i is at position i % tokens
  std::int32_t tokens, width, heads, head;
  float direction;  // 1, or -1 for the rotation back
  Divisor packs;    // of half a head
};

// kWidth neighbouring pairs of a row: elements [at, at + kWidth) and those half a head behind.
template <int kWidth>
struct Pairs {
  std::uint32_t j = 0, at = 0;  // the first one's place in its head and in the row
  float a[kWidth], b[kWidth];

  // The i-th ones of the row.
  template <class T>
  __device__ __forceinline__ void load_from(const RotaryArgs<T>& args, const T* x, std::uint32_t i) {
    const std::uint32_t h = args.packs.quotient(i);
    j = (i - h * args.packs.value) * kWidth;
    at = h * static_cast<std::uint32_t>(args.head) + j;
    load(x + at, a);
    load(x + at + args.head / 2, b);
  }
  template <class T>
  __device__ __forceinline__ void rotate_to(const RotaryArgs<T>& args, const float* cosines, const float* sines, T* y) {
    float cosine[kWidth], sine[kWidth];
    load(cosines + j, cosine);
    load(sines + j, sine);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      const float first = a[k];
      a[k] = fmaf(-b[k], sine[k], first * cosine[k]);
      b[k] = fmaf(first, sine[k], b[k] * cosine[k]);
    }
    store(a, y + at);
    store(b, y + at + args.head / 2);
  }
};

// A block a row. cos and sin of its angles are computed once, in shared memory, for all heads, while the first pairs
// are in progress.
template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads) rotary_kernel(const RotaryArgs<T> args) {
  const std::int64_t row = blockIdx.x;
  const std::int32_t half = args.head / 2, rotated = args.heads * args.head;
  const std::uint32_t pairs = static_cast<std::uint32_t>(args.heads) * args.packs.value;
  const T* x = args.x + row * args.width;
  T* y = args.y + row * args.width;
  Pairs<kWidth> own;
  std::uint32_t i = threadIdx.x;
  if (i < pairs) own.load_from(args, x, i);

  auto* cosines = reinterpret_cast<float*>(shared_memory());
  float* sines = cosines + half;
  const auto position = static_cast<float>(args.positions != nullptr ? args.positions[row]
                                                                     : static_cast<std::int32_t>(row % args.tokens));
  for (std::int32_t j = static_cast<std::int32_t>(threadIdx.x); j < half; j += kThreads) {
    const float angle = position * args.frequencies[j];
    cosines[j] = cosf(angle);
    sines[j] = args.direction * sinf(angle);
  }
  __syncthreads();

  while (i < pairs) {
    own.rotate_to(args, cosines, sines, y);
    i += kThreads;
    if (i < pairs) own.load_from(args, x, i);
  }
  for (std::int32_t c = rotated + static_cast<std::int32_t>(threadIdx.x) * kWidth; c < args.width;
       c += kThreads * kWidth) {
    float v[kWidth];
    load(x + c, v);
    store(v, y + c);
  }
}

// (x [B, T, n * headSize], [positions]) -> y; attributes heads, headSize, frequencies, inverse.
template <class T>
class Rotary final : public Kernel {
 public:
  Rotary(const OpDesc& desc, const Context& context) : shape_(desc), frequencies_(rotary_frequencies(desc, shape_)) {
    const std::int64_t half = shape_.head / 2;
    const bool whole_packs = half % kPack<T> == 0;
    args_.tokens = to_int32(shape_.tokens, "rotary: tokens");
    args_.width = to_int32(shape_.width, "rotary: elements of a row");
    args_.heads = static_cast<std::int32_t>(shape_.heads);
    args_.head = static_cast<std::int32_t>(shape_.head);
    args_.direction = shape_.inverse ? -1.0f : 1.0f;
    args_.packs = Divisor(whole_packs ? half / kPack<T> : half);
    kernel_ = whole_packs ? rotary_kernel<T, kPack<T>> : rotary_kernel<T, 1>;
    if (const std::size_t available = context.properties.sharedMemPerBlockOptin; shared_bytes() > available) {
      throw Error("rotary with heads of " + std::to_string(shape_.head) + " needs " + std::to_string(shared_bytes()) +
                      " bytes of shared memory a block on cuda; this GPU has " + std::to_string(available) +
                      ". Use more heads.",
                  "APOLLO_NO_KERNEL");
    }
    allow_shared(kernel_, shared_bytes());
  }

  void bind(const RunContext& c) override {
    if (table_.get() == nullptr) table_.fill(frequencies_, c.stream);
  }

  void run(const RunContext& c) override {
    const std::int64_t rows = shape_.batch * shape_.tokens;
    if (rows == 0) return;
    RotaryArgs<T> args = args_;
    args.x = c.in<T>(0);
    args.y = c.out<T>(0);
    args.frequencies = table_.get();
    args.positions = shape_.has_positions ? c.in<std::int32_t>(1) : nullptr;
    launch(kernel_, {blocks_for(rows, 1), kThreads, shared_bytes()}, c.stream, args);
  }

 private:
  std::size_t shared_bytes() const { return static_cast<std::size_t>(shape_.head) * sizeof(float); }

  RotaryShape shape_;
  std::vector<float> frequencies_;
  Table<float> table_;
  RotaryArgs<T> args_{};
  void (*kernel_)(RotaryArgs<T>) = nullptr;
};

std::unique_ptr<Kernel> make_rotary(const OpDesc& desc, const Context& context) {
  const DType dtype = desc.inputs[0].dtype;
  if (dtype == DType::I32 || desc.outputs[0].dtype != dtype) unsupported(desc, "cuda");
  if (dtype == DType::F32) return std::make_unique<Rotary<float>>(desc, context);
  return std::make_unique<Rotary<Bf16>>(desc, context);
}

}  // namespace

void register_rotary(OpTable& table, Context& context) {
  table.add("rotary", [&context](const OpDesc& desc) { return make_rotary(desc, context); });
}

}  // namespace apollo::cuda
