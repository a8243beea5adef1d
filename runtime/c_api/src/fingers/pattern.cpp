#include "pattern.h"

#include <algorithm>
#include <cmath>

#include "../seeds.h"

namespace fingergen {
namespace {

constexpr double kPi = 3.14159265358979323846;

// Wilson, Candela and Watson, "Neural network fingerprint classification" (NIST), 1994; in the order of Pattern::Kind.
const std::vector<double> kFrequencies = {0.037, 0.029, 0.338, 0.317, 0.279};

std::vector<Wave> draw_waves(Stream &stream, size_t count, double shortest, double longest, double amplitude) {
  const std::vector<double> direction = stream.uniforms(0, 2 * kPi, count), length = stream.uniforms(shortest, longest, count);
  const std::vector<double> phase = stream.uniforms(0, 2 * kPi, count), size = stream.normals(0, amplitude, count);
  std::vector<Wave> waves;
  for (size_t i = 0; i < count; ++i) {
    const double k = 2 * kPi / length[i];
    waves.push_back({k * std::cos(direction[i]), k * std::sin(direction[i]), phase[i], size[i]});
  }
  return waves;
}

}  // namespace

// Plane waves on a grid of which `x` are the columns. sin(a + b) takes the sines of its rows and columns alone.
class WavesAlong {
 public:
  WavesAlong(const std::vector<Wave> &waves, const std::vector<double> &x) : waves_(waves) {
    for (const Wave &wave : waves) {
      for (double each : x) {
        const double a = wave.kx * each + wave.phase;
        sines_.push_back(wave.amplitude * std::sin(a));
        cosines_.push_back(wave.amplitude * std::cos(a));
      }
    }
  }

  // Their sum on the row at `y` is added to `row`.
  void add(double y, std::vector<double> &row) const {
    const size_t columns = row.size();
    for (size_t k = 0; k < waves_.size(); ++k) {
      const double *sines = &sines_[k * columns], *cosines = &cosines_[k * columns];
      const double sine = std::sin(waves_[k].ky * y), cosine = std::cos(waves_[k].ky * y);
      for (size_t i = 0; i < columns; ++i) row[i] += sines[i] * cosine + cosines[i] * sine;
    }
  }

 private:
  const std::vector<Wave> &waves_;
  std::vector<double> sines_, cosines_;  // (waves, columns)
};

namespace {

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// How near two points are along an axis, 1 where they meet: along both, the product.
double near(double a, double b, double radius) { return std::exp((a - b) * (a - b) / (-2 * radius * radius)); }

// Half the direction from each zero, less half that from each pole.
double half_turns(const std::vector<Place> &zeros, const std::vector<Place> &poles, double x, double y) {
  double real = 1, imaginary = 0;
  auto turn = [&](const Place &place, double sign) {
    const double u = x - place.x, v = sign * (place.y - y), turned = real * u - imaginary * v;
    imaginary = real * v + imaginary * u;
    real = turned;
  };
  for (const Place &place : zeros) turn(place, 1);
  for (const Place &place : poles) turn(place, -1);
  return std::atan2(imaginary, real) / 2;
}

}  // namespace

double rounded_to_step(double value) { return std::nearbyint(value / kStep) * kStep; }

// Numbers in the order in which sample_pattern draws them.
Pattern::Pattern(uint64_t seed) {
  Stream stream(seed, Purpose::pattern);
  kind_ = static_cast<Kind>(stream.choice(kFrequencies));
  const double x = stream.normal(0, 12), y = stream.normal(-25, 15);
  if (kind_ == Kind::whorl) {  // a plain whorl, a double loop or a central pocket
    const size_t variant = stream.choice({0.6, 0.25, 0.15});
    const double handed = stream.integer(2) == 0 ? -1 : 1;
    const double plain = stream.gamma(2.5, 9) + 6, wide = stream.uniform(50, 95), tight = stream.uniform(8, 22);
    const double apart = variant == 0 ? plain : variant == 1 ? wide : tight;
    const double closed = std::fabs(stream.normal(0, 0.15)), open = stream.uniform(0.35, 0.7), some = stream.uniform(0, 0.2);
    spiral_ = handed * (variant == 0 ? closed : variant == 1 ? open : some);
    const double angle = stream.normal(kPi / 2, 0.35);
    const double half_x = apart / 2 * std::cos(angle), half_y = apart / 2 * std::sin(angle);
    cores = {{x - half_x, y - half_y}, {x + half_x, y + half_y}};
    std::vector<double> reach = stream.normals(118, 20, 2), drop = stream.normals(125, 20, 2);
    if (variant == 2) reach[0] *= 0.55, drop[0] *= 0.7;  // a pocket in a loop: one delta close to the cores
    for (size_t i = 0; i < 2; ++i) {
      const double side = i == 0 ? handed : -handed;
      deltas.push_back({x + side * std::max(50.0, reach[i]), y + std::max(60.0, drop[i])});
    }
  } else if (kind_ == Kind::tented_arch) {
    const double height = stream.uniform(45, 100);
    cores = {{x, y + 25}};
    deltas = {{x + stream.normal(0, 6), y + 25 + height}};
  } else if (kind_ != Kind::arch) {
    const double side = kind_ == Kind::left_loop ? 1 : -1;  // the delta lies opposite the open end
    const double across = stream.normal(95, 24), down = stream.normal(120, 22);
    cores = {{x, y}};
    deltas = {{x + side * std::max(45.0, across), y + std::max(60.0, down)}};
  }
  tilt_ = stream.normal(0, 0.05);
  bend_ = stream.normal(kind_ == Kind::whorl ? 0.55 : 0.8, 0.1);
  arch_height_ = stream.uniform(0.5, 1.2);
  arch_width_ = stream.uniform(80, 130);
  leg_ = stream.uniform(0.2, 0.45);
  leg_radius_ = stream.uniform(90, 150);
  spiral_radius_ = stream.uniform(50, 110);
  period_ = std::clamp(stream.normal(9, 0.7), 7.5, 11.5);
  orientation_waves_ = draw_waves(stream, 8, 160, 500, 0.055);
  period_waves_ = draw_waves(stream, 6, 120, 400, 0.025);
  const Place middle = focus();
  const std::vector<double> column = {middle.x};
  rest_at_focus_ = background(column, middle.y, {orientation_waves_, column})[0] + half_turns({}, deltas, middle.x, middle.y);
}

Place Pattern::focus() const {
  if (cores.empty()) return {0, -20};
  Place sum{0, 0};
  for (const Place &core : cores) sum.x += core.x, sum.y += core.y;
  const auto count = static_cast<double>(cores.size());
  return {sum.x / count, sum.y / count};
}

// The field without its singular points, on the row at `y`.
std::vector<double> Pattern::background(const std::vector<double> &x, double y, const WavesAlong &waves) const {
  const double above = std::min(y, 0.0);
  const double fingertip = sigmoid((90 - y) / 55);  // ridges near the joint lie flat
  const double rise = sigmoid((120 - y) / 60) * sigmoid((y + 200) / 70);
  std::vector<double> angles;
  for (double each : x) {
    const double sideways = each / std::sqrt(each * each + 130.0 * 130.0 + above * above);
    double angle = tilt_ - bend_ * sideways * fingertip;
    if (kind_ == Kind::arch) {
      const double across = each / arch_width_;
      angle -= std::atan(arch_height_ * across * std::exp(0.5 - across * across / 2) * rise);
    }
    angles.push_back(angle);
  }
  waves.add(y, angles);
  return angles;
}

std::vector<float> Pattern::orientation(const std::vector<double> &x, const std::vector<double> &y) const {
  const WavesAlong waves(orientation_waves_, x);
  const Place middle = focus();
  const double opening = 2 * rest_at_focus_, across = std::cos(opening), along = std::sin(opening);
  const double excess = rest_at_focus_ - kPi * std::floor(rest_at_focus_ / kPi) - kPi / 2;
  const double radius = cores.size() == 1 ? leg_radius_ : spiral_radius_;
  std::vector<double> near_x;
  for (double each : x) near_x.push_back(near(each, middle.x, radius));
  std::vector<float> orientations;
  for (double each : y) {
    const std::vector<double> angles = background(x, each, waves);
    const double near_y = near(each, middle.y, radius);
    for (size_t i = 0; i < x.size(); ++i) {
      double angle = angles[i] + half_turns(cores, deltas, x[i], each);
      if (cores.size() == 1) {  // the legs of a loop run parallel
        const double u = x[i] - middle.x, v = middle.y - each;
        const double turn = (across * v - along * u) / std::sqrt(std::max(u * u + v * v, 1e-12));
        angle -= leg_ * turn * (near_x[i] * near_y);
      } else if (cores.size() == 2) {  // the rings of a whorl close, or spiral
        angle += (spiral_ - excess) * (near_x[i] * near_y);
      }
      orientations.push_back(static_cast<float>(rounded_to_step(angle)));
    }
  }
  return orientations;
}

std::vector<float> Pattern::ridge_period(const std::vector<double> &x, const std::vector<double> &y) const {
  const WavesAlong waves(period_waves_, x);
  std::vector<float> periods;
  for (double each : y) {
    const double below = sigmoid((each - 110) / 40), above = sigmoid((-90 - each) / 40);
    std::vector<double> factors(x.size(), 1 + 0.10 * below - 0.05 * above);
    waves.add(each, factors);
    for (double factor : factors) periods.push_back(static_cast<float>(rounded_to_step(period_ * factor)));
  }
  return periods;
}

}  // namespace fingergen
