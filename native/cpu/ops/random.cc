// dropout_row: one row of dropout multipliers, for kernels that are not compiled per target.
#include "cpu/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/ops/random.cc"
#include "hwy/foreach_target.h"

#include "cpu/cpu.h"
#include "cpu/simd/random-inl.h"

HWY_BEFORE_NAMESPACE();
namespace apollo::cpu::HWY_NAMESPACE {

// Limited by the vector ports: six instructions a round for the 8 blocks (64 elements) of an AVX-512 vector.
void dropout_row(const Dropout& dropout, const RngState& rng, std::int64_t row, std::int64_t columns,
                 float* multipliers) {
  fill_multipliers(Multipliers(dropout, rng), first_block(row, columns), columns, multipliers);
}

}  // namespace apollo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apollo::cpu {

HWY_EXPORT(dropout_row);

void dropout_row(const Dropout& dropout, const RngState& rng, std::int64_t row, std::int64_t columns,
                 float* multipliers) {
  HWY_DYNAMIC_DISPATCH(dropout_row)(dropout, rng, row, columns, multipliers);
}

}  // namespace apollo::cpu
#endif  // HWY_ONCE
