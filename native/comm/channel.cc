#include "comm/channel.h"

#include <exception>
#include <future>
#include <utility>

namespace apollo::comm {

Channel::Channel(const std::function<std::unique_ptr<Communicator>()>& join, std::function<bool()> cancelled)
    : cancelled_(std::move(cancelled)) {
  std::promise<void> joined;
  thread_ = std::thread([&] {
    try {
      group_ = join();
    } catch (...) {
      joined.set_exception(std::current_exception());
      return;
    }
    collectives_ = collectives_of(*group_);
    rank_ = group_->rank();
    size_ = group_->size();
    joined.set_value();
    loop();
  });
  try {
    joined.get_future().get();
  } catch (...) {
    thread_.join();
    throw;
  }
}

Channel::~Channel() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Channel::post(Job work) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(work));
  }
  wake_.notify_one();
}

void Channel::run(const Job& work) {
  std::promise<void> done;
  post([&](Communicator& group, Collectives& collectives) {
    try {
      work(group, collectives);
      done.set_value();
    } catch (...) {
      done.set_exception(std::current_exception());
    }
  });
  done.get_future().get();
}

void Channel::loop() {
  for (;;) {
    Job job;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return closing_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    job(*group_, *collectives_);
  }
}

}  // namespace apollo::comm
