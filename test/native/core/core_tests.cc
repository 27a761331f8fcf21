// Tests of native code that JavaScript cannot reach: a backend whose allocations fail on demand, threads that race, a
// device that is released by its own job, choices that processes make at once. `core_tests` lists its cases,
// `core_tests NAME` runs one: each is a process of its own (test/native/core.test.ts), so that a crash fails one test.
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/backend.h"
#include "core/device.h"
#include "core/indices.h"
#include "core/memory.h"
#include "core/program.h"
#include "cuda/blas/matmul_cache.h"
#include "cuda/lib/launch.cuh"

namespace apollo {
namespace {

void expect(bool condition, const std::string& what) {
  if (condition) return;
  std::printf("expected: %s\n", what.c_str());
  std::fflush(stdout);
  std::_Exit(1);
}

// The error that `body` throws.
Error error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error;
  }
  expect(false, "an Error");
  std::abort();
}

// Behaviour of the backend that the test sets; outlives it.
struct Control {
  std::size_t largest = std::size_t{1} << 40;  // allocations beyond this fail
  std::function<void()> in_allocate = [] {};
  std::string enter_failure;    // what enter_thread() throws
  std::size_t allocations = 0;  // alive
  std::mutex mutex;
};

// Memory of the host; one op, `twice`, that doubles f32 values.
class StubBackend final : public Backend {
 public:
  explicit StubBackend(Control& control) : control_(control) {
    ops_.add("twice", [](const OpDesc& desc) -> std::unique_ptr<Kernel> {
      return std::make_unique<FunctionKernel>([count = desc.inputs[0].elements()](const RunContext& c) {
        for (std::int64_t i = 0; i < count; ++i) c.out<float>(0)[i] = 2.0f * c.in<float>(0)[i];
      });
    });
  }
  std::string kind() const override { return "stub"; }
  std::string name() const override { return "stub"; }
  const OpTable& ops() const override { return ops_; }
  std::size_t available_bytes() const override { return std::size_t{1} << 40; }
  void* allocate(std::size_t bytes) override {
    control_.in_allocate();
    if (bytes > control_.largest) return nullptr;
    void* memory = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
    const std::lock_guard lock(control_.mutex);
    ++control_.allocations;
    return memory;
  }
  void release(void* memory, std::size_t) override {
    std::free(memory);
    const std::lock_guard lock(control_.mutex);
    --control_.allocations;
  }
  void zero(void* memory, std::size_t bytes) override { std::memset(memory, 0, bytes); }
  void upload(void* device, const void* host, std::size_t bytes) override { std::memcpy(device, host, bytes); }
  void download(void* host, const void* device, std::size_t bytes) override { std::memcpy(host, device, bytes); }
  void copy(void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }
  void enter_thread() override {
    if (!control_.enter_failure.empty()) throw Error(control_.enter_failure);
  }

 private:
  Control& control_;
  OpTable ops_;
};

std::shared_ptr<Device> open(Control& control, std::size_t limit = 0) {
  return std::make_shared<Device>(std::make_unique<StubBackend>(control), limit);
}

// y = 4 x over `elements` values, through one value in the arena.
ProgramDesc quadruple(std::int64_t elements) {
  using Storage = ValueDesc::Storage;
  const TensorDesc tensor{DType::F32, {elements}};
  ProgramDesc desc;
  desc.values = {{tensor, Storage::Input, 0}, {tensor, Storage::Arena, 0}, {tensor, Storage::Output, 0}};
  for (int i = 0; i < 2; ++i) {
    InstructionDesc instruction;
    instruction.op.op = "twice";
    instruction.inputs = {i};
    instruction.outputs = {i + 1};
    desc.instructions.push_back(std::move(instruction));
  }
  return desc;
}

// Runs `body` on the device's thread and waits; throws an Error like the one it throws. (Not the same object: the
// counts within std::exception_ptr are in a library that ThreadSanitizer does not see.)
void on_thread(Device& device, const std::function<void()>& body) {
  std::promise<void> done;
  std::string message, code;
  const bool queued = device.submit([&] {
    try {
      body();
    } catch (const Error& error) {
      message = error.what();
      code = error.code();
    }
    done.set_value();
  });
  expect(queued, "an open device");
  done.get_future().get();
  if (!code.empty()) throw Error(message, code);
}

std::shared_ptr<Program> compile(const std::shared_ptr<Device>& device, std::int64_t elements) {
  std::shared_ptr<Program> program;
  on_thread(*device, [&] {
    program = std::make_shared<Program>(device, quadruple(elements), std::vector<std::shared_ptr<Buffer>>());
  });
  return program;
}

float run(Device& device, Program& program, float x) {
  auto run = program.make_run();
  const std::size_t elements = static_cast<std::size_t>(program.inputs()[0].elements());
  auto* in = reinterpret_cast<float*>(program.input(*run, 0));
  for (std::size_t i = 0; i < elements; ++i) in[i] = x;
  on_thread(device, [&] { program.run(*run); });
  return reinterpret_cast<const float*>(program.output(*run, 0))[elements - 1];
}

void arena_growth_fails() {
  Control control;
  auto device = open(control);
  auto small = compile(device, 1000);
  expect(run(*device, *small, 3.0f) == 12.0f, "4 x 3");
  control.largest = 1 << 20;
  const Error error = error_of([&] { compile(device, 1 << 20); });
  expect(error.code() == "APOLLO_OUT_OF_MEMORY", "APOLLO_OUT_OF_MEMORY for the arena that cannot grow");
  expect(run(*device, *small, 5.0f) == 20.0f, "the earlier program runs as before");
  control.largest = 0;
  error_of([&] { compile(device, 2000); });
  expect(error_of([&] { run(*device, *small, 1.0f); }).code() == "APOLLO_OUT_OF_MEMORY",
         "an error of the run while there is no memory for the arena");
  control.largest = std::size_t{1} << 40;
  expect(run(*device, *small, 1.0f) == 4.0f, "and its result once there is");
}

void arena_is_freed() {
  Control control;
  auto device = open(control);
  auto program = compile(device, 1000);
  expect(run(*device, *program, 3.0f) == 12.0f, "4 x 3");
  const std::size_t with_arena = control.allocations;
  on_thread(*device, [&] { device->release_arena(); });
  expect(control.allocations == with_arena - 1 && device->arena_bytes() == 0, "the arena is given back on request");
  expect(run(*device, *program, 5.0f) == 20.0f && control.allocations == with_arena, "and reserved by the next run");
  device->close(/*drain=*/true);
  expect(control.allocations == with_arena - 1 && device->arena_bytes() == 0,
         "a closed device has no arena, also while a program holds the device");
}

void program_construction_fails() {
  Control control;
  auto device = open(control);
  compile(device, 100000).reset();
  on_thread(*device, [] {});
  expect(device->buffer_bytes() == 0, "nothing is charged once the program is gone");
  const std::size_t before = control.allocations;
  int left = 1;  // the input's block is allocated, the output's is not
  control.in_allocate = [&] { control.largest = left-- > 0 ? std::size_t{1} << 40 : 0; };
  expect(error_of([&] { compile(device, 1000); }).code() == "APOLLO_OUT_OF_MEMORY", "no memory for the output");
  expect(control.allocations == before && device->buffer_bytes() == 0, "the input's block is given back");
}

void threads_share_one_limit() {
  Control control;
  auto device = open(control, 1000);
  std::mutex mutex;
  std::condition_variable wake;
  int inside = 0;
  // The first thread to come waits a little for the other: with an exact account only one of them comes here.
  control.in_allocate = [&] {
    std::unique_lock lock(mutex);
    ++inside;
    wake.notify_all();
    wake.wait_for(lock, std::chrono::milliseconds(300), [&] { return inside == 2; });
  };
  std::atomic<void*> memory{nullptr};
  const auto attempt = [&] {
    try {
      memory = device->allocate(600, "half and more");
    } catch (const Error& error) {
      expect(error.code() == "APOLLO_OUT_OF_MEMORY", "APOLLO_OUT_OF_MEMORY");
    }
  };
  std::thread other(attempt);
  attempt();
  other.join();
  expect(device->buffer_bytes() == 600, "600 of 1000 bytes are used; got " + std::to_string(device->buffer_bytes()));
  device->release(memory, 600);
}

void device_thread_cannot_start() {
  Control control;
  control.enter_failure = "the GPU is gone";
  auto device = open(control);
  Error error("");
  on_thread(*device, [&] { error = error_of([&] { device->check_usable(); }); });
  expect(error.code() == "APOLLO_CLOSED" && std::string(error.what()).find("the GPU is gone") != std::string::npos,
         "later work gets the reason; got " + std::string(error.what()));
  device->close(true);
}

void last_owner_is_a_job() {
  Control control;
  for (int i = 0; i < 200; ++i) {
    std::promise<void> may_end;
    auto device = open(control);
    Device* raw = device.get();
    // The job's closure is all that holds the device, so its thread destroys it, with a second job still in the queue.
    raw->submit([device = std::move(device), wait = may_end.get_future().share()] { wait.wait(); });
    raw->submit([] {});
    may_end.set_value();
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
}

void device_lost() {
  Control control;
  auto device = open(control);
  device->check_usable();
  const auto lost = [] { throw Error("illegal address; restart the process", "APOLLO_DEVICE_LOST"); };
  expect(error_of([&] { device->watched(lost); }).code() == "APOLLO_DEVICE_LOST", "the error itself comes first");
  for (int i = 0; i < 2; ++i) {
    const Error later = error_of([&] { device->watched([] {}); });
    expect(
        later.code() == "APOLLO_CLOSED" && std::string(later.what()).find("restart the process") != std::string::npos,
        "then CLOSED with its message");
  }
  device->close(true);
}

void grids_and_counts_are_checked() {
  using cuda::blocks_for;
  expect(blocks_for(0, 4) == 1 && blocks_for(9, 4) == 3, "blocks for small counts");
  const std::int64_t most = (std::int64_t{1} << 31) - 1;
  expect(blocks_for(most, 1) == static_cast<unsigned>(most), "a grid may have 2^31 - 1 blocks");
  error_of([&] { blocks_for(most + 1, 1); });
  expect(to_int32(most, "rows") == 2147483647, "2^31 - 1 fits");
  expect(std::string(error_of([&] { to_int32(most + 1, "rows"); }).what()).find("rows") != std::string::npos,
         "an error that names the count");
  error_of([&] { to_int32(-1, "rows"); });
}

// Files of control groups in a folder of its own.
void memory_of_groups() {
  namespace fs = std::filesystem;
  const fs::path root = fs::temp_directory_path() / ("apollo-groups-" + std::to_string(getpid()));
  const auto write = [&](const std::string& path, const std::string& text) {
    fs::create_directories((root / path).parent_path());
    std::ofstream(root / path) << text;
  };
  const auto left = [&](const std::string& membership) {
    write("self", membership);
    return left_in_groups((root / "mount").string(), (root / "self").string(), 1000);
  };
  expect(left("0::/\n") == 1000, "no limit");
  expect(left_in_groups("/nowhere", "/nowhere", 1000) == 1000, "no groups");
  write("mount/memory.max", "max\n");
  write("mount/job/memory.max", "800\n");
  write("mount/job/memory.current", "500\n");
  write("mount/job/memory.stat", "anon 300\ninactive_file 150\n");
  write("mount/job/step/memory.max", "900\n");
  write("mount/job/step/memory.current", "100\n");
  expect(left("0::/job/step\n") == 450, "the least of a group and those above it, without its file cache");
  expect(left("0::/\n") == 1000, "the root of a container has no limit here");
  write("mount/memory/slurm/memory.limit_in_bytes", "600\n");
  write("mount/memory/slurm/memory.usage_in_bytes", "250\n");
  write("mount/memory/slurm/memory.stat", "inactive_file 9\ntotal_inactive_file 50\n");
  expect(left("4:memory,cpu:/slurm/uid_1/job_2\n0::/\n") == 400, "version 1, a group above that is there");
  expect(left("4:cpu:/slurm\n") == 1000, "a line of another controller");
  write("mount/memory/memory.limit_in_bytes", "700\n");
  write("mount/memory/memory.usage_in_bytes", "900\n");
  expect(left("4:memory:/elsewhere\n") == 0, "a container's own group at the mount, used up");
  fs::remove_all(root);
}

// A folder that is there while the test runs.
struct Folder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("apollo-choices-" + std::to_string(getpid()));
  Folder() { std::filesystem::create_directories(path); }
  ~Folder() { std::filesystem::remove_all(path); }
};

cuda::MatmulChoice choice_of(std::uint64_t algorithm) {
  cuda::MatmulChoice choice;
  choice.algorithm[0] = algorithm;
  choice.microseconds = 1.0 / 3.0;  // the file has fewer digits
  return choice;
}

void first_choice_stays() {
  const Folder folder;
  const std::string file = (folder.path / "deeper" / "matmul.txt").string();
  const auto algorithm = [](const std::optional<cuda::MatmulChoice>& choice) {
    return choice ? choice->algorithm[0] : 0;
  };
  cuda::MatmulCache early(file, "a GPU"), late(file, "a GPU"), other(file, "another GPU");  // as of three processes
  expect(algorithm(early.add("p", choice_of(1))) == 1, "the first choice is kept");
  expect(algorithm(late.add("p", choice_of(2))) == 1, "a later one is not: the first is returned");
  expect(algorithm(other.add("p", choice_of(3))) == 3, "another GPU has its own");
  expect(algorithm(cuda::MatmulCache(file, "a GPU").find("p")) == 1, "the file has the first");
  expect(algorithm(late.add("p", choice_of(4), choice_of(5))) == 1, "what replaces another choice does not replace it");
  expect(algorithm(late.add("p", choice_of(4), late.find("p"))) == 4, "an unusable one is replaced");
  expect(algorithm(early.add("p", choice_of(6), choice_of(1))) == 4, "once: its replacement is kept");
}

void choices_at_once() {
  const Folder folder;
  const std::string file = (folder.path / "matmul.txt").string();
  constexpr int kThreads = 6, kProducts = 20;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      cuda::MatmulCache cache(file, "a GPU");
      for (int i = 0; i < kProducts; ++i) {
        const std::string product = std::to_string(thread) + " " + std::to_string(i);
        expect(cache.add(product, choice_of(7)).has_value(), "the choice is kept");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const cuda::MatmulCache all(file, "a GPU");
  for (int thread = 0; thread < kThreads; ++thread) {
    for (int i = 0; i < kProducts; ++i) {
      expect(all.find(std::to_string(thread) + " " + std::to_string(i)).has_value(), "none is lost");
    }
  }
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder.path)) ++files;
  expect(files == 2, "the file and its lock are all that is left");
}

void buffers_of_another_device() {
  Control control;
  auto one = open(control), other = open(control);
  using Storage = ValueDesc::Storage;
  const auto program_on = [&](const std::shared_ptr<Buffer>& buffer) {
    std::shared_ptr<Program> program;
    on_thread(*one, [&] {
      ProgramDesc desc = quadruple(4);
      desc.values[0].storage = Storage::Buffer;
      program = std::make_shared<Program>(one, std::move(desc), std::vector{buffer});
    });
    return program;
  };
  const auto own = one->create_buffer(DType::F32, 8), foreign = other->create_buffer(DType::F32, 8);
  const auto part = [](const std::shared_ptr<Buffer>& whole) { return std::make_shared<Buffer>(whole, 4, 4); };
  const auto message = [](const Error& error) { return std::string(error.what()); };
  expect(message(error_of([&] { program_on(part(foreign)); })) == "buffer 0 is of another device", "at compilation");
  const auto program = program_on(part(own));
  expect(message(error_of([&] { program->make_run({part(foreign)}); })) == "run: buffer 0 is of another device",
         "at a run");
  program->make_run({part(own)});
}

const std::map<std::string, void (*)()> kCases = {
    {"the first choice of an algorithm is the one that all use", first_choice_stays},
    {"choices that are made at once are all kept", choices_at_once},
    {"a program refuses buffers of another device", buffers_of_another_device},
    {"memory is what the control groups have left", memory_of_groups},
    {"a failed growth of the arena leaves earlier programs as they were", arena_growth_fails},
    {"the arena is freed on request and with the device's thread", arena_is_freed},
    {"a program that cannot be built gives back what it had", program_construction_fails},
    {"two threads that allocate at once share one limit", threads_share_one_limit},
    {"a device whose thread cannot start says why", device_thread_cannot_start},
    {"the last owner of a device may be its own job", last_owner_is_a_job},
    {"a lost device says so ever after", device_lost},
    {"grids and counts beyond 32 bits are refused", grids_and_counts_are_checked},
};

}  // namespace
}  // namespace apollo

int main(int argc, char** argv) {
  if (argc < 2) {
    for (const auto& [name, body] : apollo::kCases) std::printf("%s\n", name.c_str());
    return 0;
  }
  apollo::kCases.at(argv[1])();
  return 0;
}
