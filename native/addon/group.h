// The JavaScript class NativeGroup (lib/engine/native.ts gives its type): the ranks that a device's process has joined.
#pragma once

#include <napi.h>

#include <memory>

#include "addon/session.h"
#include "comm/communicator.h"

namespace apollo::addon {

class GroupObject : public Napi::ObjectWrap<GroupObject> {
 public:
  static constexpr const char* kName = "NativeGroup";
  static constexpr napi_type_tag kTag = {0x5ad37c90e1f84b26, 0xc60b92f4d7138ae5};
  struct Contents {
    std::shared_ptr<Session> session;
    std::shared_ptr<comm::Communicator> group;
  };

  static Napi::Function define(Napi::Env env);
  explicit GroupObject(const Napi::CallbackInfo& info);
  // Joins on the device's thread, on which every call of the group runs. A promise of the NativeGroup.
  static Napi::Value join(Napi::Env env, const std::shared_ptr<Session>& session);

 private:
  Napi::Value rank(const Napi::CallbackInfo& info);
  Napi::Value size(const Napi::CallbackInfo& info);
  Napi::Value sum(const Napi::CallbackInfo& info);
  Napi::Value broadcast(const Napi::CallbackInfo& info);
  Napi::Value exchange(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  std::shared_ptr<Session> session_;
  std::shared_ptr<comm::Communicator> group_;
};

}  // namespace apollo::addon
