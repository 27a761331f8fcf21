// CUDA on a processor, for tests: the part of the runtime API and of the device language that native/cuda uses, under
// the same names, so that its .cu files compile as plain C++ and every kernel runs on machines without a GPU. What
// they compute, how their threads share memory and in which order streams run is what is tested; speed is not.
//
// - A block's threads are fibers. They run one after the other in the order that APOLLO_EMULATOR_ORDER says (forward,
//   reverse), each up to its next barrier: what works in both orders does not depend on one of them by accident.
// - Streams are queues that run as late as allowed: when something waits for them.
// - Memory starts as NaN and is between pages that nobody may touch.
// - There are as many GPUs as APOLLO_EMULATOR_GPUS says, one unless it does.
#pragma once

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) alignas(n)
#define __shared__ static  // one block runs at a time, regardless of the threads of the process

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct alignas(8) int2 {
  int x, y;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
constexpr int2 make_int2(int x, int y) { return {x, y}; }
constexpr uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
constexpr float2 make_float2(float x, float y) { return {x, y}; }
constexpr uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
constexpr float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

// ---- runtime API ----

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidDevice = 101,
  cudaErrorECCUncorrectable = 214,
  cudaErrorNotReady = 600,
  cudaErrorIllegalAddress = 700,
  cudaErrorLaunchTimeout = 702,
  cudaErrorAssert = 710,
  cudaErrorHardwareStackError = 714,
  cudaErrorIllegalInstruction = 715,
  cudaErrorMisalignedAddress = 716,
  cudaErrorInvalidAddressSpace = 717,
  cudaErrorInvalidPc = 718,
  cudaErrorLaunchFailure = 719,
  cudaErrorMpsClientTerminated = 810,
  cudaErrorStreamCaptureUnsupported = 900,
};
enum cudaMemcpyKind {
  cudaMemcpyHostToHost,
  cudaMemcpyHostToDevice,
  cudaMemcpyDeviceToHost,
  cudaMemcpyDeviceToDevice,
  cudaMemcpyDefault
};
enum cudaStreamCaptureMode {
  cudaStreamCaptureModeGlobal,
  cudaStreamCaptureModeThreadLocal,
  cudaStreamCaptureModeRelaxed
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize, cudaFuncAttributePreferredSharedMemoryCarveout };
constexpr unsigned cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2, cudaHostAllocMapped = 2;

struct CUstream_st;
struct CUevent_st;
struct CUgraph_st;
struct CUgraphExec_st;
using cudaStream_t = CUstream_st*;
using cudaEvent_t = CUevent_st*;
using cudaGraph_t = CUgraph_st*;
using cudaGraphExec_t = CUgraphExec_st*;

struct cudaDeviceProp {
  char name[256];
  std::size_t totalGlobalMem, sharedMemPerBlockOptin, sharedMemPerMultiprocessor;
  int major, minor, multiProcessorCount, l2CacheSize, maxThreadsPerMultiProcessor;
};
struct cudaFuncAttributes {
  std::size_t sharedSizeBytes;
  int maxDynamicSharedSizeBytes;
};
struct cudaLaunchAttribute;
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};

cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total);
cudaError_t cudaMalloc(void** memory, std::size_t bytes);
cudaError_t cudaFree(void* memory);
cudaError_t cudaHostAlloc(void** memory, std::size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void* memory);
cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned flags);
cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind);
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);
cudaError_t cudaEventCreate(cudaEvent_t* event);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end);
cudaError_t cudaGetLastError();
const char* cudaGetErrorString(cudaError_t error);
const char* cudaGetErrorName(cudaError_t error);

// ---- kernels ----

namespace emulator {

constexpr unsigned kWarp = 32;
// Of a block: $APOLLO_EMULATOR_SHARED_BYTES, or what Hopper has.
std::size_t max_shared();

struct Fiber;
// The running thread of the running block; threadIdx and its like are read from here.
struct Thread {
  dim3 thread, block, block_dim, grid_dim;
  unsigned linear;
  Fiber* fiber;
};
extern Thread* running_thread;
inline Thread& current() { return *running_thread; }

// Queues a grid whose threads all call `body`.
cudaError_t launch(const cudaLaunchConfig_t& config, std::function<void()> body);

// Queues work that waits for another process: it is called until it returns true.
using Poll = std::function<bool()>;
void add_polled(cudaStream_t stream, Poll work);

// For tests of failures. $APOLLO_EMULATOR_FAIL names what fails while it is set: a function of the API, `kernel` for
// the next kernel (the error is then lasting, as on a GPU), or `cudaMalloc>BYTES` for larger allocations.
bool told_to_fail(const char* what);
// Counts what the driver keeps for its caller: a stream, event, handle or description is a page of the GPU's memory.
void hold(int objects);

std::size_t shared_limit(const void* kernel);
cudaError_t set_shared_limit(const void* kernel, std::size_t bytes);
cudaError_t check_shared(const void* kernel, std::size_t bytes);

unsigned char* dynamic_shared();
void sync_threads(int line);
// All lanes of `mask` give `bytes` bytes each; returns their records, kSlot apart, by lane.
constexpr std::size_t kSlot = 64;
const std::byte* exchange(unsigned mask, const void* value, std::size_t bytes, int line);
void cp_async(void* to, const void* from, unsigned bytes);
void cp_async_commit();
void cp_async_wait(int pending);
// Ends the kernel as a fault when the address is not a multiple of `bytes`.
void check_aligned(const void* address, std::size_t bytes);

template <class T>
T lane_value(unsigned mask, const T& value, unsigned lane, int line) {
  static_assert(sizeof(T) <= kSlot);
  const std::byte* all = exchange(mask, &value, sizeof(T), line);
  T out;
  std::memcpy(&out, all + (lane % kWarp) * kSlot, sizeof(T));
  return out;
}
inline unsigned lane() { return current().linear % kWarp; }

}  // namespace emulator

namespace emulator {
// threadIdx and its like: objects whose x, y and z read the running thread.
template <dim3 Thread::*kField>
struct Builtin {
  template <unsigned dim3::*kAxis>
  struct Axis {
    operator unsigned() const { return (current().*kField).*kAxis; }
  };
  Axis<&dim3::x> x;
  Axis<&dim3::y> y;
  Axis<&dim3::z> z;
};
}  // namespace emulator

inline constexpr emulator::Builtin<&emulator::Thread::thread> threadIdx{};
inline constexpr emulator::Builtin<&emulator::Thread::block> blockIdx{};
inline constexpr emulator::Builtin<&emulator::Thread::block_dim> blockDim{};
inline constexpr emulator::Builtin<&emulator::Thread::grid_dim> gridDim{};

#define __syncthreads() emulator::sync_threads(__LINE__)
#define __syncwarp(...) emulator::lane_value(0xffffffffu, 0, 0, __LINE__)
#define __shfl_sync(mask, value, source) emulator::lane_value(mask, value, source, __LINE__)
#define __shfl_xor_sync(mask, value, bits) emulator::lane_value(mask, value, emulator::lane() ^ (bits), __LINE__)
#define __shfl_down_sync(mask, value, delta)                                                                         \
  emulator::lane_value(mask, value,                                                                                  \
                       emulator::lane() + (delta) < emulator::kWarp ? emulator::lane() + (delta) : emulator::lane(), \
                       __LINE__)
#define __shfl_up_sync(mask, value, delta)                                                                       \
  emulator::lane_value(mask, value, emulator::lane() >= (delta) ? emulator::lane() - (delta) : emulator::lane(), \
                       __LINE__)
#define __ballot_sync(mask, predicate) emulator::ballot(mask, predicate, __LINE__)

namespace emulator {
inline unsigned ballot(unsigned mask, bool predicate, int line) {
  const std::byte* all = exchange(mask, &predicate, sizeof predicate, line);
  unsigned bits = 0;
  for (unsigned i = 0; i < kWarp; ++i) {
    if ((mask >> i & 1) != 0 && *reinterpret_cast<const bool*>(all + i * kSlot)) bits |= 1u << i;
  }
  return bits;
}
}  // namespace emulator

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  const cudaError_t error = emulator::check_shared(reinterpret_cast<const void*>(kernel), config->dynamicSmemBytes);
  if (error != cudaSuccess) return error;
  return emulator::launch(*config, [kernel, values = std::tuple<std::decay_t<Parameters>...>(std::forward<Arguments>(
                                                arguments)...)]() mutable { std::apply(kernel, values); });
}
template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  return emulator::set_shared_limit(reinterpret_cast<const void*>(kernel), static_cast<std::size_t>(value));
}
template <class Kernel>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, Kernel* kernel) {
  *attributes = {0, static_cast<int>(emulator::shared_limit(reinterpret_cast<const void*>(kernel)))};
  return cudaSuccess;
}
template <class Kernel>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Kernel*, int threads, std::size_t shared) {
  const int by_threads = 2048 / std::max(threads, 1);
  const int by_shared = shared == 0 ? 32 : static_cast<int>(emulator::max_shared() / shared);
  *blocks = std::max(1, std::min({by_threads, by_shared, 32}));
  return cudaSuccess;
}

// ---- device functions ----

inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>((static_cast<std::uint64_t>(a) * b) >> 32);
}
inline unsigned __float_as_uint(float x) {
  unsigned bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}
inline float __uint_as_float(unsigned bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}
inline int __float_as_int(float x) { return static_cast<int>(__float_as_uint(x)); }
inline float __int_as_float(int bits) { return __uint_as_float(static_cast<unsigned>(bits)); }
// Towards 0; the nearest integer there is for what is outside, 0 for a NaN.
inline int __float2int_rz(float x) {
  if (std::isnan(x)) return 0;
  return x >= 2147483648.0f ? 2147483647 : x < -2147483648.0f ? -2147483647 - 1 : static_cast<int>(x);
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
using std::isfinite;
using std::isnan;
using std::max;
using std::min;
template <class T>
T __ldg(const T* p) {
  return *p;
}
template <class T>
T __ldcg(const T* p) {
  return *p;
}
template <class T>
void __stcs(T* p, T value) {
  *p = value;
}
template <class T>
void __stcg(T* p, T value) {
  *p = value;
}
inline void __threadfence() {}
