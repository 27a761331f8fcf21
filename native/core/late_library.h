// A shared library of the system that is opened on first use, for one that most machines lack.
#pragma once

#include <dlfcn.h>

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"

namespace apollo {

struct LateLibraryNames {
  const char* title;     // in messages
  const char* variable;  // environment variable with the file to take in place of `files`
  std::vector<std::string> files;
  const char* advice;  // what to do where none opens
  const char* code;    // of errors
};

class LateLibrary {
 public:
  // The first file that opens. Throws an error that names all of them and says why each did not.
  static LateLibrary open(const LateLibraryNames& names) {
    std::vector<std::string> files = names.files;
    if (const char* chosen = std::getenv(names.variable); chosen != nullptr && *chosen != '\0') files = {chosen};
    std::string tried;
    for (const std::string& file : files) {
      if (void* handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL)) return {names, file, handle};
      tried.append(tried.empty() ? "" : "; ").append(dlerror());
    }
    throw Error(std::string(names.title) + " not found (" + tried + "). " + names.advice, names.code);
  }

  const std::string& file() const { return file_; }

  template <class Function>
  void bind(const char* symbol, Function& function) const {
    function = reinterpret_cast<Function>(dlsym(handle_, symbol));
    if (function == nullptr) throw Error(file_ + " is no usable " + title_ + ": it lacks " + symbol, code_);
  }

 private:
  LateLibrary(const LateLibraryNames& names, std::string file, void* handle)
      : title_(names.title), code_(names.code), file_(std::move(file)), handle_(handle) {}

  const char *title_, *code_;
  std::string file_;
  void* handle_;
};

}  // namespace apollo
