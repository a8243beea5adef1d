// From a template, and the fields that a network reads off it, to a ridge map with these minutiae. The reference in NumPy is
// runtime/fingers/reconstruction/ridges.py.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fingergen {

struct TemplateView {
  int width;              // pixels of its square field of view
  double ppi;
  const double *places;   // (count, 3): x and y in pixels, angle in degrees
  const uint8_t *types;   // 0: not known, 1: ending, 2: bifurcation
  size_t count;
};

// `fields` (4, cells, cells): see FIELDS in runtime/minutiae/raster.py. `ridges` and `contact` get (size, size) values; size
// divides by 32.
void make_ridge_map(const TemplateView &view, const float *fields, int cells, int size, float *ridges, float *contact);

}  // namespace fingergen

// For the Python runtime: as above, 0 or, where memory is short, 1.
extern "C" __attribute__((visibility("default"))) int fingergen_kernel_ridge_map(
    int width, double ppi, const double *places, const uint8_t *types, size_t count, const float *fields, int cells, int size,
    float *ridges, float *contact);
