#include "addon/objects.h"

#include <utility>

#include "addon/convert.h"
#include "addon/group.h"
#include "addon/state.h"
#include "addon/wrap.h"

namespace apollo::addon {
// ---- NativeBuffer ----

Napi::Function BufferObject::define(Napi::Env env) {
  return DefineClass(
      env, kName,
      {property<BufferObject, &BufferObject::dtype>("dtype"),
       property<BufferObject, &BufferObject::elements>("elements"),
       property<BufferObject, &BufferObject::bytes>("bytes"), InstanceMethod<&BufferObject::write>("write"),
       InstanceMethod<&BufferObject::read>("read"), InstanceMethod<&BufferObject::copy_from>("copyFrom"),
       InstanceMethod<&BufferObject::part>("part"), InstanceMethod<&BufferObject::dispose>("dispose")});
}

BufferObject::BufferObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  Contents contents = contents_of<BufferObject>(info);
  session_ = std::move(contents.session);
  buffer_ = std::move(contents.buffer);
  // The object itself is small: without this the collector would see no reason to free buffers that nobody disposed.
  // A part's memory is that of its whole.
  if (!buffer_->is_part()) reported_ = static_cast<std::int64_t>(buffer_->bytes());
  Napi::MemoryManagement::AdjustExternalMemory(info.Env(), reported_);
}

void BufferObject::drop(Napi::BasicEnv env) {
  buffer_.reset();
  Napi::MemoryManagement::AdjustExternalMemory(env, -std::exchange(reported_, 0));
}

void BufferObject::Finalize(Napi::BasicEnv env) { drop(env); }

Napi::Object BufferObject::create(Napi::Env env, std::shared_ptr<Session> session, std::shared_ptr<Buffer> buffer) {
  return make<BufferObject>(env, &State::buffer, {std::move(session), std::move(buffer)});
}

const std::shared_ptr<Buffer>& BufferObject::buffer() const {
  if (!buffer_) throw Error("the buffer has been disposed", "APOLLO_CLOSED");
  return buffer_;
}

std::vector<std::shared_ptr<Buffer>> BufferObject::buffers_of(const Napi::Array& list, const char* what) {
  std::vector<std::shared_ptr<Buffer>> buffers;
  for (std::uint32_t i = 0; i < list.Length(); ++i) {
    buffers.push_back(unwrap<BufferObject>(list.Get(i), what).buffer());
  }
  return buffers;
}

Napi::Value BufferObject::dtype(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), name_of(buffer()->dtype()));
}

Napi::Value BufferObject::elements(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(buffer()->elements()));
}

Napi::Value BufferObject::bytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(buffer()->bytes()));
}

Napi::Value BufferObject::write(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    auto target = buffer();
    const std::span<const std::byte> bytes = bytes_of(info[0], target->dtype(), "write: the data");
    auto data = std::make_shared<std::vector<std::byte>>(bytes.begin(), bytes.end());
    const std::size_t offset = size_from(info[1], "write: offset") * size_of(target->dtype());
    require(offset <= target->bytes() && data->size() <= target->bytes() - offset, "write: outside the buffer");
    return session_->call(
        info.Env(),
        [target, data, offset, device = session_->shared_device()] {
          device->backend().upload(static_cast<std::byte*>(target->data()) + offset, data->data(), data->size());
        },
        [](Napi::Env env) { return env.Undefined(); });
  });
}

Napi::Value BufferObject::read(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    auto source = buffer();
    const std::size_t unit = size_of(source->dtype());
    const std::size_t offset = size_from(info[0], "read: offset") * unit,
                      size = size_from(info[1], "read: count") * unit;
    require(offset <= source->bytes() && size <= source->bytes() - offset, "read: outside the buffer");
    // Filled on the device's thread, which also pays for the first touch of its pages. JavaScript sees the array only
    // when it is filled, so nothing can detach its memory before.
    Napi::TypedArray values = typed_array(info.Env(), source->dtype(), size);
    return session_->call_filling(
        info.Env(),
        [source, to = values.ArrayBuffer().Data(), offset, size, device = session_->shared_device()] {
          device->backend().download(to, static_cast<std::byte*>(source->data()) + offset, size);
        },
        values);
  });
}

Napi::Value BufferObject::copy_from(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    auto to = buffer();
    auto from = unwrap<BufferObject>(info[0], "copyFrom: the source").buffer();
    require(&from->device() == &to->device(), "copyFrom: the source is of another device");
    require(to->dtype() == from->dtype() && to->bytes() == from->bytes(), "copyFrom: dtype and length must be equal");
    return session_->call(
        info.Env(),
        [to, from, device = session_->shared_device()] {
          device->backend().copy(to->data(), from->data(), to->bytes());
        },
        [](Napi::Env env) { return env.Undefined(); });
  });
}

Napi::Value BufferObject::part(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const std::size_t offset = size_from(info[0], "part: offset"), count = size_from(info[1], "part: count");
    return create(info.Env(), session_, std::make_shared<Buffer>(buffer(), offset, count));
  });
}

Napi::Value BufferObject::dispose(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    drop(info.Env());
    return info.Env().Undefined();
  });
}

// ---- NativeProgram ----

Napi::Function ProgramObject::define(Napi::Env env) {
  return DefineClass(env, kName,
                     {property<ProgramObject, &ProgramObject::arena_bytes>("arenaBytes"),
                      property<ProgramObject, &ProgramObject::unshared_bytes>("unsharedBytes"),
                      InstanceMethod<&ProgramObject::run>("run"), InstanceMethod<&ProgramObject::dispose>("dispose")});
}

ProgramObject::ProgramObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  Contents contents = contents_of<ProgramObject>(info);
  session_ = std::move(contents.session);
  program_ = std::move(contents.program);
}

Napi::Object ProgramObject::create(Napi::Env env, std::shared_ptr<Session> session, std::shared_ptr<Program> program) {
  return make<ProgramObject>(env, &State::program, {std::move(session), std::move(program)});
}

const std::shared_ptr<Program>& ProgramObject::program() const {
  if (!program_) throw Error("the program has been disposed", "APOLLO_CLOSED");
  return program_;
}

Napi::Value ProgramObject::arena_bytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(program()->arena_bytes()));
}

Napi::Value ProgramObject::unshared_bytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(program()->unshared_bytes()));
}

Napi::Value ProgramObject::run(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto target = program();
    const Napi::Array inputs = info[0].As<Napi::Array>();
    const Napi::Object options = info[1].As<Napi::Object>();
    const Napi::Value given = options.Get("buffers");
    const auto buffers = given.IsArray() ? BufferObject::buffers_of(given.As<Napi::Array>(), "run: each buffer")
                                         : std::vector<std::shared_ptr<Buffer>>();
    Device& device = session_->device();
    auto run = device.watched([&] { return std::shared_ptr<Program::Run>(target->make_run(buffers)); });
    run->profile = options.Get("profile").ToBoolean();
    run->whole = options.Get("whole").ToBoolean();
    const Napi::Value stopped = options.Get("stopped");
    if (!stopped.IsUndefined()) run->stopped = stop_flag(stopped, "run: stopped");
    const Napi::Value exchange = options.Get("exchange");
    if (!exchange.IsUndefined()) run->follower = unwrap<ExchangeObject>(exchange, "run: the exchange").exchange();
    const auto& wanted = target->inputs();
    require(inputs.Length() == wanted.size(), "run: the program takes " + std::to_string(wanted.size()) + " inputs");
    for (std::uint32_t slot = 0; slot < wanted.size(); ++slot) {
      const std::string what = "run: input " + std::to_string(slot);
      const std::span<const std::byte> bytes = bytes_of(inputs.Get(slot), wanted[slot].dtype, what);
      require(bytes.size() == wanted[slot].bytes(), what + " wants " + wanted[slot].to_string());
      std::copy(bytes.begin(), bytes.end(), target->input(*run, slot));
    }
    device.watched([&] { run->inputs->send(); });
    return session_->call(
        info.Env(), [target, run] { target->run(*run); },
        [target, run](Napi::Env env) {
          Napi::Object result = Napi::Object::New(env);
          const auto& tensors = target->outputs();
          Napi::Array outputs = Napi::Array::New(env, tensors.size());
          for (std::uint32_t slot = 0; slot < tensors.size(); ++slot) {
            const TensorDesc& tensor = tensors[slot];
            outputs.Set(slot, typed_array(env, tensor.dtype, target->output(*run, slot), tensor.bytes()));
          }
          result.Set("outputs", outputs);
          result.Set("elapsedMs", Napi::Number::New(env, run->elapsed_ms));
          result.Set("waitedMs", Napi::Number::New(env, run->waited_ms));
          if (run->profile) {
            Napi::Float64Array profile = Napi::Float64Array::New(env, run->nanoseconds.size());
            for (std::size_t i = 0; i < run->nanoseconds.size(); ++i) profile[i] = run->nanoseconds[i];
            result.Set("profile", profile);
          }
          return result;
        },
        stopped);
  });
}

Napi::Value ProgramObject::dispose(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    program_.reset();
    return info.Env().Undefined();
  });
}

// ---- NativeDevice ----

Napi::Function DeviceObject::define(Napi::Env env) {
  return DefineClass(
      env, kName,
      {InstanceMethod<&DeviceObject::info>("info"), InstanceMethod<&DeviceObject::create_buffer>("createBuffer"),
       InstanceMethod<&DeviceObject::compile>("compile"), InstanceMethod<&DeviceObject::release_arena>("releaseArena"),
       InstanceMethod<&DeviceObject::close>("close")});
}

DeviceObject::DeviceObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  session_ = std::move(contents_of<DeviceObject>(info).session);
}

Napi::Object DeviceObject::create(Napi::Env env, std::shared_ptr<Session> session) {
  return make<DeviceObject>(env, &State::device, {std::move(session)});
}

Napi::Value DeviceObject::info(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const Napi::Env env = info.Env();
    Device& device = session_->device();
    const std::size_t free = device.watched([&] { return device.backend().available_bytes(); });
    Napi::Object out = Napi::Object::New(env);
    out.Set("kind", device.backend().kind());
    out.Set("name", device.backend().name());
    out.Set("threads", device.backend().threads());
    out.Set("totalBytes", static_cast<double>(device.memory_limit()));
    out.Set("availableBytes",
            static_cast<double>(device.memory_limit() - device.arena_bytes() - device.buffer_bytes()));
    out.Set("freeBytes", static_cast<double>(free));
    out.Set("arenaBytes", static_cast<double>(device.arena_bytes()));
    out.Set("bufferBytes", static_cast<double>(device.buffer_bytes()));
    const auto names = device.backend().ops().names();
    Napi::Array ops = Napi::Array::New(env, names.size());
    for (std::uint32_t i = 0; i < names.size(); ++i) ops.Set(i, names[i]);
    out.Set("ops", ops);
    return out;
  });
}

Napi::Value DeviceObject::create_buffer(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const DType dtype = dtype_from(info[0]);
    const std::size_t elements = size_from(info[1], "createBuffer: elements");
    const auto& device = session_->shared_device();
    auto buffer = device->watched([&] { return device->create_buffer(dtype, elements); });
    return BufferObject::create(info.Env(), session_, std::move(buffer));
  });
}

Napi::Value DeviceObject::compile(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    auto desc = std::make_shared<ProgramDesc>(program_desc(info[0].As<Napi::Object>()));
    auto buffers = std::make_shared<std::vector<std::shared_ptr<Buffer>>>(
        BufferObject::buffers_of(info[1].As<Napi::Array>(), "compile: each buffer"));
    auto program = std::make_shared<std::shared_ptr<Program>>();
    return session_->call(
        info.Env(),
        [desc, buffers, program, device = session_->shared_device()] {
          *program = std::make_shared<Program>(device, std::move(*desc), std::move(*buffers));
        },
        [program, session = session_](Napi::Env env) { return ProgramObject::create(env, session, *program); });
  });
}

Napi::Value DeviceObject::release_arena(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    return session_->call(
        info.Env(), [device = session_->shared_device()] { device->release_arena(); },
        [](Napi::Env env) { return env.Undefined(); });
  });
}

Napi::Value DeviceObject::close(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    // Queued work is settled first: the closing job is at the queue's end, and its promise closes the session.
    return session_->call_always(
        info.Env(), [] {},
        [session = session_](Napi::Env js) {
          session->close(/*drain=*/true);
          return js.Undefined();
        });
  });
}

}  // namespace apollo::addon
