#include "core/device.h"

#include <cstdio>

namespace apollo {

std::string human_bytes(std::size_t bytes) {
  char text[32];
  const double mib = static_cast<double>(bytes) / (1024.0 * 1024.0);
  if (mib < 1024.0) {
    std::snprintf(text, sizeof text, "%.1f MiB", mib);
  } else {
    std::snprintf(text, sizeof text, "%.2f GiB", mib / 1024.0);
  }
  return text;
}

Buffer::Buffer(std::shared_ptr<Device> device, DType dtype, std::size_t elements)
    : device_(std::move(device)), dtype_(dtype), elements_(elements) {
  data_ = device_->allocate(bytes(), /*zeroed=*/true, "a buffer");
}

Buffer::~Buffer() { device_->release(data_, bytes()); }

Device::Device(std::unique_ptr<Backend> backend, std::size_t memory_limit_bytes)
    : backend_(std::move(backend)),
      memory_limit_(memory_limit_bytes != 0 ? memory_limit_bytes : backend_->available_bytes()) {
  thread_ = std::thread([this] { loop(); });
}

Device::~Device() {
  close(/*drain=*/false);
  if (arena_ != nullptr) backend_->release(arena_, arena_bytes_);
}

bool Device::submit(std::function<void()> job) {
  {
    const std::lock_guard lock(mutex_);
    if (closing_) return false;
    jobs_.push_back(std::move(job));
  }
  wake_.notify_one();
  return true;
}

void Device::close(bool drain) {
  std::deque<std::function<void()>> dropped;
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
    if (!drain) {
      cancelled_.store(true, std::memory_order_relaxed);
      dropped.swap(jobs_);
    }
  }
  wake_.notify_one();
  const std::lock_guard lock(join_mutex_);
  if (!thread_.joinable()) return;
  if (thread_.get_id() == std::this_thread::get_id()) {
    thread_.detach();  // the last owner was a job's own closure; the loop ends right after it
  } else {
    thread_.join();
  }
}

void Device::loop() {
  backend_->enter_thread();
  for (;;) {
    std::function<void()> job;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return closing_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    job();
  }
}

void Device::charge(std::size_t bytes, const std::string& what) {
  const std::size_t used = buffer_bytes_ + arena_bytes_;
  if (used + bytes > memory_limit_) {
    throw Error(what + " needs " + human_bytes(bytes) + " more on " + backend_->label() + ", " + human_bytes(used) +
                    " of " + human_bytes(memory_limit_) +
                    " are in use. Use a smaller batch, a shorter sequence or a smaller model.",
                "APOLLO_OUT_OF_MEMORY");
  }
}

void* Device::allocate(std::size_t bytes, bool zeroed, const std::string& what) {
  if (bytes == 0) return nullptr;
  charge(bytes, what);
  void* memory = backend_->allocate(bytes, zeroed);
  if (memory == nullptr) {
    throw Error(what + " of " + human_bytes(bytes) + " could not be allocated on " + backend_->label(),
                "APOLLO_OUT_OF_MEMORY");
  }
  buffer_bytes_ += bytes;
  return memory;
}

void Device::release(void* memory, std::size_t bytes) {
  if (memory == nullptr) return;
  backend_->release(memory, bytes);
  buffer_bytes_ -= bytes;
}

void Device::reserve_arena(std::size_t bytes) {
  const std::size_t held = arena_bytes_;
  if (bytes <= held) return;
  charge(bytes - held, "A program");
  if (arena_ != nullptr) backend_->release(arena_, held);
  arena_ = nullptr;
  arena_bytes_ = 0;
  arena_ = static_cast<std::byte*>(backend_->allocate(bytes, /*zeroed=*/false));
  if (arena_ == nullptr) {
    throw Error("an arena of " + human_bytes(bytes) + " could not be allocated on " + backend_->label(),
                "APOLLO_OUT_OF_MEMORY");
  }
  arena_bytes_ = bytes;
}

}  // namespace apollo
