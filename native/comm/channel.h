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
#include "comm/communicator.h"

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
  // For use on the channel's thread, but for what says otherwise. The channel outlives them.
  std::shared_ptr<Collectives> collectives() const { return collectives_of(*group_); }

  // Queues `work` and returns at once. It does not throw.
  void post(std::function<void(Communicator&)> work);
  // Does `work` behind all that is queued, and waits for it. Throws what it throws.
  void run(const std::function<void(Communicator&)>& work);

 private:
  void loop();

  std::function<bool()> cancelled_;
  std::unique_ptr<Communicator> group_;
  int rank_ = 0, size_ = 1;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void(Communicator&)>> jobs_;
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace apollo::comm
