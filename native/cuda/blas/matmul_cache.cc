#include "cuda/blas/matmul_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
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

// Held by one process at a time while it reads the file and writes it again, in a file beside it that stays: the file
// itself is replaced. Where a file system has no locks it is not held, and the last one to write wins.
class FileLock {
 public:
  explicit FileLock(const std::string& file) : descriptor_(open(file.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0666)) {
    if (descriptor_ < 0) return;
    while (flock(descriptor_, LOCK_EX) != 0 && errno == EINTR) {
    }
  }
  ~FileLock() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int descriptor_;
};

bool write_all(int descriptor, const std::string& text) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t written = write(descriptor, text.data() + done, text.size() - done);
    if (written < 0 && errno != EINTR) return false;
    if (written > 0) done += static_cast<std::size_t>(written);
  }
  return true;
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

std::optional<MatmulChoice> MatmulCache::add(const std::string& product, const MatmulChoice& choice,
                                             const std::optional<MatmulChoice>& unusable) {
  if (file_.empty()) return std::nullopt;
  const std::lock_guard lock(mutex_);
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(file_).parent_path(), error);
  const FileLock file_lock(file_ + ".lock");
  read();  // what other processes have added meanwhile
  const std::string key = machine_ + "\t" + product;
  const auto found = choices_.find(key);
  if (found != choices_.end() && (!unusable || found->second.algorithm != unusable->algorithm)) return found->second;
  choices_.insert_or_assign(key, choice);
  if (write()) return choice;
  choices_.erase(key);
  return std::nullopt;
}

bool MatmulCache::write() const {
  std::ostringstream text;
  text << kHeader << '\n';
  for (const auto& [key, choice] : choices_) text << to_line(key, choice) << '\n';
  std::string temporary = file_ + ".XXXXXX";
  const int descriptor = mkstemp(temporary.data());
  if (descriptor < 0) return false;
  fchmod(descriptor, 0644);  // mkstemp makes it for this user alone
  const bool written = write_all(descriptor, text.str());
  if (close(descriptor) == 0 && written && std::rename(temporary.c_str(), file_.c_str()) == 0) return true;
  unlink(temporary.c_str());
  return false;
}

}  // namespace apollo::cuda
