// A layer on one thread, for a caller in Python.
#include "styled_conv/styled_conv.h"

using fingergen::StyledConv;
using fingergen::StyledConvWeights;

extern "C" void styled_conv(const int64_t* sizes, const float* x, const float* style, const float* weight,
                            const float* noise, const float* bias, const float* taps, float* y) {
  const auto [n, outputs, inputs, height, width, noise_n] =
      reinterpret_cast<const int64_t(&)[6]>(*sizes);
  StyledConv op;
  op.up = taps != nullptr;
  const auto weights = StyledConvWeights::of(op, weight, outputs, inputs);
  // The second half first: a piece follows the one before it, or does not, as with threads.
  const fingergen::ParallelFor in_halves = [](int64_t count, const std::function<void(int64_t)>& chunk) {
    for (int64_t i = 0; i < count; ++i) chunk((i + count / 2) % count);
  };
  fingergen::styled_conv_cpu(op, *weights, {n, height, width, noise_n, x, style, noise, bias, taps, y}, in_halves);
}
