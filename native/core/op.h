// The contract between a program and a backend: an op with its tensors and attributes (OpDesc) becomes, once, at
// compile time, a Kernel that is then run many times on changing pointers. Backends fill an OpTable; a slot left
// empty is an error when a program that needs it is compiled.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/dtype.h"
#include "core/error.h"

namespace apollo {

using Attr = std::variant<double, bool, std::string, std::vector<double>>;

// Attributes of one op, fixed when the program is compiled.
class Attrs {
 public:
  void set(const std::string& name, Attr value) { values_[name] = std::move(value); }
  bool has(const std::string& name) const { return values_.count(name) != 0; }

  double number(const std::string& name) const { return get<double>(name); }
  double number(const std::string& name, double fallback) const { return has(name) ? number(name) : fallback; }
  std::int64_t integer(const std::string& name) const { return static_cast<std::int64_t>(number(name)); }
  std::int64_t integer(const std::string& name, std::int64_t fallback) const {
    return has(name) ? integer(name) : fallback;
  }
  bool flag(const std::string& name) const { return has(name) && get<bool>(name); }
  const std::string& text(const std::string& name) const { return get<std::string>(name); }
  const std::vector<double>& numbers(const std::string& name) const { return get<std::vector<double>>(name); }
  std::vector<std::int64_t> integers(const std::string& name) const {
    std::vector<std::int64_t> out;
    if (has(name)) {
      for (double v : numbers(name)) out.push_back(static_cast<std::int64_t>(v));
    }
    return out;
  }

 private:
  template <class T>
  const T& get(const std::string& name) const {
    auto it = values_.find(name);
    require(it != values_.end(), "attribute '" + name + "' is missing");
    const T* value = std::get_if<T>(&it->second);
    require(value != nullptr, "attribute '" + name + "' has the wrong type");
    return *value;
  }
  std::map<std::string, Attr> values_;
};

struct OpDesc {
  std::string op;
  std::vector<TensorDesc> inputs;
  std::vector<TensorDesc> outputs;
  Attrs attrs;

  // Whether output `index` is added to (+=) instead of overwritten: attribute `accumulate` lists such outputs.
  bool accumulates(std::size_t index) const {
    for (auto i : attrs.integers("accumulate")) {
      if (i == static_cast<std::int64_t>(index)) return true;
    }
    return false;
  }
};

// Arguments of a kernel at each run: device pointers in the order of OpDesc::inputs and ::outputs, and scratch memory
// of Kernel::scratch_bytes(), 64-byte aligned and uninitialised. `stream` is the device's queue (null on the CPU).
struct RunContext {
  std::span<void* const> inputs;
  std::span<void* const> outputs;
  void* scratch = nullptr;
  void* stream = nullptr;

  template <class T>
  const T* in(std::size_t i) const {
    return static_cast<const T*>(inputs[i]);
  }
  template <class T>
  T* out(std::size_t i) const {
    return static_cast<T*>(outputs[i]);
  }
};

class Kernel {
 public:
  Kernel() = default;
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;
  virtual ~Kernel() = default;
  virtual std::size_t scratch_bytes() const { return 0; }
  // Called once, after the program's memory is reserved: a kernel with several ways of doing its work may time them on
  // `arena`, whose contents are free.
  virtual void tune(std::span<std::byte> /*arena*/, void* /*stream*/) {}
  // Called before the first run and whenever the pointers change: what depends on them may be prepared.
  virtual void bind(const RunContext& /*context*/) {}
  virtual void run(const RunContext& context) = 0;
};

// For kernels without state beyond their descriptor: a function bound to what it needs.
class FunctionKernel final : public Kernel {
 public:
  explicit FunctionKernel(std::function<void(const RunContext&)> body, std::size_t scratch_bytes = 0)
      : body_(std::move(body)), scratch_bytes_(scratch_bytes) {}
  std::size_t scratch_bytes() const override { return scratch_bytes_; }
  void run(const RunContext& context) override { body_(context); }

 private:
  std::function<void(const RunContext&)> body_;
  std::size_t scratch_bytes_;
};

// Throws Error when it has no implementation for the descriptor's dtypes (see unsupported()).
using KernelFactory = std::function<std::unique_ptr<Kernel>(const OpDesc& desc)>;

class OpTable {
 public:
  void add(const std::string& op, KernelFactory factory) {
    require(factories_.emplace(op, std::move(factory)).second, "op '" + op + "' is registered twice");
  }
  // For ops that only Backend::fuse makes: not among names().
  void add_fused(const std::string& op, KernelFactory factory) {
    add(op, std::move(factory));
    fused_.insert(op);
  }
  // Null when there is none.
  const KernelFactory* find(const std::string& op) const {
    auto it = factories_.find(op);
    return it == factories_.end() ? nullptr : &it->second;
  }
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& entry : factories_) {
      if (fused_.count(entry.first) == 0) out.push_back(entry.first);
    }
    return out;
  }

 private:
  std::map<std::string, KernelFactory> factories_;
  std::set<std::string> fused_;
};

[[noreturn]] inline void unsupported(const OpDesc& desc, const std::string& device) {
  std::string signature;
  for (const auto& t : desc.inputs) {
    if (!signature.empty()) signature.append(", ");
    signature.append(t.to_string());
  }
  signature.append(" ->");
  for (const auto& t : desc.outputs) signature.append(" ").append(t.to_string());
  throw Error("op '" + desc.op + "' has no kernel on " + device + " for (" + signature + ")", "APOLLO_NO_KERNEL");
}

}  // namespace apollo
