#include "resize.h"

#include <algorithm>
#include <cmath>

namespace fingergen {
namespace {

constexpr int kBits = 32 - 8 - 2;  // of fractions in weights: two bits for overshoot, eight for the level
constexpr double kSupport = 2, kSharpness = -0.5;

double bicubic(double x) {
  x = std::fabs(x);
  if (x < 1) return ((kSharpness + 2) * x - (kSharpness + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * kSharpness;
  return 0;
}

struct Taps {  // of one output pixel
  int first;
  std::vector<int> weights;
};

std::vector<Taps> taps(int side, int size) {
  const double scale = static_cast<double>(side) / size, stretch = std::max(scale, 1.0);
  const double support = kSupport * stretch, narrowing = 1.0 / stretch;
  std::vector<Taps> all;
  for (int out = 0; out < size; ++out) {
    const double center = (out + 0.5) * scale;
    const int first = std::max(0, static_cast<int>(center - support + 0.5));
    const int end = std::min(side, static_cast<int>(center + support + 0.5));
    std::vector<double> weights;
    double sum = 0;
    for (int i = first; i < end; ++i) {
      weights.push_back(bicubic((i - center + 0.5) * narrowing));
      sum += weights.back();
    }
    Taps found{first, {}};
    for (double weight : weights) {
      const double fixed = (sum != 0 ? weight / sum : weight) * (1 << kBits);
      found.weights.push_back(static_cast<int>(fixed < 0 ? fixed - 0.5 : fixed + 0.5));
    }
    all.push_back(std::move(found));
  }
  return all;
}

uint8_t level(int fixed) { return static_cast<uint8_t>(std::clamp(fixed >> kBits, 0, 255)); }

}  // namespace

std::vector<uint8_t> resize(const std::vector<uint8_t> &image, int side, int size) {
  if (side == size) return image;
  const std::vector<Taps> all = taps(side, size);
  auto weigh = [](const Taps &of, const uint8_t *from, int step) {
    int sum = 1 << (kBits - 1);
    for (size_t i = 0; i < of.weights.size(); ++i) sum += from[(of.first + static_cast<int>(i)) * step] * of.weights[i];
    return level(sum);
  };
  std::vector<uint8_t> wide(static_cast<size_t>(side) * size), resized(static_cast<size_t>(size) * size);
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < size; ++x) wide[static_cast<size_t>(y) * size + x] = weigh(all[x], &image[static_cast<size_t>(y) * side], 1);
  }
  for (int y = 0; y < size; ++y) {
    for (int x = 0; x < size; ++x) resized[static_cast<size_t>(y) * size + x] = weigh(all[y], &wide[x], size);
  }
  return resized;
}

}  // namespace fingergen
