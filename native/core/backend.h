// Interface of a device kind: memory, transfers, and a kernel for each op of the table.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/op.h"

namespace apollo {

struct ProgramDesc;

// A block of bytes on its way between host and device. Host memory that a device copies to and from without help of
// the processor may be reused from run to run.
class Transfer {
 public:
  Transfer() = default;
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;
  virtual ~Transfer() = default;

  // The host's side: written before send(), or read after collect() and Backend::synchronize(). At least 64-byte
  // aligned; null for no bytes.
  virtual std::byte* host() = 0;
  // The block is written: its way to the device may begin, next to what runs there. From any thread.
  virtual void send() {}
  // Device memory holds what was sent before anything that is queued from now on. On the device's thread.
  virtual void deliver(void* device) = 0;
  // Queues the copy of device memory to the host. On the device's thread.
  virtual void collect(const void* device) = 0;
};

// Measures work in the order in which a device does it.
class Stopwatch {
 public:
  virtual ~Stopwatch() = default;
  virtual void lap() = 0;
  // Between each two laps. Waits until the device has come to the last one.
  virtual std::vector<double> nanoseconds() = 0;
};

// The recorded work of a program, launched at once instead of kernel by kernel.
class Replay {
 public:
  virtual ~Replay() = default;
  virtual void launch() = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string kind() const = 0;                 // 'cpu', 'cuda', ...
  virtual std::string label() const { return kind(); }  // as messages name it: 'cpu', 'cuda:0'
  virtual std::string name() const = 0;                 // the hardware's own name
  virtual int threads() const { return 1; }
  virtual int index() const { return 0; }  // among the devices of its kind
  // Whether the processor reads and writes its buffers as any memory.
  virtual bool in_host_memory() const { return true; }
  virtual const OpTable& ops() const = 0;

  virtual std::size_t available_bytes() const = 0;
  // At least 64-byte aligned. Null when the memory cannot be had. From any thread.
  virtual void* allocate(std::size_t bytes) = 0;
  virtual void release(void* memory, std::size_t bytes) = 0;
  // Sets all bytes to zero; done when it returns, and the first to touch them. On the device's thread.
  virtual void zero(void* memory, std::size_t bytes) = 0;
  // Plain copies, done when they return. On the device's thread.
  virtual void upload(void* device, const void* host, std::size_t bytes) = 0;
  virtual void download(void* host, const void* device, std::size_t bytes) = 0;
  virtual void copy(void* to, const void* from, std::size_t bytes) = 0;
  // From any thread.
  virtual std::unique_ptr<Transfer> transfer(std::size_t bytes);

  // Called once on the engine's thread, before anything runs there.
  virtual void enter_thread() {}
  // Waits for all queued work. Throws Error when some of it failed, or found data it cannot work with (an id outside
  // its table).
  virtual void synchronize() {}
  virtual void* stream() { return nullptr; }
  virtual std::unique_ptr<Stopwatch> stopwatch();

  // Rewrites a program into one that is faster here: ops that this backend has fused kernels for. The results are the
  // same but for rounding: what a fused kernel keeps in f32 is not rounded to bf16 in between.
  virtual void fuse(ProgramDesc&) const {}
  // Records what `launch_all` queues, without running it; null where there is nothing to gain. Throws Error where that
  // fails: what `launch_all` queues can still be run.
  virtual std::unique_ptr<Replay> record(const std::function<void()>& /*launch_all*/) { return nullptr; }

  // The kernel for `desc`. Throws Error with code APOLLO_NO_KERNEL when there is none.
  std::unique_ptr<Kernel> make_kernel(const OpDesc& desc) const {
    const KernelFactory* factory = ops().find(desc.op);
    if (factory == nullptr) unsupported(desc, kind());
    return (*factory)(desc);
  }
};

}  // namespace apollo
