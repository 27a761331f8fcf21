#include "core/memory.h"

#include <algorithm>
#include <fstream>
#include <sstream>

namespace apollo {
namespace {

// Names of a version's files.
struct Files {
  const char *limit, *used, *cache;
};
constexpr Files kVersion1{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "};
constexpr Files kVersion2{"memory.max", "memory.current", "inactive_file "};

// The least that a group and those above it have left. In a container the group's path may be the host's, of which only
// the last folders or none are there.
std::size_t left_in(const std::string& mount, std::string path, const Files& files, std::size_t otherwise) {
  std::size_t left = otherwise;
  for (;;) {
    const std::string group = mount + path + "/";
    const std::size_t limit = number_in(group + files.limit, "", 1, otherwise);
    if (limit < otherwise) {
      const std::size_t used = number_in(group + files.used, "", 1, 0);
      const std::size_t held = used - std::min(used, number_in(group + "memory.stat", files.cache, 1, 0));
      left = std::min(left, limit - std::min(limit, held));
    }
    const std::size_t end = path.rfind('/');
    if (end == std::string::npos) return left;
    path.resize(end);
  }
}

}  // namespace

std::size_t number_in(const std::string& file, const std::string& key, std::size_t unit, std::size_t fallback) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (line.compare(0, key.size(), key) != 0) continue;
    std::istringstream text(line.substr(key.size()));
    if (std::size_t value = 0; text >> value) return value * unit;
  }
  return fallback;
}

std::size_t left_in_groups(const std::string& mount, const std::string& membership, std::size_t otherwise) {
  std::size_t left = otherwise;
  std::ifstream in(membership);
  // A line is number:controllers:path; version 2 has the number 0 and no controllers.
  for (std::string line; std::getline(in, line);) {
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    std::string controllers(","), path(line, second + 1);
    controllers.append(line, first + 1, second - first - 1).push_back(',');
    const std::string below = path == "/" ? "" : path;
    if (controllers == ",,") {
      left = std::min(left, left_in(mount, below, kVersion2, otherwise));
      left = std::min(left, left_in(mount + "/unified", below, kVersion2, otherwise));
    } else if (controllers.find(",memory,") != std::string::npos) {
      left = std::min(left, left_in(mount + "/memory", below, kVersion1, otherwise));
    }
  }
  return left;
}

}  // namespace apollo
