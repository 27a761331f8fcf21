#include "addon/group.h"

#include <utility>

#include "addon/convert.h"
#include "addon/mpi_library.h"
#include "addon/objects.h"
#include "addon/wrap.h"
#include "comm/exchange.h"

namespace apollo::addon {

Napi::Function GroupObject::define(Napi::Env env) {
  return DefineClass(
      env, kName,
      {property<GroupObject, &GroupObject::rank>("rank"), property<GroupObject, &GroupObject::size>("size"),
       InstanceMethod<&GroupObject::sum>("sum"), InstanceMethod<&GroupObject::broadcast>("broadcast"),
       InstanceMethod<&GroupObject::exchange>("exchange"), InstanceMethod<&GroupObject::close>("close")});
}

GroupObject::GroupObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  Contents contents = contents_of<GroupObject>(info);
  session_ = std::move(contents.session);
  group_ = std::move(contents.group);
}

Napi::Value GroupObject::join(Napi::Env env, const std::shared_ptr<Session>& session) {
  const comm::Api& api = mpi_library();
  auto group = std::make_shared<std::shared_ptr<comm::Communicator>>();
  return session->call(
      env,
      [&api, group, device = session->shared_device()] {
        // The device owns the thread that waits, and so outlives the wait.
        *group = api.join([waiting = device.get()] { return waiting->cancelled(); });
      },
      [group, session](Napi::Env js) {
        return make<GroupObject>(js, &State::group, {session, *group});
      });
}

Napi::Value GroupObject::rank(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), group_->rank()); }

Napi::Value GroupObject::size(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), group_->size()); }

Napi::Value GroupObject::sum(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    auto values = std::make_shared<std::vector<double>>(numbers_from(info[0]));
    return session_->call(
        info.Env(), [values, group = group_] { group->all_reduce(std::span(*values)); },
        [values](Napi::Env env) { return to_array(env, *values); });
  });
}

Napi::Value GroupObject::broadcast(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    auto text = std::make_shared<std::string>(info[0].ToString().Utf8Value());
    const int root = int_from(info[1], "broadcast: root");
    return session_->call(
        info.Env(), [text, root, group = group_] { *text = comm::broadcast(*group, std::move(*text), root); },
        [text](Napi::Env env) { return Napi::String::New(env, *text); });
  });
}

Napi::Value GroupObject::exchange(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const Napi::Object options = info[1].As<Napi::Object>();
    auto exchange = std::make_shared<comm::Exchange>();
    exchange->gradients = BufferObject::buffers_of(info[0].As<Napi::Array>(), "exchange: each gradient");
    exchange->weight = options.Get("weight").ToNumber().DoubleValue();
    exchange->sums = numbers_from(options.Get("sums"));
    const Napi::Value stopped = options.Get("stopped");
    const Napi::Value refused = options.Get("refused");
    exchange->stopped = stop_flag(stopped, "exchange: stopped");
    exchange->refused = stop_flag(refused, "exchange: refused");
    for (const auto& gradient : exchange->gradients) {
      require(gradient->dtype() == DType::F32, "exchange: each gradient must be f32");
    }
    return session_->call(
        info.Env(),
        [exchange, group = group_, device = session_->shared_device()] {
          comm::run(*exchange, *group, device->backend());
        },
        [exchange](Napi::Env env) {
          Napi::Object result = Napi::Object::New(env);
          result.Set("weight", exchange->weight);
          result.Set("sums", to_array(env, exchange->sums));
          result.Set("stopped", exchange->stopped_ranks);
          result.Set("failed", exchange->failed_ranks);
          return result;
        },
        options);  // keeps both flags alive
  });
}

Napi::Value GroupObject::close(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    return session_->call(
        info.Env(), [group = group_] { group->finalize(); }, [](Napi::Env env) { return env.Undefined(); });
  });
}

}  // namespace apollo::addon
