// RidgeGrowth: noise filtered again and again by each place's own Gabor kernel, tanh between rounds, so that ridges
// grow along an orientation field (Cappelli, Erol, Maio and Maltoni, "Synthetic fingerprint-image generation", ICPR
// 2000). Kernels bend as the field does, so that ridges turn smoothly around a core. The same bits from every kernel here, whatever the batch and the number of threads.
#pragma once

#include <cstdint>

#include "common/parallel.h"

struct CUstream_st;

namespace fingergen {

struct RidgeGrowth {
  static constexpr int64_t kMaxRadius = 16;

  int64_t rounds = 30;
  int64_t radius = 6;  // of the kernels, in samples

  // Null, or the attribute at fault.
  const char* invalid() const {
    if (rounds < 0 || rounds > 1000) return "rounds must be in 0..1000";
    if (radius < 1 || radius > kMaxRadius) return "radius must be in 1..16";
    return nullptr;
  }

  // A kernel is taken as its middle and pairs of opposite offsets, of which (dx, dy) has dy > 0 or dy = 0 and dx > 0,
  // that lie in a disc of radius + 1/2.
  constexpr bool in_disc(int64_t dx, int64_t dy) const { return dx * dx + dy * dy <= radius * (radius + 1); }
  constexpr int64_t pairs() const {
    int64_t count = 0;
    for (int64_t dy = -radius; dy <= radius; ++dy) {
      for (int64_t dx = -radius; dx <= radius; ++dx) count += in_disc(dx, dy);
    }
    return count / 2;
  }

  // Bytes that the device needs besides its inputs and output: kernels and image of one finger.
  int64_t scratch_bytes(int64_t height, int64_t width) const { return (2 * (2 * pairs() + 1) + 9) * height * width; }
};

// noise, orientation (radians, counter-clockwise with y up), period (samples) and y, all [n, height, width] and
// contiguous, y apart from the rest; height and width larger than the radius (borders are mirrored).
void ridge_growth_cpu(const RidgeGrowth& op, const float* noise, const float* orientation, const float* period,
                      float* y, int64_t n, int64_t height, int64_t width, const ParallelFor& parallel_for);

// The same on the device, queued on `stream`. Returns null, or what CUDA says went wrong.
const char* ridge_growth_cuda(const RidgeGrowth& op, const float* noise, const float* orientation, const float* period,
                              float* y, int64_t n, int64_t height, int64_t width, void* scratch,
                              CUstream_st* stream);

}  // namespace fingergen
