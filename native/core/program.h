// A compiled program: kernels in order, the memory plan of its values, and one call that runs all of them.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/device.h"
#include "core/op.h"

namespace apollo {

struct ValueDesc {
  enum class Storage : std::uint8_t { Arena, Buffer, Input, Output, Alias };
  TensorDesc tensor;
  Storage storage = Storage::Arena;
  int slot = 0;  // index of the buffer, input or output; for Alias the value whose memory this is
};

struct InstructionDesc {
  OpDesc op;  // tensors are filled in from the values when the program is compiled
  std::vector<int> inputs;
  std::vector<int> outputs;
  int origin = 0;  // position in the program as it was given; an instruction that others were fused into keeps its own
};

struct ProgramDesc {
  std::vector<ValueDesc> values;
  std::vector<InstructionDesc> instructions;
};

// The flag of runs that stand or fall together.
enum StopFlag : std::int32_t {
  kRunning = 0,
  kStopped = 1,  // from outside
  kFailed = 2,   // one of them has failed
};

// Follows a run kernel by kernel, on the device's thread. A kernel is done when it returns, or queued on
// Backend::stream().
class RunFollower {
 public:
  virtual ~RunFollower() = default;
  // The run begins. `last_writes`: by buffer, the kernel after which the run writes it no more; -1: it never does.
  virtual void begins(const std::vector<std::shared_ptr<Buffer>>& buffers, const std::vector<int>& last_writes) = 0;
  virtual void did(int kernel) = 0;
};

class Program {
 public:
  // Makes the kernels and the plan and reserves memory. Call on the device's thread.
  // Throws Error: no kernel, out of memory, inconsistent description.
  Program(std::shared_ptr<Device> device, ProgramDesc desc, std::vector<std::shared_ptr<Buffer>> buffers);
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  std::size_t arena_bytes() const { return arena_bytes_; }
  std::size_t unshared_bytes() const { return unshared_bytes_; }

  // By slot: dtype and shape of what run() takes and returns.
  const std::vector<TensorDesc>& inputs() const { return inputs_; }
  const std::vector<TensorDesc>& outputs() const { return outputs_; }
  // By slot, those that a run works on unless it brings others.
  const std::vector<std::shared_ptr<Buffer>>& buffers() const { return buffers_; }

  // One run: its inputs are written before it is queued, its outputs read afterwards.
  struct Run {
    std::shared_ptr<Device> device;  // first, so that it outlives the transfers
    std::unique_ptr<Transfer> inputs, outputs;
    std::vector<std::shared_ptr<Buffer>> buffers;  // by slot, in place of the program's own; empty: those
    // Shared by runs that stand or fall together; null for one on its own. A StopFlag; not 0: no instruction begins any
    // more. Set by a run that fails, so that those behind it do not work on what it left.
    std::atomic<std::int32_t>* stopped = nullptr;
    bool whole = false;  // once started it is not stopped: an update is done for all parameters or for none
    bool profile = false;
    // May be null. A followed run launches kernel by kernel, also where there is a recording; a profiled one is not
    // followed.
    std::shared_ptr<RunFollower> follower;
    std::vector<double> nanoseconds;  // by instruction as given, when profile; 0 for those fused into others
    double elapsed_ms = 0.0;
    double waited_ms = 0.0;  // for which the device had nothing to do before
  };
  // From any thread. Throws Error unless `buffers` (empty: the program's own) are of the program's device, sizes and
  // dtypes.
  std::unique_ptr<Run> make_run(std::vector<std::shared_ptr<Buffer>> buffers = {}) const;
  // The host's memory of an input or output slot within a run:
  std::byte* input(const Run& run, std::size_t slot) const { return run.inputs->host() + input_block_.offsets[slot]; }
  const std::byte* output(const Run& run, std::size_t slot) const {
    return run.outputs->host() + output_block_.offsets[slot];
  }
  // Runs all instructions. Call on the device's thread. Throws Error; APOLLO_ABORTED when cancelled on the way.
  void run(Run& run);

 private:
  struct Step {
    std::unique_ptr<Kernel> kernel;
    std::vector<int> inputs, outputs;
    int origin;
    std::vector<void*> input_pointers, output_pointers;
  };
  // The input or output values side by side, so that all of them travel at once.
  struct Block {
    std::vector<std::size_t> offsets;  // by slot
    DeviceBlock memory;
  };
  Block block_of(const std::vector<TensorDesc>& tensors) const;
  int root(int value) const;
  void plan();
  void bind(const std::vector<std::shared_ptr<Buffer>>& buffers);
  RunContext context(const Step& step) const;
  // Throws APOLLO_ABORTED when the device is closing or what stops the run has been set.
  void stop_if_cancelled(const Run& run) const;
  void launch(const Run& run);
  void record();
  void run_all(Run& run);

  std::shared_ptr<Device> device_;
  std::vector<ValueDesc> values_;
  std::vector<std::shared_ptr<Buffer>> buffers_;
  std::vector<int> last_writes_;  // by buffer, see RunFollower
  std::size_t instructions_;      // as given
  std::vector<Step> steps_;
  std::vector<TensorDesc> inputs_, outputs_;
  std::vector<std::size_t> offsets_;  // of Arena values
  std::size_t scratch_offset_ = 0;
  std::size_t arena_bytes_ = 0;
  std::size_t unshared_bytes_ = 0;
  Block input_block_, output_block_;
  const std::byte* bound_arena_ = nullptr;
  std::vector<std::shared_ptr<Buffer>> bound_buffers_;
  bool bound_ = false;
  bool warm_ = false;      // has run since it was bound
  bool recorded_ = false;  // there was an attempt since then: replay_ is what came of it
  std::unique_ptr<Replay> replay_;
};

}  // namespace apollo
