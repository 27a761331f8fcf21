// A device: a backend, the one thread that owns it, a queue of jobs for that thread, the arena that all programs share
// and the account of its memory.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "core/backend.h"

namespace apollo {

class Device;

// Persistent memory on a device (weights, moments, gradients). Starts as zeros; freed with its last owner.
class Buffer {
 public:
  Buffer(std::shared_ptr<Device> device, DType dtype, std::size_t elements);
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  DType dtype() const { return dtype_; }
  std::size_t elements() const { return elements_; }
  std::size_t bytes() const { return elements_ * size_of(dtype_); }
  void* data() const { return data_; }

 private:
  std::shared_ptr<Device> device_;
  DType dtype_;
  std::size_t elements_;
  void* data_ = nullptr;
};

class Device : public std::enable_shared_from_this<Device> {
 public:
  Device(std::unique_ptr<Backend> backend, std::size_t memory_limit_bytes);
  ~Device();

  Backend& backend() { return *backend_; }

  // Queues `job` for the device's thread; false when the device is closed.
  bool submit(std::function<void()> job);
  // Finishes what is queued (`drain`) or drops it, and ends the thread. Called from any other thread, any number of
  // times.
  void close(bool drain);
  // Set by close(false): running programs stop at their next instruction.
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }

  // Memory outside the arena, charged to the account. Throws APOLLO_OUT_OF_MEMORY with both figures.
  void* allocate(std::size_t bytes, bool zeroed, const std::string& what);
  void release(void* memory, std::size_t bytes);

  // Makes the arena at least `bytes` large. Only on the device's thread. Programs look the base up at each run.
  void reserve_arena(std::size_t bytes);
  std::byte* arena() const { return arena_; }

  std::size_t arena_bytes() const { return arena_bytes_.load(); }
  std::size_t buffer_bytes() const { return buffer_bytes_.load(); }
  std::size_t memory_limit() const { return memory_limit_; }

 private:
  void loop();
  void charge(std::size_t bytes, const std::string& what);

  std::unique_ptr<Backend> backend_;
  std::size_t memory_limit_;
  std::byte* arena_ = nullptr;
  std::atomic<std::size_t> arena_bytes_{0};
  std::atomic<std::size_t> buffer_bytes_{0};

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> jobs_;
  bool closing_ = false;
  std::atomic<bool> cancelled_{false};
  std::mutex join_mutex_;
  std::thread thread_;
};

std::string human_bytes(std::size_t bytes);

}  // namespace apollo
