// The CUDA backend: memory, transfers, streams and graphs of one GPU, and the table behind which the addon finds it.
#include "core/backend.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <mutex>
#include <utility>

#include "core/program.h"
#include "cuda/api.h"
#include "cuda/cuda.h"
#include "cuda/device/transfer.h"
#include "cuda/fusion.h"

namespace apollo::cuda {
namespace {

// Throws Error unless there is a driver that is new enough for this build, and a GPU.
int device_count() {
  int version = 0;
  if (cudaDriverGetVersion(&version) != cudaSuccess || version == 0) {
    throw Error("no CUDA driver on this machine (libcuda.so.1 not found); use device \"cpu\"", "APOLLO_NO_DEVICE");
  }
  int count = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess || count == 0) {
    throw Error("no usable GPU on this machine: " +
                    std::string(error == cudaSuccess ? "the driver lists none" : cudaGetErrorString(error)) +
                    "; use device \"cpu\"",
                "APOLLO_NO_DEVICE");
  }
  return count;
}

std::vector<DeviceSummary> devices() {
  std::vector<DeviceSummary> out;
  const int count = device_count();
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, i), "reading the GPU's properties");
    out.push_back({properties.name, properties.totalGlobalMem, properties.major, properties.minor});
  }
  return out;
}

class Graph final : public Replay {
 public:
  Graph(cudaStream_t stream, cudaGraph_t graph) : stream_(stream), graph_(graph) {}
  ~Graph() override {
    if (exec_ != nullptr) cudaGraphExecDestroy(exec_);
    cudaGraphDestroy(graph_);
  }
  // With the upload, which the first launch would else do, and which allocates.
  void instantiate() {
    check(cudaGraphInstantiate(&exec_, graph_, 0), "building a CUDA graph");
    check(cudaGraphUpload(exec_, stream_), "loading a CUDA graph");
  }
  void launch() override { check(cudaGraphLaunch(exec_, stream_), "launching a CUDA graph"); }

 private:
  cudaStream_t stream_;
  cudaGraph_t graph_;
  cudaGraphExec_t exec_ = nullptr;
};

class EventStopwatch final : public Stopwatch {
 public:
  explicit EventStopwatch(cudaStream_t stream) : stream_(stream) {}
  ~EventStopwatch() override {
    for (const cudaEvent_t event : laps_) cudaEventDestroy(event);
  }

  void lap() override {
    cudaEvent_t event = nullptr;
    check(cudaEventCreate(&event), "creating an event");
    laps_.push_back(event);
    check(cudaEventRecord(event, stream_), "recording an event");
  }
  std::vector<double> nanoseconds() override {
    std::vector<double> between;
    if (!laps_.empty()) check(cudaEventSynchronize(laps_.back()), "waiting for the GPU");
    for (std::size_t i = 1; i < laps_.size(); ++i) {
      float milliseconds = 0.0f;
      check(cudaEventElapsedTime(&milliseconds, laps_[i - 1], laps_[i]), "reading an event");
      between.push_back(1e6 * static_cast<double>(milliseconds));
    }
    return between;
  }

 private:
  cudaStream_t stream_;
  std::vector<cudaEvent_t> laps_;
};

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(const Options& options) : context_(options), transfers_(context_) {
    register_matmul(ops_, context_);
    register_attention(ops_, context_);
    register_cache(ops_, context_);
    register_head(ops_, context_);
    register_norm(ops_, context_);
    register_activation(ops_, context_);
    register_elementwise(ops_, context_);
    register_reduce(ops_, context_);
    register_shape(ops_, context_);
    register_embedding(ops_, context_);
    register_rotary(ops_, context_);
    register_dropout(ops_, context_);
    register_optimizer(ops_, context_);
  }

  std::string kind() const override { return "cuda"; }
  std::string label() const override { return "cuda:" + std::to_string(context_.options.index); }
  std::string name() const override { return context_.properties.name; }
  int index() const override { return context_.options.index; }
  bool in_host_memory() const override { return false; }
  const OpTable& ops() const override { return ops_; }

  // Kept back: what CUDA itself takes later on, for kernels' code, graphs and the transfers' blocks.
  std::size_t available_bytes() const override {
    constexpr std::size_t kReserve = std::size_t{256} << 20;
    const std::size_t free = memory().free;
    return free > kReserve ? free - kReserve : 0;
  }

  void* allocate(std::size_t bytes) override {
    select();
    void* memory = nullptr;
    const cudaError_t error = cudaMalloc(&memory, bytes);
    if (error == cudaErrorMemoryAllocation) {
      cudaGetLastError();  // it is dealt with
      return nullptr;
    }
    check(error, "an allocation of GPU memory");
    return memory;
  }
  void zero(void* memory, std::size_t bytes) override {
    check(cudaMemsetAsync(memory, 0, bytes, context_.stream), "clearing GPU memory");
    check(cudaStreamSynchronize(context_.stream), "clearing GPU memory");
  }
  void release(void* memory, std::size_t) override {
    cudaSetDevice(context_.options.index);
    cudaFree(memory);
  }
  void upload(void* device, const void* host, std::size_t bytes) override {
    copy_now(device, host, bytes, cudaMemcpyHostToDevice);
  }
  void download(void* host, const void* device, std::size_t bytes) override {
    copy_now(host, device, bytes, cudaMemcpyDeviceToHost);
  }
  void copy(void* to, const void* from, std::size_t bytes) override {
    copy_now(to, from, bytes, cudaMemcpyDeviceToDevice);
  }
  std::unique_ptr<Transfer> transfer(std::size_t bytes) override { return transfers_.get(bytes); }

  void enter_thread() override { select(); }
  void synchronize() override {
    check(cudaStreamSynchronize(context_.stream), "the GPU's work");
    context_.faults.raise();
  }
  void* stream() override { return context_.stream; }
  std::unique_ptr<Stopwatch> stopwatch() override { return std::make_unique<EventStopwatch>(context_.stream); }

  void fuse(ProgramDesc& program) const override { cuda::fuse(program); }
  std::unique_ptr<Replay> record(const std::function<void()>& launch_all) override {
    try {
      return capture(launch_all);
    } catch (...) {
      cudaGetLastError();  // it is dealt with
      throw;
    }
  }

 private:
  struct Memory {
    std::size_t free = 0, total = 0;
  };
  std::unique_ptr<Replay> capture(const std::function<void()>& launch_all) {
    // Other threads may allocate meanwhile; this one must not.
    check(cudaStreamBeginCapture(context_.stream, cudaStreamCaptureModeThreadLocal), "recording a CUDA graph");
    cudaGraph_t captured = nullptr;
    try {
      launch_all();
    } catch (...) {
      cudaStreamEndCapture(context_.stream, &captured);
      if (captured != nullptr) cudaGraphDestroy(captured);
      throw;
    }
    check(cudaStreamEndCapture(context_.stream, &captured), "recording a CUDA graph");
    auto graph = std::make_unique<Graph>(context_.stream, captured);
    graph->instantiate();
    return graph;
  }
  Memory memory() const {
    select();
    Memory memory;
    check(cudaMemGetInfo(&memory.free, &memory.total), "reading the GPU's memory");
    return memory;
  }
  void select() const { check(cudaSetDevice(context_.options.index), "choosing the GPU"); }
  void copy_now(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
    if (bytes == 0) return;
    check(cudaMemcpyAsync(to, from, bytes, kind, context_.stream), "a copy");
    check(cudaStreamSynchronize(context_.stream), "a copy");
  }

  Context context_;
  TransferPool transfers_;
  OpTable ops_;
};

std::unique_ptr<Backend> open(const Options& options) {
  const int count = device_count();
  if (options.index < 0 || options.index >= count) {
    throw Error("there is no GPU " + std::to_string(options.index) + "; this machine has " + std::to_string(count) +
                    " (0 to " + std::to_string(count - 1) + ")",
                "APOLLO_NO_DEVICE");
  }
  // Kernels copy asynchronously to shared memory and multiply bf16 on tensor cores, which came with 8.0, and there is
  // no code for older GPUs in the library.
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, options.index), "reading the GPU's properties");
  if (properties.major < 8) {
    throw Error("GPU " + std::to_string(options.index) + " (" + properties.name + ") has compute capability " +
                    std::to_string(properties.major) + "." + std::to_string(properties.minor) +
                    "; 8.0 or later is required; use device \"cpu\"",
                "APOLLO_NO_DEVICE");
  }
  return std::make_unique<CudaBackend>(options);
}

std::string blas() {
  const CublasLt& lt = CublasLt::get();
  return std::to_string(lt.version()) + " (" + lt.file + ")";
}

}  // namespace
}  // namespace apollo::cuda

extern "C" __attribute__((visibility("default"))) const apollo::cuda::Api* apollo_cuda_api() {
  using namespace apollo::cuda;
  static const Api api{APOLLO_ABI, APOLLO_VERSION, devices, open, blas};
  return &api;
}
