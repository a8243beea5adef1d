// What the steps of StyledConv work on, and their forms for the instruction sets.
#pragma once

#include <algorithm>
#include <cstdint>

#include "styled_conv/styled_conv.h"

namespace fingergen::styled_conv {

constexpr int64_t kPanel = 6;    // outputs that a matrix product's innermost loop computes together
constexpr int64_t kCarried = 4;  // rows of the transposed convolution that the next row of tiles needs
constexpr int64_t kTaps = 4;
constexpr int64_t kAligned = 16;  // floats: a cache line. Strides that end one off spread over the cache's sets.

// One image, and the memory of a band.
struct Band {
  StyledConv op;
  uint64_t image;  // no other has this number
  int64_t inputs, outputs;
  const float* taps_of_weights;  // [panel of outputs][tap][input][kPanel], each tap with kAligned more
  const float* weights;  // [weight points^2][panel of outputs][input][kPanel], each point with kAligned more; or null
  int64_t height, width, out_height, out_width;
  const float *x, *style, *noise, *bias, *taps, *demodulation;
  float strength;  // of the noise
  float* y;
  int64_t rows, across;  // tiles in the image
  int64_t lanes;
  int64_t vectors;  // of a panel of columns: 2, or 1 where that holds all of them
  int64_t padded;   // tiles across, in whole vectors

  int64_t first, last;  // rows of tiles
  float *points;        // [point][panel of columns][input][panel width]
  float *products;      // [point][output][columns]
  float *carried;       // [output][kCarried][8][padded], where up
  bool quiet;           // fills `carried` only

  int64_t output_panels() const { return (outputs + kPanel - 1) / kPanel; }
  int64_t panel_of_weights() const { return inputs * kPanel; }
  int64_t tap_stride() const { return panel_of_weights() + kAligned; }
  int64_t weights_stride(int64_t panels) const { return panels * panel_of_weights() + kAligned; }
  int64_t width_of_panel() const { return vectors * lanes; }
  int64_t columns() const { return (last - first) * across; }
  int64_t panels() const { return (columns() + width_of_panel() - 1) / width_of_panel(); }
  int64_t panel_stride() const { return inputs * width_of_panel(); }
  int64_t points_stride() const { return panels() * panel_stride() + kAligned; }
  int64_t products_row() const { return panels() * width_of_panel(); }
  int64_t products_stride() const { return output_panels() * kPanel * products_row() + kAligned; }
  int64_t carried_stride() const { return kCarried * 8 * padded; }
  // Floats that step 1 or 3 needs for itself, for so many channels at a time.
  int64_t scratch(int64_t channels) const {
    const int64_t length = padded + 2 * lanes;
    return std::max((channels * 6 * 4 + 4) * length, ((kCarried + 9 + 1) * 8 + 81) * length);
  }
};

// The steps of styled_conv.cpp for part of a band; `scratch` is Band::scratch.
struct Steps {
  int64_t lanes;  // of a vector
  void (*input)(const Band& band, int64_t begin, int64_t end, float* scratch);
  void (*product)(const Band& band, int64_t point, int64_t begin, int64_t end);
  // The same at all points of a row of weights, which are not there yet: `weights` has room for those of these panels.
  void (*row_of_products)(const Band& band, int64_t row, int64_t begin, int64_t end, float* weights);
  // A row of the weights at the points, for panels [begin, end).
  void (*transform)(const Band& band, int64_t row, int64_t begin, int64_t end, float* weights);
  void (*output)(const Band& band, int64_t begin, int64_t end, float* scratch);
};

Steps portable_steps(bool up);
Steps avx2_steps(bool up);
Steps avx512_steps(bool up);

}  // namespace fingergen::styled_conv
