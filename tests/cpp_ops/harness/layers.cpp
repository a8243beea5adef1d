// Whole layers on one thread, for a caller in Python.
#include "modulation/modulation.h"
#include "styled_conv/styled_conv.h"
#include "to_levels/to_levels.h"
#include "to_rgb/to_rgb.h"

using fingergen::StyledConv;
using fingergen::StyledConvWeights;

namespace {

// The second half first: a piece follows the one before it, or does not, as with threads.
void in_halves(int64_t count, const std::function<void(int64_t)>& chunk) {
  for (int64_t i = 0; i < count; ++i) chunk((i + count / 2) % count);
}

}  // namespace

extern "C" void styled_conv(const int64_t* sizes, const float* x, const float* style, const float* weight,
                            const float* noise, const float* bias, const float* taps, const float* strength,
                            float* y) {
  const auto [n, outputs, inputs, height, width, noise_n] =
      reinterpret_cast<const int64_t(&)[6]>(*sizes);
  StyledConv op;
  op.up = taps != nullptr;
  const auto weights = StyledConvWeights::of(op, weight, outputs, inputs);
  fingergen::styled_conv_cpu(op, *weights, {n, height, width, noise_n, x, style, noise, bias, taps, strength, y},
                             in_halves);
}

extern "C" void to_rgb(const int64_t* sizes, const float* x, const float* style, const float* weight, const float* bias,
                       const float* image, const float* taps, const float* border, float* y) {
  const auto [n, channels, inputs, side] = reinterpret_cast<const int64_t(&)[4]>(*sizes);
  fingergen::to_rgb_cpu({n, channels, inputs, side, x, style, weight, bias, image, taps, border, y}, in_halves);
}

extern "C" void to_levels(int64_t count, const float* x, uint8_t* y) { fingergen::to_levels_cpu(x, y, count, in_halves); }

extern "C" void modulation(const int64_t* sizes, const float* w, const float* weight, const float* bias, float* style) {
  const auto [n, stride, dim, inputs] = reinterpret_cast<const int64_t(&)[4]>(*sizes);
  fingergen::modulation_cpu({n, stride, dim, inputs, w, weight, bias, style});
}
