#include "capture.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "../errors.h"
#include "../seeds.h"

namespace fingergen {
namespace {

constexpr double kPi = 3.14159265358979323846, kRadians = kPi / 180;
constexpr int kBlotchCell = 12, kUnevenCell = 45;  // pixels
constexpr float kCovered = 3;    // pixels beyond the edge of a crease or cut within which a minutia is hidden
constexpr double kClear = 6;     // pixels inside the edge of contact at which a minutia can be seen
constexpr int kPatch = 4;        // pixels within which the unevenness of pressure hardly changes
constexpr double kOutline = 2.4; // exponent of the outline of contact

struct Range {
  double low, high;
};

struct Preset {  // see runtime/fingers/capture/presets.py
  const char *name;
  double rotation, shift, distortion;
  Range contact, pressure, moisture, unevenness, blotches, sharpness;
  std::vector<double> scars;
  Range noise, background;
};

const Preset &find_preset(const std::string &name) {
  static const std::array<Preset, 4> presets = {{
      {"easy", 4, 8, 1.2, {0.9, 1}, {0.08, 0.15}, {-0.3, 0.12}, {0.08, 0.2}, {0.02, 0.12}, {2.5, 5}, {1}, {1.5, 4.5}, {0, 1}},
      {"medium", 8, 14, 2, {0.8, 1}, {0.08, 0.36}, {-0.1, 0.25}, {0.1, 0.3}, {0.03, 0.2}, {2.5, 5}, {0.85, 0.12, 0.03}, {1.5, 6.5}, {0, 3}},
      {"hard", 15, 14, 2.5, {0.8, 1}, {0.3, 0.2}, {0.35, 0.15}, {0.1, 0.3}, {0.03, 0.2}, {1.4, 2.4}, {0.6, 0.25, 0.1, 0.05}, {1.5, 6.5}, {0, 3}},
      {"partial", 15, 24, 3.2, {0.3, 0.8}, {0.05, 0.6}, {-0.1, 0.5}, {0.2, 0.5}, {0.1, 0.4}, {2.5, 5}, {0.6, 0.25, 0.1, 0.05}, {4, 14}, {2, 12}},
  }};
  for (const Preset &preset : presets) {
    if (name == preset.name) return preset;
  }
  throw BadInput("preset: choose easy, medium, hard or partial");
}

double portion(double number) { return 0.5 * (1 + std::erf(number / std::sqrt(2.0))); }
double log_normal(double number, double median, double octaves, double most) { return std::min(median * std::pow(2.0, octaves * number), most); }

// Traits of a look by their numbers, each monotone: EFFECTS in runtime/fingers/capture/look.py.
const std::map<std::string, double (*)(double)> kEffects = {
    {"pressure", [](double n) { return std::clamp(0.05 + 0.42 * n, -1.0, 1.0); }},
    {"moisture", [](double n) { return std::clamp(-0.1 + 0.38 * n, -1.0, 1.0); }},
    {"unevenness", [](double n) { return log_normal(n, 0.18, 0.7, 0.6); }},
    {"blotches", [](double n) { return log_normal(n, 0.07, 1.0, 0.4); }},
    {"sharpness", [](double n) { return log_normal(n, 3.2, 0.45, 8.0); }},
    {"paper", [](double n) { return 1.0 - 0.4 * std::pow(portion(-n), 2.0); }},
    {"ink", [](double n) { return 0.02 + 0.45 * std::pow(portion(-n), 1.5); }},
    {"gamma", [](double n) { return log_normal(n, 1.0, 0.35, 2.0); }},
    {"noise", [](double n) { return log_normal(n, 3.5, 0.9, 20.0) / 255.0; }},
    {"background", [](double n) { return log_normal(n, 2.5, 1.3, 24.0) / 255.0; }},
    {"fading", [](double n) { return log_normal(n, 0.9, 0.8, 3.0); }},
    {"film", [](double n) { return 0.4 * std::pow(portion(n), 2.0); }},
    {"stains", [](double n) { return log_normal(n, 1.5, 1.4, 18.0) / 255.0; }},
    {"vignette", [](double n) { return 0.3 * std::pow(portion(n), 3.0); }},
};
constexpr double kExtreme = 2.5;  // largest magnitude of a number
constexpr int kHalvings = 24;     // of the range of a number

// Numbers in the order in which _traits draws them.
Traits drawn_traits(Stream &stream, const Preset &preset, double pressure) {
  Traits traits{{"pressure", pressure}, {"fading", 0.9}, {"film", 0}, {"stains", 0}, {"vignette", 0}};
  traits["moisture"] = std::clamp(stream.normal(preset.moisture.low, preset.moisture.high), -1.0, 1.0);
  for (auto [trait, range] : {std::pair("unevenness", preset.unevenness), {"blotches", preset.blotches}, {"sharpness", preset.sharpness},
                              {"paper", {0.93, 1}}, {"ink", {0.02, 0.3}}, {"gamma", {0.8, 1.25}}, {"noise", preset.noise},
                              {"background", preset.background}}) {
    traits[trait] = stream.uniform(range.low, range.high);
  }
  traits["noise"] /= 255, traits["background"] /= 255;
  return traits;
}

// Indices and weights of the cells that each place takes: Keys' cubic (IEEE TASSP 29(6), 1981) with a = -0.75.
struct Taps {
  int index[4];
  float weight[4];
};

std::vector<Taps> bicubic(int cells, int size) {
  std::vector<Taps> taps(static_cast<size_t>(size));
  for (int i = 0; i < size; ++i) {
    const double place = (i + 0.5) * cells / size - 0.5, first = std::floor(place), t = place - first, a = -0.75;
    const double distance[4] = {1 + t, t, 1 - t, 2 - t};
    for (int k = 0; k < 4; ++k) {
      const double d = distance[k], square = d * d, cube = square * d;
      const double near = (a + 2) * cube - (a + 3) * square + 1, far = a * (cube - 5 * square + 8 * d - 4);
      taps[i].weight[k] = static_cast<float>(d <= 1 ? near : far);
      taps[i].index[k] = std::clamp(static_cast<int>(first) + k - 1, 0, cells - 1);
    }
  }
  return taps;
}

// A coarse grid (cells, cells) interpolated to (size, size), first down the columns.
std::vector<float> smooth(const std::vector<float> &grid, int cells, int size) {
  const std::vector<Taps> taps = bicubic(cells, size);
  auto weighed = [](const Taps &of, auto value) {
    float total = of.weight[0] * value(of.index[0]);
    for (int k = 1; k < 4; ++k) total += of.weight[k] * value(of.index[k]);
    return total;
  };
  std::vector<float> rows(static_cast<size_t>(size) * cells), all(static_cast<size_t>(size) * size);
  for (int y = 0; y < size; ++y) {
    for (int x = 0; x < cells; ++x) rows[static_cast<size_t>(y) * cells + x] = weighed(taps[y], [&](int cell) { return grid[static_cast<size_t>(cell) * cells + x]; });
  }
  for (int y = 0; y < size; ++y) {
    for (int x = 0; x < size; ++x) all[static_cast<size_t>(y) * size + x] = weighed(taps[x], [&](int cell) { return rows[static_cast<size_t>(y) * cells + cell]; });
  }
  return all;
}

// `image` (size, size) between its pixels, bilinear; beyond its border, the border.
double sample(const std::vector<float> &image, int size, double x, double y) {
  x = std::clamp(x, 0.0, size - 1.001), y = std::clamp(y, 0.0, size - 1.001);
  const int column = static_cast<int>(x), row = static_cast<int>(y);
  const double fx = x - column, fy = y - row;
  const float *at = &image[static_cast<size_t>(row) * size + column];
  const double above = at[0] + fx * static_cast<double>(at[1] - at[0]);
  const double below = at[size] + fx * static_cast<double>(at[size + 1] - at[size]);
  return above + fy * (below - above);
}

}  // namespace

std::optional<float> look_of(const Traits &traits, const std::string &name) {
  const auto effect = kEffects.find(name);
  if (effect == kEffects.end()) return std::nullopt;
  const double value = traits.at(name);
  double low = -kExtreme, high = kExtreme;
  const bool rises = effect->second(high) > effect->second(low);
  for (int i = 0; i < kHalvings; ++i) {
    const double middle = (low + high) / 2;
    ((effect->second(middle) < value) == rises ? low : high) = middle;
  }
  return static_cast<float>((low + high) / 2);
}

Traits sample_traits(uint64_t seed) {
  const Preset &easy = find_preset("easy");
  Stream stream(seed, Purpose::look);
  const double pressure = std::clamp(stream.normal(easy.pressure.low, easy.pressure.high), -1.0, 1.0);
  return drawn_traits(stream, easy, pressure);
}

// Numbers in the order in which sample_capture draws them.
Capture::Capture(const Master &finger, uint32_t number, const std::string &name)
    : window_(finger.window), middle_((static_cast<float>(finger.size) - 1) / 2), lines_(finger.creases) {
  const Preset &preset = find_preset(name);
  Stream stream(finger.seed, Purpose::impression, number);
  rotation_ = preset.rotation * std::clamp(stream.normal(0, 1), -2.7, 2.7);

  const double c = std::fabs(std::cos(rotation_ * kRadians)), s = std::fabs(std::sin(rotation_ * kRadians));
  double room = finger.size / 2.0 - (c * window_ + s * window_) / 2 - 8;  // keeps a small window on the master
  room = room < 4 ? 20 : room;
  for (float &shift : shift_) shift = static_cast<float>(std::clamp(stream.normal(0, preset.shift), -room, room));

  constexpr size_t kRipples = 3;
  const std::vector<double> direction = stream.uniforms(0, 2 * kPi, kRipples), phase = stream.uniforms(0, 2 * kPi, kRipples);
  const std::vector<double> length = stream.uniforms(220, 600, kRipples);
  const std::vector<double> across = stream.normals(0, 1, kRipples), down = stream.normals(0, 1, kRipples);
  for (size_t i = 0; i < kRipples; ++i) {
    const double k = 2 * kPi / length[i];
    ripples_.push_back({static_cast<float>(k * std::cos(direction[i])), static_cast<float>(k * std::sin(direction[i])),
                        static_cast<float>(phase[i]), static_cast<float>(preset.distortion * across[i]),
                        static_cast<float>(preset.distortion * down[i])});
  }

  const double part = stream.uniform(preset.contact.low, preset.contact.high);
  const double pressure = std::clamp(stream.normal(preset.pressure.low, preset.pressure.high), -1.0, 1.0);
  double sides[3] = {stream.normal(178, 12), stream.normal(215, 14), stream.normal(225, 20)};
  for (double &side : sides) side *= 1 + 0.04 * pressure;  // a firm touch is a little larger
  const double wander_x = stream.normal(0, 8), wander_y = stream.normal(0, 8), toward = stream.uniform(0, 2 * kPi);
  const double rough = stream.uniform(1, 3.5), scale = std::sqrt(part);
  contact_ = {static_cast<float>(finger.origin.x + wander_x + (1 - scale) * (std::cos(toward) * sides[0])),
              static_cast<float>(finger.origin.y + wander_y + (1 - scale) * (std::sin(toward) * ((sides[1] + sides[2]) / 2))),
              static_cast<float>(scale * sides[0]), static_cast<float>(scale * sides[1]), static_cast<float>(scale * sides[2]),
              static_cast<float>(rough)};

  const size_t scars = stream.choice(preset.scars), most = 8;
  const std::vector<double> x = stream.uniforms(0, finger.size, most), y = stream.uniforms(0, finger.size, most);
  const std::vector<double> angle = stream.uniforms(0, 2 * kPi, most), half = stream.uniforms(10, 70, most);
  const std::vector<double> width = stream.uniforms(0.7, 1.4, most);
  for (size_t i = 0; i < scars; ++i) {
    lines_.push_back({static_cast<float>(x[i]), static_cast<float>(y[i]), static_cast<float>(angle[i]), static_cast<float>(half[i]),
                      static_cast<float>(width[i])});
  }
  traits_ = drawn_traits(stream, preset, pressure);
  const int blotches = window_ / kBlotchCell + 2;
  stream.normalf(static_cast<size_t>(blotches) * blotches);
  cells_ = window_ / kUnevenCell + 2;
  uneven_ = stream.normalf(static_cast<size_t>(cells_) * cells_);
}

Skin Capture::skin(const Master &finger, int step) const {
  const int side = window_ / step;
  const std::vector<float> unevenness = smooth(uneven_, cells_, side);
  const double c = std::cos(rotation_ * kRadians), s = std::sin(rotation_ * kRadians), start = (step - window_) / 2.0;
  struct Turned {  // of a ripple, along a row or a column of the window
    double sine, cosine;
  };
  std::vector<std::vector<Turned>> along_u(ripples_.size()), along_v(ripples_.size());
  for (size_t k = 0; k < ripples_.size(); ++k) {
    const Ripple &wave = ripples_[k];
    for (int i = 0; i < side; ++i) {
      const double u = (wave.kx * c + wave.ky * s) * (start + i * step - shift_[0]) + wave.phase;
      const double v = (wave.ky * c - wave.kx * s) * (start + i * step - shift_[1]);
      along_u[k].push_back({std::sin(u), std::cos(u)});
      along_v[k].push_back({std::sin(v), std::cos(v)});
    }
  }
  Skin skin;
  for (int row = 0; row < side; ++row) {
    const double v = start + row * step - shift_[1];
    for (int column = 0; column < side; ++column) {
      const double u = start + column * step - shift_[0];
      double x = c * u - s * v + middle_, y = s * u + c * v + middle_;
      for (size_t k = 0; k < ripples_.size(); ++k) {
        const Turned &in_u = along_u[k][column], &in_v = along_v[k][row];
        const double wave = in_u.sine * in_v.cosine + in_u.cosine * in_v.sine;
        x += ripples_[k].across * wave;
        y += ripples_[k].down * wave;
      }
      const float uneven = unevenness[static_cast<size_t>(row) * side + column];
      const double contact = 1 / (1 + std::exp(-std::clamp(depth(finger, x, y, uneven) / 2, -80.0, 80.0)));
      const double lines = line_depth(x, y, 0), ridges = sample(finger.ridges, finger.size, x, y) * (1 - lines) - lines;
      skin.ridges.push_back(static_cast<float>(rounded_to_step(ridges * contact)));
      skin.contact.push_back(static_cast<float>(rounded_to_step(contact)));
    }
  }
  return skin;
}

double Capture::depth(const Master &finger, double x, double y, float wobble) const {
  const double dy = y - contact_.y, tall = dy < 0 ? contact_.above : contact_.below;
  const double radius = std::pow(std::fabs((x - contact_.x) / contact_.wide), kOutline) + std::pow(std::fabs(dy / tall), kOutline);
  const double found = (1 - std::pow(radius, static_cast<float>(1 / kOutline))) * contact_.wide + contact_.rough * wobble;
  return std::min({found, x, finger.size - 1 - x, y, finger.size - 1 - y});
}

double Capture::line_depth(double x, double y, float widened) const {
  double depth = 0;
  for (const Line &line : lines_) {
    const double c = std::cos(static_cast<double>(line.angle)), s = std::sin(static_cast<double>(line.angle));
    const double length = line.length, width = line.width + widened;
    const double along = c * (x - line.x) - s * (y - line.y);
    const double across = s * (x - line.x) + c * (y - line.y) - along * along / (20 * length);
    if (std::fabs(across) >= 4 * width || std::fabs(along) >= length + 32) continue;  // beyond: nothing to see
    const double end = 1 / (1 + std::exp((std::fabs(along) - length) / 4));
    depth = std::max(depth, std::exp(-(across / width) * (across / width)) * end);
  }
  return depth;
}

Place Capture::placed(Place point) const {
  const double x = point.x - middle_, y = point.y - middle_;
  Place q{x, y};
  for (int i = 0; i < 8; ++i) {  // the displacement changes slowly, so this contracts fast
    Place drawn{0, 0};
    for (const Ripple &wave : ripples_) {
      const double height = std::sin(q.x * wave.kx + q.y * wave.ky + wave.phase);
      drawn.x += height * wave.across, drawn.y += height * wave.down;
    }
    q = {x - drawn.x, y - drawn.y};
  }
  const double c = std::cos(rotation_ * kRadians), s = std::sin(rotation_ * kRadians), center = (window_ - 1) / 2.0;
  return {c * q.x + s * q.y + shift_[0] + center, -s * q.x + c * q.y + shift_[1] + center};
}

// `unevenness`: of pressure, at every kPatch pixels of the window.
bool Capture::shows(const Master &finger, Place point, Place placed, const std::vector<float> &unevenness) const {
  const double last = window_ - 1;
  if (!(placed.x >= 0 && placed.x <= last && placed.y >= 0 && placed.y <= last)) return false;
  const int patches = window_ / kPatch;
  const int column = std::min(static_cast<int>(placed.x) / kPatch, patches - 1), row = std::min(static_cast<int>(placed.y) / kPatch, patches - 1);
  return depth(finger, point.x, point.y, unevenness[static_cast<size_t>(row) * patches + column]) > kClear;
}

Template Capture::truth(const Master &finger) const {
  Template found;
  found.width = found.height = window_;
  found.ppi = 500;
  const std::vector<float> unevenness = smooth(uneven_, cells_, window_ / kPatch);
  for (const FingerMinutia &minutia : finger.minutiae()) {
    const Place point{minutia.x, minutia.y}, at = placed(point);
    if (!shows(finger, point, at, unevenness) || line_depth(point.x, point.y, kCovered) >= std::exp(-1.0)) continue;
    // Carried along with the skin, so that rotation and distortion turn it as they turn the ridge.
    const Place ahead = placed({point.x + 3 * std::cos(minutia.angle), point.y - 3 * std::sin(minutia.angle)});
    double degrees = std::atan2(at.y - ahead.y, ahead.x - at.x) / kRadians;
    degrees = degrees < 0 ? degrees + 360 : degrees;
    found.minutiae.push_back({at.x, at.y, degrees >= 360 ? 0 : degrees, minutia.ending ? kEnding : kBifurcation, -1});
  }
  for (const auto &[from, to] : {std::pair{&finger.cores, &found.cores}, {&finger.deltas, &found.deltas}}) {
    for (const Place &point : *from) {
      const Place at = placed(point);
      if (shows(finger, point, at, unevenness)) to->push_back({at.x, at.y});
    }
  }
  return found;
}

}  // namespace fingergen
