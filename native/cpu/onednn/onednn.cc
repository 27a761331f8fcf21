#include "cpu/onednn/onednn.h"

#include <omp.h>

#include <dnnl_debug.h>
#include <algorithm>
#include <dnnl.hpp>
#include <optional>
#include <string>

#include "core/error.h"
#include "cpu/parallel.h"
#include "cpu/simd/simd-inl.h"
#include "cpu/tiles/tiled_product.h"

namespace apollo::cpu {
namespace {

using DataType = dnnl::memory::data_type;

DataType data_type(DType dtype) {
  switch (dtype) {
    case DType::F32: return DataType::f32;
    case DType::BF16: return DataType::bf16;
    case DType::I32: return DataType::s32;
  }
  return DataType::undef;
}

// All processes have one CPU; the object is made on first use and never changes.
const dnnl::engine& cpu_engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::memory::desc layout_of(const MatrixDesc& matrix, DType dtype) {
  return {matrix.shape, data_type(dtype), matrix.strides};
}

dnnl::matmul::primitive_desc plan_matmul(const ProductDesc& desc, DType a_type, DType b_type, DType c_type) {
  using Tag = dnnl::memory::format_tag;
  const dnnl::memory::desc a =
      desc.pack_a ? dnnl::memory::desc(desc.a.shape, data_type(a_type), Tag::any) : layout_of(desc.a, a_type);
  const dnnl::memory::desc b =
      desc.pack_b ? dnnl::memory::desc(desc.b.shape, data_type(b_type), Tag::any) : layout_of(desc.b, b_type);
  const dnnl::memory::desc c = layout_of(desc.c, c_type);
  dnnl::memory::desc bias;
  if (desc.bias) {
    dnnl::memory::dims shape(desc.c.shape.size(), 1), strides(desc.c.shape.size(), desc.c.shape.back());
    shape.back() = desc.c.shape.back();
    strides.back() = 1;
    bias = dnnl::memory::desc(shape, DataType::f32, strides);
  }

  dnnl::post_ops post;
  if (desc.activation != Activation::None) {
    const auto kind =
        desc.activation == Activation::Gelu ? dnnl::algorithm::eltwise_gelu_erf : dnnl::algorithm::eltwise_gelu_tanh;
#if DNNL_VERSION_MAJOR >= 3
    post.append_eltwise(kind, 0.0f, 0.0f);
#else
    post.append_eltwise(1.0f, kind, 0.0f, 0.0f);
#endif
  }
  if (desc.accumulate) post.append_sum(1.0f);
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  attributes.set_post_ops(post);

#if DNNL_VERSION_MAJOR >= 3
  if (desc.bias) return {cpu_engine(), a, b, bias, c, attributes};
  return {cpu_engine(), a, b, c, attributes};
#else
  const auto operation = desc.bias ? dnnl::matmul::desc(a, b, bias, c) : dnnl::matmul::desc(a, b, c);
  return {operation, attributes, cpu_engine()};
#endif
}

// Elements from the first to the last one of the matrix, gaps included.
std::size_t span_of(const MatrixDesc& matrix) {
  std::int64_t last = 0;
  for (std::size_t i = 0; i < matrix.shape.size(); ++i) {
    if (matrix.shape[i] == 0) return 0;
    last += (matrix.shape[i] - 1) * matrix.strides[i];
  }
  return static_cast<std::size_t>(last + 1);
}

template <class From, class To>
void convert(const From* from, To* to, std::size_t count) {
  parallel_elements(static_cast<std::int64_t>(count), 6, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) assign(to[i], to_f32(from[i]));
  });
}

void expect(dnnl_status_t status, const char* what) {
  if (status != dnnl_success) {
    throw Error(std::string("oneDNN: ") + what + ": " + dnnl_status2str(status), "APOLLO_ONEDNN");
  }
}

std::string describe(const MatrixDesc& matrix) { return TensorDesc{matrix.dtype, matrix.shape}.to_string(); }

}  // namespace

MatrixDesc MatrixDesc::dense(DType dtype, std::vector<std::int64_t> shape, bool transposed) {
  const std::size_t rank = shape.size();
  require(rank >= 2, "a matrix has at least two extents");
  MatrixDesc matrix{dtype, std::move(shape), std::vector<std::int64_t>(rank, 1)};
  std::int64_t next = matrix.shape[rank - 1] * matrix.shape[rank - 2];
  for (std::size_t i = rank - 2; i-- > 0; next *= matrix.shape[i]) matrix.strides[i] = next;
  matrix.strides[transposed ? rank - 1 : rank - 2] = matrix.shape[transposed ? rank - 2 : rank - 1];
  return matrix;
}

// An operand on its way into the primitive: as it is, or through a copy in scratch memory, made by a reorder (another
// layout) or by widening (bf16 where oneDNN cannot multiply it).
struct Operand {
  dnnl::memory given, used;
  std::optional<dnnl::reorder> reorder;
  std::size_t widened = 0;  // elements to convert between bf16 and f32
  std::size_t offset = 0;   // of the copy in scratch

  bool copied() const { return reorder.has_value() || widened != 0; }
};

struct Product::State {
  std::optional<TiledProduct> tiled;  // in place of all that follows
  dnnl::matmul primitive;
  dnnl::stream stream{cpu_engine()};
  Operand a, b, c;
  dnnl::memory bias, scratchpad;
  std::vector<dnnl_exec_arg_t> arguments;
  std::size_t bytes = 0;

  std::size_t reserve(std::size_t size) {
    const std::size_t offset = bytes;
    bytes += whole_lines(size);
    return offset;
  }

  Operand operand(const MatrixDesc& matrix, DType used_type, const dnnl::memory::desc& used, bool packed) {
    Operand operand;
    operand.used = dnnl::memory(used, cpu_engine(), DNNL_MEMORY_NONE);
    if (used_type != matrix.dtype) {
      operand.widened = span_of(matrix);
      operand.offset = reserve(operand.widened * sizeof(float));
    } else if (packed && used != layout_of(matrix, matrix.dtype)) {
      operand.given = dnnl::memory(layout_of(matrix, matrix.dtype), cpu_engine(), DNNL_MEMORY_NONE);
      operand.reorder.emplace(operand.given, operand.used);
      operand.offset = reserve(used.get_size());
    }
    return operand;
  }

  void bring(Operand& operand, const void* data, std::byte* scratch) {
    if (!operand.copied()) {
      operand.used.set_data_handle(const_cast<void*>(data));
      return;
    }
    operand.used.set_data_handle(scratch + operand.offset);
    if (operand.reorder) {
      operand.given.set_data_handle(const_cast<void*>(data));
      operand.reorder->execute(stream, operand.given, operand.used);
    } else {
      convert(static_cast<const Bf16*>(data), reinterpret_cast<float*>(scratch + operand.offset), operand.widened);
    }
  }
};

Product::Product(const ProductDesc& given) : state_(std::make_unique<State>()) {
  require(!given.accumulate || given.c.dtype == DType::F32, "a product accumulates in f32 only");
  if (TiledProduct::suits(given)) {
    state_->tiled.emplace(given);
    return;
  }
  ProductDesc desc = given;
  DType a_type = desc.a.dtype, b_type = desc.b.dtype, c_type = desc.c.dtype;
  dnnl::matmul::primitive_desc plan;
  const auto try_plan = [&] {
    try {
      plan = plan_matmul(desc, a_type, b_type, c_type);
      return true;
    } catch (const dnnl::error&) {
      return false;
    }
  };
  bool planned = try_plan();
  // Without bf16 arithmetic oneDNN refuses, or offers its reference loops: widen to f32 then.
  const bool narrow = a_type == DType::BF16 || c_type == DType::BF16;
  if (narrow && (!planned || std::string(plan.impl_info_str()).starts_with("ref"))) {
    a_type = b_type = c_type = DType::F32;
    desc.pack_a = desc.pack_b = false;
    planned = try_plan();
  }
  if (!planned) {
    throw Error("oneDNN has no matrix product of " + describe(desc.a) + " and " + describe(desc.b) + " into " +
                    describe(desc.c),
                "APOLLO_NO_KERNEL");
  }

  State& s = *state_;
  s.primitive = dnnl::matmul(plan);
  s.a = s.operand(desc.a, a_type, plan.src_desc(), desc.pack_a);
  s.b = s.operand(desc.b, b_type, plan.weights_desc(), desc.pack_b);
  s.c = s.operand(desc.c, c_type, plan.dst_desc(), false);
  s.arguments = {{DNNL_ARG_SRC, s.a.used.get()}, {DNNL_ARG_WEIGHTS, s.b.used.get()}, {DNNL_ARG_DST, s.c.used.get()}};
  if (desc.bias) {
    s.bias = dnnl::memory(plan.bias_desc(), cpu_engine(), DNNL_MEMORY_NONE);
    s.arguments.push_back({DNNL_ARG_BIAS, s.bias.get()});
  }
  if (const std::size_t size = plan.scratchpad_desc().get_size(); size != 0) {
    // The scratchpad is at offset 0 once all copies have their places behind it.
    s.scratchpad = dnnl::memory(plan.scratchpad_desc(), cpu_engine(), DNNL_MEMORY_NONE);
    s.arguments.push_back({DNNL_ARG_SCRATCHPAD, s.scratchpad.get()});
    for (Operand* operand : {&s.a, &s.b, &s.c}) operand->offset += whole_lines(size);
    s.bytes += whole_lines(size);
  }
}

Product::Product(Product&&) noexcept = default;
Product& Product::operator=(Product&&) noexcept = default;
Product::~Product() = default;

std::size_t Product::scratch_bytes() const { return state_->tiled ? state_->tiled->scratch_bytes() : state_->bytes; }

void Product::run(const void* a, const void* b, void* c, void* scratch, const float* bias) {
  State& s = *state_;
  if (s.tiled) {
    s.tiled->run(a, b, c, scratch);
    return;
  }
  auto* memory = static_cast<std::byte*>(scratch);
  s.bring(s.a, a, memory);
  s.bring(s.b, b, memory);
  s.c.used.set_data_handle(s.c.copied() ? memory + s.c.offset : c);
  if (s.bias) s.bias.set_data_handle(const_cast<float*>(bias));
  if (s.scratchpad) s.scratchpad.set_data_handle(memory);
  expect(dnnl_primitive_execute(s.primitive.get(), s.stream.get(), static_cast<int>(s.arguments.size()),
                                s.arguments.data()),
         "matmul failed");
  if (s.c.copied()) convert(reinterpret_cast<const float*>(memory + s.c.offset), static_cast<Bf16*>(c), s.c.widened);
}

SlicedProduct::SlicedProduct(const ProductDesc& desc, std::int64_t slice) {
  require(desc.a.shape.size() == 2 && !desc.bias && desc.activation == Activation::None,
          "only plain matrix products are sliced");
  const std::int64_t inner = desc.a.shape[1], wanted = std::max<std::int64_t>(1, (inner + slice - 1) / slice);
  const std::int64_t size = (std::max<std::int64_t>(1, (inner + wanted - 1) / wanted) + 31) / 32 * 32;
  count_ = std::max<std::int64_t>(1, (inner + size - 1) / size);
  const auto plan = [&](std::int64_t index) {
    ProductDesc part = desc;
    part.a.shape[1] = part.b.shape[0] = std::min(size, inner - index * size);
    part.c.dtype = DType::F32;
    part.accumulate = desc.accumulate || index > 0;
    plans_.emplace_back(part);
  };
  plan(0);
  if (count_ > 2) plan(1);
  if (count_ > 1) plan(count_ - 1);
  step_a_ = static_cast<std::size_t>(size * desc.a.strides[1]) * size_of(desc.a.dtype);
  step_b_ = static_cast<std::size_t>(size * desc.b.strides[0]) * size_of(desc.b.dtype);
  if (desc.c.dtype == DType::BF16) rounded_ = span_of(desc.c);
}

std::size_t SlicedProduct::scratch_bytes() const {
  std::size_t bytes = 0;
  for (const Product& plan : plans_) bytes = std::max(bytes, plan.scratch_bytes());
  return bytes + whole_lines(rounded_ * sizeof(float));
}

void SlicedProduct::run(const void* a, const void* b, void* c, void* scratch) {
  auto* memory = static_cast<std::byte*>(scratch);
  void* sum = rounded_ != 0 ? memory : c;
  memory += whole_lines(rounded_ * sizeof(float));
  for (std::int64_t i = 0; i < count_; ++i) {
    Product& plan = i == 0 ? plans_.front() : i + 1 == count_ ? plans_.back() : plans_[1];
    const auto index = static_cast<std::size_t>(i);
    plan.run(static_cast<const std::byte*>(a) + index * step_a_, static_cast<const std::byte*>(b) + index * step_b_,
             sum, memory);
  }
  if (rounded_ != 0) convert(static_cast<const float*>(sum), static_cast<Bf16*>(c), rounded_);
}

SingleThreadPlanning::SingleThreadPlanning() : threads_(omp_get_max_threads()) { omp_set_num_threads(1); }
SingleThreadPlanning::~SingleThreadPlanning() { omp_set_num_threads(threads_); }

}  // namespace apollo::cpu
