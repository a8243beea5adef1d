// StyledConv and StyledUpConv: a whole layer of a StyleGAN2 synthesis network (Karras et al., arXiv:1912.04958).
//   y = scale * leaky_relu(demodulation * conv(x * style, weight) + strength * noise + bias),
//   demodulation = 1 / sqrt(sum over inputs and taps of (weight * style)^2 + epsilon)
// conv is a 3x3 convolution, padded by 1; or, up, a transposed one of stride 2 and then a 4x4 FIR filter, padded by 1.
//
// Both are computed with fewer products than their definitions have (Winograd; Lavin and Gray, arXiv:1509.09308).
// Every sum has one fixed order, which depends on the layer's size alone: so the same bits come out whatever the batch
// and the number of threads.
#pragma once

#include <cstdint>
#include <memory>

#include "common/parallel.h"

namespace fingergen {

struct StyledConv {
  bool up = false;
  float negative_slope = 0.2f;
  float scale = 1.41421356237f;
  float epsilon = 1e-8f;

  int64_t out(int64_t size) const { return up ? 2 * size : size; }
};

// A layer's weights, transformed. Layers with the same weights, such as those of two sessions, share them.
class StyledConvWeights {
 public:
  // weight [outputs, inputs, 3, 3].
  static std::shared_ptr<const StyledConvWeights> of(const StyledConv& op, const float* weight, int64_t outputs,
                                                     int64_t inputs);
  virtual ~StyledConvWeights() = default;
};

// x [n, inputs, height, width]; style [n, inputs]; noise [noise_n, 1, out height, out width], noise_n 1 or n; bias
// [outputs]; taps [4] of the FIR filter, whose kernel is taps x taps, where up; strength [n] of the noise; y [n, outputs,
// out height, out width]. All contiguous, y apart from the rest.
struct StyledConvArrays {
  int64_t n, height, width, noise_n;
  const float *x, *style, *noise, *bias, *taps, *strength;
  float* y;
};

void styled_conv_cpu(const StyledConv& op, const StyledConvWeights& weights, const StyledConvArrays& arrays,
                     const ParallelFor& parallel_for);

}  // namespace fingergen
