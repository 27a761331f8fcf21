// Between JavaScript values and the engine's types.
#pragma once

#include <napi.h>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "core/program.h"

namespace apollo::addon {

DType dtype_from(const Napi::Value& value);

// A typed array of `size` bytes, zeros: Float32Array, Int32Array, or Uint16Array for the bits of bf16. Throws
// std::bad_alloc when the memory cannot be had.
Napi::TypedArray typed_array(Napi::Env env, DType dtype, std::size_t size);
// The same with a copy of `bytes`.
Napi::TypedArray typed_array(Napi::Env env, DType dtype, const std::byte* bytes, std::size_t size);

// The bytes of a typed array whose element type is that of `dtype`; throws when it is another, or detached. Valid until
// JavaScript runs again.
std::span<const std::byte> bytes_of(const Napi::Value& value, DType dtype, const std::string& what);

ProgramDesc program_desc(const Napi::Object& object);

// Numbers as they come from JavaScript, checked before any arithmetic: whole, and within [0, 2^53) or the range of int.
// Throw APOLLO_INTERNAL naming `what`: the TypeScript layer has promised them.
std::size_t size_from(const Napi::Value& value, const std::string& what);
int int_from(const Napi::Value& value, const std::string& what);

// A JavaScript array of numbers, there and back.
std::vector<double> numbers_from(const Napi::Value& value);
Napi::Array to_array(Napi::Env env, const std::vector<double>& numbers);

}  // namespace apollo::addon
