#include "ridge_map.h"

#include <algorithm>
#include <cmath>
#include <exception>

#include "phase.h"

namespace fingergen {
namespace {

constexpr double kRadians = 3.14159265358979323846 / 180;
constexpr double kUntouched = 0.03;  // weight of the fields where there is no contact, beside 1 where there is
constexpr double kSteepness = 2;     // of the profile of ridges, as grown ones have it
constexpr double kPeriod = 9, kLogScale = 4, kPpi = 500;  // units of the field of periods

// A square field at the centers of `size` by `size` pixels: bilinear, constant at the border.
std::vector<double> enlarge(const float *field, int cells, int size) {
  struct Between {
    int low;
    double part;
  };
  std::vector<Between> places;
  for (int i = 0; i < size; ++i) {
    const double at = std::clamp((i + 0.5) * cells / size - 0.5, 0.0, cells - 1.0);
    const int low = std::min(static_cast<int>(at), cells - 2);
    places.push_back({low, at - low});
  }
  std::vector<double> rows(static_cast<size_t>(size) * cells), enlarged;
  for (int y = 0; y < size; ++y) {
    const float *low = field + static_cast<size_t>(places[y].low) * cells;
    for (int x = 0; x < cells; ++x) rows[static_cast<size_t>(y) * cells + x] = (1 - places[y].part) * low[x] + places[y].part * low[x + cells];
  }
  enlarged.reserve(static_cast<size_t>(size) * size);
  for (int y = 0; y < size; ++y) {
    for (const Between &place : places) {
      const double *low = &rows[static_cast<size_t>(y) * cells + place.low];
      enlarged.push_back((1 - place.part) * low[0] + place.part * low[1]);
    }
  }
  return enlarged;
}

}  // namespace

void make_ridge_map(const TemplateView &view, const float *fields, int cells, int size, float *ridges, float *contact) {
  const double scale = static_cast<double>(size) / view.width;
  const size_t area = static_cast<size_t>(size) * size, step = static_cast<size_t>(cells) * cells;
  const std::vector<double> cosine = enlarge(fields, cells, size), sine = enlarge(fields + step, cells, size);
  std::vector<double> touched = enlarge(fields + 3 * step, cells, size);
  PhaseFields known{size, std::vector<double>(area), enlarge(fields + 2 * step, cells, size), std::vector<double>(area)};
  for (size_t i = 0; i < area; ++i) {
    // The network's mean over all outlines that there might be is softer than any of them.
    const double inside = std::pow(touched[i], 4), outside = std::pow(1 - touched[i], 4);
    touched[i] = inside / (inside + outside);
    known.orientation[i] = 0.5 * std::atan2(sine[i], cosine[i]);
    known.period[i] = kPeriod * std::exp(known.period[i] / kLogScale) * scale * view.ppi / kPpi;
    known.weight[i] = kUntouched + (1 - kUntouched) * touched[i];
  }
  std::vector<GridMinutia> minutiae;
  for (size_t k = 0; k < view.count; ++k) {
    const double *place = view.places + 3 * k;
    minutiae.push_back({(place[0] + 0.5) * scale - 0.5, (place[1] + 0.5) * scale - 0.5, place[2] * kRadians, view.types[k] == 1, view.types[k] != 0});
  }
  const std::vector<double> phase = ridge_phase(known, minutiae);
  for (size_t i = 0; i < area; ++i) {
    ridges[i] = static_cast<float>(std::tanh(kSteepness * std::cos(phase[i])) / std::tanh(kSteepness) * touched[i]);
    contact[i] = static_cast<float>(touched[i]);
  }
}

}  // namespace fingergen

extern "C" int fingergen_kernel_ridge_map(int width, double ppi, const double *places, const uint8_t *types, size_t count,
                                          const float *fields, int cells, int size, float *ridges, float *contact) {
  try {
    fingergen::make_ridge_map({width, ppi, places, types, count}, fields, cells, size, ridges, contact);
    return 0;
  } catch (const std::exception &) {  // std::bad_alloc; nothing else is thrown
    return 1;
  }
}
