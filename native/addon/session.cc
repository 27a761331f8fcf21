#include "addon/session.h"

#include <new>
#include <string>
#include <utility>

#include "addon/state.h"

namespace apollo::addon {

Session::Session(Napi::Env env, std::shared_ptr<Device> device) : env_(env), device_(std::move(device)) {
  settle_ = decltype(settle_)::New(env, "apollo-lm device", 0, 1);
  settle_.Unref(env);  // an idle device does not keep the process alive
  // Registered after the function above, so it runs before that is torn down: the thread ends while it may still call.
  napi_add_env_cleanup_hook(env, on_environment_exit, this);
}

std::shared_ptr<Session> Session::open(Napi::Env env, std::shared_ptr<Device> device) {
  return std::shared_ptr<Session>(new Session(env, std::move(device)));
}

Session::~Session() { close(/*drain=*/false); }

struct Session::Call {
  Call(Napi::Env env, std::shared_ptr<Session> owner)
      : deferred(Napi::Promise::Deferred::New(env)), session(std::move(owner)) {}
  Napi::Promise::Deferred deferred;
  std::shared_ptr<Session> session;
  Result result;
  Napi::Reference<Napi::Value> kept;
  std::string message, code;
};

void Session::on_environment_exit(void* raw) {
  // Jobs that are dropped here own the session: they and what they hold are destroyed on this thread, which is the
  // environment's.
  const std::shared_ptr<Session> self = static_cast<Session*>(raw)->shared_from_this();
  self->open_ = false;
  self->device_->close(/*drain=*/false);
  const std::lock_guard lock(self->unsettled_mutex_);
  self->unsettled_.clear();
}

void Session::close(bool drain) {
  if (!open_) return;
  open_ = false;
  napi_remove_env_cleanup_hook(env_, on_environment_exit, this);
  device_->close(drain);
  settle_.Release();
}

// Without an environment (it is going away) there is nothing to do but to let go of the call.
void Session::settle(Napi::Env js, Napi::Function, std::nullptr_t*, Call* done) {
  const std::unique_ptr<Call> owned(done);
  if (js == nullptr) return;
  try {
    if (--owned->session->pending_ == 0 && owned->session->open_) owned->session->settle_.Unref(js);
    if (!owned->code.empty()) {
      owned->deferred.Reject(to_js(js, owned->message, owned->code).Value());
      return;
    }
    try {
      owned->deferred.Resolve(owned->result ? guarded(js, [&] { return owned->result(js); }) : owned->kept.Value());
    } catch (const Napi::Error& error) {
      owned->deferred.Reject(error.Value());
    }
  } catch (const Napi::Error&) {
    // JavaScript can no longer run: the process is exiting, and nobody waits for the promise.
  }
}

Napi::Value Session::call(Napi::Env env, std::function<void()> work, Result result, Napi::Value kept) {
  Device* device = device_.get();  // alive as long as the call, which owns the session
  return queue(
      env, [device, work = std::move(work)] { device->watched(work); }, std::move(result), kept);
}

Napi::Value Session::call_filling(Napi::Env env, std::function<void()> work, Napi::Object filled) {
  return call(env, std::move(work), nullptr, filled);
}

Napi::Value Session::call_always(Napi::Env env, std::function<void()> work, Result result, Napi::Value kept) {
  return queue(env, std::move(work), std::move(result), kept);
}

Napi::Value Session::queue(Napi::Env env, std::function<void()> work, Result result, Napi::Value kept) {
  // Held by the job until it is done, and by nobody else: a job that is dropped takes its call along.
  auto call = std::make_shared<std::unique_ptr<Call>>(std::make_unique<Call>(env, shared_from_this()));
  Call& made = **call;
  const Napi::Promise promise = made.deferred.Promise();
  made.result = std::move(result);
  if (!kept.IsEmpty() && kept.IsObject()) made.kept = Napi::Persistent(kept);

  const bool queued = device_->submit([call, work = std::move(work)] {
    Call& running = **call;
    try {
      work();
    } catch (const Error& error) {
      running.message = error.what();
      running.code = error.code();
    } catch (const std::bad_alloc&) {
      running.message = "the machine has no more memory to give";
      running.code = "APOLLO_OUT_OF_MEMORY";
    } catch (const std::exception& error) {
      running.message = error.what();
      running.code = "APOLLO_NATIVE";
    }
    running.session->settle_later(std::move(*call));
  });
  if (!queued) {
    made.deferred.Reject(to_js(env, "the device is closed", "APOLLO_CLOSED").Value());
  } else if (pending_++ == 0) {
    settle_.Ref(env);
  }
  return promise;
}

void Session::settle_later(std::unique_ptr<Call> call) {
  Call* raw = call.release();
  if (settle_.NonBlockingCall(raw) == napi_ok) return;
  // The environment is closing and nobody waits any more; its own thread destroys the call once this one has ended.
  const std::lock_guard lock(unsettled_mutex_);
  unsettled_.emplace_back(raw);
}

}  // namespace apollo::addon
