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
#include <utility>

#include "core/backend.h"

namespace apollo {

class Device;

// Memory of a device outside its arena, given back with its owner. Throws APOLLO_OUT_OF_MEMORY.
class DeviceBlock {
 public:
  DeviceBlock() = default;
  DeviceBlock(std::shared_ptr<Device> device, std::size_t bytes, const std::string& what);
  ~DeviceBlock();
  DeviceBlock(DeviceBlock&& other) noexcept
      : device_(std::move(other.device_)),
        bytes_(std::exchange(other.bytes_, 0)),
        memory_(std::exchange(other.memory_, nullptr)) {}
  DeviceBlock& operator=(DeviceBlock&& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(bytes_, other.bytes_);
    std::swap(memory_, other.memory_);
    return *this;
  }

  std::byte* get() const { return memory_; }  // null for no bytes
  std::size_t bytes() const { return bytes_; }
  const Device& device() const { return *device_; }  // of a block that has been made

 private:
  std::shared_ptr<Device> device_;
  std::size_t bytes_ = 0;
  std::byte* memory_ = nullptr;
};

// Persistent memory on a device (weights, moments, gradients); freed with its last owner. Device::create_buffer makes
// it.
class Buffer {
 public:
  Buffer(std::shared_ptr<Device> device, DType dtype, std::size_t elements);
  // Elements [offset, offset + elements) of `whole`, which lives as long.
  Buffer(std::shared_ptr<Buffer> whole, std::size_t offset, std::size_t elements);
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  DType dtype() const { return dtype_; }
  std::size_t elements() const { return elements_; }
  std::size_t bytes() const { return elements_ * size_of(dtype_); }
  void* data() const { return data_; }
  bool is_part() const { return whole_ != nullptr; }
  const Device& device() const { return whole_ ? whole_->device() : memory_.device(); }

 private:
  DType dtype_;
  std::size_t elements_;
  DeviceBlock memory_;             // of a buffer of its own
  std::shared_ptr<Buffer> whole_;  // of a part
  std::byte* data_ = nullptr;      // null for no elements
};

class Device : public std::enable_shared_from_this<Device> {
 public:
  Device(std::unique_ptr<Backend> backend, std::size_t memory_limit_bytes);
  ~Device();

  Backend& backend() { return *backend_; }

  // Queues `job` for the device's thread; false when the device is closed. A job does not throw.
  bool submit(std::function<void()> job);
  // Finishes what is queued (`drain`) or drops it, ends the thread and frees the arena. From any thread, any number of
  // times; on the device's own thread it does not wait.
  void close(bool drain);
  // Milliseconds for which there was nothing to do before the job that runs. Only on the device's thread.
  double waited_ms() const { return queue_->waited_ms; }
  // Set by close: at once where the queue is dropped, so that running programs stop at their next instruction; else
  // when it is done.
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }

  // Runs `body`, which uses the device, unless the device is lost. An error of code APOLLO_DEVICE_LOST is remembered:
  // every later call throws APOLLO_CLOSED with its message. From any thread.
  template <class Body>
  auto watched(Body body) -> decltype(body()) {
    check_usable();
    try {
      return body();
    } catch (const Error& error) {
      if (error.code() == "APOLLO_DEVICE_LOST") lose(error.what());
      throw;
    }
  }
  // Throws APOLLO_CLOSED when the device is lost, saying why.
  void check_usable() const;

  // A buffer that holds zeros for all that is queued from now on: the device's thread clears it. Throws
  // APOLLO_OUT_OF_MEMORY.
  std::shared_ptr<Buffer> create_buffer(DType dtype, std::size_t elements);

  // Memory outside the arena, charged to the account. Throws APOLLO_OUT_OF_MEMORY with both figures.
  void* allocate(std::size_t bytes, const std::string& what);
  void release(void* memory, std::size_t bytes);

  // Makes the arena at least `bytes` large. Only on the device's thread. Programs look the base up at each run.
  void reserve_arena(std::size_t bytes);
  // Frees the arena; a program that runs later reserves another one. Only on the device's thread.
  void release_arena();
  std::byte* arena() const { return arena_; }

  std::size_t arena_bytes() const { return arena_bytes_.load(); }
  std::size_t buffer_bytes() const { return buffer_bytes_.load(); }
  std::size_t memory_limit() const { return memory_limit_; }

 private:
  // State of the thread between jobs: it outlives a device whose last owner was a job's own closure.
  struct Queue {
    std::mutex mutex;
    std::condition_variable wake;
    std::deque<std::function<void()>> jobs;
    bool closing = false;
    double waited_ms = 0.0;  // of the thread alone
  };
  static void loop(Queue& queue);
  void enter_thread();
  void lose(const std::string& why);
  // Adds to an account under one lock, so that threads that allocate at once cannot pass the limit together.
  void charge(std::atomic<std::size_t>& account, std::size_t bytes, const std::string& what);

  std::unique_ptr<Backend> backend_;
  std::size_t memory_limit_;
  std::byte* arena_ = nullptr;  // arena_bytes_ large; null when that is 0
  std::mutex account_mutex_;
  std::atomic<std::size_t> arena_bytes_{0};
  std::atomic<std::size_t> buffer_bytes_{0};

  std::shared_ptr<Queue> queue_ = std::make_shared<Queue>();
  std::atomic<bool> cancelled_{false};
  std::atomic<bool> lost_{false};
  std::string lost_why_;  // written once, before lost_
  std::mutex lost_mutex_;
  std::mutex join_mutex_;
  std::thread thread_;
};

std::string human_bytes(std::size_t bytes);

}  // namespace apollo
