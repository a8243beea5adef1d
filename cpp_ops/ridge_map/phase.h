// The phase of a ridge pattern with given minutiae; a ridge map is the cosine of it. The method, and the reference in NumPy:
// runtime/fingers/reconstruction/phase.py.
#pragma once

#include <cstdint>
#include <vector>

namespace fingergen {

struct GridMinutia {
  double x, y;   // pixels of the grid, y down
  double angle;  // radians counter-clockwise as seen, as in ISO/IEC 19794-2
  bool ending;   // the end of a ridge; otherwise a bifurcation
  bool typed;    // whether that is known
};

struct PhaseFields {  // each (size, size)
  int size;           // divides by 32
  std::vector<double> orientation, period, weight;
};

// Radians (size, size); its cosine is 1 on ridges and -1 in valleys.
std::vector<double> ridge_phase(const PhaseFields &fields, const std::vector<GridMinutia> &minutiae);

}  // namespace fingergen
