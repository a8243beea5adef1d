// Vectors whose arithmetic is the same, bit for bit, whatever the instruction set: the compiler's (GCC or Clang), with the
// sum of a product rounded once where that is asked for and nowhere else. FINGERGEN_PORTABLE as in simd.h.
#pragma once

#include <cstdint>
#include <utility>

#include "common/simd.h"

// sum += a * b with one rounding, and a step that compilers do not look into: whether they fuse products and sums of
// their own accord depends on their options, and these are to be bits that do not.
#if defined(__x86_64__)
#define FINGERGEN_FUSE(sum, a, b) asm("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(a), "vm"(b))
#define FINGERGEN_BROADCAST(vector, place) asm("vbroadcastss %1, %0" : "=v"(vector) : "m"(*(place)))
#define FINGERGEN_OPAQUE(vector) asm("" : "+v"(vector))
#define FINGERGEN_WIDEN(vector, shorts) asm("vpmovsxwd %1, %0\n\tvcvtdq2ps %0, %0" : "=v"(vector) : "m"(*(shorts)))
#elif defined(__aarch64__)
#define FINGERGEN_FUSE(sum, a, b) asm("fmla %0.4s, %1.4s, %2.4s" : "+w"(sum) : "w"(a), "w"(b))
#define FINGERGEN_BROADCAST(vector, place) asm("ld1r {%0.4s}, %1" : "=w"(vector) : "Q"(*(place)))
#define FINGERGEN_OPAQUE(vector) asm("" : "+w"(vector))
#define FINGERGEN_WIDEN(vector, shorts) vector = __builtin_convertvector(static_cast<Shorts>(*(shorts)), V)
#endif

namespace fingergen {

// Vectors of kLanes floats.
template <int64_t Lanes>
struct Vectors {
  static constexpr int64_t kLanes = Lanes;
  typedef float V __attribute__((vector_size(Lanes * sizeof(float))));
  typedef uint32_t Bits __attribute__((vector_size(Lanes * sizeof(float))));
  typedef int32_t Whole __attribute__((vector_size(Lanes * sizeof(float))));
  typedef double Wide __attribute__((vector_size(Lanes * sizeof(double))));
  typedef int16_t Shorts __attribute__((vector_size(Lanes * sizeof(int16_t))));
  typedef V InMemory __attribute__((aligned(alignof(float)), may_alias));
  typedef Shorts ShortsInMemory __attribute__((aligned(alignof(int16_t)), may_alias));

  static FINGERGEN_INLINE V all(float value) { return V{} + value; }
  static FINGERGEN_INLINE V broadcast(const float* place) { return all(*place); }
  static FINGERGEN_INLINE V load(const float* place) { return *reinterpret_cast<const InMemory*>(place); }
  static FINGERGEN_INLINE V load(const int16_t* place) {
    return convert<V>(static_cast<Shorts>(*reinterpret_cast<const ShortsInMemory*>(place)));
  }
  static FINGERGEN_INLINE void store(float* place, V value) { *reinterpret_cast<InMemory*>(place) = value; }
  static FINGERGEN_INLINE void store(int16_t* place, V whole) {
    *reinterpret_cast<ShortsInMemory*>(place) = convert<Shorts>(convert<Whole>(whole));  // in one go, GCC takes it apart
  }
  template <typename To, typename From>
  static FINGERGEN_INLINE To convert(From value) {
    return __builtin_convertvector(value, To);
  }
  static FINGERGEN_INLINE V power_of_two(V shifted) {
    return reinterpret_cast<V>((reinterpret_cast<Bits>(shifted) << 23) + 0x3f800000u);
  }
  static FINGERGEN_INLINE V madd(V a, V b, V c) { return a * b + c; }  // of one rounding or two

  // a and b by turns: a0 b0 a1 b1 ..., in two vectors; and back.
  static FINGERGEN_INLINE void zip(V a, V b, V& first, V& second) {
    zip(a, b, first, second, Indices{});
  }
  static FINGERGEN_INLINE void unzip(V first, V second, V& a, V& b) {
    unzip(first, second, a, b, Indices{});
  }

 private:
  using Indices = std::make_integer_sequence<int, static_cast<int>(Lanes)>;

  template <int... I>
  static FINGERGEN_INLINE void zip(V a, V b, V& first, V& second, std::integer_sequence<int, I...>) {
    constexpr int lanes = static_cast<int>(Lanes);
    const V low = __builtin_shufflevector(a, b, (I / 2 + (I % 2) * lanes)...);
    second = __builtin_shufflevector(a, b, ((lanes + I) / 2 + (I % 2) * lanes)...);
    first = low;
  }
  template <int... I>
  static FINGERGEN_INLINE void unzip(V first, V second, V& a, V& b, std::integer_sequence<int, I...>) {
    const V even = __builtin_shufflevector(first, second, (2 * I)...);
    b = __builtin_shufflevector(first, second, (2 * I + 1)...);
    a = even;
  }
};

#ifdef FINGERGEN_FUSE
// With an instruction set that multiplies and adds in one.
template <int64_t Lanes>
struct Fused : Vectors<Lanes> {
  using V = typename Vectors<Lanes>::V;
  // What GCC makes of a vector of equal elements is slow in a loop.
  static FINGERGEN_INLINE V broadcast(const float* place) {
    V vector;
    FINGERGEN_BROADCAST(vector, place);
    return vector;
  }
  using Vectors<Lanes>::load;
  static FINGERGEN_INLINE V load(const int16_t* place) {
    V vector;  // which GCC would convert in halves
    FINGERGEN_WIDEN(vector, reinterpret_cast<const typename Vectors<Lanes>::ShortsInMemory*>(place));
    return vector;
  }
  static FINGERGEN_INLINE V madd(V a, V b, V c) {
    FINGERGEN_FUSE(c, a, b);
    return c;
  }
  static FINGERGEN_INLINE V mul(V a, V b) {
    V product = a * b;
    FINGERGEN_OPAQUE(product);
    return product;
  }
};
#endif

// Without: by way of double, where the product is exact. The sum is then rounded twice, which is the same but for one
// time in 2^29.
template <int64_t Lanes>
struct Widened : Vectors<Lanes> {
  using V = typename Vectors<Lanes>::V;
  using Wide = typename Vectors<Lanes>::Wide;
  static FINGERGEN_INLINE V madd(V a, V b, V c) {
    return __builtin_convertvector(widen(a) * widen(b) + widen(c), V);
  }
  static FINGERGEN_INLINE V mul(V a, V b) { return a * b; }
  static FINGERGEN_INLINE Wide widen(V value) { return __builtin_convertvector(value, Wide); }
};

#if defined(__x86_64__) && !defined(FINGERGEN_PORTABLE)

// Kernel<M>::run(args...), compiled for AVX-512, for AVX2 with FMA and for x86-64 as such; the first that the processor
// has. What is called must be FINGERGEN_INLINE, as for with_simd.
template <template <typename> class Kernel, typename... Args>
void with_fma(const Args&... args) {
  static const bool avx512 = detail::has_avx512(), avx2 = detail::has_avx2();
  if (avx512) {
    detail::run_avx512<Kernel<Fused<16>>>(args...);
  } else if (avx2) {
    detail::run_avx2<Kernel<Fused<8>>>(args...);
  } else {
    Kernel<Widened<4>>::run(args...);
  }
}

#elif defined(__aarch64__) && !defined(FINGERGEN_PORTABLE)

template <template <typename> class Kernel, typename... Args>
void with_fma(const Args&... args) {
  Kernel<Fused<4>>::run(args...);
}

#else

template <template <typename> class Kernel, typename... Args>
void with_fma(const Args&... args) {
  Kernel<Widened<4>>::run(args...);
}

#endif

}  // namespace fingergen
