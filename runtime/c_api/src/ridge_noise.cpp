#include "ridge_noise.h"

#include <cmath>

#include "errors.h"

namespace fingergen {
namespace {

// The sum of a row's `count` numbers, a power of two, in the order in which NumPy adds them.
float row_sum(const float *values, int count) {
  if (count < 8) {
    float sum = values[0];
    for (int i = 1; i < count; ++i) sum += values[i];
    return sum;
  }
  float part[8];
  for (int k = 0; k < 8; ++k) part[k] = values[k];
  for (int i = 8; i < count; i += 8) {
    for (int k = 0; k < 8; ++k) part[k] += values[i + k];
  }
  return ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
}

// (side, side) averaged to (size, size).
std::vector<float> reduced(const std::vector<float> &image, int side, int size) {
  if (size == side) return image;
  const int factor = side / size;
  std::vector<float> means;
  for (int y = 0; y < size; ++y) {
    for (int x = 0; x < size; ++x) {
      float sum = 0;
      for (int row = 0; row < factor; ++row) sum += row_sum(&image[static_cast<size_t>(y * factor + row) * side + static_cast<size_t>(x) * factor], factor);
      means.push_back(sum / static_cast<float>(factor * factor));
    }
  }
  return means;
}

}  // namespace

RidgeNoise::RidgeNoise(const Json &manifest) {
  const Json &noise = manifest.at("ridge_noise");
  for (const Json &layer : noise.items("layers")) {
    const std::string &source = layer.text("source");
    if (source != "ridges" && source != "contact" && source != "white") throw BadInput("field ridge_noise.layers: source '" + source + "' is not known");
    layers.push_back({source == "ridges" ? Source::ridges : source == "contact" ? Source::contact : Source::white,
                      static_cast<float>(layer.number("gain"))});
  }
  if (noise.find("looks") != nullptr) {
    for (const Json &look : noise.items("looks")) traits.push_back(look.text());
  }
}

std::vector<std::vector<float>> RidgeNoise::images(const std::vector<float> &ridges, const std::vector<float> &contact, int side,
                                                   std::vector<std::vector<float>> white) const {
  for (size_t i = 0; i < layers.size(); ++i) {
    std::vector<float> &image = white[i];
    const int size = static_cast<int>(std::lround(std::sqrt(static_cast<double>(image.size()))));
    if (layers[i].source == Source::ridges) image = reduced(ridges, side, size);
    if (layers[i].source == Source::contact) {
      image = reduced(contact, side, size);
      for (float &value : image) value = 2.0f * value - 1.0f;
    }
    if (layers[i].gain != 1) {
      for (float &value : image) value *= layers[i].gain;
    }
  }
  return white;
}

}  // namespace fingergen
