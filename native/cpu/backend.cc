#include "cpu/backend.h"

#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <mutex>

#include <dnnl.hpp>

#include "core/memory.h"
#include "cpu/cpu.h"
#include "cpu/parallel.h"
#include "cpu/simd/targets.h"

#include <hwy/targets.h>

#if defined(__linux__)
#include <sys/mman.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace apollo::cpu {
namespace {

std::size_t total_memory() {
#if defined(__APPLE__)
  std::uint64_t bytes = 0;
  std::size_t length = sizeof bytes;
  if (sysctlbyname("hw.memsize", &bytes, &length, nullptr, 0) == 0) return bytes;
#endif
  return static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

// Free memory of the system, within the limits of a container or a batch system if there are any.
std::size_t available_memory() {
  const std::size_t total = total_memory();
  const std::size_t free = number_in("/proc/meminfo", "MemAvailable:", 1024, total / 4 * 3);
  return std::min(free, left_in_groups("/sys/fs/cgroup", "/proc/self/cgroup", total));
}

class CpuBackend final : public Backend {
 public:
  // Never more than OpenMP will give: kernels of oneDNN count on the team that they ask for, and compute nonsense with
  // a smaller one.
  explicit CpuBackend(int threads)
      : threads_(std::min(threads > 0 ? threads : omp_get_num_procs(), omp_get_thread_limit())) {
    register_matmul(ops_);
    register_attention(ops_);
    register_cache(ops_);
    register_head(ops_);
    register_norm(ops_);
    register_activation(ops_);
    register_elementwise(ops_);
    register_reduce(ops_);
    register_shape(ops_);
    register_embedding(ops_);
    register_rotary(ops_);
    register_dropout(ops_);
    register_optimizer(ops_);
  }

  std::string kind() const override { return "cpu"; }
  std::string name() const override { return cpu_info().cpu_name; }
  int threads() const override { return threads_; }
  const OpTable& ops() const override { return ops_; }
  // Asked for at each step of a run by those who watch it, so not read more often than once a second.
  std::size_t available_bytes() const override {
    const std::lock_guard lock(available_mutex_);
    const auto now = std::chrono::steady_clock::now();
    if (available_ == 0 || now - available_at_ > std::chrono::seconds(1)) {
      available_ = available_memory();
      available_at_ = now;
    }
    return available_;
  }

  void* allocate(std::size_t bytes) override {
    // Large blocks on 2 MiB borders, so that the kernel may back them with huge pages.
    constexpr std::size_t kHuge = std::size_t{2} << 20;
    const std::size_t align = bytes >= kHuge ? kHuge : 64;
    void* memory = std::aligned_alloc(align, (bytes + align - 1) / align * align);
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (memory != nullptr && align == kHuge) madvise(memory, bytes / kHuge * kHuge, MADV_HUGEPAGE);
#endif
    return memory;
  }
  // By all threads: on machines with several memories each page is near one that works on it.
  void zero(void* memory, std::size_t bytes) override {
    auto* bytes_of = static_cast<std::byte*>(memory);
    parallel_elements(static_cast<std::int64_t>(bytes), 1, [&](std::int64_t begin, std::int64_t end) {
      std::memset(bytes_of + begin, 0, static_cast<std::size_t>(end - begin));
    });
  }
  void release(void* memory, std::size_t) override { std::free(memory); }
  void upload(void* device, const void* host, std::size_t bytes) override { copy(device, host, bytes); }
  void download(void* host, const void* device, std::size_t bytes) override { copy(host, device, bytes); }
  void copy(void* to, const void* from, std::size_t bytes) override {
    if (bytes != 0) std::memcpy(to, from, bytes);
  }
  void enter_thread() override {
    omp_set_dynamic(0);  // OMP_DYNAMIC would let OpenMP make teams smaller
    omp_set_num_threads(threads_);
  }

 private:
  int threads_;
  OpTable ops_;
  mutable std::mutex available_mutex_;
  mutable std::chrono::steady_clock::time_point available_at_;
  mutable std::size_t available_ = 0;  // as of then; 0: never read
};

// What oneDNN may use here. Its enumeration names x86's sets only; on Arm it returns bits of its own, which grow with
// the width of SVE.
std::string isa_name(dnnl::cpu_isa isa) {
  const unsigned bits = static_cast<unsigned>(isa);
#if HWY_ARCH_ARM
  if (bits > 0xf) return "sve_512";
  if (bits > 0x7) return "sve_384";
  if (bits > 0x3) return "sve_256";
  return bits > 0x1 ? "sve_128" : "asimd";
#else
  using Isa = dnnl::cpu_isa;
  switch (isa) {
    case Isa::sse41: return "sse41";
    case Isa::avx: return "avx";
    case Isa::avx2: return "avx2";
    case Isa::avx512_core: return "avx512_core";
    case Isa::avx512_core_vnni: return "avx512_core_vnni";
    case Isa::avx512_core_bf16: return "avx512_core_bf16";
    case Isa::avx512_core_amx: return "avx512_core_amx";
    default: {
      const unsigned amx = static_cast<unsigned>(Isa::avx512_core_amx);
      return bits != 0 && (bits & amx) == amx ? "avx512_core_amx+" : "isa_" + std::to_string(bits);
    }
  }
#endif
}

}  // namespace

std::unique_ptr<Backend> make_backend(int threads) { return std::make_unique<CpuBackend>(threads); }

CpuInfo cpu_info() {
  CpuInfo info;
  const dnnl_version_t* version = dnnl_version();
  info.one_dnn =
      std::to_string(version->major) + "." + std::to_string(version->minor) + "." + std::to_string(version->patch);
  const dnnl::cpu_isa isa = dnnl::get_effective_cpu_isa();
  info.one_dnn_isa = isa_name(isa);
  const unsigned bf16 = static_cast<unsigned>(dnnl::cpu_isa::avx512_core_bf16);
  info.fast_bf16 = HWY_ARCH_X86 && (static_cast<unsigned>(isa) & bf16) == bf16;
  const auto supported = hwy::SupportedTargets() & HWY_TARGETS;  // what the kernels are compiled for
  info.kernel_isa = hwy::TargetName(supported & -supported);     // lower bit = better target
  info.logical_cores = omp_get_num_procs();
  info.cpu_name = "CPU";
#if defined(__APPLE__)
  char brand[128];
  std::size_t length = sizeof brand;
  if (sysctlbyname("machdep.cpu.brand_string", brand, &length, nullptr, 0) == 0) info.cpu_name = brand;
#else
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    const auto colon = line.find(": ");
    if (line.compare(0, 10, "model name") == 0 && colon != std::string::npos) {
      info.cpu_name = line.substr(colon + 2);
      break;
    }
  }
#endif
  return info;
}

}  // namespace apollo::cpu
