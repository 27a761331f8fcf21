// Rewrites a program into one that moves fewer bytes: pairs of ops for which this backend has one kernel. Pure
// functions of the program; what they make are ops of the table or, where named here, ops that only this backend has.
#pragma once

#include "core/program.h"

namespace apollo::cuda {

// All of the below, in the order in which one makes room for the next.
void fuse(ProgramDesc& program);

// columnSum(dx) of what geluBackward or residualNormBackward has just made becomes one more output of it, flagged by
// the attribute `columnSum`: a bias gradient without reading dx again.
void fuse_column_sums(ProgramDesc& program);

// columnSum(g) and matmul(x^T, g), the gradients of a linear layer's bias and weight -> matmulColumnSum (x, g) -> (dw,
// db). Where the sum rides on what makes g, that is better: fuse_column_sums comes first.
void fuse_column_sum_products(ProgramDesc& program);

// add(a, b) whose result is only the dy of a norm's backward op: the norm reads both. Attribute `hasAddend`, the addend
// being the last input.
void fuse_addends(ProgramDesc& program);

// matmul with bias followed by gelu by tanh -> matmulGelu (a, b, bias) -> (gelu, product + bias), and geluBackward by
// tanh of a product -> matmulGeluBackward (a, b, x) -> product * gelu'(x).
void fuse_gelu_products(ProgramDesc& program);

}  // namespace apollo::cuda
