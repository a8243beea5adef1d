// Short convolutions by evaluation at points and interpolation, in one dimension; two dimensions are one after the
// other. What divides is in the weights, which are transformed once.
#pragma once

#include <cstdint>

#include "common/simd.h"

namespace fingergen::styled_conv {

// F(4, 3): six inputs to four outputs of a 3-tap correlation, six products. Points 0, 1, -1, 2, -2, infinity.
struct Plain {
  static constexpr int64_t kInputs = 6, kPoints = 6, kWeights = 6, kOutputs = 4;
  static constexpr int64_t kBefore = 1;  // inputs that a tile reads before its four own ones
  static constexpr double kTaps[kWeights][3] = {{1. / 4, 0, 0},
                                                {-1. / 6, -1. / 6, -1. / 6},
                                                {-1. / 6, 1. / 6, -1. / 6},
                                                {1. / 24, 1. / 12, 1. / 6},
                                                {1. / 24, -1. / 12, 1. / 6},
                                                {0, 0, 1}};
  static constexpr int64_t weight_of(int64_t point) { return point; }

  // kTaps times three taps.
  template <typename V>
  static FINGERGEN_INLINE void weights(const V* taps, V* points) {
    const V near = -1 / 6.0f * (taps[0] + taps[2]), near1 = 1 / 6.0f * taps[1];
    const V far = 1 / 24.0f * (taps[0] + 4.0f * taps[2]), far1 = 1 / 12.0f * taps[1];
    points[0] = 0.25f * taps[0];
    points[1] = near - near1, points[2] = near + near1;
    points[3] = far + far1, points[4] = far - far1;
    points[5] = taps[2];
  }

  template <typename V>
  static FINGERGEN_INLINE void input(const V* d, V* points, int64_t stride) {
    const V d0 = d[0], d1 = d[1], d2 = d[2], d3 = d[3], d4 = d[4], d5 = d[5];
    const V even = d4 - 4.0f * d2, odd = d3 - 4.0f * d1, near = d4 - d2, far = 2.0f * (d3 - d1);
    points[0] = 4.0f * d0 - 5.0f * d2 + d4;
    points[stride] = even + odd;
    points[2 * stride] = even - odd;
    points[3 * stride] = near + far;
    points[4 * stride] = near - far;
    points[5 * stride] = 4.0f * d1 - 5.0f * d3 + d5;
  }

  template <typename V>
  static FINGERGEN_INLINE void output(const V* m, V* y, int64_t stride) {
    const V m1 = m[1], m2 = m[2], m3 = m[3], m4 = m[4];
    const V sum1 = m1 + m2, difference1 = m1 - m2, sum2 = m3 + m4, difference2 = m3 - m4;
    y[0] = m[0] + sum1 + sum2;
    y[stride] = difference1 + 2.0f * difference2;
    y[2 * stride] = sum1 + 4.0f * sum2;
    y[3 * stride] = difference1 + 8.0f * difference2 + m[5];
  }
};

// Transposed convolution of stride 2 with 3 taps: four inputs to the nine outputs that they have a part in, the last of
// which is also the next tile's first. Outputs 0, 2, ... 8 are the product of a cubic and a linear polynomial, five
// products at points 0, 1, -1, 2, infinity; 1, 3, 5, 7 are the inputs times the middle tap.
struct Up {
  static constexpr int64_t kInputs = 4, kPoints = 9, kWeights = 6, kOutputs = 9;
  static constexpr int64_t kBefore = 0;
  static constexpr double kTaps[kWeights][3] = {{1, 0, 0},           {1. / 2, 0, 1. / 2}, {1. / 2, 0, -1. / 2},
                                                {1. / 6, 0, 2. / 6}, {0, 0, 1},           {0, 1, 0}};
  static constexpr int64_t weight_of(int64_t point) { return point < 5 ? point : 5; }

  // kTaps times three taps.
  template <typename V>
  static FINGERGEN_INLINE void weights(const V* taps, V* points) {
    const V half0 = 0.5f * taps[0], half2 = 0.5f * taps[2];
    points[0] = taps[0];
    points[1] = half0 + half2, points[2] = half0 - half2;
    points[3] = 1 / 3.0f * (half0 + taps[2]);
    points[4] = taps[2];
    points[5] = taps[1];
  }

  template <typename V>
  static FINGERGEN_INLINE void input(const V* d, V* points, int64_t stride) {
    const V d0 = d[0], d1 = d[1], d2 = d[2], d3 = d[3];
    const V even = d0 + d2, odd = d1 + d3;
    points[0] = d0;
    points[stride] = even + odd;
    points[2 * stride] = even - odd;
    points[3 * stride] = d0 + 4.0f * d2 + 2.0f * (d1 + 4.0f * d3);
    points[4 * stride] = d3;
    points[5 * stride] = d0, points[6 * stride] = d1, points[7 * stride] = d2, points[8 * stride] = d3;
  }

  template <typename V>
  static FINGERGEN_INLINE void output(const V* m, V* y, int64_t stride) {
    const V m0 = m[0], m1 = m[1], m2 = m[2], m4 = m[4];
    const V middle = m1 + m2 - m0 - m4, odd = m1 - m2;
    const V y6 = m[3] - (1 / 6.0f * m0 + 1 / 3.0f * odd + 2 / 3.0f * middle + 8 / 3.0f * m4);
    y[0] = m0, y[2 * stride] = odd - y6, y[4 * stride] = middle, y[6 * stride] = y6, y[8 * stride] = m4;
    y[stride] = m[5], y[3 * stride] = m[6], y[5 * stride] = m[7], y[7 * stride] = m[8];
  }
};

}  // namespace fingergen::styled_conv
