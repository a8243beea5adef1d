// Minutiae templates, as runtime/minutiae/template.py has them; and what a bundle's networks take of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "fingergen.h"

namespace fingergen {

constexpr fingergen_minutia_type kOther = FINGERGEN_OTHER, kEnding = FINGERGEN_ENDING, kBifurcation = FINGERGEN_BIFURCATION;

struct Template {
  int width = 0, height = 0;
  double ppi = 500;
  std::vector<fingergen_minutia> minutiae;
  std::vector<fingergen_point> cores, deltas;
};

// The first finger view of an ISO/IEC 19794-2:2005 record; BadInput for anything else.
Template read_template(const uint8_t *data, size_t size);

// BadInput where a value is impossible.
void check(const Template &given);

Template rescaled(const Template &given, double ppi);

// At `ppi` in an image of `side` pixels, with the same middle; what lies outside it is dropped.
Template to_field_of_view(const Template &given, int side, double ppi);

constexpr int kCells = 64, kChannels = 10, kFields = 4;  // of runtime/minutiae/raster.py

// Cell by cell (kChannels, kCells, kCells); see rasterize of that file.
std::vector<float> rasterize(const Template &given);

}  // namespace fingergen
