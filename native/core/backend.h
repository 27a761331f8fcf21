// What a device kind must offer to the engine: memory, transfers, and a kernel for each op of the table.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "core/op.h"

namespace apollo {

class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string kind() const = 0;  // 'cpu', 'cuda', ...
  virtual std::string name() const = 0;  // the hardware's own name
  virtual int threads() const { return 1; }
  virtual const OpTable& ops() const = 0;

  virtual std::size_t total_bytes() const = 0;
  virtual std::size_t available_bytes() const = 0;
  // At least 64-byte aligned. Null when the memory cannot be had.
  virtual void* allocate(std::size_t bytes, bool zeroed) = 0;
  virtual void release(void* memory, std::size_t bytes) = 0;
  virtual void upload(void* device, const void* host, std::size_t bytes) = 0;
  virtual void download(void* host, const void* device, std::size_t bytes) = 0;
  virtual void copy(void* to, const void* from, std::size_t bytes) = 0;

  // Called once on the engine's thread, before anything runs there.
  virtual void enter_thread() {}
  virtual void synchronize() {}
  virtual void* stream() { return nullptr; }

  // The kernel for `desc`. Throws Error with code APOLLO_NO_KERNEL when there is none.
  std::unique_ptr<Kernel> make_kernel(const OpDesc& desc) const {
    const KernelFactory factory = ops().find(desc.op);
    if (factory == nullptr) unsupported(desc, kind());
    return factory(desc);
  }
};

}  // namespace apollo
