// The JavaScript classes NativeGroup and NativeExchange (lib/engine/native.ts gives their types): the ranks that a
// device's process has joined, and an exchange of their gradients.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>

#include "addon/session.h"
#include "comm/channel.h"
#include "comm/exchange.h"

namespace apollo::addon {

class GroupObject : public Napi::ObjectWrap<GroupObject> {
 public:
  static constexpr const char* kName = "NativeGroup";
  static constexpr napi_type_tag kTag = {0x5ad37c90e1f84b26, 0xc60b92f4d7138ae5};
  struct Contents {
    std::shared_ptr<Session> session;
    std::shared_ptr<comm::Channel> channel;
  };

  static Napi::Function define(Napi::Env env);
  explicit GroupObject(const Napi::CallbackInfo& info);
  // A promise of the NativeGroup. Calls of the group are in the device's queue and run on the group's own thread.
  // The device's memory decides over what: MPI in host memory, NCCL on GPUs, with `id` or, where that is empty, one
  // that travels over MPI.
  static Napi::Value join(Napi::Env env, const std::shared_ptr<Session>& session, int rank, int size, std::string id);

 private:
  Napi::Value rank(const Napi::CallbackInfo& info);
  Napi::Value size(const Napi::CallbackInfo& info);
  Napi::Value sum(const Napi::CallbackInfo& info);
  Napi::Value broadcast(const Napi::CallbackInfo& info);
  Napi::Value barrier(const Napi::CallbackInfo& info);
  Napi::Value all_reduce(const Napi::CallbackInfo& info);
  Napi::Value reduce_scatter(const Napi::CallbackInfo& info);
  Napi::Value all_gather(const Napi::CallbackInfo& info);
  Napi::Value broadcast_buffer(const Napi::CallbackInfo& info);
  Napi::Value sum_doubles(const Napi::CallbackInfo& info);
  Napi::Value collect(const Napi::CallbackInfo& info);
  Napi::Value exchange(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  // Queues `work` behind all that the device does before. A promise of nothing.
  Napi::Value queued(Napi::Env env, std::function<void(comm::Communicator&)> work);
  // The same for collectives on buffers, unless `stopped` is set by then. A promise of the number that `work` returns.
  Napi::Value counted(Napi::Env env, std::function<std::size_t(comm::Collectives&)> work,
                      const Napi::Value& stopped = Napi::Value());

  std::shared_ptr<Session> session_;
  std::shared_ptr<comm::Channel> channel_;
};

class ExchangeObject : public Napi::ObjectWrap<ExchangeObject> {
 public:
  static constexpr const char* kName = "NativeExchange";
  static constexpr napi_type_tag kTag = {0x2f61d08ab3c94e75, 0x98c5e07d1fb2436a};
  struct Contents {
    std::shared_ptr<Session> session;
    std::shared_ptr<comm::Channel> channel;
    std::shared_ptr<comm::Exchange> exchange;
    Napi::Value options;  // keeps both flags alive
  };

  static Napi::Function define(Napi::Env env);
  explicit ExchangeObject(const Napi::CallbackInfo& info);
  const std::shared_ptr<comm::Exchange>& exchange() const { return exchange_; }

 private:
  Napi::Value finish(const Napi::CallbackInfo& info);

  std::shared_ptr<Session> session_;
  std::shared_ptr<comm::Channel> channel_;
  std::shared_ptr<comm::Exchange> exchange_;
  Napi::Reference<Napi::Value> options_;
};

}  // namespace apollo::addon
