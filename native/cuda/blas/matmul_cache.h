// Which algorithm was fastest for a matrix product, by a text that describes the product. Timings differ from run to
// run, and another algorithm may add in another order: the choices are kept in a file so that a machine makes each of
// them once, and the same seed gives the same bits ever after.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>

namespace apollo::cuda {

// cuBLASLt's own description of an algorithm, which may be stored for the same version of the library.
struct MatmulChoice {
  std::array<std::uint64_t, 8> algorithm{};
  std::size_t workspace_bytes = 0;
  double microseconds = 0.0;
};

class MatmulCache {
 public:
  // `machine` names the GPU and the library's version: choices of another machine in the file are left alone and not
  // used. With an empty `file` nothing is kept.
  MatmulCache(std::string file, std::string machine);

  // Whether choices outlive the process.
  bool lasting() const { return !file_.empty(); }
  std::optional<MatmulChoice> find(const std::string& product) const;
  // Keeps a choice, unless another process has kept one for the product meanwhile: returns the one that is kept, for
  // the caller to use. Nothing when the file cannot be written, whole or not at all; the choice is then not kept
  // either. `unusable`: what find() gave and cuBLASLt does not take; it is replaced.
  std::optional<MatmulChoice> add(const std::string& product, const MatmulChoice& choice,
                                  const std::optional<MatmulChoice>& unusable = std::nullopt);

 private:
  void read();
  bool write() const;

  std::string file_, machine_;
  mutable std::mutex mutex_;
  std::map<std::string, MatmulChoice> choices_;  // by machine, a tab, and product
};

}  // namespace apollo::cuda
