#include "cuda/blas/matmul_cache.h"

#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

namespace apollo::cuda {
namespace {

constexpr const char* kHeader = "apollo-lm matmul choices 1";

// A line: machine, product, microseconds, workspace, eight words of the algorithm in hexadecimal; separated by tabs.
std::string to_line(const std::string& key, const MatmulChoice& choice) {
  std::ostringstream line;
  line << key << '\t' << choice.microseconds << '\t' << choice.workspace_bytes << '\t' << std::hex;
  for (std::size_t i = 0; i < choice.algorithm.size(); ++i) line << (i == 0 ? "" : " ") << choice.algorithm[i];
  return line.str();
}

std::optional<std::pair<std::string, MatmulChoice>> from_line(const std::string& line) {
  const std::size_t machine_end = line.find('\t');
  if (machine_end == std::string::npos) return std::nullopt;
  const std::size_t product_end = line.find('\t', machine_end + 1);
  if (product_end == std::string::npos) return std::nullopt;
  MatmulChoice choice;
  std::istringstream rest(line.substr(product_end + 1));
  rest >> choice.microseconds >> choice.workspace_bytes >> std::hex;
  for (std::uint64_t& word : choice.algorithm) rest >> word;
  if (rest.fail()) return std::nullopt;
  return std::pair(line.substr(0, product_end), choice);
}

}  // namespace

MatmulCache::MatmulCache(std::string file, std::string machine) : file_(std::move(file)), machine_(std::move(machine)) {
  read();
}

void MatmulCache::read() {
  if (file_.empty()) return;
  std::ifstream in(file_);
  std::string line;
  if (!std::getline(in, line) || line != kHeader) return;
  while (std::getline(in, line)) {
    if (auto entry = from_line(line)) choices_.insert_or_assign(std::move(entry->first), entry->second);
  }
}

std::optional<MatmulChoice> MatmulCache::find(const std::string& product) const {
  const std::lock_guard lock(mutex_);
  const auto found = choices_.find(machine_ + "\t" + product);
  return found == choices_.end() ? std::nullopt : std::optional(found->second);
}

bool MatmulCache::add(const std::string& product, const MatmulChoice& choice) {
  const std::lock_guard lock(mutex_);
  read();  // what other processes have added meanwhile
  const std::string key = machine_ + "\t" + product;
  choices_.insert_or_assign(key, choice);
  if (write()) return true;
  choices_.erase(key);
  return false;
}

bool MatmulCache::write() const {
  if (file_.empty()) return false;
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(file_).parent_path(), error);
  const std::string temporary = file_ + "." + std::to_string(getpid());
  {
    std::ofstream out(temporary, std::ios::trunc);
    out << kHeader << '\n';
    for (const auto& [key, choice] : choices_) out << to_line(key, choice) << '\n';
    if (!out.flush().good()) return false;
  }
  std::filesystem::rename(temporary, file_, error);
  return !error;
}

}  // namespace apollo::cuda
