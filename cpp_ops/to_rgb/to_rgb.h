// ToRGB: a level's part of a StyleGAN2 image (Karras et al., arXiv:1912.04958), on top of the level below.
//   y = weight * (x * style) + bias + border * border^T * upsampled(image)
// weight is a 1x1 convolution; upsampled inserts a zero after each sample, in both directions, and filters with a 4x4 FIR
// kernel, padded by 2 before and by 1 behind.
//
// Every sum has one fixed order: so the same bits come out whatever the batch and the number of threads.
#pragma once

#include <cstdint>

#include "common/parallel.h"

namespace fingergen {

// x [n, inputs, 2 side, 2 side]; style [n, inputs]; weight [channels, inputs]; bias [channels]; image [n, channels, side,
// side]; taps [4] of the FIR filter, whose kernel is taps x taps; border [2 side]; y [n, channels, 2 side, 2 side]. All
// contiguous, y apart from the rest.
struct ToRGBArrays {
  int64_t n, channels, inputs, side;
  const float *x, *style, *weight, *bias, *image, *taps, *border;
  float* y;
};

void to_rgb_cpu(const ToRGBArrays& arrays, const ParallelFor& parallel_for);

}  // namespace fingergen
