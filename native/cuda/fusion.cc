#include "cuda/fusion.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

namespace apollo::cuda {
namespace {

using Storage = ValueDesc::Storage;

// A program with the questions that a rewrite asks of it. Values in the arena are written once, by one instruction.
class Rewrite {
 public:
  explicit Rewrite(ProgramDesc& program) : program_(program), removed_(program.instructions.size(), false) {
    for (int v = 0; v < static_cast<int>(program.values.size()); ++v) {
      int root = v;
      while (program.values[root].storage == Storage::Alias) root = program.values[root].slot;
      roots_.push_back(root);
    }
  }
  ~Rewrite() {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < removed_.size(); ++i) {
      if (removed_[i]) continue;
      if (kept != i) program_.instructions[kept] = std::move(program_.instructions[i]);
      ++kept;
    }
    program_.instructions.resize(kept);
  }
  Rewrite(const Rewrite&) = delete;
  Rewrite& operator=(const Rewrite&) = delete;

  int size() const { return static_cast<int>(program_.instructions.size()); }
  InstructionDesc& at(int i) const { return program_.instructions[i]; }
  bool is(int i, const std::string& op) const { return !removed_[i] && at(i).op.op == op; }
  void remove(int i) { removed_[i] = true; }

  bool in_arena(int value) const { return program_.values[roots_[value]].storage == Storage::Arena; }
  bool same(int value, int other) const { return roots_[value] == roots_[other]; }

  // The instruction before `end` that made an arena value; -1: none.
  int producer(int value, int end) const {
    if (!in_arena(value)) return -1;
    for (int i = end - 1; i >= 0; --i) {
      if (!removed_[i] && touches(at(i).outputs, value)) return i;
    }
    return -1;
  }
  // The one instruction that reads a value; -1: none or several.
  int only_reader(int value) const {
    int reader = -1;
    for (int i = 0; i < size(); ++i) {
      if (removed_[i]) continue;
      for (const int input : at(i).inputs) {
        if (!same(input, value)) continue;
        if (reader >= 0) return -1;
        reader = i;
      }
    }
    return reader;
  }
  // Whether no instruction strictly between `begin` and `end` reads or writes `value`.
  bool untouched(int value, int begin, int end) const {
    for (int i = begin + 1; i < end; ++i) {
      if (!removed_[i] && (touches(at(i).inputs, value) || touches(at(i).outputs, value))) return false;
    }
    return true;
  }
  bool unwritten(int value, int begin, int end) const {
    for (int i = begin + 1; i < end; ++i) {
      if (!removed_[i] && touches(at(i).outputs, value)) return false;
    }
    return true;
  }

 private:
  bool touches(const std::vector<int>& values, int value) const {
    return std::any_of(values.begin(), values.end(), [&](int v) { return same(v, value); });
  }

  ProgramDesc& program_;
  std::vector<bool> removed_;
  std::vector<int> roots_;
};

void add_input(InstructionDesc& instruction, int value, const TensorDesc& tensor) {
  instruction.inputs.push_back(value);
  instruction.op.inputs.push_back(tensor);
}

void add_output(InstructionDesc& instruction, int value, const TensorDesc& tensor, bool accumulates) {
  if (accumulates) {
    std::vector<double> list;
    for (const std::int64_t i : instruction.op.attrs.integers("accumulate")) list.push_back(static_cast<double>(i));
    list.push_back(static_cast<double>(instruction.outputs.size()));
    instruction.op.attrs.set("accumulate", list);
  }
  instruction.outputs.push_back(value);
  instruction.op.outputs.push_back(tensor);
}

// A product of bf16 without activation, whose rows are whole packs: what is fused with it takes nothing else.
bool plain_product(const InstructionDesc& instruction, bool has_bias) {
  const OpDesc& op = instruction.op;
  return op.outputs[0].last() % 8 == 0 && op.attrs.flag("hasBias") == has_bias &&
         op.attrs.text("activation") == "none" && !op.accumulates(0) && op.inputs[0].shape.size() == 2 &&
         op.inputs[0].dtype == DType::BF16 && op.outputs[0].dtype == DType::BF16;
}

}  // namespace

void fuse(ProgramDesc& program) {
  fuse_gelu_products(program);
  fuse_column_sums(program);
  fuse_column_sum_products(program);
  fuse_addends(program);
}

void fuse_column_sums(ProgramDesc& program) {
  Rewrite rewrite(program);
  for (int i = 0; i < rewrite.size(); ++i) {
    if (!rewrite.is(i, "columnSum")) continue;
    const InstructionDesc& sum = rewrite.at(i);
    const int dx = sum.inputs[0], made = rewrite.producer(dx, i);
    if (made < 0) continue;
    InstructionDesc& producer = rewrite.at(made);
    // Of a norm: the gradient of the dropped branch where there is dropout, else that of both branches.
    const bool norm = producer.op.op == "residualNormBackward";
    const bool gelu = producer.op.op == "geluBackward" || producer.op.op == "matmulGeluBackward";
    // GELU's kernels take whole packs of bf16 (f32 is not worth kernels of its own).
    if (gelu && (producer.op.outputs[0].dtype != DType::BF16 || producer.op.outputs[0].last() % 8 != 0)) continue;
    if (!norm && !gelu) continue;
    const std::size_t output = norm && producer.op.attrs.number("p", 0.0) > 0.0 ? 3 : 0;
    const bool fits = rewrite.same(producer.outputs[output], dx) && !producer.op.attrs.flag("columnSum") &&
                      producer.op.outputs[output].last() == sum.op.outputs[0].elements() &&
                      rewrite.untouched(sum.outputs[0], made, i);
    if (!fits) continue;
    add_output(producer, sum.outputs[0], sum.op.outputs[0], sum.op.accumulates(0));
    producer.op.attrs.set("columnSum", true);
    rewrite.remove(i);
  }
}

void fuse_column_sum_products(ProgramDesc& program) {
  Rewrite rewrite(program);
  for (int i = 0; i < rewrite.size(); ++i) {
    if (!rewrite.is(i, "columnSum")) continue;
    const InstructionDesc& sum = rewrite.at(i);
    for (int m = 0; m < rewrite.size(); ++m) {
      if (!rewrite.is(m, "matmul") || !rewrite.same(rewrite.at(m).inputs[1], sum.inputs[0])) continue;
      InstructionDesc& product = rewrite.at(m);
      const OpDesc& op = product.op;
      const TensorDesc& g = op.inputs[1];
      const bool fits = op.attrs.flag("transA") && !op.attrs.flag("transB") && !op.attrs.flag("hasBias") &&
                        op.attrs.text("activation") == "none" && op.inputs[0].shape.size() == 2 &&
                        op.inputs[0].dtype == DType::BF16 && op.outputs[0].dtype == DType::F32 && g.last() % 8 == 0 &&
                        g.elements() == sum.op.inputs[0].elements() && g.last() == sum.op.outputs[0].elements() &&
                        rewrite.untouched(sum.outputs[0], std::min(i, m), std::max(i, m)) &&
                        rewrite.unwritten(sum.inputs[0], std::min(i, m), std::max(i, m));
      if (!fits) continue;
      add_output(product, sum.outputs[0], sum.op.outputs[0], sum.op.accumulates(0));
      product.op.op = "matmulColumnSum";
      rewrite.remove(i);
      break;
    }
  }
}

void fuse_addends(ProgramDesc& program) {
  Rewrite rewrite(program);
  for (int i = 0; i < rewrite.size(); ++i) {
    if (!rewrite.is(i, "binary")) continue;
    const InstructionDesc& add = rewrite.at(i);
    const OpDesc& op = add.op;
    const bool plain = op.attrs.text("kind") == "add" && op.outputs[0].dtype != DType::I32 &&
                       op.inputs[0].elements() == op.outputs[0].elements() &&
                       op.inputs[1].elements() == op.outputs[0].elements();
    if (!plain || !rewrite.in_arena(add.outputs[0])) continue;
    const int reader = rewrite.only_reader(add.outputs[0]);
    if (reader < i || (!rewrite.is(reader, "residualNormBackward") && !rewrite.is(reader, "layerNormBackward"))) {
      continue;
    }
    InstructionDesc& norm = rewrite.at(reader);
    if (!rewrite.same(norm.inputs[0], add.outputs[0]) || !rewrite.unwritten(add.inputs[0], i, reader) ||
        !rewrite.unwritten(add.inputs[1], i, reader)) {
      continue;
    }
    norm.inputs[0] = add.inputs[0];
    add_input(norm, add.inputs[1], op.inputs[1]);
    norm.op.attrs.set("hasAddend", true);
    rewrite.remove(i);
  }
}

void fuse_gelu_products(ProgramDesc& program) {
  Rewrite rewrite(program);
  for (int i = 0; i < rewrite.size(); ++i) {
    if (rewrite.is(i, "gelu") && rewrite.at(i).op.attrs.flag("tanh")) {
      const InstructionDesc& gelu = rewrite.at(i);
      const int made = rewrite.producer(gelu.inputs[0], i);
      if (made < 0 || !rewrite.is(made, "matmul") || !plain_product(rewrite.at(made), /*has_bias=*/true) ||
          !rewrite.in_arena(gelu.outputs[0])) {
        continue;
      }
      InstructionDesc& product = rewrite.at(made);
      product.op.op = "matmulGelu";
      product.outputs.insert(product.outputs.begin(), gelu.outputs[0]);
      product.op.outputs.insert(product.op.outputs.begin(), product.op.outputs[0]);
      rewrite.remove(i);
    } else if (rewrite.is(i, "geluBackward") && rewrite.at(i).op.attrs.flag("tanh")) {
      InstructionDesc& gradient = rewrite.at(i);
      const int made = rewrite.producer(gradient.inputs[0], i);
      if (made < 0 || !rewrite.is(made, "matmul") || !plain_product(rewrite.at(made), /*has_bias=*/false) ||
          rewrite.only_reader(gradient.inputs[0]) != i) {
        continue;
      }
      const InstructionDesc& product = rewrite.at(made);
      // Between the two the values may be seen with other axes: the product's rows must be those of the gradient.
      if (product.op.outputs[0].last() != gradient.op.outputs[0].last()) continue;
      if (!rewrite.unwritten(product.inputs[0], made, i) || !rewrite.unwritten(product.inputs[1], made, i)) continue;
      const int x = gradient.inputs[1];
      const TensorDesc tensor = gradient.op.inputs[1];
      gradient.inputs = product.inputs;
      gradient.op.inputs = product.op.inputs;
      gradient.op.attrs = product.op.attrs;
      add_input(gradient, x, tensor);
      gradient.op.op = "matmulGeluBackward";
      rewrite.remove(made);
    }
  }
}

}  // namespace apollo::cuda
