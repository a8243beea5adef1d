#include "to_rgb/to_rgb.h"

#include <algorithm>
#include <vector>

#include "common/simd.h"

namespace fingergen {
namespace {

constexpr int64_t kChunk = 1 << 14;  // samples of x that a thread takes at a time, about
constexpr int64_t kRows = 4;         // that stay in a cache while the input channels add to them

struct Rows {
  // Rows [begin, end) of channel c of image n. `between` has room for a row of the image and a zero at both ends.
  static FINGERGEN_INLINE void run(const ToRGBArrays& arrays, int64_t n, int64_t c, int64_t begin, int64_t end,
                                   float* between) {
    const int64_t side = arrays.side, width = 2 * side, count = (end - begin) * width;
    float* const y = arrays.y + (n * arrays.channels + c) * width * width + begin * width;
    const float bias = arrays.bias[c];
    for (int64_t k = 0; k < count; ++k) y[k] = bias;
    for (int64_t i = 0; i < arrays.inputs; ++i) {
      const float* const x = arrays.x + (n * arrays.inputs + i) * width * width + begin * width;
      const float factor = arrays.weight[c * arrays.inputs + i] * arrays.style[n * arrays.inputs + i];
      FINGERGEN_INDEPENDENT
      for (int64_t k = 0; k < count; ++k) y[k] += factor * x[k];
    }
    const float* const image = arrays.image + (n * arrays.channels + c) * side * side;
    for (int64_t row = begin; row < end; ++row) add(arrays, image, row, between, y + (row - begin) * width);
  }

  // Adds row `row` of the upsampled image. Of four taps, two meet samples and two zeros: which, alternates.
  static FINGERGEN_INLINE void add(const ToRGBArrays& arrays, const float* image, int64_t row, float* between, float* y) {
    const int64_t side = arrays.side, odd = row % 2, above = row / 2 - 1 + odd;
    const float *const taps = arrays.taps, *const border = arrays.border;
    const float scale = border[row];
    const float first = above >= 0 ? scale * taps[3 - odd] : 0, second = above + 1 < side ? scale * taps[1 - odd] : 0;
    const float* const upper = image + std::max<int64_t>(above, 0) * side;
    const float* const lower = image + std::min(above + 1, side - 1) * side;
    float* const middle = between + 1;
    between[0] = middle[side] = 0;
    FINGERGEN_INDEPENDENT
    for (int64_t k = 0; k < side; ++k) middle[k] = first * upper[k] + second * lower[k];
    FINGERGEN_INDEPENDENT
    for (int64_t k = 0; k < side; ++k) {
      y[2 * k] += border[2 * k] * (taps[3] * middle[k - 1] + taps[1] * middle[k]);
      y[2 * k + 1] += border[2 * k + 1] * (taps[2] * middle[k] + taps[0] * middle[k + 1]);
    }
  }
};

}  // namespace

void to_rgb_cpu(const ToRGBArrays& arrays, const ParallelFor& parallel_for) {
  const int64_t height = 2 * arrays.side;
  const int64_t rows = std::max<int64_t>(kChunk / std::max<int64_t>(1, arrays.inputs * height), 1);
  for (int64_t n = 0; n < arrays.n; ++n) {
    for_ranges(parallel_for, height, rows, [&](int64_t begin, int64_t end) {
      std::vector<float> between(arrays.side + 2);
      for (int64_t row = begin; row < end; row += kRows) {
        for (int64_t c = 0; c < arrays.channels; ++c) {
          with_simd<Rows>(arrays, n, c, row, std::min(row + kRows, end), between.data());
        }
      }
    });
  }
}

}  // namespace fingergen
