// The engine of the CUDA emulator: fibers for a block's threads, streams as lazy queues, guarded memory. See
// include/cuda_runtime.h for what it is for.
#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cassert>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cuda_runtime.h"
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

namespace emulator {
namespace {

// Queued work runs one piece at a time, whoever waits for it. Taken before lock().
std::recursive_mutex& at_work() {
  static std::recursive_mutex mutex;
  return mutex;
}
// Guards all other state of the API. Not held while work runs: others may queue more meanwhile, as on a GPU.
std::recursive_mutex& lock() {
  static std::recursive_mutex mutex;
  return mutex;
}

std::atomic<cudaError_t>& sticky_error() {
  static std::atomic<cudaError_t> error{cudaSuccess};
  return error;
}

const char* failing() {
  const char* what = std::getenv("APOLLO_EMULATOR_FAIL");
  return what == nullptr ? "" : what;
}

bool reversed() {
  const char* order = std::getenv("APOLLO_EMULATOR_ORDER");
  return order != nullptr && std::string(order) == "reverse";
}

struct Defect {
  std::string what;
};

}  // namespace

// ---- threads ----

// Where a fiber resumes. GCC's own pair is inlined and saves what the function around it uses; the C library's saves
// all, through several calls, which was an eighth of the time of a training step. Sanitizers know only the latter.
#if defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
using Context = void* [5];
#define SET_CONTEXT(context) __builtin_setjmp(context)
// Apart, because a function may not have both.
[[noreturn, gnu::noinline]] void go_to(Context& context) { __builtin_longjmp(context, 1); }
#else
using Context = jmp_buf;
#define SET_CONTEXT(context) _setjmp(context)
[[noreturn]] void go_to(Context& context) { _longjmp(context, 1); }
#endif

struct PendingCopy {
  void* to;
  std::vector<std::byte> bytes;
};

struct Fiber {
  enum class State { Idle, Runnable, AtBlock, AtWarp, Done };
  static constexpr std::size_t kStack = 192 * 1024;

  Thread thread{};
  State state = State::Idle;
  int line = 0;                                     // of the barrier it waits at
  unsigned mask = 0;                                // of the lanes it waits for
  unsigned exchanges = 0;                           // done so far
  std::vector<std::vector<PendingCopy>> copies{1};  // groups of asynchronous copies, the last one open
  Context context;
  bool begun = false;
  std::unique_ptr<char[]> stack{new char[kStack]};
  void* fake_stack = nullptr;  // AddressSanitizer's, while the fiber waits
};

// AddressSanitizer has to know on which stack the program is.
#ifdef __SANITIZE_ADDRESS__
void start_switch(void** fake_stack, const void* bottom, std::size_t bytes) {
  __sanitizer_start_switch_fiber(fake_stack, bottom, bytes);
}
void finish_switch(void* fake_stack, const void** bottom, std::size_t* bytes) {
  __sanitizer_finish_switch_fiber(fake_stack, bottom, bytes);
}
#else
void start_switch(void**, const void*, std::size_t) {}
void finish_switch(void*, const void**, std::size_t*) {}
#endif

Thread* running_thread = nullptr;

namespace {

struct Warp {
  std::byte slots[2][kWarp * kSlot];
};

class Scheduler {
 public:
  // Of the thread that is at work.
  static Scheduler& get() { return *active_; }
  static Scheduler& own() {
    static thread_local Scheduler scheduler;
    return scheduler;
  }

  // Apart from the caller, whose scheduler is looked up by the thread: inlined, it was looked up at each access.
  [[gnu::noinline]] void run_grid(const cudaLaunchConfig_t& config, const std::function<void()>& body) {
    const dim3 grid = config.gridDim, block = config.blockDim;
    active_ = this;
    body_ = &body;
    reversed_ = reversed();
    shared_.resize(config.dynamicSmemBytes + 1024);
    const std::uint64_t blocks = std::uint64_t{grid.x} * grid.y * grid.z;
    for (std::uint64_t i = 0; i < blocks; ++i) {
      const std::uint64_t index = reversed_ ? blocks - 1 - i : i;
      std::memset(shared_.data(), 0xff, shared_.size());
      run_block(grid, block,
                dim3(static_cast<unsigned>(index % grid.x), static_cast<unsigned>(index / grid.x % grid.y),
                     static_cast<unsigned>(index / grid.x / grid.y)));
    }
  }

  Fiber& running() { return *running_; }
  // Ends the kernel once the running thread comes to a barrier: a fiber cannot throw past its own stack.
  void fault(const std::string& what) { fault_ = what; }
  // Aligned as a block's shared memory is at most.
  unsigned char* shared() {
    const auto address = reinterpret_cast<std::uintptr_t>(shared_.data());
    return reinterpret_cast<unsigned char*>((address + 1023) / 1024 * 1024);
  }
  Warp& warp_of(const Fiber& fiber) { return warps_[fiber.thread.linear / kWarp]; }
  Fiber* lane_of(const Fiber& fiber, unsigned lane) {
    const unsigned linear = fiber.thread.linear / kWarp * kWarp + lane;
    return linear < threads_ ? fibers_[linear].get() : nullptr;
  }

  // Leaves the running fiber until the scheduler resumes it.
  void yield() {
    Fiber& self = *running_;
    if (SET_CONTEXT(self.context) == 0) {
      start_switch(&self.fake_stack, home_bottom_, home_bytes_);
      go_to(home_);
    }
    finish_switch(self.fake_stack, &home_bottom_, &home_bytes_);
  }

 private:
  void run_block(dim3 grid, dim3 block, dim3 index) {
    threads_ = block.x * block.y * block.z;
    while (fibers_.size() < threads_) fibers_.push_back(std::make_unique<Fiber>());
    warps_.resize((threads_ + kWarp - 1) / kWarp);
    for (unsigned t = 0; t < threads_; ++t) {
      Fiber& fiber = *fibers_[t];
      fiber.thread.thread = dim3(t % block.x, t / block.x % block.y, t / block.x / block.y);
      fiber.thread.block = index;
      fiber.thread.block_dim = block;
      fiber.thread.grid_dim = grid;
      fiber.thread.linear = t;
      fiber.thread.fiber = &fiber;
      fiber.state = Fiber::State::Runnable;
      fiber.exchanges = 0;
      fiber.copies.assign(1, {});
    }
    // Warp by warp, each up to the block's next barrier.
    const auto warps = static_cast<unsigned>(warps_.size());
    for (alive_ = threads_; alive_ > 0;) {
      bool progress = false;
      for (unsigned w = 0; w < warps; ++w) {
        if (run_warp((reversed_ ? warps - 1 - w : w) * kWarp)) progress = true;
      }
      if (release_block()) progress = true;
      if (!fault_.empty()) throw Defect{fault_};
      if (!progress) throw Defect{deadlock()};
    }
    for (unsigned t = 0; t < threads_; ++t) {
      for (const auto& group : fibers_[t]->copies) {
        if (!group.empty()) throw Defect{"a thread ended before its asynchronous copies were waited for"};
      }
    }
  }

  // Runs the lanes of a warp, and again those that were waiting for each other, until none of them can go on.
  bool run_warp(unsigned first) {
    const unsigned lanes = std::min(kWarp, threads_ - first);
    bool any = false;
    for (bool progress = true; progress;) {
      progress = false;
      for (unsigned i = 0; i < lanes; ++i) {
        Fiber& fiber = *fibers_[first + (reversed_ ? lanes - 1 - i : i)];
        if (fiber.state != Fiber::State::Runnable) continue;
        progress = any = true;
        resume(fiber);
        if (fiber.state == Fiber::State::Done) --alive_;
      }
      release_warp(first, lanes);
    }
    return any;
  }

  void resume(Fiber& fiber) {
    running_ = &fiber;
    running_thread = &fiber.thread;
    if (SET_CONTEXT(home_) == 0) {
      start_switch(&home_fake_stack_, fiber.stack.get(), Fiber::kStack);
      if (fiber.begun) go_to(fiber.context);
      fiber.begun = true;
      ucontext_t context, unused;
      getcontext(&context);
      context.uc_stack.ss_sp = fiber.stack.get();
      context.uc_stack.ss_size = Fiber::kStack;
      context.uc_link = nullptr;
      makecontext(&context, &Scheduler::enter, 0);
      swapcontext(&unused, &context);  // comes back by home_
    }
    finish_switch(home_fake_stack_, nullptr, nullptr);
    running_ = nullptr;
  }

  // Every fiber's body: one thread of a block after the other, so that stacks are made once.
  static void enter() {
    finish_switch(nullptr, &get().home_bottom_, &get().home_bytes_);
    for (;;) {
      Scheduler& scheduler = get();
      (*scheduler.body_)();
      scheduler.running_->state = Fiber::State::Done;
      scheduler.yield();
    }
  }

  bool release_block() {
    int line = 0;
    unsigned waiting = 0, alive = 0;
    for (unsigned t = 0; t < threads_; ++t) {
      const Fiber& fiber = *fibers_[t];
      if (fiber.state == Fiber::State::Done) continue;
      ++alive;
      if (fiber.state != Fiber::State::AtBlock) continue;
      ++waiting;
      if (line != 0 && line != fiber.line) {
        throw Defect{"threads of a block wait at different __syncthreads: lines " + std::to_string(line) + " and " +
                     std::to_string(fiber.line)};
      }
      line = fiber.line;
    }
    if (alive == 0 || waiting != alive) return false;
    for (unsigned t = 0; t < threads_; ++t) {
      if (fibers_[t]->state == Fiber::State::AtBlock) fibers_[t]->state = Fiber::State::Runnable;
    }
    return true;
  }

  // Releases the lanes of a warp that wait for each other, when all of them do.
  void release_warp(unsigned first, unsigned lanes) {
    unsigned seen = 0;
    for (unsigned lane = 0; lane < lanes; ++lane) {
      const Fiber& fiber = *fibers_[first + lane];
      if (fiber.state != Fiber::State::AtWarp || (seen >> lane & 1) != 0) continue;
      seen |= fiber.mask;
      bool complete = true;
      for (unsigned other = 0; other < lanes && complete; ++other) {
        if ((fiber.mask >> other & 1) == 0) continue;
        const Fiber& partner = *fibers_[first + other];
        if (partner.state == Fiber::State::Done) {
          throw Defect{"line " + std::to_string(fiber.line) + ": lane " + std::to_string(lane) + " waits for lane " +
                       std::to_string(other) + ", which has ended"};
        }
        complete = partner.state == Fiber::State::AtWarp && partner.exchanges == fiber.exchanges;
        if (complete && (partner.line != fiber.line || partner.mask != fiber.mask)) {
          throw Defect{"lanes of a warp exchange at different places: lines " + std::to_string(fiber.line) + " and " +
                       std::to_string(partner.line)};
        }
      }
      for (unsigned other = 0; complete && other < lanes; ++other) {
        if ((fiber.mask >> other & 1) != 0) fibers_[first + other]->state = Fiber::State::Runnable;
      }
    }
  }

  std::string deadlock() const {
    std::string text = "deadlock:";
    std::map<std::string, int> waits;
    for (unsigned t = 0; t < threads_; ++t) {
      const Fiber& fiber = *fibers_[t];
      if (fiber.state == Fiber::State::Done) continue;
      ++waits[std::string(fiber.state == Fiber::State::AtBlock ? " at __syncthreads, line " : " in a warp, line ") +
              std::to_string(fiber.line)];
    }
    for (const auto& [where, count] : waits) text += " " + std::to_string(count) + " threads" + where + ";";
    return text;
  }

  static inline Scheduler* active_ = nullptr;

  const std::function<void()>* body_ = nullptr;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Warp> warps_;
  std::vector<unsigned char> shared_;
  unsigned threads_ = 0, alive_ = 0;
  bool reversed_ = false;
  Fiber* running_ = nullptr;
  std::string fault_;
  Context home_;
  void* home_fake_stack_ = nullptr;
  const void* home_bottom_ = nullptr;
  std::size_t home_bytes_ = 0;
};

}  // namespace

unsigned char* dynamic_shared() { return Scheduler::get().shared(); }

void sync_threads(int line) {
  Scheduler& scheduler = Scheduler::get();
  scheduler.running().state = Fiber::State::AtBlock;
  scheduler.running().line = line;
  scheduler.yield();
}

// Two sets of slots take turns: a lane can be at most one exchange ahead of the slowest reader of the last one.
const std::byte* exchange(unsigned mask, const void* value, std::size_t bytes, int line) {
  Scheduler& scheduler = Scheduler::get();
  Fiber& self = scheduler.running();
  Warp& warp = scheduler.warp_of(self);
  std::byte* slots = warp.slots[self.exchanges % 2];
  std::memcpy(slots + self.thread.linear % kWarp * kSlot, value, bytes);
  ++self.exchanges;
  self.state = Fiber::State::AtWarp;
  self.line = line;
  self.mask = mask;
  scheduler.yield();
  return slots;
}

// An asynchronous copy reads at once and writes when it is waited for: as late as it may.
void cp_async(void* to, const void* from, unsigned bytes) {
  PendingCopy copy{to, std::vector<std::byte>(bytes)};
  if (from != nullptr) std::memcpy(copy.bytes.data(), from, bytes);
  Scheduler::get().running().copies.back().push_back(std::move(copy));
}

void cp_async_commit() { Scheduler::get().running().copies.emplace_back(); }

void cp_async_wait(int pending) {
  auto& groups = Scheduler::get().running().copies;
  while (static_cast<int>(groups.size()) - 1 > pending) {
    for (const PendingCopy& copy : groups.front()) std::memcpy(copy.to, copy.bytes.data(), copy.bytes.size());
    groups.erase(groups.begin());
  }
}

void check_aligned(const void* address, std::size_t bytes) {
  if (reinterpret_cast<std::uintptr_t>(address) % bytes == 0) return;
  Scheduler::get().fault("an address is not a multiple of " + std::to_string(bytes));
}

}  // namespace emulator

// ---- streams, events, graphs ----

using emulator::at_work;
using emulator::lock;
using Guard = std::lock_guard<std::recursive_mutex>;
using Work = std::function<void()>;
using emulator::Poll;

struct CUgraph_st {
  std::vector<Work> work;
};
struct CUgraphExec_st {
  std::vector<Work> work;
};
enum class Step { None, Done, Waits };
// Between two looks at work that waits for another process.
void wait_a_little() { usleep(20); }

struct CUstream_st {
  std::deque<Poll> queue;
  CUgraph_st* capture = nullptr;

  void add(Work work) {
    if (capture != nullptr) {
      capture->work.push_back(std::move(work));
    } else {
      queue.push_back([work = std::move(work)] {
        work();
        return true;
      });
    }
  }
  // Does the next piece of work. One that waits for another process stays the next one.
  Step step() {
    const Guard working(at_work());
    Poll work;
    {
      const Guard guard(lock());
      if (queue.empty()) return Step::None;
      work = std::move(queue.front());
      queue.pop_front();
    }
    if (work()) return Step::Done;
    const Guard guard(lock());
    queue.push_front(std::move(work));
    return Step::Waits;
  }
  void drain() {
    for (Step did = step(); did != Step::None; did = step()) {
      if (did == Step::Waits) wait_a_little();
    }
  }
};
struct CUevent_st {
  CUstream_st* stream = nullptr;
  std::atomic<std::uint64_t> recorded = 0, completed = 0;
  std::chrono::steady_clock::time_point time;

  // Runs its stream up to the record.
  void wait(std::uint64_t record) {
    while (completed < record && stream != nullptr) {
      const Step did = stream->step();
      if (did == Step::None) return;
      if (did == Step::Waits) wait_a_little();
    }
  }
};

namespace {

cudaError_t result(cudaError_t error) {
  if (error != cudaSuccess) emulator::sticky_error() = error;
  return emulator::sticky_error();
}

struct Allocation {
  std::byte* base;
  std::size_t mapped, bytes;
};
std::map<void*, Allocation>& allocations() {
  static std::map<void*, Allocation> all;
  return all;
}
std::size_t& used_bytes() {
  static std::size_t used = 0;
  return used;
}

constexpr std::size_t kObjectBytes = 4096;
std::atomic<int>& held_objects() {
  static std::atomic<int> held{0};
  return held;
}

std::size_t total_bytes() {
  const char* text = std::getenv("APOLLO_EMULATOR_BYTES");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : std::size_t{4} << 30;
}

// All alike, and of one memory.
int gpus() {
  const char* text = std::getenv("APOLLO_EMULATOR_GPUS");
  return text != nullptr ? std::atoi(text) : 1;
}
thread_local int current_device = 0;

std::map<const void*, std::size_t>& shared_limits() {
  static std::map<const void*, std::size_t> limits;
  return limits;
}

}  // namespace

namespace emulator {

void add_polled(cudaStream_t stream, Poll work) {
  const Guard guard(lock());
  stream->queue.push_back(std::move(work));
}

bool told_to_fail(const char* what) { return std::strcmp(failing(), what) == 0; }

void hold(int objects) { held_objects() += objects; }

std::size_t max_shared() {
  const char* text = std::getenv("APOLLO_EMULATOR_SHARED_BYTES");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : 232448;
}

std::size_t shared_limit(const void* kernel) {
  const Guard guard(lock());
  const auto limit = shared_limits().find(kernel);
  return limit == shared_limits().end() ? 49152 : limit->second;
}

cudaError_t set_shared_limit(const void* kernel, std::size_t bytes) {
  const Guard guard(lock());
  if (bytes > max_shared()) return result(cudaErrorInvalidValue);
  shared_limits()[kernel] = bytes;
  return cudaSuccess;
}

cudaError_t check_shared(const void* kernel, std::size_t bytes) {
  return bytes <= std::min(shared_limit(kernel), max_shared()) ? cudaSuccess : result(cudaErrorInvalidValue);
}

cudaError_t launch(const cudaLaunchConfig_t& config, std::function<void()> body) {
  const Guard guard(lock());
  const dim3 grid = config.gridDim, block = config.blockDim;
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > 1024 || grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 2147483647u ||
      grid.y > 65535 || grid.z > 65535) {
    return result(cudaErrorInvalidValue);
  }
  config.stream->add([config, body = std::move(body)] {
    if (sticky_error() != cudaSuccess) return;
    if (told_to_fail("kernel")) {
      sticky_error() = cudaErrorIllegalAddress;
      return;
    }
    try {
      Scheduler::own().run_grid(config, body);
    } catch (const Defect& defect) {
      // The fibers of the block are lost with it: nothing can run any more, as after a fault on a GPU.
      std::fprintf(stderr, "CUDA emulator: %s\n", defect.what.c_str());
      sticky_error() = cudaErrorLaunchFailure;
    }
  });
  return sticky_error();
}

}  // namespace emulator

cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  *count = gpus();
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= gpus()) return cudaErrorInvalidDevice;
  current_device = device;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device < 0 || device >= gpus()) return cudaErrorInvalidDevice;
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "CUDA emulator");
  properties->totalGlobalMem = total_bytes();
  properties->sharedMemPerBlockOptin = emulator::max_shared();
  properties->sharedMemPerMultiprocessor = 233472;
  properties->major = emulator::told_to_fail("capability") ? 7 : 9;
  properties->multiProcessorCount = 4;
  properties->l2CacheSize = 1 << 20;
  properties->maxThreadsPerMultiProcessor = 2048;
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  const Guard guard(lock());
  *total = total_bytes();
  const std::size_t used = used_bytes() + static_cast<std::size_t>(held_objects().load()) * kObjectBytes;
  *free = *total > used ? *total - used : 0;
  return emulator::sticky_error();
}

// The block ends at a page that cannot be touched (as near as its alignment of 256 bytes allows), and begins after one.
cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  const Guard guard(lock());
  if (emulator::sticky_error() != cudaSuccess) return emulator::sticky_error();
  constexpr const char* kLimit = "cudaMalloc>";
  const char* limit = std::strstr(emulator::failing(), kLimit);
  if (limit != nullptr && bytes > std::strtoull(limit + std::strlen(kLimit), nullptr, 10)) {
    return cudaErrorMemoryAllocation;
  }
  if (used_bytes() + bytes > total_bytes()) return cudaErrorMemoryAllocation;
  const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t padded = (bytes + 255) / 256 * 256;
  const std::size_t body = (padded + page - 1) / page * page, mapped = body + 2 * page;
  void* base = mmap(nullptr, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return cudaErrorMemoryAllocation;
  auto* first = static_cast<std::byte*>(base) + page;
  mprotect(first, body, PROT_READ | PROT_WRITE);
  std::memset(first, 0xff, body);
  *memory = first + body - padded;
  allocations()[*memory] = {static_cast<std::byte*>(base), mapped, bytes};
  used_bytes() += bytes;
  return cudaSuccess;
}
cudaError_t cudaFree(void* memory) {
  const Guard guard(lock());
  if (memory == nullptr) return cudaSuccess;
  const auto found = allocations().find(memory);
  if (found == allocations().end()) return result(cudaErrorInvalidValue);
  used_bytes() -= found->second.bytes;
  munmap(found->second.base, found->second.mapped);
  allocations().erase(found);
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** memory, std::size_t bytes, unsigned) {
  *memory = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  if (*memory != nullptr) std::memset(*memory, 0xff, bytes);
  return *memory != nullptr ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFreeHost(void* memory) {
  std::free(memory);
  return cudaSuccess;
}
cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned) {
  *device = host;
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind) {
  const Guard guard(lock());
  std::memcpy(to, from, bytes);
  return emulator::sticky_error();
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  const Guard guard(lock());
  stream->add([=] { std::memcpy(to, from, bytes); });
  return emulator::sticky_error();
}
cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t stream) {
  const Guard guard(lock());
  stream->add([=] { std::memset(memory, value, bytes); });
  return emulator::sticky_error();
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new CUstream_st;
  emulator::hold(1);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  stream->drain();
  delete stream;
  emulator::hold(-1);
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (stream->capture != nullptr) return result(cudaErrorStreamCaptureUnsupported);
  stream->drain();
  return emulator::sticky_error();
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const Guard guard(lock());
  stream->add([event, record = event->recorded.load()] { event->wait(record); });
  return emulator::sticky_error();
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  const Guard guard(lock());
  if (stream->capture != nullptr) return result(cudaErrorStreamCaptureUnsupported);
  stream->capture = new CUgraph_st;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const Guard guard(lock());
  *graph = std::exchange(stream->capture, nullptr);
  return *graph != nullptr ? cudaSuccess : cudaErrorInvalidValue;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  if (emulator::told_to_fail("cudaGraphInstantiate")) return cudaErrorMemoryAllocation;
  *exec = new CUgraphExec_st{graph->work};
  return cudaSuccess;
}
cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) {
  if (emulator::told_to_fail("cudaGraphUpload")) return cudaErrorMemoryAllocation;
  return emulator::sticky_error();
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  const Guard guard(lock());
  for (const Work& work : exec->work) stream->add(work);
  return emulator::sticky_error();
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st;
  emulator::hold(1);
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  event->wait(event->recorded);
  delete event;
  emulator::hold(-1);
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const Guard guard(lock());
  event->stream = stream;
  stream->add([event, record = ++event->recorded] {
    event->completed = record;
    event->time = std::chrono::steady_clock::now();
  });
  return emulator::sticky_error();
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  event->wait(event->recorded);
  return emulator::sticky_error();
}
// Lets the stream work up to the record, as far as it need not wait for another process.
cudaError_t cudaEventQuery(cudaEvent_t event) {
  while (event->completed < event->recorded && event->stream != nullptr) {
    if (event->stream->step() != Step::Done) return cudaErrorNotReady;
  }
  return emulator::sticky_error();
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  const Guard working(at_work());
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
  return cudaSuccess;
}

cudaError_t cudaGetLastError() {
  const Guard guard(lock());
  return emulator::sticky_error();
}
const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorInvalidValue: return "invalid argument";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInvalidDevice: return "invalid device ordinal";
    case cudaErrorNotReady: return "device not ready";
    case cudaErrorIllegalAddress: return "an illegal memory access was encountered";
    case cudaErrorLaunchFailure: return "unspecified launch failure";
    case cudaErrorStreamCaptureUnsupported: return "operation not permitted when stream is capturing";
    default: break;
  }
  return "unknown error";
}
const char* cudaGetErrorName(cudaError_t error) { return cudaGetErrorString(error); }
