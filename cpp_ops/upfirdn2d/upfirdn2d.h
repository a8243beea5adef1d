// UpFirDn2d: upsample by zeros, pad, convolve with a FIR kernel, keep every `down`-th sample.
#pragma once

#include <cstdint>

#include "common/half.h"
#include "common/parallel.h"

struct CUstream_st;

namespace fingergen {

struct UpFirDn2d {
  int64_t up = 1;
  int64_t down = 1;
  int64_t x0 = 0, x1 = 0, y0 = 0, y1 = 0;  // left, right, top, bottom; negative crops

  // Samples left of `size` along an axis, 0 where the kernel no longer fits.
  int64_t out_size(int64_t size, int64_t taps, int64_t pad0, int64_t pad1) const {
    const int64_t room = size * up + pad0 + pad1 - taps;
    return room < 0 ? 0 : room / down + 1;
  }
  int64_t out_height(int64_t height, int64_t kernel_height) const { return out_size(height, kernel_height, y0, y1); }
  int64_t out_width(int64_t width, int64_t kernel_width) const { return out_size(width, kernel_width, x0, x1); }

  // Limits far outside of any use, within which no index arithmetic overflows. Null, or the attribute at fault.
  const char* invalid() const {
    const int64_t factor = 1 << 10, pad = 1 << 24;
    if (up < 1 || up > factor) return "up must be in 1..1024";
    if (down < 1 || down > factor) return "down must be in 1..1024";
    for (const int64_t p : {x0, x1, y0, y1}) {
      if (p < -pad || p > pad) return "pad must be in -16777216..16777216";
    }
    return nullptr;
  }
};

struct UpFirDn2dSize {
  int64_t planes;  // N * C
  int64_t height, width;
  int64_t kernel_height, kernel_width;
};

// x [planes, height, width], kernel [kernel_height, kernel_width], y [planes, out_height, out_width], all contiguous,
// y apart from x. T is float or Half, arithmetic is in float.
template <typename T>
void upfirdn2d_cpu(const UpFirDn2d& op, const UpFirDn2dSize& size, const T* x, const T* kernel, T* y,
                   const ParallelFor& parallel_for);

// The same on the device, queued on `stream`. Returns null, or what CUDA says went wrong.
template <typename T>
const char* upfirdn2d_cuda(const UpFirDn2d& op, const UpFirDn2dSize& size, const T* x, const T* kernel, T* y,
                           CUstream_st* stream);

}  // namespace fingergen
