// binary: y = f(a, b) with numpy's broadcasting; comparisons give i32 0 or 1. Limited by memory traffic: y is written
// once, and what of a and b is repeated comes from caches. The cases of training (equal shapes, rows, columns and
// single values repeated) work on packs; tensors whose rows are not whole packs are processed element by element.
#include <string_view>
#include <utility>

#include "cuda/cuda.h"
#include "cuda/lib/lanes.cuh"
#include "cuda/lib/strided.cuh"

namespace apollo::cuda {
namespace {

enum class Binary { Add, Sub, Mul, Div, Max, Min, Pow, Compare };

// Relation of two numbers, as bits; a comparison is the set of those that make it 1.
enum Relation : std::uint32_t { kLess = 1, kEqual = 2, kGreater = 4, kUnordered = 8 };

struct BinaryName {
  std::string_view name;
  Binary kind;
  std::uint32_t relations = 0;
};
constexpr BinaryName kBinary[] = {
    {"add", Binary::Add},
    {"sub", Binary::Sub},
    {"mul", Binary::Mul},
    {"div", Binary::Div},
    {"pow", Binary::Pow},
    {"max", Binary::Max},
    {"min", Binary::Min},
    {"less", Binary::Compare, kLess},
    {"lessEqual", Binary::Compare, kLess | kEqual},
    {"equal", Binary::Compare, kEqual},
    {"greater", Binary::Compare, kGreater},
    {"greaterEqual", Binary::Compare, kGreater | kEqual},
    {"notEqual", Binary::Compare, kLess | kGreater | kUnordered},
};

template <int kCount, class L, class R, class F>
__device__ __forceinline__ void join(const L (&a)[kCount], const L (&b)[kCount], R (&y)[kCount], const F& f) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) y[i] = f(a[i], b[i]);
}

// Integers wrap around, as they do in the processor's vectors.
__device__ __forceinline__ float plus(float a, float b) { return a + b; }
__device__ __forceinline__ float minus(float a, float b) { return a - b; }
__device__ __forceinline__ float times(float a, float b) { return a * b; }
__device__ __forceinline__ float over(float a, float b) { return a / b; }
__device__ __forceinline__ std::int32_t over(std::int32_t a, std::int32_t) { return a; }  // for the compiler only
__device__ __forceinline__ std::int32_t plus(std::int32_t a, std::int32_t b) {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(a) + static_cast<std::uint32_t>(b));
}
__device__ __forceinline__ std::int32_t minus(std::int32_t a, std::int32_t b) {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(a) - static_cast<std::uint32_t>(b));
}
__device__ __forceinline__ std::int32_t times(std::int32_t a, std::int32_t b) {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(a) * static_cast<std::uint32_t>(b));
}

// f on elements of T. One kernel for all f but comparisons, whose result has another type, and powf, whose code would
// take registers from the others: the branch on `kind` is the same for all threads.
template <class T, Binary kFamily>
struct Function {
  static constexpr bool kCompares = kFamily == Binary::Compare;
  using Result = std::conditional_t<kCompares, std::int32_t, T>;
  Binary kind;
  std::uint32_t relations;

  template <int kCount>
  __device__ __forceinline__ void operator()(const Lane<T> (&a)[kCount], const Lane<T> (&b)[kCount],
                                             Lane<Result> (&y)[kCount]) const {
    using L = Lane<T>;
    if constexpr (kCompares) {
      join(a, b, y, [set = relations](L p, L q) -> std::int32_t {
        const std::uint32_t relation = p < q ? kLess : p == q ? kEqual : p > q ? kGreater : kUnordered;
        return (set & relation) != 0 ? 1 : 0;
      });
    } else if constexpr (kFamily == Binary::Pow) {
      join(a, b, y, [](L p, L q) { return powf(p, q); });
    } else {
      switch (kind) {
        case Binary::Add: join(a, b, y, [](L p, L q) { return plus(p, q); }); break;
        case Binary::Sub: join(a, b, y, [](L p, L q) { return minus(p, q); }); break;
        case Binary::Mul: join(a, b, y, [](L p, L q) { return times(p, q); }); break;
        case Binary::Div: join(a, b, y, [](L p, L q) { return over(p, q); }); break;
        // A NaN on either side wins.
        case Binary::Max: join(a, b, y, [](L p, L q) { return p > q || p != p ? p : q; }); break;
        default: join(a, b, y, [](L p, L q) { return p < q || p != p ? p : q; }); break;  // Min
      }
    }
  }
};

// Packs: a thread makes one pack of y, `walk` counts packs. An operand's pack is as one in memory or is one element
// repeated. The pack at the end of y may be cut, if a and b are one loop.
template <class T, Binary kFamily>
struct PackBody {
  static constexpr int kCount = 1, kWidth = kPack<T>;
  using F = Function<T, kFamily>;
  Walk<2> walk;
  F f;
  bool a_repeats, b_repeats;
  std::int64_t elements;
  const T *a, *b;
  typename F::Result* y;

  template <int kElements>
  __device__ __forceinline__ static void operand(const T* from, bool repeats, Lane<T> (&to)[kElements]) {
    if (repeats) {
      Lane<T> one[1];
      load_lanes(from, one);
#pragma unroll
      for (int k = 0; k < kElements; ++k) to[k] = one[0];
    } else {
      load_lanes(from, to);
    }
  }
  template <int kElements>
  __device__ __forceinline__ void at(std::int64_t left, std::int64_t right, std::int64_t to) const {
    Lane<T> p[kElements], q[kElements];
    Lane<typename F::Result> result[kElements];
    operand(a + left, a_repeats, p);
    operand(b + right, b_repeats, q);
    f(p, q, result);
    store_lanes(result, y + to);
  }
  __device__ void run(std::uint32_t (&index)[1]) const {
    if (index[0] >= walk.count) return;
    const std::int64_t begin = static_cast<std::int64_t>(index[0]) * kWidth;
    std::int64_t from[1][2];
    walk.offsets(index, from);
    if (begin + kWidth <= elements) {
      at<kWidth>(from[0][0], from[0][1], begin);
    } else {
      for (std::int64_t i = 0; begin + i < elements; ++i) {
        at<1>(from[0][0] + (a_repeats ? 0 : i), from[0][1] + (b_repeats ? 0 : i), begin + i);
      }
    }
  }
};

// Any strides: 16 bytes of y a thread, an element at a time.
template <class T, Binary kFamily>
struct ElementBody {
  static constexpr int kCount = kPack<T>;
  using F = Function<T, kFamily>;
  Walk<2> walk;
  F f;
  const T *a, *b;
  typename F::Result* y;

  __device__ void run(std::uint32_t (&index)[kCount]) const {
    const std::uint32_t first = index[0];
    std::int64_t from[kCount][2];
    walk.offsets(index, from);
    Lane<T> p[kCount], q[kCount];
    Lane<typename F::Result> result[kCount];
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      p[i] = q[i] = 0;
      if (first + i * kSpaceThreads >= walk.count) continue;
      Lane<T> left[1], right[1];
      load_lanes(a + from[i][0], left);
      load_lanes(b + from[i][1], right);
      p[i] = left[0];
      q[i] = right[0];
    }
    f(p, q, result);
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      if (first + i * kSpaceThreads >= walk.count) continue;
      const Lane<typename F::Result> one[1] = {result[i]};
      store_lanes(one, y + first + i * kSpaceThreads);
    }
  }
};

// Operand 0 of the space is y, which it walks through in memory's order; 1 and 2 are a and b.
using Space = SpacePart<3>;

// The same space without y.
Walk<2> walk_of(const Space& space) {
  SpacePart<2> part;
  for (const auto& loop : space.loops) part.loops.push_back({loop.extent, {loop.stride[1], loop.stride[2]}});
  return part.walk("binary");
}

template <class T, Binary kFamily>
class BinaryKernel final : public Kernel {
 public:
  BinaryKernel(const LoopNest<3>& nest, const BinaryName& name) : f_{name.kind, name.relations} {
    Space space{nest.loops, {}};
    const auto& run = nest.run();
    a_repeats_ = run.stride[1] == 0;
    b_repeats_ = run.stride[2] == 0;
    // Every pack of y must be within one run, and at a multiple of a pack in operands that are not repeated there.
    packs_ = nest.loops.size() == 1 || run.extent % kWidth == 0;
    for (std::size_t d = 0; d + 1 < nest.loops.size(); ++d) {
      const auto& stride = nest.loops[d].stride;
      packs_ &= a_repeats_ || stride[1] % kWidth == 0;
      packs_ &= b_repeats_ || stride[2] % kWidth == 0;
    }
    if (packs_) {
      auto& inner = space.loops.back();
      inner.extent = ceil_div(inner.extent, kWidth);
      for (std::int64_t& stride : inner.stride) stride *= kWidth;
    }
    for (const Space& part : small_parts(space)) parts_.push_back({walk_of(part), part.first, 0});
    for (Part& part : parts_) {
      const std::int64_t most = static_cast<std::int64_t>(part.walk.count) * (packs_ ? kWidth : 1);
      part.elements = std::min(most, nest.elements - part.first[0]);
    }
  }

  void run(const RunContext& c) override {
    for (const Part& part : parts_) {
      const T *a = c.in<T>(0) + part.first[1], *b = c.in<T>(1) + part.first[2];
      Result* y = c.out<Result>(0) + part.first[0];
      if (packs_) {
        for_space(PackBody<T, kFamily>{part.walk, f_, a_repeats_, b_repeats_, part.elements, a, b, y}, c.stream);
      } else {
        for_space(ElementBody<T, kFamily>{part.walk, f_, a, b, y}, c.stream);
      }
    }
  }

 private:
  static constexpr int kWidth = kPack<T>;
  using Result = typename Function<T, kFamily>::Result;
  struct Part {
    Walk<2> walk;
    std::array<std::int64_t, 3> first;
    std::int64_t elements;
  };

  Function<T, kFamily> f_;
  bool packs_ = false, a_repeats_ = false, b_repeats_ = false;
  std::vector<Part> parts_;
};

// Null when there is none for these dtypes.
template <class T>
std::unique_ptr<Kernel> binary_kernel(const LoopNest<3>& nest, const BinaryName& name) {
  if (name.kind == Binary::Compare) return std::make_unique<BinaryKernel<T, Binary::Compare>>(nest, name);
  if constexpr (std::is_same_v<T, std::int32_t>) {
    if (name.kind == Binary::Div || name.kind == Binary::Pow) return nullptr;
  } else {
    if (name.kind == Binary::Pow) return std::make_unique<BinaryKernel<T, Binary::Pow>>(nest, name);
  }
  return std::make_unique<BinaryKernel<T, Binary::Add>>(nest, name);
}

// Attribute `kind`.
std::unique_ptr<Kernel> make_binary(const OpDesc& desc) {
  const TensorDesc &a = desc.inputs[0], &b = desc.inputs[1], &y = desc.outputs[0];
  const std::string& kind = desc.attrs.text("kind");
  for (const BinaryName& name : kBinary) {
    const DType result = name.kind == Binary::Compare ? DType::I32 : a.dtype;
    if (name.name != kind || a.dtype != b.dtype || y.dtype != result) continue;
    const LoopNest<3> nest(y.shape, {row_major_strides(y.shape), broadcast_strides(a.shape, y.shape),
                                     broadcast_strides(b.shape, y.shape)});
    std::unique_ptr<Kernel> kernel = a.dtype == DType::F32    ? binary_kernel<float>(nest, name)
                                     : a.dtype == DType::BF16 ? binary_kernel<Bf16>(nest, name)
                                                              : binary_kernel<std::int32_t>(nest, name);
    if (kernel) return kernel;
  }
  throw Error("op 'binary' has no kernel on cuda for kind '" + kind + "' (" + a.to_string() + ", " + b.to_string() +
                  " -> " + y.to_string() + ")",
              "APOLLO_NO_KERNEL");
}

}  // namespace

void register_binary(OpTable& table, Context&) { table.add("binary", make_binary); }

}  // namespace apollo::cuda
