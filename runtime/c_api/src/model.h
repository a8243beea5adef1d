// A loaded bundle: what runtime/model.py does, image by image.
#pragma once

#include <memory>

#include "bundle.h"
#include "fingers/capture.h"
#include "onnxruntime.h"
#include "seeds.h"

namespace fingergen {

using Pixels = std::vector<uint8_t>;              // (size, size) or (size, size, 3)
using Buffers = std::vector<std::vector<float>>;  // noise inputs, one per layer

class Model {
 public:
  Model(const std::string &bundle, const std::string &onnxruntime, const std::string &custom_ops, int threads);

  const Bundle &bundle() const { return bundle_; }

  Pixels synthesize(uint64_t seed, double truncation) const;
  Pixels edit(uint64_t seed, const std::string &direction, double degree, double truncation) const;
  Pixels impression(uint64_t finger, uint32_t number, const std::string &preset, double truncation, Template *truth) const;
  Pixels reconstruct(const Template &given, uint64_t seed) const;

 private:
  std::unique_ptr<Session> open(const char *graph, const std::string &custom_ops, int threads) const;
  void check_ridges() const;
  std::vector<float> latent(uint64_t seed, uint32_t number = 0) const;          // z (style_dim) of a finger's impression
  std::vector<float> with_traits(std::vector<float> z, const Traits &traits) const;
  std::vector<float> map(const std::vector<float> &z) const;                    // w (style_dim)
  std::vector<float> truncated(std::vector<float> w, double truncation) const;  // whose length divides by style_dim
  std::vector<float> styles(const std::vector<float> &w) const;                 // for every style input
  Buffers white(uint64_t seed) const;
  Buffers noise(uint64_t seed) const;  // in the mode that the bundle recommends
  Buffers noise_of(const Skin &skin, uint64_t seed, uint32_t number) const;
  int map_step() const;  // pixels at 500 ppi of a side of a pixel of ridge maps
  Pixels render(const Session &graph, const std::vector<float> &styles, const Buffers &noise) const;

  Bundle bundle_;
  std::shared_ptr<const OnnxRuntime> runtime_;
  std::unique_ptr<Session> mapping_, synthesis_, decoder_, fields_, growth_;
};

}  // namespace fingergen
