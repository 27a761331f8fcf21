#include "core/program.h"

#include <algorithm>
#include <chrono>

#include "core/planner.h"

namespace apollo {

using Storage = ValueDesc::Storage;

Program::Program(std::shared_ptr<Device> device, ProgramDesc desc, std::vector<std::shared_ptr<Buffer>> buffers)
    : device_(std::move(device)), values_(std::move(desc.values)), buffers_(std::move(buffers)) {
  const auto count = static_cast<int>(values_.size());
  const auto slot_of = [](std::vector<TensorDesc>& tensors, std::vector<int>& owners, const ValueDesc& value,
                          int index) {
    const auto slot = static_cast<std::size_t>(value.slot);
    if (tensors.size() <= slot) {
      tensors.resize(slot + 1);
      owners.resize(slot + 1, -1);
    }
    tensors[slot] = value.tensor;
    owners[slot] = index;
  };
  for (int i = 0; i < count; ++i) {
    const ValueDesc& value = values_[i];
    const auto slot = static_cast<std::size_t>(value.slot);
    if (value.storage == Storage::Buffer) {
      require(slot < buffers_.size(), "value " + std::to_string(i) + " names buffer " + std::to_string(slot));
      const Buffer& buffer = *buffers_[slot];
      require(buffer.dtype() == value.tensor.dtype && buffer.bytes() == value.tensor.bytes(),
              "buffer " + std::to_string(slot) + " does not fit " + value.tensor.to_string());
    } else if (value.storage == Storage::Input) {
      slot_of(inputs_, input_values_, value, i);
    } else if (value.storage == Storage::Output) {
      slot_of(outputs_, output_values_, value, i);
    } else if (value.storage == Storage::Alias) {
      require(value.slot >= 0 && value.slot < count && value.slot != i, "alias of an unknown value");
      require(values_[root(i)].tensor.bytes() == value.tensor.bytes(), "alias of a value of another size");
    }
  }

  for (InstructionDesc& instruction : desc.instructions) {
    Step step;
    for (const int v : instruction.inputs) {
      require(v >= 0 && v < count, "instruction '" + instruction.op.op + "' reads an unknown value");
      instruction.op.inputs.push_back(values_[v].tensor);
    }
    for (const int v : instruction.outputs) {
      require(v >= 0 && v < count, "instruction '" + instruction.op.op + "' writes an unknown value");
      instruction.op.outputs.push_back(values_[v].tensor);
    }
    step.kernel = device_->backend().make_kernel(instruction.op);
    step.inputs = std::move(instruction.inputs);
    step.outputs = std::move(instruction.outputs);
    steps_.push_back(std::move(step));
  }

  plan();
  device_->reserve_arena(arena_bytes_);
  io_.assign(values_.size(), nullptr);
  for (int i = 0; i < count; ++i) {
    if (values_[i].storage == Storage::Input || values_[i].storage == Storage::Output) {
      io_[i] = device_->allocate(values_[i].tensor.bytes(), /*zeroed=*/false, "a program's input or output");
    }
  }
}

Program::~Program() {
  for (std::size_t i = 0; i < io_.size(); ++i) device_->release(io_[i], values_[i].tensor.bytes());
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

void Program::bind() {
  std::byte* arena = device_->arena();
  if (bound_ && bound_arena_ == arena) return;
  const auto pointer = [&](int value) -> void* {
    const int owner = root(value);
    switch (values_[owner].storage) {
      case Storage::Arena: return arena + offsets_[owner];
      case Storage::Buffer: return buffers_[values_[owner].slot]->data();
      default: return io_[owner];
    }
  };
  for (Step& step : steps_) {
    step.input_pointers.clear();
    step.output_pointers.clear();
    for (const int v : step.inputs) step.input_pointers.push_back(pointer(v));
    for (const int v : step.outputs) step.output_pointers.push_back(pointer(v));
  }
  bound_ = true;
  bound_arena_ = arena;
}

void Program::run(Run& run) {
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point start) {
    return std::chrono::duration<double, std::nano>(Clock::now() - start).count();
  };
  Backend& backend = device_->backend();
  bind();
  for (std::size_t slot = 0; slot < run.inputs.size(); ++slot) {
    backend.upload(io_[input_values_[slot]], run.inputs[slot].data(), run.inputs[slot].size());
  }

  const auto start = Clock::now();
  for (Step& step : steps_) {
    if (device_->cancelled() || (run.cancel != nullptr && run.cancel->load(std::memory_order_relaxed) != 0)) {
      throw Error("the run was cancelled", "APOLLO_ABORTED");
    }
    const auto began = Clock::now();
    step.kernel->run({step.input_pointers, step.output_pointers, device_->arena() + scratch_offset_, backend.stream()});
    if (run.profile) {
      backend.synchronize();
      run.nanoseconds.push_back(since(began));
    }
  }
  backend.synchronize();
  run.elapsed_ms = since(start) / 1e6;

  run.outputs.resize(outputs_.size());
  for (std::size_t slot = 0; slot < outputs_.size(); ++slot) {
    run.outputs[slot].resize(outputs_[slot].bytes());
    backend.download(run.outputs[slot].data(), io_[output_values_[slot]], run.outputs[slot].size());
  }
}

}  // namespace apollo
