#include "addon/convert.h"

#include <cstring>

namespace apollo::addon {

DType dtype_from(const Napi::Value& value) {
  const std::string name = value.ToString();
  if (name == "f32") return DType::F32;
  if (name == "bf16") return DType::BF16;
  if (name == "i32") return DType::I32;
  throw Error("dtype must be 'f32', 'bf16' or 'i32'; got '" + name + "'", "APOLLO_INTERNAL");
}

Napi::Value typed_array(Napi::Env env, DType dtype, const std::byte* bytes, std::size_t size) {
  Napi::ArrayBuffer memory = Napi::ArrayBuffer::New(env, size);
  if (size != 0) std::memcpy(memory.Data(), bytes, size);
  const std::size_t elements = size / size_of(dtype);
  switch (dtype) {
    case DType::F32: return Napi::Float32Array::New(env, elements, memory, 0);
    case DType::I32: return Napi::Int32Array::New(env, elements, memory, 0);
    case DType::BF16: return Napi::Uint16Array::New(env, elements, memory, 0);
  }
  return env.Undefined();
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
  for (std::uint32_t i = 0; i < array.Length(); ++i) out[i] = array.Get(i).ToNumber().Int32Value();
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
      const Napi::Array list = value.As<Napi::Array>();
      std::vector<double> numbers(list.Length());
      for (std::uint32_t k = 0; k < list.Length(); ++k) numbers[k] = list.Get(k).ToNumber().DoubleValue();
      attrs.set(name, std::move(numbers));
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
  for (std::uint32_t i = 0; i < values.Length(); ++i) {
    const Napi::HandleScope scope(object.Env());
    const Napi::Object value = values.Get(i).As<Napi::Object>();
    ValueDesc out;
    out.tensor.dtype = dtype_from(value.Get("dtype"));
    const Napi::Array shape = value.Get("shape").As<Napi::Array>();
    for (std::uint32_t d = 0; d < shape.Length(); ++d) out.tensor.shape.push_back(shape.Get(d).ToNumber().Int64Value());
    out.storage = storage_from(value.Get("storage").ToString());
    out.slot = value.Get("slot").ToNumber().Int32Value();
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
