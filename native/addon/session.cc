#include "addon/session.h"

#include "addon/state.h"

namespace apollo::addon {

Session::Session(Napi::Env env, std::shared_ptr<Device> device) : env_(env), device_(std::move(device)) {
  settle_ = Napi::ThreadSafeFunction::New(env, Napi::Function::New(env, [](const Napi::CallbackInfo&) {}),
                                          "apollo-lm device", 0, 1);
  settle_.Unref(env);  // an idle device does not keep the process alive
  // Registered after the function above, so it runs before that is torn down: the thread ends while it may still call.
  napi_add_env_cleanup_hook(env, on_environment_exit, this);
}

std::shared_ptr<Session> Session::open(Napi::Env env, std::shared_ptr<Device> device) {
  return std::shared_ptr<Session>(new Session(env, std::move(device)));
}

Session::~Session() { close(/*drain=*/false); }

void Session::on_environment_exit(void* session) {
  auto* self = static_cast<Session*>(session);
  self->open_ = false;
  self->device_->close(/*drain=*/false);
}

void Session::close(bool drain) {
  if (!open_) return;
  open_ = false;
  napi_remove_env_cleanup_hook(env_, on_environment_exit, this);
  device_->close(drain);
  settle_.Release();
}

Napi::Value Session::call(Napi::Env env, std::function<void()> work, std::function<Napi::Value(Napi::Env)> result,
                          Napi::Value kept) {
  struct Call {
    Call(Napi::Env env, std::shared_ptr<Session> owner) : deferred(Napi::Promise::Deferred::New(env)), session(owner) {}
    Napi::Promise::Deferred deferred;
    std::shared_ptr<Session> session;  // alive until settled
    std::function<Napi::Value(Napi::Env)> result;
    Napi::Reference<Napi::Value> kept;
    std::string message, code;
  };
  auto* call = new Call(env, shared_from_this());
  const Napi::Promise promise = call->deferred.Promise();
  call->result = std::move(result);
  if (!kept.IsEmpty() && kept.IsObject()) call->kept = Napi::Persistent(kept);

  const auto settle = [](Napi::Env js, Napi::Function, Call* done) {
    const std::unique_ptr<Call> owned(done);
    if (js == nullptr) return;  // the environment is going away
    try {
      if (--owned->session->pending_ == 0 && owned->session->open_) owned->session->settle_.Unref(js);
      if (!owned->code.empty()) {
        owned->deferred.Reject(to_js(js, owned->message, owned->code).Value());
        return;
      }
      try {
        owned->deferred.Resolve(owned->result(js));
      } catch (const Napi::Error& error) {
        owned->deferred.Reject(error.Value());
      } catch (const std::exception& error) {
        owned->deferred.Reject(to_js(js, error.what(), "APOLLO_NATIVE").Value());
      }
    } catch (const Napi::Error&) {
      // JavaScript can no longer run: the process is exiting, and nobody waits for the promise.
    }
  };
  const bool queued = device_->submit([call, work = std::move(work), settle] {
    try {
      work();
    } catch (const Error& error) {
      call->message = error.what();
      call->code = error.code();
    } catch (const std::bad_alloc&) {
      call->message = "the machine has no more memory to give";
      call->code = "APOLLO_OUT_OF_MEMORY";
    } catch (const std::exception& error) {
      call->message = error.what();
      call->code = "APOLLO_NATIVE";
    }
    // When the environment is closing nobody waits any more; `call` then holds handles only that thread may free.
    call->session->settle_.NonBlockingCall(call, settle);
  });
  if (!queued) {
    call->deferred.Reject(to_js(env, "the device is closed", "APOLLO_CLOSED").Value());
    delete call;
  } else if (pending_++ == 0) {
    settle_.Ref(env);
  }
  return promise;
}

}  // namespace apollo::addon
