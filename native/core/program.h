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
};

struct ProgramDesc {
  std::vector<ValueDesc> values;
  std::vector<InstructionDesc> instructions;
};

class Program {
 public:
  // Makes the kernels and the plan and reserves memory. Call on the device's thread.
  // Throws Error: no kernel, out of memory, inconsistent description.
  Program(std::shared_ptr<Device> device, ProgramDesc desc, std::vector<std::shared_ptr<Buffer>> buffers);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  std::size_t arena_bytes() const { return arena_bytes_; }
  std::size_t unshared_bytes() const { return unshared_bytes_; }

  // By slot: dtype and shape of what run() takes and returns.
  const std::vector<TensorDesc>& inputs() const { return inputs_; }
  const std::vector<TensorDesc>& outputs() const { return outputs_; }

  struct Run {
    std::vector<std::vector<std::byte>> inputs;   // by slot
    std::vector<std::vector<std::byte>> outputs;  // by slot, filled by run()
    const std::atomic<std::int32_t>* cancel = nullptr;
    bool profile = false;
    std::vector<double> nanoseconds;  // by instruction, when profile
    double elapsed_ms = 0.0;
  };
  // Runs all instructions. Call on the device's thread. Throws Error; APOLLO_ABORTED when cancelled on the way.
  void run(Run& run);

 private:
  struct Step {
    std::unique_ptr<Kernel> kernel;
    std::vector<int> inputs, outputs;
    std::vector<void*> input_pointers, output_pointers;
  };
  int root(int value) const;
  void plan();
  void bind();

  std::shared_ptr<Device> device_;
  std::vector<ValueDesc> values_;
  std::vector<std::shared_ptr<Buffer>> buffers_;
  std::vector<Step> steps_;
  std::vector<TensorDesc> inputs_, outputs_;
  std::vector<int> input_values_, output_values_;
  std::vector<std::size_t> offsets_;  // of Arena values
  std::size_t scratch_offset_ = 0;
  std::size_t arena_bytes_ = 0;
  std::size_t unshared_bytes_ = 0;
  std::vector<void*> io_;  // memory of Input and Output values, by value index
  const std::byte* bound_arena_ = nullptr;
  bool bound_ = false;
};

}  // namespace apollo
