// The thread of a group: every call of its communicator runs there, one after the other, in the order in which the
// device's thread asks for them.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "comm/collectives.h"

namespace apollo::comm {

class Channel {
 public:
  // Starts the thread, on which `join` makes the communicator. `cancelled` ends waits for other ranks. Throws what
  // `join` throws.
  Channel(const std::function<std::unique_ptr<Communicator>()>& join, std::function<bool()> cancelled);
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  ~Channel();

  int rank() const { return rank_; }
  int size() const { return size_; }
  bool cancelled() const { return cancelled_(); }
  // Those that jobs get: elsewhere only for what may be called from other threads.
  Collectives& collectives() const { return *collectives_; }

  // Context of a job: the communicator, and collectives over it, whose memory is kept from job to job.
  using Job = std::function<void(Communicator&, Collectives&)>;
  // Queues `work` and returns at once. It does not throw.
  void post(Job work);
  // Does `work` behind all that is queued, and waits for it. Throws what it throws.
  void run(const Job& work);

 private:
  void loop();

  std::function<bool()> cancelled_;
  std::unique_ptr<Communicator> group_;
  std::shared_ptr<Collectives> collectives_;
  int rank_ = 0, size_ = 1;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> jobs_;
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace apollo::comm
