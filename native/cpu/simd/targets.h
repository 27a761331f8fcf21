// Which instruction sets the vectorised kernels are compiled for; included before any Highway header. On x86: the
// baseline, AVX2, AVX3 (AVX-512) and, where Highway knows it, AVX3_ZEN4. On Arm: NEON. The rest costs compile time and
// runs none of these memory-bound kernels faster.
#pragma once

#define HWY_DISABLED_TARGETS                                                                              \
  (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL | HWY_AVX3_SPR | HWY_AVX10_2 | HWY_NEON_BF16 | HWY_SVE | HWY_SVE2 | \
   HWY_SVE_256 | HWY_SVE2_128)

#include "hwy/detect_targets.h"

// Targets that this version of Highway does not know yet.
#ifndef HWY_AVX3_SPR
#define HWY_AVX3_SPR 0LL
#endif
#ifndef HWY_AVX10_2
#define HWY_AVX10_2 0LL
#endif
#ifndef HWY_NEON_BF16
#define HWY_NEON_BF16 0LL
#endif
