#include "fused_leaky_relu/fused_leaky_relu.h"

#include <algorithm>

#include "common/simd.h"

namespace fingergen {
namespace {

constexpr int64_t kChunk = 1 << 15;  // elements a thread takes at a time

template <typename T>
struct Activate {
  static FINGERGEN_INLINE T element(const FusedLeakyReLU& op, float x, float bias) {
    const float biased = x + bias;
    return from_float<T>(op.scale * (biased < 0 ? op.negative_slope * biased : biased));
  }

  // Elements [first, last) of the flat tensor, a run of one bias (inner > 1) or of all biases (inner = 1) at a time.
  static FINGERGEN_INLINE void run(FusedLeakyReLU op, const T* x, const T* bias, T* y, int64_t c, int64_t inner,
                                   int64_t first, int64_t last) {
    const int64_t length = inner > 1 ? inner : c;
    for (int64_t begin = first; begin < last;) {
      const int64_t run = begin / length;
      const int64_t end = std::min(last, (run + 1) * length);
      if (inner > 1) {
        const float b = to_float(bias[run % c]);
        FINGERGEN_INDEPENDENT
        for (int64_t i = begin; i < end; ++i) y[i] = element(op, to_float(x[i]), b);
      } else {
        FINGERGEN_INDEPENDENT
        for (int64_t i = begin; i < end; ++i) y[i] = element(op, to_float(x[i]), to_float(bias[i - run * c]));
      }
      begin = end;
    }
  }
};

}  // namespace

template <typename T>
void fused_leaky_relu_cpu(const FusedLeakyReLU& op, const T* x, const T* bias, T* y, int64_t n, int64_t c,
                          int64_t inner, const ParallelFor& parallel_for) {
  for_ranges(parallel_for, n * c * inner, kChunk, [&](int64_t first, int64_t last) {
    with_simd<Activate<T>>(op, x, bias, y, c, inner, first, last);
  });
}

template void fused_leaky_relu_cpu(const FusedLeakyReLU&, const float*, const float*, float*, int64_t, int64_t,
                                   int64_t, const ParallelFor&);
template void fused_leaky_relu_cpu(const FusedLeakyReLU&, const Half*, const Half*, Half*, int64_t, int64_t, int64_t,
                                   const ParallelFor&);

}  // namespace fingergen
