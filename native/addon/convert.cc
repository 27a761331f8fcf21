#include "addon/convert.h"

#include <climits>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <new>

namespace apollo::addon {

DType dtype_from(const Napi::Value& value) {
  const std::string name = value.ToString();
  if (name == "f32") return DType::F32;
  if (name == "bf16") return DType::BF16;
  if (name == "i32") return DType::I32;
  throw Error("dtype must be 'f32', 'bf16' or 'i32'; got '" + name + "'", "APOLLO_INTERNAL");
}

std::vector<double> numbers_from(const Napi::Value& value) {
  const Napi::Array list = value.As<Napi::Array>();
  std::vector<double> numbers(list.Length());
  for (std::uint32_t i = 0; i < list.Length(); ++i) numbers[i] = list.Get(i).ToNumber().DoubleValue();
  return numbers;
}

Napi::Array to_array(Napi::Env env, const std::vector<double>& numbers) {
  Napi::Array list = Napi::Array::New(env, numbers.size());
  for (std::uint32_t i = 0; i < numbers.size(); ++i) list.Set(i, numbers[i]);
  return list;
}

namespace {

double whole_number(const Napi::Value& value, double least, double most, const std::string& what) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : std::nan("");
  if (number >= least && number <= most && std::trunc(number) == number) return number;
  const std::string got = value.IsNumber() ? std::string(value.ToString()) : "no number";
  throw Error(what + " must be a whole number within range; got " + got, "APOLLO_INTERNAL");
}

}  // namespace

std::size_t size_from(const Napi::Value& value, const std::string& what) {
  constexpr double kMostSafe = 9007199254740991.0;  // times the size of an element: far from overflow
  return static_cast<std::size_t>(whole_number(value, 0.0, kMostSafe, what));
}

int int_from(const Napi::Value& value, const std::string& what) {
  return static_cast<int>(whole_number(value, INT32_MIN, INT32_MAX, what));
}

Napi::TypedArray typed_array(Napi::Env env, DType dtype, std::size_t size) {
  ::operator delete(::operator new(size));  // throws where V8 would end the process
  const Napi::ArrayBuffer memory = Napi::ArrayBuffer::New(env, size);
  const std::size_t elements = size / size_of(dtype);
  switch (dtype) {
    case DType::F32: return Napi::Float32Array::New(env, elements, memory, 0);
    case DType::I32: return Napi::Int32Array::New(env, elements, memory, 0);
    case DType::BF16: break;
  }
  return Napi::Uint16Array::New(env, elements, memory, 0);
}

Napi::TypedArray typed_array(Napi::Env env, DType dtype, const std::byte* bytes, std::size_t size) {
  Napi::TypedArray values = typed_array(env, dtype, size);
  if (size != 0) std::memcpy(values.ArrayBuffer().Data(), bytes, size);
  return values;
}

std::span<const std::byte> bytes_of(const Napi::Value& value, DType dtype, const std::string& what) {
  const napi_typedarray_type wanted = dtype == DType::F32   ? napi_float32_array
                                      : dtype == DType::I32 ? napi_int32_array
                                                            : napi_uint16_array;
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != wanted) {
    throw Error(what + " must be a typed array for " + name_of(dtype), "APOLLO_INTERNAL");
  }
  // The raw call, since the memory may be an ArrayBuffer or a SharedArrayBuffer.
  void* data = nullptr;
  std::size_t elements = 0;
  if (napi_get_typedarray_info(value.Env(), value, nullptr, &elements, &data, nullptr, nullptr) != napi_ok ||
      (data == nullptr && elements != 0)) {
    throw Error(what + " is detached", "APOLLO_INTERNAL");
  }
  return {static_cast<const std::byte*>(data), elements * size_of(dtype)};
}

namespace {

std::vector<int> integers(const Napi::Value& value) {
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<int> out(array.Length());
  for (std::uint32_t i = 0; i < array.Length(); ++i) out[i] = int_from(array.Get(i), "a value's index");
  return out;
}

ValueDesc::Storage storage_from(const std::string& name) {
  using Storage = ValueDesc::Storage;
  if (name == "arena") return Storage::Arena;
  if (name == "buffer") return Storage::Buffer;
  if (name == "input") return Storage::Input;
  if (name == "output") return Storage::Output;
  if (name == "alias") return Storage::Alias;
  throw Error("unknown storage '" + name + "'", "APOLLO_INTERNAL");
}

Attrs attrs_from(const Napi::Object& object) {
  Attrs attrs;
  const Napi::Array names = object.GetPropertyNames();
  for (std::uint32_t i = 0; i < names.Length(); ++i) {
    const std::string name = names.Get(i).ToString();
    const Napi::Value value = object.Get(name);
    if (value.IsBoolean()) {
      attrs.set(name, value.ToBoolean().Value());
    } else if (value.IsNumber()) {
      attrs.set(name, value.ToNumber().DoubleValue());
    } else if (value.IsString()) {
      attrs.set(name, value.ToString().Utf8Value());
    } else if (value.IsArray()) {
      attrs.set(name, numbers_from(value));
    } else {
      throw Error("attribute '" + name + "' is neither number, flag, text nor list of numbers", "APOLLO_INTERNAL");
    }
  }
  return attrs;
}

}  // namespace

ProgramDesc program_desc(const Napi::Object& object) {
  ProgramDesc desc;
  const Napi::Array values = object.Get("values").As<Napi::Array>();
  double total = 0.0;
  for (std::uint32_t i = 0; i < values.Length(); ++i) {
    const Napi::HandleScope scope(object.Env());
    const Napi::Object value = values.Get(i).As<Napi::Object>();
    ValueDesc out;
    out.tensor.dtype = dtype_from(value.Get("dtype"));
    const Napi::Array shape = value.Get("shape").As<Napi::Array>();
    // The product of all dimensions stays within 2^53 bytes, and the sum over all values within 2^60, so that no size
    // computed from them overflows.
    double elements = 1.0;
    for (std::uint32_t d = 0; d < shape.Length(); ++d) {
      const std::size_t size = size_from(shape.Get(d), "a dimension");
      elements *= std::max<double>(1.0, static_cast<double>(size));
      require(elements <= 0x1p50, "a tensor of more than 2^50 elements");
      out.tensor.shape.push_back(static_cast<std::int64_t>(size));
    }
    total += elements * static_cast<double>(size_of(out.tensor.dtype)) + 4096.0;
    require(total <= 0x1p60, "a program of more than 2^60 bytes");
    out.storage = storage_from(value.Get("storage").ToString());
    out.slot = int_from(value.Get("slot"), "a slot");
    // Slots are numbered without gaps, so none is beyond the number of values.
    require(out.slot >= 0 && static_cast<std::uint32_t>(out.slot) < values.Length(), "a slot out of range");
    desc.values.push_back(std::move(out));
  }
  const Napi::Array instructions = object.Get("instructions").As<Napi::Array>();
  for (std::uint32_t i = 0; i < instructions.Length(); ++i) {
    const Napi::HandleScope scope(object.Env());
    const Napi::Object instruction = instructions.Get(i).As<Napi::Object>();
    InstructionDesc out;
    out.op.op = instruction.Get("op").ToString();
    out.op.attrs = attrs_from(instruction.Get("attrs").As<Napi::Object>());
    out.inputs = integers(instruction.Get("inputs"));
    out.outputs = integers(instruction.Get("outputs"));
    desc.instructions.push_back(std::move(out));
  }
  return desc;
}

}  // namespace apollo::addon
