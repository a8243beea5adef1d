#include "to_levels/to_levels.h"

#include "common/simd.h"

namespace fingergen {
namespace {

constexpr int64_t kChunk = 1 << 17;  // samples that a thread takes at a time

struct Levels {
  static FINGERGEN_INLINE void run(const float* x, uint8_t* y, int64_t count) {
    const float whole = 1 << 23;  // from here on floats are whole numbers, and sums are rounded to them
    FINGERGEN_INDEPENDENT
    for (int64_t i = 0; i < count; ++i) {
      const float scaled = (x[i] + 1) * 127.5f, above = scaled > 0 ? scaled : 0, clipped = above < 255 ? above : 255;
      y[i] = static_cast<uint8_t>(static_cast<int32_t>(clipped + whole - whole));
    }
  }
};

}  // namespace

void to_levels_cpu(const float* x, uint8_t* y, int64_t count, const ParallelFor& parallel_for) {
  for_ranges(parallel_for, count, kChunk, [&](int64_t begin, int64_t end) {
    with_simd<Levels>(x + begin, y + begin, end - begin);
  });
}

}  // namespace fingergen
