// ToLevels: an image in [-1, 1] as 256 levels.
//   y = clip(round((x + 1) * 127.5), 0, 255), halves to even
#pragma once

#include <cstdint>

#include "common/parallel.h"

namespace fingergen {

// x and y [count], apart from each other.
void to_levels_cpu(const float* x, uint8_t* y, int64_t count, const ParallelFor& parallel_for);

}  // namespace fingergen
