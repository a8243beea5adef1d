#include "ridge_noise.h"

#include <algorithm>
#include <utility>

#include "errors.h"

namespace fingergen {
namespace {

// (side, side) averaged to (size, size), by halves and in the order of additions of ridge_noise.py.
std::vector<float> reduced(std::vector<float> image, int side, int size) {
  for (; side > size; side /= 2) {
    std::vector<float> means;
    for (int y = 0; y < side; y += 2) {
      const float *above = &image[static_cast<size_t>(y) * side], *below = above + side;
      for (int x = 0; x < side; x += 2) means.push_back(((above[x] + below[x]) + (above[x + 1] + below[x + 1])) * 0.25f);
    }
    image = std::move(means);
  }
  return image;
}

}  // namespace

RidgeNoise::RidgeNoise(const Json &manifest) {
  const Json &noise = manifest.at("ridge_noise");
  for (const Json &layer : noise.items("layers")) {
    const std::string &source = layer.text("source");
    if (source != "ridges" && source != "contact" && source != "white") throw BadInput("field ridge_noise.layers: source '" + source + "' is not known");
    layers.push_back({source == "ridges" ? Source::ridges : source == "contact" ? Source::contact : Source::white,
                      static_cast<float>(layer.number("gain"))});
    if (layers.back().source != Source::white) map_size = std::max(map_size, static_cast<int>(layer_size(layers.size() - 1)));
  }
  if (noise.find("looks") != nullptr) {
    for (const Json &look : noise.items("looks")) traits.push_back(look.text());
  }
}

std::vector<std::vector<float>> RidgeNoise::images(const std::vector<float> &ridges, const std::vector<float> &contact,
                                                   Stream stream) const {
  std::vector<std::vector<float>> images(layers.size());
  for (size_t i = 0; i < layers.size(); ++i) {
    std::vector<float> &image = images[i];
    const int size = static_cast<int>(layer_size(i));
    if (layers[i].source == Source::white) image = stream.deviates(static_cast<size_t>(size) * size);
    if (layers[i].source == Source::ridges) image = reduced(ridges, map_size, size);
    if (layers[i].source == Source::contact) {
      image = reduced(contact, map_size, size);
      for (float &value : image) value = 2.0f * value - 1.0f;
    }
    if (layers[i].gain != 1) {
      for (float &value : image) value *= layers[i].gain;
    }
  }
  return images;
}

}  // namespace fingergen
