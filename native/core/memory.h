// Memory that this process may still use, as the system and its control groups (containers, batch systems) have it.
#pragma once

#include <cstddef>
#include <string>

namespace apollo {

// The number in `file` in bytes (first one on the line that starts with `key`, or of the whole file), or `fallback`.
std::size_t number_in(const std::string& file, const std::string& key, std::size_t unit, std::size_t fallback);

// The least that a control group of this process has left, with what it could drop of its file cache; `otherwise` where
// none has a limit below it. `mount`: where control groups are mounted (/sys/fs/cgroup); `membership`: the file that
// names those of this process (/proc/self/cgroup). Both versions of control groups, alone or side by side.
std::size_t left_in_groups(const std::string& mount, const std::string& membership, std::size_t otherwise);

}  // namespace apollo
