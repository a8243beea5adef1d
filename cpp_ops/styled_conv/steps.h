// The steps of styled_conv.cpp, for vectors of M. One file for each instruction set includes this: GCC splits vectors
// that a function's own instruction set lacks, even where the function is inlined into another.
#pragma once

#include <algorithm>
#include <cstdint>

#include "common/vectors.h"
#include "styled_conv/band.h"
#include "styled_conv/winograd.h"

namespace fingergen::styled_conv {

template <typename Tiling, typename M>
struct Forms {
  using V = typename M::V;
  static constexpr int64_t kLanes = M::kLanes;
  static constexpr int64_t kPoints = Tiling::kPoints;
  static constexpr int64_t kInputs = Tiling::kInputs;
  static constexpr int64_t kWeights = Tiling::kWeights;
  static constexpr int64_t kOutputs = Tiling::kOutputs;

  // Step 1 for inputs [begin, end).
  static void input(const Band& band, int64_t begin, int64_t end, float* scratch) {
    // Samples of a row of tiles by their place in a tile: [input][row][column mod 4][tile], with room for a tile more.
    const int64_t length = band.padded + kLanes, size = kInputs * 4 * length;
    float *const samples = scratch, *const row = samples + (end - begin) * size;
    for (int64_t tile_row = band.first; tile_row < band.last; ++tile_row) {
      for (int64_t i = begin; i < end; ++i) {
        for (int64_t dy = 0; dy < kInputs; ++dy) {
          float* place = samples + (i - begin) * size + dy * 4 * length;
          split(band, i, 4 * tile_row + dy - Tiling::kBefore, row, place, length);
        }
      }
      for (int64_t tile = 0; tile < band.across; tile += kLanes) {
        const int64_t column = (tile_row - band.first) * band.across + tile;
        for (int64_t i = begin; i < end; ++i) {
          evaluate(band, samples + (i - begin) * size + tile, length, i, column, std::min(kLanes, band.across - tile));
        }
      }
    }
  }

  // Row y of input i by turns into four arrays of `length`; zero outside the image.
  static FINGERGEN_INLINE void split(const Band& band, int64_t i, int64_t y, float* row, float* place, int64_t length) {
    if (y < 0 || y >= band.height) return fill(place, 4 * length);
    const float* from = band.x + (i * band.height + y) * band.width;
    const float style = band.style[i];
    fill(row, Tiling::kBefore);
    float* image = row + Tiling::kBefore;
    FINGERGEN_INDEPENDENT
    for (int64_t x = 0; x < band.width; ++x) image[x] = from[x] * style;
    fill(image + band.width, 4 * length - Tiling::kBefore - band.width);
    for (int64_t tile = 0; tile < length; tile += kLanes) {
      const float* four = row + 4 * tile;
      V even0, odd0, even1, odd1, place0, place1, place2, place3;
      M::unzip(M::load(four), M::load(four + kLanes), even0, odd0);
      M::unzip(M::load(four + 2 * kLanes), M::load(four + 3 * kLanes), even1, odd1);
      M::unzip(even0, even1, place0, place2);
      M::unzip(odd0, odd1, place1, place3);
      M::store(place + tile, place0);
      M::store(place + length + tile, place1);
      M::store(place + 2 * length + tile, place2);
      M::store(place + 3 * length + tile, place3);
    }
  }

  // `valid` tiles, from `column` on, at all points.
  static FINGERGEN_INLINE void evaluate(const Band& band, const float* samples, int64_t length, int64_t i,
                                        int64_t column, int64_t valid) {
    V half[kPoints * kInputs];
    for (int64_t dx = 0; dx < kInputs; ++dx) {
      V d[kInputs];
      for (int64_t dy = 0; dy < kInputs; ++dy) d[dy] = M::load(samples + (dy * 4 + dx % 4) * length + dx / 4);
      Tiling::input(d, half + dx, kInputs);
    }
    const int64_t width = band.width_of_panel(), stride = band.points_stride();
    // What is not valid becomes columns of tiles that are evaluated later, or of none.
    const bool whole = column % width + kLanes <= width;
    int64_t places[kLanes];  // of the tiles in an input's columns; the first, where all follow it
    for (int64_t k = 0; k < (whole ? 1 : valid); ++k) {
      places[k] = (column + k) / width * band.panel_stride() + (column + k) % width;
    }
    float* const columns = band.points + i * width;
    for (int64_t p = 0; p < kPoints; ++p) {
      V evaluated[kPoints];
      Tiling::input(half + p * kInputs, evaluated, 1);
      for (int64_t q = 0; q < kPoints; ++q) {
        float* const place = columns + (p * kPoints + q) * stride;
        if (whole) {
          M::store(place + places[0], evaluated[q]);
        } else {
          for (int64_t k = 0; k < valid; ++k) place[places[k]] = evaluated[q][k];
        }
      }
    }
  }

  // The weights of panels [begin, end), evaluated along y as `row` says, and along x at all points.
  static void transform(const Band& band, int64_t row, int64_t begin, int64_t end, float* weights) {
    const double* const factors = Tiling::kTaps[row];
    const V top = M::all(factors[0]), middle = M::all(factors[1]), bottom = M::all(factors[2]);
    const int64_t size = band.panel_of_weights(), tap = band.tap_stride(), stride = band.weights_stride(end - begin);
    for (int64_t panel = begin; panel < end; ++panel, weights += size) {
      for (int64_t i = 0; i < size; i += kLanes) {  // and less than kAligned more, which the next panel overwrites
        const float* from = band.taps_of_weights + panel * 9 * tap + i;
        V along[3], points[kWeights];
        for (int64_t x = 0; x < 3; ++x, from += tap) {
          const V outer = M::madd(bottom, M::load(from + 6 * tap), top * M::load(from));
          along[x] = M::madd(middle, M::load(from + 3 * tap), outer);
        }
        Tiling::weights(along, points);
        for (int64_t q = 0; q < kWeights; ++q) M::store(weights + q * stride + i, points[q]);
      }
    }
  }

  // Step 2 for panels [begin, end) of a point's outputs.
  static void product(const Band& band, int64_t point, int64_t begin, int64_t end) {
    const int64_t weight = Tiling::weight_of(point / kPoints) * kWeights + Tiling::weight_of(point % kPoints);
    const float* weights = band.weights + weight * band.weights_stride(band.output_panels());
    multiply(band, weights + begin * band.panel_of_weights(), point, begin, end);
  }

  // The same for all points whose weights are in `row`.
  static void row_of_products(const Band& band, int64_t row, int64_t begin, int64_t end, float* weights) {
    transform(band, row, begin, end, weights);
    const int64_t stride = band.weights_stride(end - begin);
    for (int64_t point = 0; point < kPoints * kPoints; ++point) {
      if (Tiling::weight_of(point / kPoints) != row) continue;
      multiply(band, weights + Tiling::weight_of(point % kPoints) * stride, point, begin, end);
    }
  }

  // Step 2 for panels [begin, end), with their weights.
  static FINGERGEN_INLINE void multiply(const Band& band, const float* weights, int64_t point, int64_t begin,
                                        int64_t end) {
    if (band.vectors == 2) {
      multiply<2>(band, weights, point, begin, end);
    } else {
      multiply<1>(band, weights, point, begin, end);
    }
  }

  template <int64_t Vectors>
  static FINGERGEN_INLINE void multiply(const Band& band, const float* weights, int64_t point, int64_t begin,
                                        int64_t end) {
    constexpr int64_t width = Vectors * kLanes;
    const int64_t inputs = band.inputs, row = band.products_row(), panels = band.panels();
    // All outputs with one panel of columns after the other: that is the larger of the two, and stays in the cache.
    for (int64_t columns = 0; columns < panels; ++columns) {
      const float* const points = band.points + point * band.points_stride() + columns * band.panel_stride();
      for (int64_t panel = begin; panel < end; ++panel) {
        const float *left = weights + (panel - begin) * band.panel_of_weights(), *right = points;
        float* place = band.products + point * band.products_stride() + panel * kPanel * row + columns * width;
        V sums[kPanel][Vectors];
        for (int64_t o = 0; o < kPanel; ++o) {
          for (int64_t k = 0; k < Vectors; ++k) sums[o][k] = V{};
        }
        for (int64_t i = 0; i < inputs; ++i, left += kPanel, right += width) {
          V column[Vectors];
          for (int64_t k = 0; k < Vectors; ++k) column[k] = M::load(right + k * kLanes);
          for (int64_t o = 0; o < kPanel; ++o) {
            const V factor = M::broadcast(left + o);
            for (int64_t k = 0; k < Vectors; ++k) sums[o][k] = M::madd(factor, column[k], sums[o][k]);
          }
        }
        for (int64_t o = 0; o < kPanel; ++o) {
          for (int64_t k = 0; k < Vectors; ++k) M::store(place + o * row + k * kLanes, sums[o][k]);
        }
      }
    }
  }

  // Step 3 for outputs [begin, end).
  static void output(const Band& band, int64_t begin, int64_t end, float* scratch) {
    for (int64_t o = begin; o < end; ++o) {
      for (int64_t tile_row = band.first; tile_row < band.last; ++tile_row) {
        const float* products = band.products + o * band.products_row() + (tile_row - band.first) * band.across;
        if constexpr (kOutputs == 4) {
          plain(band, products, o, tile_row, scratch);
        } else {
          up(band, products, o, tile_row, scratch);
        }
      }
    }
  }

  // The outputs of kLanes tiles, [kOutputs][kOutputs].
  static FINGERGEN_INLINE void interpolate(const Band& band, const float* products, V* outputs) {
    const int64_t stride = band.products_stride();
    V half[kOutputs * kPoints];
    for (int64_t q = 0; q < kPoints; ++q) {
      V m[kPoints];
      for (int64_t p = 0; p < kPoints; ++p) m[p] = M::load(products + (p * kPoints + q) * stride);
      Tiling::output(m, half + q, kPoints);
    }
    for (int64_t k = 0; k < kOutputs; ++k) Tiling::output(half + k * kPoints, outputs + k * kOutputs, 1);
  }

  static FINGERGEN_INLINE void plain(const Band& band, const float* products, int64_t o, int64_t tile_row,
                                     float* rows) {
    const int64_t row = 4 * band.padded;
    for (int64_t tile = 0; tile < band.across; tile += kLanes) {
      V outputs[16], joined[4];
      interpolate(band, products + tile, outputs);
      for (int64_t dy = 0; dy < 4; ++dy) {
        zip4(outputs[4 * dy], outputs[4 * dy + 1], outputs[4 * dy + 2], outputs[4 * dy + 3], joined);
        for (int64_t k = 0; k < 4; ++k) M::store(rows + dy * row + 4 * tile + k * kLanes, joined[k]);
      }
    }
    const int64_t count = std::min<int64_t>(4, band.height - 4 * tile_row);
    for (int64_t dy = 0; dy < count; ++dy) finish(band, rows + dy * row, o, 4 * tile_row + dy);
  }

  // In `rows` is the transposed convolution, filtered along x, [row][place in a tile's eight][tile]: first the last
  // four rows of the tiles above, of which the very last is also these tiles' first and wants adding.
  static FINGERGEN_INLINE void up(const Band& band, const float* products, int64_t o, int64_t tile_row, float* rows) {
    const int64_t row = 8 * band.padded, length = band.padded + 2 * kLanes;
    float *const tiles = rows + (kCarried + kOutputs) * row, *const joined = tiles + kOutputs * kOutputs * length;
    float* const carried = band.carried + o * band.carried_stride();
    if (tile_row == 0) fill(carried, kCarried * row);
    copy(carried, rows, kCarried * row);
    // [row][place][tile], zero beside the image.
    for (int64_t k = 0; k < kOutputs * kOutputs; ++k) fill(tiles + k * length, kLanes);
    for (int64_t tile = 0; tile < band.across; tile += kLanes) {
      V outputs[kOutputs * kOutputs];
      interpolate(band, products + tile, outputs);
      for (int64_t k = 0; k < kOutputs * kOutputs; ++k) M::store(tiles + k * length + kLanes + tile, outputs[k]);
    }
    for (int64_t k = 0; k < kOutputs * kOutputs; ++k) {
      fill(tiles + k * length + kLanes + band.across, length - kLanes - band.across);
    }
    for (int64_t dy = 0; dy < kOutputs; ++dy) {
      const float* const from = tiles + dy * kOutputs * length + kLanes;
      float* const to = rows + (kCarried - 1 + dy) * row;
      for (int64_t tile = 0; tile < band.padded; tile += kLanes) {
        V samples[8 + kTaps - 1], filtered[8];  // the first is the last of the tile before
        samples[0] = M::load(from + 7 * length + tile - 1);
        samples[1] = M::load(from + tile) + M::load(from + 8 * length + tile - 1);
        for (int64_t k = 1; k < 8; ++k) samples[k + 1] = M::load(from + k * length + tile);
        samples[9] = M::load(from + 8 * length + tile) + M::load(from + tile + 1);
        samples[10] = M::load(from + length + tile + 1);
        filter(band, samples, filtered);
        for (int64_t k = 0; k < 8; ++k) {
          float* place = to + k * band.padded + tile;
          M::store(place, dy == 0 ? M::load(place) + filtered[k] : filtered[k]);
        }
      }
    }
    copy(rows + 8 * row, carried, kCarried * row);
    if (band.quiet) return;
    emit(band, rows, o, 8 * tile_row - 2, 8, joined);
    if (tile_row == band.rows - 1) {  // the last two rows, below which there is nothing
      fill(rows + 12 * row, row);
      emit(band, rows + 8 * row, o, 8 * tile_row + 6, 2, joined);
    }
  }

  static FINGERGEN_INLINE void filter(const Band& band, const V* samples, V* filtered) {
    const V taps[kTaps] = {M::all(band.taps[3]), M::all(band.taps[2]), M::all(band.taps[1]), M::all(band.taps[0])};
    for (int64_t k = 0; k < 8; ++k) {
      filtered[k] = taps[0] * samples[k] + taps[1] * samples[k + 1] + taps[2] * samples[k + 2];
      filtered[k] += taps[3] * samples[k + 3];
    }
  }

  // `count` rows of the output from y on: `rows`, of which the first is y - 1, filtered along y.
  static FINGERGEN_INLINE void emit(const Band& band, const float* rows, int64_t o, int64_t y, int64_t count,
                                    float* joined) {
    const int64_t row = 8 * band.padded;
    const V taps[kTaps] = {M::all(band.taps[3]), M::all(band.taps[2]), M::all(band.taps[1]), M::all(band.taps[0])};
    for (int64_t k = 0; k < count; ++k, rows += row) {
      if (y + k < 0 || y + k >= band.out_height) continue;
      for (int64_t tile = 0; tile < band.padded; tile += kLanes) {
        V sums[8], even[4], odd[4];
        for (int64_t place = 0; place < 8; ++place) {
          const float* from = rows + place * band.padded + tile;
          sums[place] = taps[0] * M::load(from) + taps[1] * M::load(from + row) + taps[2] * M::load(from + 2 * row) +
                        taps[3] * M::load(from + 3 * row);
        }
        zip4(sums[0], sums[2], sums[4], sums[6], even);
        zip4(sums[1], sums[3], sums[5], sums[7], odd);
        for (int64_t part = 0; part < 4; ++part) {
          V low, high;
          M::zip(even[part], odd[part], low, high);
          M::store(joined + 8 * tile + 2 * part * kLanes, low);
          M::store(joined + 8 * tile + (2 * part + 1) * kLanes, high);
        }
      }
      finish(band, joined, o, y + k);
    }
  }

  // Row y of output o from the convolution's.
  static FINGERGEN_INLINE void finish(const Band& band, const float* values, int64_t o, int64_t y) {
    const float demodulation = band.demodulation[o], bias = band.bias[o], strength = band.strength;
    const float scale = band.op.scale, slope = band.op.negative_slope;
    const float* noise = band.noise + y * band.out_width;
    float* place = band.y + (o * band.out_height + y) * band.out_width;
    FINGERGEN_INDEPENDENT
    for (int64_t x = 0; x < band.out_width; ++x) {
      const float value = values[x] * demodulation + strength * noise[x] + bias;
      place[x] = scale * (value < 0 ? slope * value : value);
    }
  }

  // a b c d by turns.
  static FINGERGEN_INLINE void zip4(V a, V b, V c, V d, V* joined) {
    V ac0, ac1, bd0, bd1;
    M::zip(a, c, ac0, ac1);
    M::zip(b, d, bd0, bd1);
    M::zip(ac0, bd0, joined[0], joined[1]);
    M::zip(ac1, bd1, joined[2], joined[3]);
  }

  // Not the standard library's, of which a copy for another instruction set might be taken in place of its own.
  static FINGERGEN_INLINE void fill(float* place, int64_t count) {
    for (int64_t i = 0; i < count; ++i) place[i] = 0.0f;
  }
  static FINGERGEN_INLINE void copy(const float* from, float* to, int64_t count) {
    FINGERGEN_INDEPENDENT
    for (int64_t i = 0; i < count; ++i) to[i] = from[i];
  }
};

template <typename M>
Steps steps(bool up) {
  using OfPlain = Forms<Plain, M>;
  using OfUp = Forms<Up, M>;
  if (up) return {M::kLanes, OfUp::input, OfUp::product, OfUp::row_of_products, OfUp::transform, OfUp::output};
  return {M::kLanes, OfPlain::input, OfPlain::product, OfPlain::row_of_products, OfPlain::transform, OfPlain::output};
}

}  // namespace fingergen::styled_conv
