// Matrix products through oneDNN, behind one class: all that differs between oneDNN 2.x and 3.x, and between machines
// with and without bf16 arithmetic, stays in onednn.cc. Where tiles suit a product (tiles/tiled_product.h), they run
// it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/dtype.h"

namespace apollo::cpu {

enum class Activation : std::uint8_t { None, Gelu, GeluTanh };

// A matrix in memory, or a stack of them: extents [.., rows, columns] and strides, in elements.
struct MatrixDesc {
  DType dtype = DType::F32;
  std::vector<std::int64_t> shape, strides;

  // Row-major without gaps; with `transposed`, memory holds [.., columns, rows].
  static MatrixDesc dense(DType dtype, std::vector<std::int64_t> shape, bool transposed = false);
};

// c = activation(a b + bias), or c += that. Stacks: extents of a and b before the last two are those of c, or 1.
struct ProductDesc {
  MatrixDesc a, b, c;
  bool bias = false;  // f32 [columns of c]
  Activation activation = Activation::None;
  bool accumulate = false;  // c must be f32
  // Bring a, b into the layout that oneDNN likes best before multiplying, at each run.
  bool pack_a = false, pack_b = false;
};

// One product, planned when constructed for as many threads as OpenMP would use at that moment. Not to be run by two
// threads at once; constructing another from an equal descriptor is cheap (oneDNN caches the code).
class Product {
 public:
  // Throws Error when oneDNN cannot do it.
  explicit Product(const ProductDesc& desc);
  Product(Product&&) noexcept;
  Product& operator=(Product&&) noexcept;
  ~Product();

  // Bytes that `scratch` of run() must have, 64-byte aligned.
  std::size_t scratch_bytes() const;
  void run(const void* a, const void* b, void* c, void* scratch, const float* bias = nullptr);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The same product as a sum over slices of at most `slice` of its inner size: where that is long (the positions of a
// batch, a vocabulary) oneDNN's packing of both operands outgrows the caches. Of plain matrices; c is dense.
class SlicedProduct {
 public:
  SlicedProduct(const ProductDesc& desc, std::int64_t slice);

  std::size_t scratch_bytes() const;
  void run(const void* a, const void* b, void* c, void* scratch);

 private:
  std::vector<Product> plans_;           // of the first slice, those that follow it, and the last one
  std::int64_t count_ = 0;               // of slices
  std::size_t step_a_ = 0, step_b_ = 0;  // bytes from one slice to the next
  std::size_t rounded_ = 0;              // elements of c when it is bf16: summed in f32 in scratch, rounded once
};

// While it lives, products are planned for one thread: those that a kernel runs inside its own parallel region.
class SingleThreadPlanning {
 public:
  SingleThreadPlanning();
  SingleThreadPlanning(const SingleThreadPlanning&) = delete;
  SingleThreadPlanning& operator=(const SingleThreadPlanning&) = delete;
  ~SingleThreadPlanning();

 private:
  int threads_;
};

// Rounds a size in bytes up to whole cache lines, for cutting scratch memory into pieces.
constexpr std::size_t whole_lines(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace apollo::cpu
