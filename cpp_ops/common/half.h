// float16 as a storage type on the host: kernels convert to float, compute, and convert back.
#pragma once

#include <cstdint>
#include <cstring>

#include "common/simd.h"

namespace fingergen {

// IEEE 754 binary16. The layout is that of Ort::Float16_t, __half and numpy.float16.
struct Half {
  uint16_t bits;
};

namespace detail {

template <typename To, typename From>
FINGERGEN_INLINE To bit_cast(From value) {
  static_assert(sizeof(To) == sizeof(From), "bit_cast needs equal sizes");
  To result;
  std::memcpy(&result, &value, sizeof(To));
  return result;
}

}  // namespace detail

FINGERGEN_INLINE float to_float(float value) { return value; }

// Exact. Written without branches, so that compilers vectorise loops over it.
FINGERGEN_INLINE float to_float(Half value) {
  const uint32_t magnitude = value.bits & 0x7fffu;
  // Exponent and mantissa in float's places; the product moves the bias from 15 to 127 and normalizes subnormals.
  const float rebiased = detail::bit_cast<float>(magnitude << 13) * 0x1p112f;
  const uint32_t finite = detail::bit_cast<uint32_t>(rebiased);
  const uint32_t bits = magnitude >= 0x7c00u ? finite | 0x7f800000u : finite;
  return detail::bit_cast<float>(bits | (uint32_t{value.bits} & 0x8000u) << 16);
}

template <typename T>
T from_float(float value);

template <>
FINGERGEN_INLINE float from_float<float>(float value) {
  return value;
}

// Rounds to nearest, ties to even; above 65504 to infinity.
template <>
FINGERGEN_INLINE Half from_float<Half>(float value) {
  const uint32_t bits = detail::bit_cast<uint32_t>(value);
  const uint32_t magnitude = bits & 0x7fffffffu;
  // Adding 0.5 aligns a subnormal result's last place (2^-24) with float's own, whose addition then rounds it.
  const uint32_t half_bits = 0x3f000000u;
  const uint32_t subnormal =
      detail::bit_cast<uint32_t>(detail::bit_cast<float>(magnitude) + detail::bit_cast<float>(half_bits)) - half_bits;
  // Elsewhere rounding is integer arithmetic on the bits; a carry out of the mantissa raises the exponent, as it must.
  const uint32_t normal = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - (112u << 23)) >> 13;
  uint32_t result = magnitude < 0x38800000u ? subnormal : normal;
  result = magnitude >= 0x47800000u ? 0x7c00u : result;
  result = magnitude > 0x7f800000u ? 0x7e00u : result;
  return Half{static_cast<uint16_t>(result | (bits & 0x80000000u) >> 16)};
}

}  // namespace fingergen
