// For AVX-512. As processors without it must run nothing of this, no function here may be defined elsewhere too.
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512vl,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512dq,avx512vl,avx2,fma")
#endif

#include "ridge_growth/steps.h"

namespace fingergen::ridge_growth {

Steps avx512_steps() { return steps<Fused<16>>(); }

}  // namespace fingergen::ridge_growth

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
