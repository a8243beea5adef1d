#include "model.h"

#include <algorithm>
#include <cmath>

#include "errors.h"
#include "resize.h"
#include "seeds.h"

namespace fingergen {
namespace {

const std::string kImage = "image", kPixels = "pixels", kLatent = "w";

void check_finite(const std::vector<float> &values, const char *graph) {
  for (float value : values) {
    if (!std::isfinite(value)) throw std::runtime_error(std::string(graph) + " graph: its output has values that are not finite");
  }
}

void check_size(size_t found, size_t wanted, const char *graph) {
  if (found != wanted) {
    throw BadInput(std::string(graph) + " graph: its output has " + std::to_string(found) + " values; must have " +
                   std::to_string(wanted));
  }
}

// Network output, nominally in [-1, 1] → the nearest of 256 levels.
uint8_t level(float value) { return static_cast<uint8_t>(std::clamp(std::nearbyint((value + 1.0f) * 127.5f), 0.0f, 255.0f)); }

}  // namespace

Model::Model(const std::string &bundle, const std::string &onnxruntime, const std::string &custom_ops, int threads)
    : bundle_(bundle), runtime_(std::make_shared<const OnnxRuntime>(onnxruntime)) {
  mapping_ = open("mapping", custom_ops, threads);
  synthesis_ = open("synthesis", custom_ops, threads);
}

std::unique_ptr<Session> Model::open(const char *graph, const std::string &custom_ops, int threads) const {
  const std::string file = bundle_.manifest.at("graphs").text(graph);
  return std::make_unique<Session>(runtime_, bundle_.read(file), custom_ops, threads, bundle_.path + "/" + file);
}

std::vector<uint8_t> Model::synthesize(uint64_t seed, double truncation) const {
  if (!std::isfinite(truncation)) throw BadInput("truncation: must be a finite number");
  const std::vector<float> z = Stream(seed, Purpose::latent).normal(static_cast<size_t>(bundle_.style_dim));
  std::vector<float> w;
  std::vector<uint8_t> none;
  mapping_->run({{"z", {1, bundle_.style_dim}, z.data()}}, kLatent, w, "", none);
  check_size(w.size(), z.size(), "mapping");
  check_finite(w, "mapping");
  if (truncation != 1) {
    const auto psi = static_cast<float>(truncation);
    for (size_t i = 0; i < w.size(); ++i) w[i] = bundle_.w_avg[i] + psi * (w[i] - bundle_.w_avg[i]);
  }
  std::vector<float> styles;
  for (int i = 0; i < bundle_.num_ws; ++i) styles.insert(styles.end(), w.begin(), w.end());
  const std::vector<uint8_t> planes = levels(styles, noise(seed));

  const int side = bundle_.resolution, size = bundle_.output_size, channels = bundle_.channels;
  const size_t area = static_cast<size_t>(side) * side;
  std::vector<uint8_t> pixels(static_cast<size_t>(size) * size * channels);
  for (int channel = 0; channel < channels; ++channel) {
    const auto start = planes.begin() + static_cast<std::ptrdiff_t>(area) * channel;
    const std::vector<uint8_t> plane = resize({start, start + static_cast<std::ptrdiff_t>(area)}, side, size);
    for (size_t i = 0; i < plane.size(); ++i) pixels[i * channels + channel] = plane[i];
  }
  return pixels;
}

std::vector<std::vector<float>> Model::noise(uint64_t seed) const {
  Stream stream(seed, Purpose::noise);
  std::vector<std::vector<float>> buffers;
  for (const Array &stored : bundle_.noise) {
    switch (bundle_.noise_mode) {
      case Noise::constant: buffers.push_back(stored.values); break;
      case Noise::random: buffers.push_back(stream.normal(stored.values.size())); break;
      case Noise::none: buffers.emplace_back(stored.values.size(), 0.0f); break;
    }
  }
  return buffers;
}

std::vector<uint8_t> Model::levels(const std::vector<float> &w, const std::vector<std::vector<float>> &noise) const {
  std::vector<Input> inputs = {{kLatent, {1, bundle_.num_ws, bundle_.style_dim}, w.data()}};
  for (size_t layer = 0; layer < noise.size(); ++layer) {
    inputs.push_back({"noise_" + std::to_string(layer), bundle_.noise[layer].shape, noise[layer].data()});
  }
  std::vector<float> image;
  std::vector<uint8_t> found;
  const bool makes_pixels = synthesis_->has_output(kPixels);
  synthesis_->run(inputs, kImage, image, makes_pixels ? kPixels : "", found);
  check_size(image.size(), static_cast<size_t>(bundle_.channels) * bundle_.resolution * bundle_.resolution, "synthesis");
  check_finite(image, "synthesis");
  if (!makes_pixels) {
    for (float value : image) found.push_back(level(value));
  }
  check_size(found.size(), image.size(), "synthesis");
  return found;
}

}  // namespace fingergen
