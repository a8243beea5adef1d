#include "master.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "../seeds.h"

namespace fingergen {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr float kLevels = 127;  // ridge maps are multiples of 1 / 127
constexpr int kEdge = 16;       // grown around a master and cut off
constexpr int kField = 640;     // growth noise covers this much of the finger

// Top left of the master in finger coordinates, on the grid of growth (even pixels).
Place corner_of(const Pattern &pattern, Stream &skin, int size) {
  const double across = skin.normal(0, 22), down = skin.normal(0, 22);
  const Place focus = pattern.focus(), middle = size < 512 ? Place{focus.x + across, focus.y + down} : Place{0, 0};
  const double limit = (kField - size) / 2.0 - kEdge;
  auto even = [&](double value) { return 2 * std::nearbyint((std::clamp(value, -limit, limit) - size / 2.0) / 2); };
  return {even(middle.x), even(middle.y)};
}

// Ridges (size, size), 1 on a ridge and -1 in a valley.
std::vector<float> grow(uint64_t seed, const Pattern &pattern, Place corner, int size, const Session &growth) {
  const int side = (size + 2 * kEdge) / 2, all = kField / 2;
  const int left = static_cast<int>((corner.x + kField / 2 - kEdge) / 2), top = static_cast<int>((corner.y + kField / 2 - kEdge) / 2);
  const std::vector<float> drawn = Stream(seed, Purpose::growth).normalf(static_cast<size_t>(all) * all);
  std::vector<float> noise, grown;
  std::vector<double> x, y;
  for (int i = 0; i < side; ++i) {
    const float *from = &drawn[static_cast<size_t>(top + i) * all + left];
    noise.insert(noise.end(), from, from + side);
    // A pixel of the growth grid covers two by two of the master's.
    x.push_back(corner.x - kEdge + 0.5 + 2.0 * i);
    y.push_back(corner.y - kEdge + 0.5 + 2.0 * i);
  }
  const std::vector<float> orientation = pattern.orientation(x, y);
  std::vector<float> period = pattern.ridge_period(x, y);
  for (float &each : period) each /= 2;
  const std::vector<int64_t> shape = {1, 1, side, side};
  std::vector<uint8_t> none;
  growth.run({{"noise", shape, noise.data()}, {"orientation", shape, orientation.data()}, {"period", shape, period.data()}},
             "ridges", grown, "", none);
  const size_t fine = 2 * static_cast<size_t>(side);
  if (grown.size() != fine * fine) throw std::runtime_error("growth graph: its output has another size");
  std::vector<float> ridges;
  for (int row = 0; row < size; ++row) {
    const float *from = &grown[(static_cast<size_t>(row) + kEdge) * fine + kEdge];
    ridges.insert(ridges.end(), from, from + size);
  }
  return ridges;
}

std::vector<Line> draw_creases(Stream &skin, Place corner) {
  const size_t count = skin.choice({0.7, 0.2, 0.08, 0.02});
  const std::vector<double> x = skin.uniforms(-160, 160, count), y = skin.uniforms(-200, 200, count);
  std::vector<double> angle = skin.normals(0, 0.6, count);
  for (double &each : angle) each += kPi * static_cast<double>(skin.integer(2));
  const std::vector<double> length = skin.uniforms(15, 90, count), width = skin.uniforms(1, 2.2, count);
  std::vector<Line> creases;
  for (size_t i = 0; i < count; ++i) {
    creases.push_back({static_cast<float>(x[i]) - static_cast<float>(corner.x), static_cast<float>(y[i]) - static_cast<float>(corner.y),
                       static_cast<float>(angle[i]), static_cast<float>(length[i]), static_cast<float>(width[i])});
  }
  return creases;
}

// Dips (size, size) on the middle of ridges, one every dozen pixels or so; they show when the skin is dry.
std::vector<float> draw_pores(Stream &skin, const Bits &thin) {
  std::vector<std::pair<int, int>> middle, chosen;
  for (int y = 0; y < thin.size; ++y) {
    for (int x = 0; x < thin.size; ++x) {
      if (thin.at(y, x)) middle.emplace_back(y, x);
    }
  }
  for (const auto &place : middle) {
    if (skin.random() < 1.0 / 12) chosen.push_back(place);
  }
  std::vector<float> dips(static_cast<size_t>(thin.size) * thin.size);
  for (const auto &[y, x] : chosen) {
    const auto depth = static_cast<float>(skin.uniform(0.1, 0.7));
    for (int dy = -1; dy <= 1; ++dy) {
      for (int dx = -1; dx <= 1; ++dx) {
        if (y + dy < 0 || y + dy >= thin.size || x + dx < 0 || x + dx >= thin.size) continue;
        float &dip = dips[static_cast<size_t>(y + dy) * thin.size + x + dx];
        dip = std::max(dip, depth * (dx * dx + dy * dy == 0 ? 1.0f : dx * dx + dy * dy == 1 ? 0.5f : 0.25f));
      }
    }
  }
  return dips;
}

std::vector<Place> moved(std::vector<Place> places, Place corner) {
  for (Place &place : places) {
    place.x = static_cast<float>(place.x) - static_cast<float>(corner.x);
    place.y = static_cast<float>(place.y) - static_cast<float>(corner.y);
  }
  return places;
}

}  // namespace

Master make_master(uint64_t seed, int window, const Session &growth) {
  // Room for rotation and translation, even; a full print's own outline leaves some already.
  const int size = (std::min(window + 128, std::max(window, 480) + 32) + 1) / 2 * 2;
  const Pattern pattern(seed);
  Stream skin(seed, Purpose::skin);
  const Place corner = corner_of(pattern, skin, size);
  Master master{pattern, seed, window, size, grow(seed, pattern, corner, size, growth), {}, {}, {}, {}, {-corner.x, -corner.y}};
  master.thin = thinned(master.ridges, size);
  master.cores = moved(pattern.cores, corner);
  master.deltas = moved(pattern.deltas, corner);
  // Before the pores: those take as many numbers as the window has ridge.
  master.creases = draw_creases(skin, corner);
  const std::vector<float> pores = draw_pores(skin, master.thin);
  for (size_t i = 0; i < pores.size(); ++i) {
    master.ridges[i] = std::nearbyint(kLevels * std::clamp(master.ridges[i] - pores[i], -1.0f, 1.0f)) / kLevels;
  }
  return master;
}

std::vector<FingerMinutia> Master::minutiae() const {
  std::vector<Place> singular = cores;
  singular.insert(singular.end(), deltas.begin(), deltas.end());
  const auto orientation = [this](int x, int y) { return pattern.orientation({x - origin.x}, {y - origin.y})[0]; };
  return read_minutiae(thin, orientation, singular);
}

}  // namespace fingergen
