// The JavaScript classes NativeDevice, NativeBuffer and NativeProgram (lib/engine/native.ts gives their types).
#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "addon/session.h"
#include "core/program.h"

namespace apollo::addon {

// Each wrapped object carries its class's tag, and what comes from JavaScript is checked for it before it is unwrapped:
// Node-API itself would hand out any wrapped object as any class. Only create() makes instances; `new` in JavaScript
// throws.

class BufferObject : public Napi::ObjectWrap<BufferObject> {
 public:
  static constexpr const char* kName = "NativeBuffer";
  static constexpr napi_type_tag kTag = {0x1c4fb5b2a9d14c0e, 0x8a3e6f1d27c95b41};
  struct Contents {
    std::shared_ptr<Session> session;
    std::shared_ptr<Buffer> buffer;
  };

  static Napi::Function define(Napi::Env env);
  explicit BufferObject(const Napi::CallbackInfo& info);
  static Napi::Object create(Napi::Env env, std::shared_ptr<Session> session, std::shared_ptr<Buffer> buffer);
  void Finalize(Napi::BasicEnv env) override;

  // Throws APOLLO_CLOSED after dispose().
  const std::shared_ptr<Buffer>& buffer() const;
  // The buffers of a list of NativeBuffers.
  static std::vector<std::shared_ptr<Buffer>> buffers_of(const Napi::Array& list, const char* what);

 private:
  Napi::Value dtype(const Napi::CallbackInfo& info);
  Napi::Value elements(const Napi::CallbackInfo& info);
  Napi::Value bytes(const Napi::CallbackInfo& info);
  Napi::Value write(const Napi::CallbackInfo& info);
  Napi::Value read(const Napi::CallbackInfo& info);
  Napi::Value copy_from(const Napi::CallbackInfo& info);
  Napi::Value part(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);

  // Lets go of the buffer.
  void drop(Napi::BasicEnv env);

  std::shared_ptr<Session> session_;
  std::shared_ptr<Buffer> buffer_;
  std::int64_t reported_ = 0;  // bytes that JavaScript's garbage collector counts for this object
};

class ProgramObject : public Napi::ObjectWrap<ProgramObject> {
 public:
  static constexpr const char* kName = "NativeProgram";
  static constexpr napi_type_tag kTag = {0x4b0a7d93e6f2485c, 0x9d517c2e83ba60f7};
  struct Contents {
    std::shared_ptr<Session> session;
    std::shared_ptr<Program> program;
  };

  static Napi::Function define(Napi::Env env);
  explicit ProgramObject(const Napi::CallbackInfo& info);
  static Napi::Object create(Napi::Env env, std::shared_ptr<Session> session, std::shared_ptr<Program> program);

 private:
  Napi::Value arena_bytes(const Napi::CallbackInfo& info);
  Napi::Value unshared_bytes(const Napi::CallbackInfo& info);
  Napi::Value run(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);
  const std::shared_ptr<Program>& program() const;

  std::shared_ptr<Session> session_;
  std::shared_ptr<Program> program_;
};

class DeviceObject : public Napi::ObjectWrap<DeviceObject> {
 public:
  static constexpr const char* kName = "NativeDevice";
  static constexpr napi_type_tag kTag = {0x72e8c15fb0364da9, 0xb6f84e90d21a7c35};
  struct Contents {
    std::shared_ptr<Session> session;
  };

  static Napi::Function define(Napi::Env env);
  explicit DeviceObject(const Napi::CallbackInfo& info);
  static Napi::Object create(Napi::Env env, std::shared_ptr<Session> session);

  const std::shared_ptr<Session>& session() const { return session_; }

 private:
  Napi::Value info(const Napi::CallbackInfo& info);
  Napi::Value create_buffer(const Napi::CallbackInfo& info);
  Napi::Value compile(const Napi::CallbackInfo& info);
  Napi::Value release_arena(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  std::shared_ptr<Session> session_;
};

}  // namespace apollo::addon
