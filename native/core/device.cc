#include "core/device.h"

#include <chrono>
#include <cstdint>
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

DeviceBlock::DeviceBlock(std::shared_ptr<Device> device, std::size_t bytes, const std::string& what)
    : device_(std::move(device)), bytes_(bytes) {
  memory_ = static_cast<std::byte*>(device_->allocate(bytes, what));
}

DeviceBlock::~DeviceBlock() {
  if (memory_ != nullptr) device_->release(memory_, bytes_);
}

Buffer::Buffer(std::shared_ptr<Device> device, DType dtype, std::size_t elements) : dtype_(dtype), elements_(elements) {
  require(elements <= SIZE_MAX / size_of(dtype), "a buffer of " + std::to_string(elements) + " elements");
  memory_ = DeviceBlock(std::move(device), elements * size_of(dtype), "a buffer");
  data_ = memory_.get();
}

Buffer::Buffer(std::shared_ptr<Buffer> whole, std::size_t offset, std::size_t elements)
    : dtype_(whole->dtype()), elements_(elements), whole_(std::move(whole)) {
  require(offset <= whole_->elements() && elements <= whole_->elements() - offset, "a part outside of its buffer");
  if (elements != 0) data_ = static_cast<std::byte*>(whole_->data()) + offset * size_of(dtype_);
}

Device::Device(std::unique_ptr<Backend> backend, std::size_t memory_limit_bytes)
    : backend_(std::move(backend)),
      memory_limit_(memory_limit_bytes != 0 ? memory_limit_bytes : backend_->available_bytes()) {
  // The first job, before anything else can be queued: the device exists when it runs.
  queue_->jobs.emplace_back([this] { enter_thread(); });
  thread_ = std::thread([queue = queue_] { loop(*queue); });
}

Device::~Device() {
  close(/*drain=*/false);
  release_arena();  // of a thread that was detached
}

bool Device::submit(std::function<void()> job) {
  {
    const std::lock_guard lock(queue_->mutex);
    if (queue_->closing) return false;
    queue_->jobs.push_back(std::move(job));
  }
  queue_->wake.notify_one();
  return true;
}

void Device::close(bool drain) {
  std::deque<std::function<void()>> dropped;  // destroyed last: what they own may come back here
  {
    const std::lock_guard lock(queue_->mutex);
    queue_->closing = true;
    if (!drain) {
      cancelled_.store(true, std::memory_order_relaxed);
      dropped.swap(queue_->jobs);
    }
  }
  queue_->wake.notify_one();
  const std::lock_guard lock(join_mutex_);
  // What waits for the device from another thread, such as an exchange of gradients, ends once its queue is done.
  const struct Ended {
    std::atomic<bool>& cancelled;
    ~Ended() { cancelled.store(true, std::memory_order_relaxed); }
  } ended{cancelled_};
  if (!thread_.joinable()) return;
  if (thread_.get_id() == std::this_thread::get_id()) {
    thread_.detach();  // the last owner was a job's own closure; the loop ends after it and needs only the queue
  } else {
    thread_.join();
    // Whoever still holds a program or a buffer holds the device, but none of them can run any more.
    release_arena();
  }
}

void Device::loop(Queue& queue) {
  for (;;) {
    std::function<void()> job;
    {
      std::unique_lock lock(queue.mutex);
      queue.waited_ms = 0.0;
      if (!queue.closing && queue.jobs.empty()) {
        const auto idle_since = std::chrono::steady_clock::now();
        queue.wake.wait(lock, [&] { return queue.closing || !queue.jobs.empty(); });
        queue.waited_ms =
            std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - idle_since).count();
      }
      if (queue.jobs.empty()) return;
      job = std::move(queue.jobs.front());
      queue.jobs.pop_front();
    }
    job();
  }
}

void Device::enter_thread() {
  try {
    backend_->enter_thread();
  } catch (const std::exception& error) {
    lose(error.what());
  }
}

void Device::lose(const std::string& why) {
  const std::lock_guard lock(lost_mutex_);
  if (lost_) return;
  lost_why_ = why;
  lost_ = true;
}

void Device::check_usable() const {
  if (lost_) throw Error(lost_why_, "APOLLO_CLOSED");
}

void Device::charge(std::atomic<std::size_t>& account, std::size_t bytes, const std::string& what) {
  const std::lock_guard lock(account_mutex_);
  const std::size_t used = buffer_bytes_ + arena_bytes_;
  if (bytes > memory_limit_ || used > memory_limit_ - bytes) {
    throw Error(what + " needs " + human_bytes(bytes) + " more on " + backend_->label() + ", " + human_bytes(used) +
                    " of " + human_bytes(memory_limit_) +
                    " are in use. Use a smaller batch, a shorter sequence or a smaller model.",
                "APOLLO_OUT_OF_MEMORY");
  }
  account += bytes;
}

std::shared_ptr<Buffer> Device::create_buffer(DType dtype, std::size_t elements) {
  auto buffer = std::make_shared<Buffer>(shared_from_this(), dtype, elements);
  if (buffer->bytes() == 0) return buffer;
  submit([this, buffer] {
    try {
      watched([&] { backend_->zero(buffer->data(), buffer->bytes()); });
    } catch (const std::exception& error) {
      lose(error.what());  // nobody waits for this job, and what reads the buffer must not take it for zeros
    }
  });
  return buffer;
}

void* Device::allocate(std::size_t bytes, const std::string& what) {
  if (bytes == 0) return nullptr;
  charge(buffer_bytes_, bytes, what);
  void* memory = nullptr;
  try {
    memory = backend_->allocate(bytes);
  } catch (...) {
    buffer_bytes_ -= bytes;
    throw;
  }
  if (memory == nullptr) {
    buffer_bytes_ -= bytes;
    throw Error(what + " of " + human_bytes(bytes) + " could not be allocated on " + backend_->label(),
                "APOLLO_OUT_OF_MEMORY");
  }
  return memory;
}

void Device::release(void* memory, std::size_t bytes) {
  if (memory == nullptr) return;
  backend_->release(memory, bytes);
  buffer_bytes_ -= bytes;
}

void Device::release_arena() {
  if (arena_ == nullptr) return;
  backend_->release(std::exchange(arena_, nullptr), arena_bytes_);
  arena_bytes_ = 0;
}

void Device::reserve_arena(std::size_t bytes) {
  const std::size_t held = arena_bytes_;
  if (bytes <= held) return;
  charge(arena_bytes_, bytes - held, "A program");
  // The old arena goes first: both at once may not fit. After a failure there is none, and the next run of a program
  // asks for what it needs.
  if (arena_ != nullptr) backend_->release(std::exchange(arena_, nullptr), held);
  try {
    arena_ = static_cast<std::byte*>(backend_->allocate(bytes));
  } catch (...) {
    arena_bytes_ = 0;
    throw;
  }
  if (arena_ == nullptr) {
    arena_bytes_ = 0;
    throw Error("an arena of " + human_bytes(bytes) + " could not be allocated on " + backend_->label(),
                "APOLLO_OUT_OF_MEMORY");
  }
}

}  // namespace apollo
