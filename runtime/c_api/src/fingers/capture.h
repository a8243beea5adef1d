// Impressions of a finger: how they are taken, what a generator with ridge noise takes of them, and their truth. As
// runtime/fingers/capture and truth.py have them.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "../template.h"
#include "master.h"

namespace fingergen {

struct Skin {  // each (side, side)
  std::vector<float> ridges;   // -1 in a valley … 1 on a ridge, times contact
  std::vector<float> contact;  // 0 where nothing touches … 1 where the skin does
};

using Traits = std::map<std::string, double>;  // what only shows in the image, by the names of look.py

// The number of a look whose effect is a trait; nothing for an unknown name.
std::optional<float> look_of(const Traits &traits, const std::string &name);

// How a print looks whose finger is not grown from a seed, as in preset easy.
Traits sample_traits(uint64_t seed);

class Capture {
 public:
  // `preset`: easy, medium, hard or partial; BadInput for another.
  Capture(const Master &finger, uint32_t number, const std::string &preset);

  Skin skin(const Master &finger, int step) const;  // at one pixel for `step` by `step` of the window, which it divides
  Template truth(const Master &finger) const;       // in the window, at 500 ppi

  const Traits &traits() const { return traits_; }

 private:
  struct Ripple {  // of the skin's displacement
    float kx, ky, phase, across, down;
  };
  struct Contact {  // its outline, in pixels of the master
    float x, y, wide, above, below, rough;
  };

  Place placed(Place point) const;  // where a point of the skin lands in the window
  double depth(const Master &finger, double x, double y, float wobble) const;  // to the edge of contact
  double line_depth(double x, double y, float widened) const;  // 1 in the middle of a crease or cut, 0 away from it
  bool shows(const Master &finger, Place point, Place placed, const std::vector<float> &unevenness) const;

  int window_;
  double rotation_;  // degrees
  float shift_[2], middle_;
  std::vector<Ripple> ripples_;
  Contact contact_;
  std::vector<Line> lines_;
  int cells_;  // a side of the grid of uneven pressure
  std::vector<float> uneven_;
  Traits traits_;
};

}  // namespace fingergen
