// Vectors, and the run-time choice of the instruction set for them. The code is the compiler's (GCC or Clang).
// FINGERGEN_PORTABLE leaves the wide ones out.
#pragma once

#include <cstdint>

// FINGERGEN_INDEPENDENT before a loop: no iteration reads what another writes, although pointers may be equal.
#if defined(__clang__)
#define FINGERGEN_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define FINGERGEN_INDEPENDENT _Pragma("GCC ivdep")
#else
#define FINGERGEN_INDEPENDENT
#endif

#define FINGERGEN_INLINE inline __attribute__((always_inline))

namespace fingergen {

// Eight floats: one AVX register, or two of 16 bytes. The second type is for memory, at any address.
constexpr int64_t kLanes = 8;
typedef float Floats __attribute__((vector_size(kLanes * sizeof(float))));
typedef Floats FloatsInMemory __attribute__((aligned(alignof(float)), may_alias));

}  // namespace fingergen

#if defined(__x86_64__) && !defined(FINGERGEN_PORTABLE)

namespace fingergen {
namespace detail {

template <typename Kernel, typename... Args>
__attribute__((target("avx2,fma"))) void run_avx2(const Args&... args) {
  Kernel::run(args...);
}

template <typename Kernel, typename... Args>
__attribute__((target("avx512f,avx512dq,avx512vl,avx2,fma"))) void run_avx512(const Args&... args) {
  Kernel::run(args...);
}

inline bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
inline bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
}

}  // namespace detail

// Kernel::run(args...), compiled twice: for x86-64 as such, and for AVX2 with FMA where the processor has them.
// Kernel::run and what it calls must be FINGERGEN_INLINE: only inlined code takes on the wider instruction set.
template <typename Kernel, typename... Args>
void with_simd(const Args&... args) {
  static const bool avx2 = detail::has_avx2();
  if (avx2) {
    detail::run_avx2<Kernel>(args...);
  } else {
    Kernel::run(args...);
  }
}

}  // namespace fingergen

#else

namespace fingergen {

template <typename Kernel, typename... Args>
void with_simd(const Args&... args) {
  Kernel::run(args...);
}

}  // namespace fingergen

#endif
