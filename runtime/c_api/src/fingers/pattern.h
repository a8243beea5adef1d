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

class Pattern {
 public:
  explicit Pattern(uint64_t seed);

  float orientation(double x, double y) const;   // radians counter-clockwise as seen, modulo π; finger coordinates
  float ridge_period(double x, double y) const;  // pixels at 500 ppi
  Place focus() const;                           // the middle of the pattern

  std::vector<Place> cores, deltas;

 private:
  enum class Kind { arch, tented_arch, left_loop, right_loop, whorl };

  double background(double x, double y) const;

  Kind kind_;
  double tilt_, bend_, arch_height_, arch_width_, leg_, leg_radius_, spiral_ = 0, spiral_radius_, period_;
  double rest_at_focus_;  // the field without its cores, in the middle of the pattern
  std::vector<Wave> orientation_waves_, period_waves_;
};

}  // namespace fingergen
