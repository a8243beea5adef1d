#include "modulation/modulation.h"

#include "common/simd.h"

namespace fingergen {
namespace {

struct Style {
  static FINGERGEN_INLINE void run(const ModulationArrays& arrays, int64_t n) {
    const int64_t inputs = arrays.inputs;
    const float* const w = arrays.w + n * arrays.stride;
    float* const style = arrays.style + n * inputs;
    for (int64_t i = 0; i < inputs; ++i) style[i] = arrays.bias[i];
    for (int64_t d = 0; d < arrays.dim; ++d) {
      const float* const weight = arrays.weight + d * inputs;
      FINGERGEN_INDEPENDENT
      for (int64_t i = 0; i < inputs; ++i) style[i] += w[d] * weight[i];
    }
  }
};

}  // namespace

void modulation_cpu(const ModulationArrays& arrays) {
  for (int64_t n = 0; n < arrays.n; ++n) with_simd<Style>(arrays, n);
}

}  // namespace fingergen
