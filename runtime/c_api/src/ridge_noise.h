// A finger as the noise inputs of a synthesis network: runtime/bundle/ridge_noise.py.
#pragma once

#include <string>
#include <vector>

#include "json.h"

namespace fingergen {

enum class Source { ridges, contact, white };

struct NoiseLayer {
  Source source;
  float gain;
};

// `ridge_noise` of a manifest.
struct RidgeNoise {
  explicit RidgeNoise(const Json &manifest);

  // Noise inputs: `ridges` and `contact` (side, side); `white`: standard normal numbers, square, one array per layer.
  std::vector<std::vector<float>> images(const std::vector<float> &ridges, const std::vector<float> &contact, int side,
                                         std::vector<std::vector<float>> white) const;

  std::vector<NoiseLayer> layers;
  std::vector<std::string> traits;
};

}  // namespace fingergen
