// For AVX2 with FMA. As processors without it must run nothing of this, no function here may be defined elsewhere too.
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

#include "styled_conv/steps.h"

namespace fingergen::styled_conv {

Steps avx2_steps(bool up) { return steps<Fused<8>>(up); }

}  // namespace fingergen::styled_conv

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
