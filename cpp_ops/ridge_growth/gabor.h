// The arithmetic of RidgeGrowth, the same operations in the same order for vectors of a CPU and for a GPU's threads: so
// all kernels give the same bits. M says what a value V is, and has two products that may enter a sum: madd, of one
// rounding, and mul, which no compiler fuses. No plain product here is the term of a sum.
#pragma once

#include <cstdint>

#include "common/simd.h"

#ifdef __CUDACC__
#define FINGERGEN_EITHER __host__ __device__ inline
#else
#define FINGERGEN_EITHER FINGERGEN_INLINE
#endif

namespace fingergen {

template <typename M>
struct Gabor {
  using V = typename M::V;

  // e^x for x <= 88, 0 or denormal below -87. A polynomial on |r| <= ln 2 / 2, error 2e-9, times a power of two.
  static FINGERGEN_EITHER V exp(V x) {
    const V low = M::all(-87.0f);
    x = x < low ? low : x;
    const V magic = M::all(12582912.0f);  // 1.5 * 2^23: its sum has the nearest integer in its lowest bits
    const V shifted = M::madd(x, M::all(1.44269504f), magic);
    const V n = shifted - magic;
    V r = M::madd(n, M::all(-0.693359375f), x);
    r = M::madd(n, M::all(2.12194440e-4f), r);
    V p = M::all(1.395621626e-3f);
    p = M::madd(p, r, M::all(8.375231711e-3f));
    p = M::madd(p, r, M::all(4.166608081e-2f));
    p = M::madd(p, r, M::all(1.666641424e-1f));
    p = M::madd(p, r, M::all(5.000000170e-1f));
    p = M::madd(p, r, M::all(1.000000038f));
    p = M::madd(p, r, M::all(1.0f));
    return M::mul(p, M::power_of_two(shifted));
  }

  // cos(2 pi t). A polynomial in t^2 on |t| <= 1/2, error 1e-8.
  static FINGERGEN_EITHER V cos_turns(V t) {
    const V magic = M::all(12582912.0f);
    t = t - ((t + magic) - magic);
    const V x = t * t;
    V p = M::all(6.529609731f);
    p = M::madd(p, x, M::all(-25.96831279f));
    p = M::madd(p, x, M::all(60.16783159f));
    p = M::madd(p, x, M::all(-85.45016553f));
    p = M::madd(p, x, M::all(64.93911898f));
    p = M::madd(p, x, M::all(-19.73920453f));
    return M::madd(p, x, M::all(1.0f));
  }

  static FINGERGEN_EITHER V tanh(V x) {
    const V magnitude = x < M::all(0.0f) ? -x : x;
    const V e = exp(magnitude * M::all(-2.0f));
    const V y = (M::all(1.0f) - e) / (M::all(1.0f) + e);
    return x < M::all(0.0f) ? -y : y;
  }

  // Of one place: the unit vector of the ridge in samples, y down, and what the kernel's size depends on.
  V along_x, along_y, frequency, across_decay, along_decay;
  V half_bend;  // half the curvature, per sample; 0: the kernel is even

  // The orientations beside the place tell how its ridge bends.
  FINGERGEN_EITHER Gabor(V orientation, V period, V west, V east, V north, V south) {
    const V turns = M::mul(orientation, M::all(0.159154943f));
    along_x = cos_turns(turns);
    along_y = cos_turns(turns + M::all(0.25f));  // -sin: up is down
    frequency = M::all(1.0f) / period;
    const V squared = frequency * frequency;
    across_decay = squared * M::all(-2.4691358f);  // -1 / (2 * 0.45^2)
    along_decay = squared * M::all(-1.6528926f);   // -1 / (2 * 0.55^2)
    // In half turns in two samples: in radians in a period, with y down.
    const V turn = M::madd(half_turns(east - west), along_x, M::mul(half_turns(south - north), along_y));
    const V bend = M::mul(turn, M::mul(period, M::all(-1.57079633f)));
    const V magnitude = bend < M::all(0.0f) ? -bend : bend;
    const V rise = (magnitude + magnitude) - M::all(2 * kStraight);
    V kept = rise < magnitude ? rise : magnitude;
    kept = kept < M::all(0.0f) ? M::all(0.0f) : kept > M::all(kMostBend) ? M::all(kMostBend) : kept;
    half_bend = M::mul(bend < M::all(0.0f) ? -kept : kept, M::mul(frequency, M::all(0.5f)));
  }

  // Of an offset: how far along the ridge, squared, and across it.
  FINGERGEN_EITHER void place(float offset_x, float offset_y, V& along_squared, V& across) const {
    const V dx = M::all(offset_x), dy = M::all(offset_y);
    const V along = M::madd(dx, along_x, M::mul(dy, along_y));
    across = M::madd(dy, along_x, -M::mul(dx, along_y));
    along_squared = along * along;
  }
  // Envelope and wave of the kernel there.
  FINGERGEN_EITHER void at(V along_squared, V across, V& envelope, V& wave) const {
    envelope = exp(M::madd(along_squared, along_decay, M::mul(across * across, across_decay)));
    wave = cos_turns(M::mul(across, frequency));
  }
  // By how much a bent ridge leaves a straight one there: across - arc is across the ridge itself, and across + arc, up
  // to the sign, at the opposite offset.
  FINGERGEN_EITHER V arc(V along_squared) const { return M::mul(half_bend, along_squared); }

 private:
  // Ridges bent less than kStraight radians in a period are taken for straight, so that most kernels are even; from
  // twice that on they bend in full, up to kMostBend.
  static constexpr float kStraight = 0.15f, kMostBend = 1.0f;

  // Orientations are alike after half a turn.
  static FINGERGEN_EITHER V half_turns(V radians) {
    const V magic = M::all(12582912.0f);
    const V t = M::mul(radians, M::all(0.318309886f));
    return t - ((t + magic) - magic);
  }
};

// Sums over a kernel, from which its weights follow: the mean is taken off, so that the kernel answers 0 to a flat
// image, and the gain makes it answer 1 to a wave of its own period. Before the gain weights lie within -2 and 2. Those
// of two opposite offsets are kept as half their sum and half their difference, in whole multiples of 2 / 32766, which
// halves what a round reads, and the gain is applied to their sum. The differences are 0 where the ridge is straight.
template <typename M>
struct Normalization {
  using V = typename M::V;
  V total, waves, squares;

  FINGERGEN_EITHER Normalization() : total(M::all(1.0f)), waves(total), squares(total) {}  // of the middle

  // Two opposite offsets that are alike, and two that differ: the same bits for equal ones.
  FINGERGEN_EITHER void add_pair(V envelope, V wave) {
    const V product = M::mul(envelope, wave), square = M::mul(product, wave);
    total = total + (envelope + envelope);
    waves = waves + (product + product);
    squares = squares + (square + square);
  }
  FINGERGEN_EITHER void add_pair(V envelope, V wave, V other_envelope, V other_wave) {
    const V product = M::mul(envelope, wave), other_product = M::mul(other_envelope, other_wave);
    total = total + (envelope + other_envelope);
    waves = waves + (product + other_product);
    squares = squares + (M::mul(product, wave) + M::mul(other_product, other_wave));
  }
  FINGERGEN_EITHER V mean() const { return waves / total; }
  FINGERGEN_EITHER V scale() const { return M::all(2.0f / 32766.0f) / M::madd(-mean(), waves, squares); }

  // The weight of an offset, in these multiples: exactly, and rounded.
  static FINGERGEN_EITHER V exact(V envelope, V wave, V mean) {
    return M::mul(envelope * (wave - mean), M::all(32766.0f / 2.0f));
  }
  static FINGERGEN_EITHER V rounded(V weight) {
    const V magic = M::all(12582912.0f);
    return (weight + magic) - magic;
  }
};

}  // namespace fingergen
