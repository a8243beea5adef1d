// A loaded bundle: what runtime/model.py does for a seed.
#pragma once

#include <memory>

#include "bundle.h"
#include "onnxruntime.h"

namespace fingergen {

class Model {
 public:
  Model(const std::string &bundle, const std::string &onnxruntime, const std::string &custom_ops, int threads);

  const Bundle &bundle() const { return bundle_; }

  // Pixels of a seed's finger, (size, size) or (size, size, 3).
  std::vector<uint8_t> synthesize(uint64_t seed, double truncation) const;

 private:
  std::unique_ptr<Session> open(const char *graph, const std::string &custom_ops, int threads) const;
  std::vector<std::vector<float>> noise(uint64_t seed) const;
  std::vector<uint8_t> levels(const std::vector<float> &w, const std::vector<std::vector<float>> &noise) const;

  Bundle bundle_;
  std::shared_ptr<const OnnxRuntime> runtime_;
  std::unique_ptr<Session> mapping_, synthesis_;
};

}  // namespace fingergen
