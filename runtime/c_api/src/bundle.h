// A bundle directory: its manifest and latents, and files whose hashes are right.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "json.h"

namespace fingergen {

struct Array {  // float32, in C order
  std::vector<int64_t> shape;
  std::vector<float> values;
};

enum class Noise { constant, random, none };

struct Bundle {
  explicit Bundle(const std::string &path);  // BadInput names the file and the field that are wrong

  // The bytes of a file that the manifest lists, read once and checked against its hash.
  std::string read(const std::string &name) const;

  std::string path;
  Json manifest;
  int channels, resolution, style_dim, num_ws, output_size;
  double output_ppi, truncation;
  Noise noise_mode;
  std::vector<float> w_avg;
  std::vector<Array> noise;  // buffers (1, 1, H, W), one for each layer
};

}  // namespace fingergen
