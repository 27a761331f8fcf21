#include "cuda/device/transfer.h"

#include <iterator>
#include <utility>
#include <vector>

namespace apollo::cuda {
namespace {

// Bytes of unused blocks that are kept. Page-locked memory is lost to all other processes, and a program of other
// lengths leaves blocks that none asks for again. The blocks of a step are a few MiB (ids, labels and mask of 64 Ki
// tokens: 768 KiB), so this is room for all lengths of a run; their copies on the GPU are part of what the backend
// keeps back there.
constexpr std::size_t kKept = std::size_t{256} << 20;

}  // namespace

class PooledTransfer final : public Transfer {
 public:
  PooledTransfer(TransferPool& pool, const TransferPool::Block& block) : pool_(pool), block_(block) {}
  ~PooledTransfer() override { pool_.put(block_); }

  void prepare(std::size_t bytes) {
    if (block_.sent != nullptr) {
      // A run that was dropped may have left its copy in progress.
      check(cudaEventSynchronize(block_.sent), "waiting for a copy");
    } else if (block_.host == nullptr && bytes != 0) {
      void* host = nullptr;
      check(cudaHostAlloc(&host, bytes, 0), "an allocation of page-locked memory");
      block_.host = static_cast<std::byte*>(host);
      block_.bytes = bytes;
    }
  }

  std::byte* host() override { return block_.host; }

  void send() override {
    if (block_.bytes == 0) return;
    const Context& context = pool_.context_;
    check(cudaSetDevice(context.options.index), "choosing the GPU");
    if (block_.device == nullptr) {
      check(cudaMalloc(&block_.device, block_.bytes), "an allocation of GPU memory for a run's inputs");
    }
    if (block_.sent == nullptr) {
      check(cudaEventCreateWithFlags(&block_.sent, cudaEventDisableTiming), "creating an event");
    }
    check(cudaMemcpyAsync(block_.device, block_.host, block_.bytes, cudaMemcpyHostToDevice, context.copies),
          "copying a run's inputs");
    check(cudaEventRecord(block_.sent, context.copies), "recording an event");
  }

  void deliver(void* device) override {
    if (block_.bytes == 0) return;
    const cudaStream_t stream = pool_.context_.stream;
    check(cudaStreamWaitEvent(stream, block_.sent, 0), "waiting for a run's inputs");
    check(cudaMemcpyAsync(device, block_.device, block_.bytes, cudaMemcpyDeviceToDevice, stream),
          "copying a run's inputs");
  }

  void collect(const void* device) override {
    if (block_.bytes == 0) return;
    check(cudaMemcpyAsync(block_.host, device, block_.bytes, cudaMemcpyDeviceToHost, pool_.context_.stream),
          "copying a run's outputs");
  }

 private:
  TransferPool& pool_;
  TransferPool::Block block_;
};

std::unique_ptr<Transfer> TransferPool::get(std::size_t bytes) {
  Block block;
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = unused_.find(bytes); found != unused_.end()) {
      block = found->second;
      unused_.erase(found);
      unused_bytes_ -= bytes;
    }
  }
  auto transfer = std::make_unique<PooledTransfer>(*this, block);  // from here on the block comes back to the pool
  check(cudaSetDevice(context_.options.index), "choosing the GPU");
  transfer->prepare(bytes);
  return transfer;
}

void TransferPool::put(const Block& block) {
  std::vector<Block> surplus;
  {
    const std::lock_guard lock(mutex_);
    unused_.emplace(block.bytes, block);
    unused_bytes_ += block.bytes;
    while (unused_bytes_ > kKept) {
      const auto largest = std::prev(unused_.end());
      unused_bytes_ -= largest->first;
      surplus.push_back(largest->second);
      unused_.erase(largest);
    }
  }
  if (surplus.empty()) return;
  cudaSetDevice(context_.options.index);
  for (const Block& unwanted : surplus) free(unwanted);
}

void TransferPool::free(const Block& block) {
  if (block.sent != nullptr) cudaEventSynchronize(block.sent);  // the copy of a run that was dropped
  if (block.host != nullptr) cudaFreeHost(block.host);
  if (block.device != nullptr) cudaFree(block.device);
  if (block.sent != nullptr) cudaEventDestroy(block.sent);
}

TransferPool::~TransferPool() {
  cudaSetDevice(context_.options.index);
  for (const auto& [bytes, block] : unused_) free(block);
}

}  // namespace apollo::cuda
