// One open device as seen from one JavaScript environment: jobs go to the device's thread, results come back as
// settled promises on the JavaScript thread.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>

#include "core/device.h"

namespace apollo::addon {

class Session : public std::enable_shared_from_this<Session> {
 public:
  static std::shared_ptr<Session> open(Napi::Env env, std::shared_ptr<Device> device);
  ~Session();

  Device& device() { return *device_; }
  const std::shared_ptr<Device>& shared_device() { return device_; }

  // Runs `work` on the device's thread, then `result` on the JavaScript thread for the value of the promise.
  // What `work` throws rejects the promise. `kept` stays alive until the promise is settled.
  Napi::Value call(Napi::Env env, std::function<void()> work, std::function<Napi::Value(Napi::Env)> result,
                   Napi::Value kept = Napi::Value());

  // Ends the device; queued work is finished when `drain`, else dropped.
  void close(bool drain);

 private:
  Session(Napi::Env env, std::shared_ptr<Device> device);
  static void on_environment_exit(void* session);

  Napi::Env env_;
  std::shared_ptr<Device> device_;
  Napi::ThreadSafeFunction settle_;
  int pending_ = 0;  // promises not yet settled; touched on the JavaScript thread only
  bool open_ = true;
};

}  // namespace apollo::addon
