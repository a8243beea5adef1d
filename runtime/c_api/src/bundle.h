// A bundle directory: its manifest and latents, and files whose hashes are right.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "json.h"
#include "ridge_noise.h"

namespace fingergen {

struct Array {  // float32, in C order
  std::vector<int64_t> shape;
  std::vector<float> values;
};

enum class Noise { constant, random, none, ridges };

struct Bundle {
  explicit Bundle(const std::string &path);  // BadInput names the file and the field that are wrong

  // The bytes of a file that the manifest lists, read once and checked against its hash.
  std::string read(const std::string &name) const;

  // The number of z that a trait is, by its name.
  std::optional<size_t> trait(const std::string &name) const;

  // A direction of edits, by its number; BadInput names what edits there are.
  const std::vector<float> &direction(const std::string &name) const;

  std::string path;
  Json manifest;
  int channels, resolution, style_dim, num_ws, output_size, edit_from;
  int window = 0;  // of ridge noise: pixels a side at 500 ppi of what an image shows
  double ppi, output_ppi, truncation;
  std::optional<RidgeNoise> ridge_noise;
  Noise noise_mode;
  std::vector<float> w_avg;
  std::vector<Array> noise;  // buffers (1, 1, H, W), one for each layer
  std::vector<std::vector<float>> directions;

 private:
  std::vector<std::vector<float>> rows(std::map<std::string, Array> &arrays, const std::string &name) const;
};

}  // namespace fingergen
