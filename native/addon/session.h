// One open device as seen from one JavaScript environment: jobs go to the device's thread, results come back as
// settled promises on the JavaScript thread.
#pragma once

#include <napi.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "core/device.h"

namespace apollo::addon {

class Session : public std::enable_shared_from_this<Session> {
 public:
  static std::shared_ptr<Session> open(Napi::Env env, std::shared_ptr<Device> device);
  ~Session();

  Device& device() { return *device_; }
  const std::shared_ptr<Device>& shared_device() { return device_; }

  using Result = std::function<Napi::Value(Napi::Env)>;
  // Runs `work` on the device's thread, then `result` on the JavaScript thread for the value of the promise.
  // An exception in `work` rejects the promise, and so does a lost device. `kept` stays alive until the promise is
  // settled.
  Napi::Value call(Napi::Env env, std::function<void()> work, Result result, Napi::Value kept = Napi::Value());
  // The same with `filled` as the promise's value: memory of JavaScript's that `work` writes.
  Napi::Value call_filling(Napi::Env env, std::function<void()> work, Napi::Object filled);
  // As `call`, also where the device is lost.
  Napi::Value call_always(Napi::Env env, std::function<void()> work, Result result, Napi::Value kept = Napi::Value());

  // Ends the device; queued work is finished when `drain`, else dropped.
  void close(bool drain);

 private:
  // A promise on its way. It holds handles of its environment, so only the JavaScript thread may destroy it; it owns
  // the session and by that the device, until it is settled or the environment ends.
  struct Call;
  Session(Napi::Env env, std::shared_ptr<Device> device);
  static void on_environment_exit(void* session);
  static void settle(Napi::Env env, Napi::Function, std::nullptr_t*, Call* call);
  Napi::Value queue(Napi::Env env, std::function<void()> work, Result result, Napi::Value kept);
  void settle_later(std::unique_ptr<Call> call);

  Napi::Env env_;
  std::shared_ptr<Device> device_;
  // Calls settle(), without an environment when that is going away. (Napi::ThreadSafeFunction then forgets its data.)
  Napi::TypedThreadSafeFunction<std::nullptr_t, Call, &Session::settle> settle_;
  int pending_ = 0;  // promises not yet settled; touched on the JavaScript thread only
  bool open_ = true;
  std::mutex unsettled_mutex_;
  std::vector<std::unique_ptr<Call>> unsettled_;  // done when nobody could be told any more
};

}  // namespace apollo::addon
