// What the ridges of a seed's finger follow: runtime/fingers/identity/patterns.py and fields.py.
#pragma once

#include <cstdint>
#include <vector>

namespace fingergen {

// Finger coordinates and master coordinates are pixels at 500 ppi, y down.
struct Place {
  double x, y;
};

constexpr double kStep = 0x1p-14;  // fields are rounded to multiples of it, as in Python, so that libraries agree on them

double rounded_to_step(double value);

struct Wave {
  double kx, ky, phase, amplitude;
};

class WavesAlong;

class Pattern {
 public:
  explicit Pattern(uint64_t seed);

  // On the grid of these columns and rows, in finger coordinates, row by row.
  std::vector<float> orientation(const std::vector<double> &x, const std::vector<double> &y) const;   // radians counter-clockwise as seen, modulo π
  std::vector<float> ridge_period(const std::vector<double> &x, const std::vector<double> &y) const;  // pixels at 500 ppi
  Place focus() const;                           // the middle of the pattern

  std::vector<Place> cores, deltas;

 private:
  enum class Kind { arch, tented_arch, left_loop, right_loop, whorl };

  std::vector<double> background(const std::vector<double> &x, double y, const WavesAlong &waves) const;

  Kind kind_;
  double tilt_, bend_, arch_height_, arch_width_, leg_, leg_radius_, spiral_ = 0, spiral_radius_, period_;
  double rest_at_focus_;  // the field without its cores, in the middle of the pattern
  std::vector<Wave> orientation_waves_, period_waves_;
};

}  // namespace fingergen
