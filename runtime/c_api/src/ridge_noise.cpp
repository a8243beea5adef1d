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

Source source_of(const std::string &name) {
  if (name == "ridges") return Source::ridges;
  if (name == "contact") return Source::contact;
  if (name == "white") return Source::white;
  if (name == "averaged") return Source::averaged;
  throw BadInput("field ridge_noise.layers: source '" + name + "' is not known");
}

}  // namespace

RidgeNoise::RidgeNoise(const Json &manifest) {
  const Json &noise = manifest.at("ridge_noise");
  for (const Json &layer : noise.items("layers")) {
    layers.push_back({source_of(layer.text("source")), static_cast<float>(layer.number("gain"))});
    const Source source = layers.back().source;
    if (source == Source::ridges || source == Source::contact) map_size = std::max(map_size, static_cast<int>(layer_size(layers.size() - 1)));
  }
  for (size_t i = 0; i < layers.size(); ++i) {
    if (layers[i].source == Source::averaged && (i % 2 != 0 || i + 1 == layers.size() || layers[i + 1].source != Source::white)) {
      throw BadInput("field ridge_noise.layers: a layer takes averages of white noise, and the next layer has none of twice its size");
    }
  }
  if (noise.find("looks") != nullptr) {
    for (const Json &look : noise.items("looks")) traits.push_back(look.text());
  }
}

std::vector<std::vector<float>> RidgeNoise::images(const std::vector<float> &ridges, const std::vector<float> &contact,
                                                   Stream stream) const {
  std::vector<std::vector<float>> images(layers.size());
  const auto side = [](size_t layer) { return static_cast<int>(layer_size(layer)); };
  for (size_t i = 0; i < layers.size(); ++i) {
    if (layers[i].source == Source::white) images[i] = stream.deviates(static_cast<size_t>(side(i)) * side(i));
  }
  for (size_t i = 0; i < layers.size(); ++i) {
    std::vector<float> &image = images[i];
    if (layers[i].source == Source::averaged) image = reduced(images[i + 1], side(i + 1), side(i));
    if (layers[i].source == Source::ridges) image = reduced(ridges, map_size, side(i));
    if (layers[i].source == Source::contact) {
      image = reduced(contact, map_size, side(i));
      for (float &value : image) value = 2.0f * value - 1.0f;
    }
    if (layers[i].gain != 1) {
      for (float &value : image) value *= layers[i].gain;
    }
  }
  return images;
}

}  // namespace fingergen
