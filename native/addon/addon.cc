// The addon's entry: what the machine and the build are, how to open a device, and two pure functions for tests.
#include <napi.h>

#include "addon/convert.h"
#include "addon/cuda_library.h"
#include "addon/group.h"
#include "addon/mpi_library.h"
#include "addon/nccl_library.h"
#include "addon/objects.h"
#include "addon/state.h"
#include "addon/wrap.h"
#include "core/philox.h"
#include "core/planner.h"
#include "cpu/backend.h"

namespace apollo::addon {
namespace {

// A callback of the module, with every exception turned into a JavaScript one.
template <Napi::Value (*body)(const Napi::CallbackInfo&)>
Napi::Function function(Napi::Env env, const char* name) {
  return Napi::Function::New(
      env, [](const Napi::CallbackInfo& call) { return guarded(call.Env(), [&] { return body(call); }); }, name);
}

Napi::Value info(const Napi::CallbackInfo& call) {
  const cpu::CpuInfo cpu = cpu::cpu_info();
  Napi::Object out = Napi::Object::New(call.Env());
  out.Set("version", APOLLO_VERSION);
  out.Set("compiler", __VERSION__);
  out.Set("oneDnn", cpu.one_dnn);
  out.Set("oneDnnIsa", cpu.one_dnn_isa);
  out.Set("kernelIsa", cpu.kernel_isa);
  out.Set("fastBf16", cpu.fast_bf16);
  out.Set("cpuName", cpu.cpu_name);
  out.Set("logicalCores", cpu.logical_cores);
  return out;
}

std::unique_ptr<Backend> make_backend(const Napi::Object& options) {
  const std::string kind = options.Get("kind").ToString();
  if (kind == "cpu") return cpu::make_backend(int_from(options.Get("threads"), "openDevice: threads"));
  if (kind == "cuda") {
    cuda::Options chosen;
    chosen.index = int_from(options.Get("index"), "openDevice: index");
    chosen.tf32 = options.Get("tf32").ToBoolean();
    chosen.cache_file = options.Get("matmulCache").ToString().Utf8Value();
    return cuda_library().open(chosen);
  }
  throw Error("there is no device '" + kind + "'; this build knows: cpu, cuda", "APOLLO_NO_DEVICE");
}

Napi::Value open_device(const Napi::CallbackInfo& call) {
  const Napi::Object options = call[0].As<Napi::Object>();
  const std::size_t limit = size_from(options.Get("memoryLimitBytes"), "openDevice: memoryLimitBytes");
  auto device = std::make_shared<Device>(make_backend(options), limit);
  return DeviceObject::create(call.Env(), Session::open(call.Env(), std::move(device)));
}

// The CUDA backend and what it finds on this machine: file, GPUs, cuBLASLt, or the message of what is missing.
Napi::Value cuda_info(const Napi::CallbackInfo& call) {
  const Napi::Env env = call.Env();
  Napi::Object out = Napi::Object::New(env);
  out.Set("file", cuda_library_file());
  out.Set("built", false);
  Napi::Array devices = Napi::Array::New(env);
  out.Set("devices", devices);
  try {
    const cuda::Api& api = cuda_library();
    out.Set("built", true);
    for (const cuda::DeviceSummary& summary : api.devices()) {
      Napi::Object device = Napi::Object::New(env);
      device.Set("name", summary.name);
      device.Set("totalBytes", static_cast<double>(summary.total_bytes));
      device.Set("capability", std::to_string(summary.major) + "." + std::to_string(summary.minor));
      devices.Set(devices.Length(), device);
    }
    out.Set("cublasLt", api.blas());
  } catch (const Error& error) {
    out.Set("missing", error.what());
  }
  return out;
}

// The communicator over MPI: its file, and the MPI library or the message of what is missing.
Napi::Value mpi_info(const Napi::CallbackInfo& call) {
  Napi::Object out = Napi::Object::New(call.Env());
  out.Set("file", mpi_library_file());
  try {
    out.Set("library", mpi_library().library());
  } catch (const Error& error) {
    out.Set("missing", error.what());
  }
  return out;
}

// The communicator over NCCL: its file, and NCCL's version and file or the message of what is missing.
Napi::Value nccl_info(const Napi::CallbackInfo& call) {
  Napi::Object out = Napi::Object::New(call.Env());
  out.Set("file", nccl_library_file());
  try {
    out.Set("library", nccl_library().library());
  } catch (const Error& error) {
    out.Set("missing", error.what());
  }
  return out;
}

Napi::Value nccl_unique_id(const Napi::CallbackInfo& call) {
  return Napi::String::New(call.Env(), nccl_library().unique_id());
}

Napi::Value join_group(const Napi::CallbackInfo& call) {
  const Napi::Object place = call[1].As<Napi::Object>();
  const Napi::Value id = place.Get("id");
  return GroupObject::join(call.Env(), unwrap<DeviceObject>(call[0], "joinGroup: the device").session(),
                           int_from(place.Get("rank"), "joinGroup: rank"),
                           int_from(place.Get("size"), "joinGroup: size"),
                           id.IsUndefined() ? std::string() : id.ToString().Utf8Value());
}

template <std::size_t N>
std::array<std::uint32_t, N> words(const Napi::Value& value) {
  std::array<std::uint32_t, N> out{};
  const Napi::Array list = value.As<Napi::Array>();
  for (std::uint32_t i = 0; i < N; ++i) out[i] = list.Get(i).ToNumber().Uint32Value();
  return out;
}

Napi::Value philox(const Napi::CallbackInfo& call) {
  const auto bits = philox4x32_10(words<4>(call[0]), words<2>(call[1]));
  Napi::Array out = Napi::Array::New(call.Env(), 4);
  for (std::uint32_t i = 0; i < 4; ++i) out.Set(i, static_cast<double>(bits[i]));
  return out;
}

Napi::Value plan(const Napi::CallbackInfo& call) {
  const Napi::Array items = call[0].As<Napi::Array>();
  std::vector<Lifetime> lifetimes;
  for (std::uint32_t i = 0; i < items.Length(); ++i) {
    const Napi::Object item = items.Get(i).As<Napi::Object>();
    lifetimes.push_back({size_from(item.Get("bytes"), "planMemory: bytes"),
                         int_from(item.Get("first"), "planMemory: first"),
                         int_from(item.Get("last"), "planMemory: last")});
  }
  const MemoryPlan planned = plan_memory(lifetimes);
  Napi::Object out = Napi::Object::New(call.Env());
  Napi::Array offsets = Napi::Array::New(call.Env(), planned.offsets.size());
  for (std::uint32_t i = 0; i < planned.offsets.size(); ++i) {
    offsets.Set(i, static_cast<double>(planned.offsets[i]));
  }
  out.Set("offsets", offsets);
  out.Set("arenaBytes", static_cast<double>(planned.arena_bytes));
  return out;
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* state = new State;  // owned by the environment
  env.SetInstanceData(state);
  state->device = Napi::Persistent(DeviceObject::define(env));
  state->buffer = Napi::Persistent(BufferObject::define(env));
  state->program = Napi::Persistent(ProgramObject::define(env));
  state->group = Napi::Persistent(GroupObject::define(env));
  state->exchange = Napi::Persistent(ExchangeObject::define(env));
  exports.Set("info", function<info>(env, "info"));
  exports.Set("openDevice", function<open_device>(env, "openDevice"));
  exports.Set("cudaInfo", function<cuda_info>(env, "cudaInfo"));
  exports.Set("mpiInfo", function<mpi_info>(env, "mpiInfo"));
  exports.Set("ncclInfo", function<nccl_info>(env, "ncclInfo"));
  exports.Set("ncclUniqueId", function<nccl_unique_id>(env, "ncclUniqueId"));
  exports.Set("joinGroup", function<join_group>(env, "joinGroup"));
  exports.Set("philox", function<philox>(env, "philox"));
  exports.Set("planMemory", function<plan>(env, "planMemory"));
  return exports;
}

NODE_API_MODULE(apollo, init)

}  // namespace
}  // namespace apollo::addon
