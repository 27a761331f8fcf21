#include "core/backend.h"

#include <cstdlib>
#include <new>

namespace apollo {
namespace {

// Where host and device share memory, a transfer is a copy.
class HostTransfer final : public Transfer {
 public:
  HostTransfer(Backend& backend, std::size_t bytes) : backend_(backend), bytes_(bytes) {
    if (bytes == 0) return;
    host_ = static_cast<std::byte*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64));
    if (host_ == nullptr) throw std::bad_alloc();
  }
  ~HostTransfer() override { std::free(host_); }

  std::byte* host() override { return host_; }
  void deliver(void* device) override { backend_.upload(device, host_, bytes_); }
  void collect(const void* device) override { backend_.download(host_, device, bytes_); }

 private:
  Backend& backend_;
  std::size_t bytes_;
  std::byte* host_ = nullptr;
};

// For devices that have done their work when a call returns.
class HostStopwatch final : public Stopwatch {
 public:
  explicit HostStopwatch(Backend& backend) : backend_(backend) {}

  void lap() override {
    backend_.synchronize();
    laps_.push_back(Clock::now());
  }
  std::vector<double> nanoseconds() override {
    std::vector<double> between;
    for (std::size_t i = 1; i < laps_.size(); ++i) {
      between.push_back(std::chrono::duration<double, std::nano>(laps_[i] - laps_[i - 1]).count());
    }
    return between;
  }

 private:
  using Clock = std::chrono::steady_clock;
  Backend& backend_;
  std::vector<Clock::time_point> laps_;
};

}  // namespace

std::unique_ptr<Transfer> Backend::transfer(std::size_t bytes) { return std::make_unique<HostTransfer>(*this, bytes); }

std::unique_ptr<Stopwatch> Backend::stopwatch() { return std::make_unique<HostStopwatch>(*this); }

}  // namespace apollo
