// The JavaScript classes NativeDevice, NativeBuffer and NativeProgram (lib/engine/native.ts gives their types).
#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "addon/session.h"
#include "core/program.h"

namespace apollo::addon {

class BufferObject : public Napi::ObjectWrap<BufferObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit BufferObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {}
  static Napi::Object create(Napi::Env env, std::shared_ptr<Session> session, std::shared_ptr<Buffer> buffer);

  // Throws APOLLO_CLOSED after dispose().
  const std::shared_ptr<Buffer>& buffer() const;
  // The buffers of a list of NativeBuffers.
  static std::vector<std::shared_ptr<Buffer>> buffers_of(const Napi::Array& list);

 private:
  Napi::Value dtype(const Napi::CallbackInfo& info);
  Napi::Value elements(const Napi::CallbackInfo& info);
  Napi::Value bytes(const Napi::CallbackInfo& info);
  Napi::Value write(const Napi::CallbackInfo& info);
  Napi::Value read(const Napi::CallbackInfo& info);
  Napi::Value copy_from(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);

  std::shared_ptr<Session> session_;
  std::shared_ptr<Buffer> buffer_;
};

class ProgramObject : public Napi::ObjectWrap<ProgramObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit ProgramObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {}
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
  static Napi::Function define(Napi::Env env);
  explicit DeviceObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {}
  static Napi::Object create(Napi::Env env, std::shared_ptr<Session> session);

 private:
  Napi::Value info(const Napi::CallbackInfo& info);
  Napi::Value create_buffer(const Napi::CallbackInfo& info);
  Napi::Value compile(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  std::shared_ptr<Session> session_;
};

}  // namespace apollo::addon
