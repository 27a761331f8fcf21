#include "core/program.h"

#include <algorithm>
#include <numeric>

#include "core/planner.h"

namespace apollo {

using Storage = ValueDesc::Storage;

Program::Program(std::shared_ptr<Device> device, ProgramDesc desc, std::vector<std::shared_ptr<Buffer>> buffers)
    : device_(std::move(device)), buffers_(std::move(buffers)), instructions_(desc.instructions.size()) {
  const auto count = static_cast<int>(desc.values.size());
  for (int i = 0; i < static_cast<int>(instructions_); ++i) {
    InstructionDesc& instruction = desc.instructions[i];
    instruction.origin = i;
    for (const int v : instruction.inputs) {
      require(v >= 0 && v < count, "instruction '" + instruction.op.op + "' reads an unknown value");
      instruction.op.inputs.push_back(desc.values[v].tensor);
    }
    for (const int v : instruction.outputs) {
      require(v >= 0 && v < count, "instruction '" + instruction.op.op + "' writes an unknown value");
      instruction.op.outputs.push_back(desc.values[v].tensor);
    }
  }
  device_->backend().fuse(desc);
  values_ = std::move(desc.values);

  for (std::size_t slot = 0; slot < buffers_.size(); ++slot) {
    require(&buffers_[slot]->device() == device_.get(), "buffer " + std::to_string(slot) + " is of another device");
  }
  const auto slot_of = [](std::vector<TensorDesc>& tensors, const ValueDesc& value) {
    const auto slot = static_cast<std::size_t>(value.slot);
    if (tensors.size() <= slot) tensors.resize(slot + 1);
    tensors[slot] = value.tensor;
  };
  for (int i = 0; i < static_cast<int>(values_.size()); ++i) {
    const ValueDesc& value = values_[i];
    const auto slot = static_cast<std::size_t>(value.slot);
    if (value.storage == Storage::Buffer) {
      require(slot < buffers_.size(), "value " + std::to_string(i) + " names buffer " + std::to_string(slot));
      const Buffer& buffer = *buffers_[slot];
      require(buffer.dtype() == value.tensor.dtype && buffer.bytes() == value.tensor.bytes(),
              "buffer " + std::to_string(slot) + " does not fit " + value.tensor.to_string());
    } else if (value.storage == Storage::Input) {
      slot_of(inputs_, value);
    } else if (value.storage == Storage::Output) {
      slot_of(outputs_, value);
    } else if (value.storage == Storage::Alias) {
      require(value.slot >= 0 && value.slot < static_cast<int>(values_.size()) && value.slot != i,
              "alias of an unknown value");
      require(values_[root(i)].tensor.bytes() == value.tensor.bytes(), "alias of a value of another size");
    }
  }

  for (InstructionDesc& instruction : desc.instructions) {
    Step step;
    step.kernel = device_->backend().make_kernel(instruction.op);
    step.inputs = std::move(instruction.inputs);
    step.outputs = std::move(instruction.outputs);
    step.origin = instruction.origin;
    steps_.push_back(std::move(step));
  }
  last_writes_.assign(buffers_.size(), -1);
  for (int s = 0; s < static_cast<int>(steps_.size()); ++s) {
    for (const int v : steps_[s].outputs) {
      const ValueDesc& value = values_[root(v)];
      if (value.storage == Storage::Buffer) last_writes_[value.slot] = s;
    }
  }

  plan();
  device_->reserve_arena(arena_bytes_);
  for (const Step& step : steps_) step.kernel->tune({device_->arena(), arena_bytes_}, device_->backend().stream());
  input_block_ = block_of(inputs_);
  output_block_ = block_of(outputs_);
}

Program::Block Program::block_of(const std::vector<TensorDesc>& tensors) const {
  Block block;
  std::size_t bytes = 0;
  for (const TensorDesc& tensor : tensors) {
    block.offsets.push_back(bytes);
    bytes += (tensor.bytes() + 255) / 256 * 256;
  }
  block.memory = DeviceBlock(device_, bytes, "a program's input or output");
  return block;
}

int Program::root(int value) const {
  for (std::size_t hops = 0; values_[value].storage == Storage::Alias; ++hops) {
    require(hops < values_.size(), "aliases form a circle");
    value = values_[value].slot;
  }
  return value;
}

void Program::plan() {
  // One region for every kernel's scratch at the arena's start: kernels run one after the other.
  std::size_t scratch = 0;
  for (const Step& step : steps_) scratch = std::max(scratch, step.kernel->scratch_bytes());
  scratch = (scratch + 4095) / 4096 * 4096;

  std::vector<Lifetime> lifetimes(values_.size(), Lifetime{0, -1, -1});
  for (std::size_t s = 0; s < steps_.size(); ++s) {
    const auto touch = [&](int value) {
      const int owner = root(value);
      if (values_[owner].storage != Storage::Arena) return;
      Lifetime& life = lifetimes[owner];
      if (life.first < 0) life = {values_[owner].tensor.bytes(), static_cast<int>(s), static_cast<int>(s)};
      life.last = static_cast<int>(s);
    };
    for (const int v : steps_[s].inputs) {
      touch(v);
    }
    for (const int v : steps_[s].outputs) {
      touch(v);
    }
  }
  std::vector<Lifetime> used;
  std::vector<std::size_t> owners;
  for (std::size_t i = 0; i < lifetimes.size(); ++i) {
    if (lifetimes[i].first < 0) continue;
    used.push_back(lifetimes[i]);
    owners.push_back(i);
    unshared_bytes_ += lifetimes[i].bytes;
  }
  const MemoryPlan planned = plan_memory(used);
  offsets_.assign(values_.size(), 0);
  for (std::size_t i = 0; i < owners.size(); ++i) offsets_[owners[i]] = scratch + planned.offsets[i];
  scratch_offset_ = 0;
  arena_bytes_ = scratch + planned.arena_bytes;
  unshared_bytes_ += scratch;
}

// Points the kernels at the arena and at these buffers. A recording of other pointers is dropped: a program whose
// buffers change from run to run launches kernel by kernel.
void Program::bind(const std::vector<std::shared_ptr<Buffer>>& buffers) {
  device_->reserve_arena(arena_bytes_);  // a larger program's failure may have left none
  std::byte* arena = device_->arena();
  if (bound_ && bound_arena_ == arena && bound_buffers_ == buffers) return;
  replay_.reset();
  warm_ = false;
  recorded_ = false;
  bound_ = false;
  const auto pointer = [&](int value) -> void* {
    const int owner = root(value);
    const auto slot = static_cast<std::size_t>(values_[owner].slot);
    switch (values_[owner].storage) {
      case Storage::Buffer: return buffers[slot]->data();
      case Storage::Input: return input_block_.memory.get() + input_block_.offsets[slot];
      case Storage::Output: return output_block_.memory.get() + output_block_.offsets[slot];
      default: return arena + offsets_[owner];
    }
  };
  for (Step& step : steps_) {
    step.input_pointers.clear();
    step.output_pointers.clear();
    for (const int v : step.inputs) step.input_pointers.push_back(pointer(v));
    for (const int v : step.outputs) step.output_pointers.push_back(pointer(v));
    step.kernel->bind(context(step));
  }
  bound_arena_ = arena;
  bound_buffers_ = buffers;
  bound_ = true;
}

RunContext Program::context(const Step& step) const {
  return {step.input_pointers, step.output_pointers, device_->arena() + scratch_offset_, device_->backend().stream()};
}

std::unique_ptr<Program::Run> Program::make_run(std::vector<std::shared_ptr<Buffer>> buffers) const {
  require(buffers.empty() || buffers.size() == buffers_.size(),
          "run: the program works on " + std::to_string(buffers_.size()) + " buffers");
  for (std::size_t slot = 0; slot < buffers.size(); ++slot) {
    require(&buffers[slot]->device() == device_.get(), "run: buffer " + std::to_string(slot) + " is of another device");
    require(buffers[slot]->dtype() == buffers_[slot]->dtype() && buffers[slot]->bytes() == buffers_[slot]->bytes(),
            "run: buffer " + std::to_string(slot) + " differs from the program's own in dtype or length");
  }
  auto run = std::make_unique<Run>();
  run->buffers = std::move(buffers);
  run->device = device_;
  run->inputs = device_->backend().transfer(input_block_.memory.bytes());
  run->outputs = device_->backend().transfer(output_block_.memory.bytes());
  return run;
}

void Program::stop_if_cancelled(const Run& run) const {
  if (device_->cancelled() || (run.stopped != nullptr && run.stopped->load(std::memory_order_relaxed) != 0)) {
    throw Error("the run was cancelled", "APOLLO_ABORTED");
  }
}

// Where the backend cannot record, for example for lack of memory, the kernels still run one by one.
void Program::record() {
  recorded_ = true;
  try {
    replay_ = device_->backend().record([&] {
      for (const Step& step : steps_) step.kernel->run(context(step));
    });
  } catch (const Error& error) {
    if (error.code() == "APOLLO_DEVICE_LOST") throw;
  }
}

// Kernel by kernel the first time, which also loads what they need; then, where the backend can, as one recording.
void Program::launch(const Run& run) {
  if (!run.follower && warm_ && !recorded_) record();
  if (!run.follower && replay_) {
    replay_->launch();
    return;
  }
  if (run.follower) run.follower->begins(run.buffers.empty() ? buffers_ : run.buffers, last_writes_);
  for (std::size_t s = 0; s < steps_.size(); ++s) {
    if (!run.whole) stop_if_cancelled(run);
    steps_[s].kernel->run(context(steps_[s]));
    if (run.follower) run.follower->did(static_cast<int>(s));
  }
  warm_ = true;
}

void Program::run(Run& run) {
  try {
    run_all(run);
  } catch (...) {
    // A later run must not see work that was queued before the failure.
    try {
      device_->backend().synchronize();
    } catch (const Error&) {
    }
    if (run.stopped != nullptr) {
      std::int32_t running = kRunning;
      run.stopped->compare_exchange_strong(running, kFailed);
    }
    throw;
  }
}

void Program::run_all(Run& run) {
  run.waited_ms = device_->waited_ms();
  stop_if_cancelled(run);
  Backend& backend = device_->backend();
  bind(run.buffers.empty() ? buffers_ : run.buffers);
  run.inputs->deliver(input_block_.memory.get());
  const auto watch = backend.stopwatch();
  watch->lap();
  if (run.profile) {
    for (const Step& step : steps_) {
      if (!run.whole) stop_if_cancelled(run);
      step.kernel->run(context(step));
      watch->lap();
    }
  } else {
    launch(run);
    watch->lap();
  }
  run.outputs->collect(output_block_.memory.get());
  backend.synchronize();

  const std::vector<double> laps = watch->nanoseconds();
  run.elapsed_ms = std::accumulate(laps.begin(), laps.end(), 0.0) / 1e6;
  if (!run.profile) return;
  run.nanoseconds.assign(instructions_, 0.0);
  for (std::size_t s = 0; s < steps_.size(); ++s) run.nanoseconds[steps_[s].origin] = laps[s];
}

}  // namespace apollo
