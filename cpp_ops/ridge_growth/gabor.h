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

  FINGERGEN_EITHER Gabor(V orientation, V period) {
    const V turns = M::mul(orientation, M::all(0.159154943f));
    along_x = cos_turns(turns);
    along_y = cos_turns(turns + M::all(0.25f));  // -sin: up is down
    frequency = M::all(1.0f) / period;
    const V squared = frequency * frequency;
    across_decay = squared * M::all(-2.4691358f);  // -1 / (2 * 0.45^2)
    along_decay = squared * M::all(-1.6528926f);   // -1 / (2 * 0.55^2)
  }

  // Envelope and wave of the kernel at an offset.
  FINGERGEN_EITHER void at(float offset_x, float offset_y, V& envelope, V& wave) const {
    const V dx = M::all(offset_x), dy = M::all(offset_y);
    const V along = M::madd(dx, along_x, M::mul(dy, along_y));
    const V across = M::madd(dy, along_x, -M::mul(dx, along_y));
    envelope = exp(M::madd(along * along, along_decay, M::mul(across * across, across_decay)));
    wave = cos_turns(M::mul(across, frequency));
  }
};

// Sums over a kernel, from which its weights follow: the mean is taken off, so that the kernel answers 0 to a flat
// image, and the gain makes it answer 1 to a wave of its own period. Before the gain weights lie within -2 and 2; they
// are kept as whole multiples of 2 / 32766, which halves what a round reads, and the gain is applied to their sum.
template <typename M>
struct Normalization {
  using V = typename M::V;
  V total, waves, squares;

  FINGERGEN_EITHER Normalization() : total(M::all(1.0f)), waves(total), squares(total) {}  // of the middle

  FINGERGEN_EITHER void add_pair(V envelope, V wave) {
    const V both = envelope + envelope, product = M::mul(both, wave);
    total = total + both;
    waves = waves + product;
    squares = M::madd(product, wave, squares);
  }
  FINGERGEN_EITHER V mean() const { return waves / total; }
  FINGERGEN_EITHER V scale() const { return M::all(2.0f / 32766.0f) / M::madd(-mean(), waves, squares); }

  // The weight of an offset, in these multiples.
  static FINGERGEN_EITHER V weight(V envelope, V wave, V mean) {
    const V magic = M::all(12582912.0f);
    return (M::mul(envelope * (wave - mean), M::all(32766.0f / 2.0f)) + magic) - magic;
  }
};

}  // namespace fingergen
