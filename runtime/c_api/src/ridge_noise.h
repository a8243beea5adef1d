// A finger as the noise inputs of a synthesis network: runtime/bundle/ridge_noise.py.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "json.h"
#include "seeds.h"

namespace fingergen {

enum class Source { ridges, contact, white };

struct NoiseLayer {
  Source source;
  float gain;
};

// Pixels a side of the noise input of a layer, counted from 0.
constexpr int64_t layer_size(size_t number) { return int64_t{4} << (number + 1) / 2; }

// `ridge_noise` of a manifest.
struct RidgeNoise {
  explicit RidgeNoise(const Json &manifest);

  // Noise inputs: `ridges` and `contact` (map_size, map_size); white noise of layers comes from `stream`.
  std::vector<std::vector<float>> images(const std::vector<float> &ridges, const std::vector<float> &contact, Stream stream) const;

  std::vector<NoiseLayer> layers;
  int map_size = 4;  // pixels a side of the ridge maps that the layers take, the finest of them
  std::vector<std::string> traits;
};

}  // namespace fingergen
