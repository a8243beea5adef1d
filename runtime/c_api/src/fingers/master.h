// The master of a seed's finger: its ridge map and minutiae, as runtime/fingers/master.py makes them.
#pragma once

#include <cstdint>
#include <vector>

#include "../onnxruntime.h"
#include "pattern.h"
#include "thinning.h"

namespace fingergen {

struct Line {  // a crease or cut, in pixels of the master; angle in radians
  float x, y, angle, length, width;
};

struct Master {
  std::vector<FingerMinutia> minutiae() const;  // of the ridge map

  Pattern pattern;
  uint64_t seed;
  int window;  // pixels a side of its impressions
  int size;    // pixels a side of the ridge map
  std::vector<float> ridges;  // (size, size), -1 in a valley … 1 on a ridge
  Bits thin;                  // the ridges, thinned to lines
  std::vector<Place> cores, deltas;
  std::vector<Line> creases;
  Place origin;  // the center of the finger pad
};

constexpr int kSmallestWindow = 64, kLargestWindow = 576;

// `growth`: a session of the growth graph. `window` is within its bounds.
Master make_master(uint64_t seed, int window, const Session &growth);

}  // namespace fingergen
