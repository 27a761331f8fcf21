// Shared code of the addon's classes: how their objects are made, recognised and unwrapped.
#pragma once

#include <napi.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

#include "addon/convert.h"
#include "addon/state.h"

namespace apollo::addon {

// The contents travel to the constructor in an external, which JavaScript cannot make.
template <class T>
Napi::Object make(Napi::Env env, Napi::FunctionReference State::*constructor, typename T::Contents contents) {
  return (env.GetInstanceData<State>()->*constructor).New({Napi::External<typename T::Contents>::New(env, &contents)});
}

template <class T>
typename T::Contents contents_of(const Napi::CallbackInfo& info) {
  if (!info[0].IsExternal()) {
    throw to_js(info.Env(), std::string(T::kName) + " is made by the engine and not with new", "APOLLO_INTERNAL");
  }
  info.This().As<Napi::Object>().TypeTag(&T::kTag);
  return std::move(*info[0].As<Napi::External<typename T::Contents>>().Data());
}

// The object of class T that a JavaScript value is; throws when it is anything else.
template <class T>
T& unwrap(const Napi::Value& value, const std::string& what) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&T::kTag)) {
    throw Error(what + " must be a " + T::kName, "APOLLO_INTERNAL");
  }
  return *T::Unwrap(value.As<Napi::Object>());
}

// The flag by which JavaScript stops runs and a run that fails stops those behind it: an Int32Array over shared memory,
// which cannot be detached while the device's thread uses it.
inline std::atomic<std::int32_t>* stop_flag(const Napi::Value& value, const std::string& what) {
  static_assert(sizeof(std::atomic<std::int32_t>) == sizeof(std::int32_t));
  const std::span<const std::byte> bytes = bytes_of(value, DType::I32, what);
  napi_value memory = nullptr;
  bool detachable = true;
  napi_get_typedarray_info(value.Env(), value, nullptr, nullptr, nullptr, &memory, nullptr);
  napi_is_arraybuffer(value.Env(), memory, &detachable);
  require(!bytes.empty() && !detachable, what + " must be an Int32Array over a SharedArrayBuffer");
  return reinterpret_cast<std::atomic<std::int32_t>*>(const_cast<std::byte*>(bytes.data()));  // the caller's own memory
}

// A read-only property. Node-API checks the receiver of methods and not that of accessors, which can be taken from the
// prototype and called on anything.
template <class T, Napi::Value (T::*get)(const Napi::CallbackInfo&)>
napi_property_descriptor property(const char* name) {
  const napi_callback getter = [](napi_env raw, napi_callback_info call) -> napi_value {
    const Napi::Env env(raw);
    try {
      const Napi::CallbackInfo info(env, call);
      return guarded(env, [&] { return (unwrap<T>(info.This(), "the receiver").*get)(info); });
    } catch (const Napi::Error& error) {
      error.ThrowAsJavaScriptException();
      return nullptr;
    }
  };
  return {name, nullptr, nullptr, getter, nullptr, nullptr, napi_default, nullptr};
}

}  // namespace apollo::addon
