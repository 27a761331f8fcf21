// Blocks of page-locked host memory with their copy on the device, kept for reuse: what a run takes and returns
// travels through them, batches on a stream of their own next to the run before.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "core/backend.h"
#include "cuda/device/context.h"

namespace apollo::cuda {

class TransferPool {
 public:
  explicit TransferPool(Context& context) : context_(context) {}
  ~TransferPool();
  TransferPool(const TransferPool&) = delete;
  TransferPool& operator=(const TransferPool&) = delete;

  // From any thread.
  std::unique_ptr<Transfer> get(std::size_t bytes);

 private:
  friend class PooledTransfer;
  struct Block {
    std::size_t bytes = 0;
    std::byte* host = nullptr;
    void* device = nullptr;      // made when the block is first sent
    cudaEvent_t sent = nullptr;  // the copy to `device` is done
  };
  static void free(const Block& block);
  // Takes a block back; frees the largest beyond what is kept. From any thread.
  void put(const Block& block);

  Context& context_;
  std::mutex mutex_;
  std::multimap<std::size_t, Block> unused_;
  std::size_t unused_bytes_ = 0;
};

}  // namespace apollo::cuda
