// FusedLeakyReLU: y = scale * leaky_relu(x + bias).
#pragma once

#include <cstdint>

#include "common/half.h"
#include "common/parallel.h"

struct CUstream_st;

namespace fingergen {

struct FusedLeakyReLU {
  float negative_slope = 0.2f;
  float scale = 1.41421356237f;
};

// x and y [N, C, inner], contiguous, may be the same; bias [C]. T is float or Half, arithmetic is in float.
template <typename T>
void fused_leaky_relu_cpu(const FusedLeakyReLU& op, const T* x, const T* bias, T* y, int64_t n, int64_t c,
                          int64_t inner, const ParallelFor& parallel_for);

// The same on the device, queued on `stream`. Returns null, or what CUDA says went wrong.
template <typename T>
const char* fused_leaky_relu_cuda(const FusedLeakyReLU& op, const T* x, const T* bias, T* y, int64_t n, int64_t c,
                                  int64_t inner, CUstream_st* stream);

}  // namespace fingergen
