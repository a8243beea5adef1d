// Ridges thinned to lines, and the minutiae that these have: runtime/fingers/identity/minutiae.py.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "pattern.h"

namespace fingergen {

struct FingerMinutia {
  double x, y;   // pixels of the master
  double angle;  // radians counter-clockwise as seen, as in ISO/IEC 19794-2
  bool ending;
};

struct Bits {  // (size, size)
  bool at(int y, int x) const { return pixels[static_cast<size_t>(y) * size + x] != 0; }

  int size;
  std::vector<uint8_t> pixels;
};

// By Zhang and Suen's algorithm (CACM 27(3), 1984), of what is above 0.
Bits thinned(const std::vector<float> &ridges, int size);

// Clear ones, by crossing numbers (Rutovitz, 1966). `orientation`: radians, at a pixel (x, y); `singular`: the cores and
// deltas, in pixels.
std::vector<FingerMinutia> read_minutiae(const Bits &thin, const std::function<double(int, int)> &orientation,
                                         const std::vector<Place> &singular);

}  // namespace fingergen
