// State of the addon in one JavaScript environment (the main thread or a worker): its constructors, nothing global.
#pragma once

#include <napi.h>

#include <memory>
#include <new>
#include <string>

#include "core/error.h"

namespace apollo::addon {

struct State {
  Napi::FunctionReference device, buffer, program, group, exchange;
};

// `error` as a JavaScript Error with its `code`.
inline Napi::Error to_js(Napi::Env env, const std::string& message, const std::string& code) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  return error;
}

// Runs `body` and turns every C++ exception but Napi's own into a JavaScript one. Every callback goes through here:
// what passes node-addon-api's wrappers ends the process. (NODE_ADDON_API_CPP_EXCEPTIONS_ALL, which the build defines,
// is the net below; it knows no codes.)
template <class Body>
auto guarded(Napi::Env env, Body body) -> decltype(body()) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (const Error& error) {
    throw to_js(env, error.what(), error.code());
  } catch (const std::bad_alloc&) {
    throw to_js(env, "the machine has no more memory to give", "APOLLO_OUT_OF_MEMORY");
  } catch (const std::exception& error) {
    throw to_js(env, error.what(), "APOLLO_NATIVE");
  }
}

}  // namespace apollo::addon
