#include "bundle.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "errors.h"
#include "sha256.h"

namespace fingergen {
namespace {

constexpr int kLargestSide = 1 << 14;

std::string read_file(const std::string &path) {
  std::error_code failure;  // a folder, a pipe or a device is none
  const bool regular = std::filesystem::is_regular_file(path, failure);
  std::ifstream file;
  if (regular) file.open(path, std::ios::binary);
  if (!file.is_open()) throw BadInput(path + ": cannot be read; give a bundle directory");
  std::string content{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (file.bad()) throw BadInput(path + ": cannot be read to its end");
  return content;
}

template <typename Number>
Number little_endian(const std::string &data, size_t at) {
  if (at > data.size() || data.size() - at < sizeof(Number)) throw BadInput("it is truncated");
  Number value = 0;
  for (size_t i = 0; i < sizeof(Number); ++i) {
    value |= static_cast<Number>(static_cast<Number>(static_cast<unsigned char>(data[at + i])) << (8 * i));
  }
  return value;
}

std::string part(const std::string &data, size_t at, size_t length) {
  if (at > data.size() || data.size() - at < length) throw BadInput("it is truncated");
  return data.substr(at, length);
}

// One array of a .npz file (NumPy's format 1.0): a header that is a Python dict, then the values.
Array read_npy(const std::string &data) {
  if (part(data, 0, 6) != "\x93NUMPY" || data.size() < 10 || data[6] != 1) throw BadInput("no NumPy array, format 1.0");
  size_t length = little_endian<uint16_t>(data, 8);
  std::string header = part(data, 10, length);
  if (header.find("'descr': '<f4'") == std::string::npos || header.find("'fortran_order': False") == std::string::npos) {
    throw BadInput("an array that is not float32 in C order");
  }
  size_t start = header.find("'shape': (");
  if (start == std::string::npos) throw BadInput("an array without shape");
  Array array;
  size_t count = 1;
  for (const char *at = header.c_str() + start + std::strlen("'shape': ("); *at != ')' && *at != 0;) {
    char *end = nullptr;
    long long side = std::strtoll(at, &end, 10);
    if (end == at || side < 0 || side > (1 << 24) || count > (size_t{1} << 30) / std::max<size_t>(1, static_cast<size_t>(side))) {
      throw BadInput("an array of an impossible shape");
    }
    array.shape.push_back(side);
    count *= static_cast<size_t>(side);
    for (at = end; *at == ',' || *at == ' ';) ++at;
  }
  std::string values = part(data, 10 + length, count * sizeof(float));
  array.values.resize(count);
  std::memcpy(array.values.data(), values.data(), values.size());
  return array;
}

// The arrays of a .npz file, a ZIP archive without compression.
std::map<std::string, Array> read_npz(const std::string &data) {
  std::map<std::string, Array> arrays;
  size_t end = data.rfind("PK\5\6");
  if (end == std::string::npos) throw BadInput("no ZIP archive");
  size_t count = little_endian<uint16_t>(data, end + 10), at = little_endian<uint32_t>(data, end + 16);
  for (size_t i = 0; i < count; ++i) {
    if (part(data, at, 4) != "PK\1\2") throw BadInput("a damaged ZIP directory");
    if (little_endian<uint16_t>(data, at + 10) != 0) throw BadInput("compressed arrays; export the bundle again");
    size_t size = little_endian<uint32_t>(data, at + 20), name_length = little_endian<uint16_t>(data, at + 28);
    size_t extra = little_endian<uint16_t>(data, at + 30), comment = little_endian<uint16_t>(data, at + 32);
    size_t local = little_endian<uint32_t>(data, at + 42);
    std::string name = part(data, at + 46, name_length);
    size_t skipped = 30 + size_t{little_endian<uint16_t>(data, local + 26)} + little_endian<uint16_t>(data, local + 28);
    arrays[name] = read_npy(part(data, local + skipped, size));
    at += 46 + name_length + extra + comment;
  }
  return arrays;
}

Noise noise_mode(const std::string &name) {
  if (name == "const") return Noise::constant;
  if (name == "random") return Noise::random;
  if (name == "none") return Noise::none;
  if (name == "ridges") return Noise::ridges;
  throw BadInput("field recommended.noise is '" + name + "': const, random, none and ridges are known");
}

}  // namespace

Bundle::Bundle(const std::string &folder) : path(folder) {
  const std::string file = path + "/bundle.json";
  const std::string content = read_file(file);
  std::string latents;
  try {
    manifest = Json::parse(content);
    if (manifest.text("format") != "fingergen-bundle") throw BadInput("field format is not fingergen-bundle");
    manifest.integer("format_version", 1, 1);
    const Json &architecture = manifest.at("architecture"), &image = manifest.at("image");
    channels = architecture.integer("channels", 1, 3);
    if (channels == 2) throw BadInput("field channels is 2: 1 and 3 are known");
    resolution = architecture.integer("resolution", 4, kLargestSide);
    style_dim = architecture.integer("style_dim", 1, kLargestSide);
    num_ws = architecture.integer("num_ws", 1, 64);
    output_size = image.integer("output_size", 1, kLargestSide);
    output_ppi = image.number("output_ppi");
    ppi = image.number("ppi");
    if (!(ppi >= 1 && ppi <= 100000 && output_ppi >= 1 && output_ppi <= 100000)) throw BadInput("field ppi is out of range");
    truncation = manifest.at("recommended").number("truncation");
    noise_mode = fingergen::noise_mode(manifest.at("recommended").text("noise"));
    edit_from = manifest.at("recommended").integer("edit_from", 0, num_ws - 1);
    if (manifest.find("ridge_noise") != nullptr) {
      ridge_noise = RidgeNoise(manifest);
      window = static_cast<int>(std::nearbyint(resolution * 500 / ppi));
      if (ridge_noise->layers.size() != static_cast<size_t>(num_ws - 1)) throw BadInput("field ridge_noise.layers has not num_ws - 1 entries");
      if (ridge_noise->traits.size() > static_cast<size_t>(style_dim)) throw BadInput("field ridge_noise.looks has more entries than z");
      if (window % resolution != 0) throw BadInput("field image.ppi must be 500, which fingers have, or 500 divided by a whole number");
    } else if (noise_mode == Noise::ridges) {
      throw BadInput("field recommended.noise is ridges, and ridge_noise is missing");
    }
    latents = manifest.text("latents");
  } catch (const BadInput &error) {
    throw BadInput(file + ": " + error.what());
  }
  const std::string data = read(latents);
  try {
    auto arrays = read_npz(data);
    w_avg = arrays["w_avg.npy"].values;
    if (w_avg.size() != static_cast<size_t>(style_dim)) throw BadInput("w_avg is not of length style_dim");
    for (int layer = 0; layer < num_ws - 1; ++layer) {
      const std::string name = "noise_" + std::to_string(layer);
      Array &buffer = arrays[name + ".npy"];
      const int64_t side = layer_size(static_cast<size_t>(layer));
      if (buffer.shape != std::vector<int64_t>{1, 1, side, side}) {
        const std::string size = std::to_string(side);
        throw BadInput(name + " is not of shape (1, 1, " + size + ", " + size + ")");
      }
      noise.push_back(std::move(buffer));
    }
    directions = rows(arrays, "sefa_directions");
  } catch (const BadInput &error) {
    throw BadInput(path + "/" + latents + ": " + error.what());
  }
}

std::vector<std::vector<float>> Bundle::rows(std::map<std::string, Array> &arrays, const std::string &name) const {
  const Array &array = arrays[name + ".npy"];
  std::vector<std::vector<float>> found;
  if (array.values.empty()) return found;
  if (array.shape.size() != 2 || array.shape[1] != style_dim) throw BadInput(name + " is not of shape (K, style_dim)");
  for (int64_t i = 0; i < array.shape[0]; ++i) {
    const auto start = array.values.begin() + i * style_dim;
    found.emplace_back(start, start + style_dim);
  }
  return found;
}

std::optional<size_t> Bundle::trait(const std::string &name) const {
  if (!ridge_noise) return std::nullopt;
  const auto found = std::find(ridge_noise->traits.begin(), ridge_noise->traits.end(), name);
  if (found == ridge_noise->traits.end()) return std::nullopt;
  return static_cast<size_t>(found - ridge_noise->traits.begin());
}

const std::vector<float> &Bundle::direction(const std::string &name) const {
  char *end = nullptr;
  const unsigned long long index = std::strtoull(name.c_str(), &end, 10);
  if (!name.empty() && std::isdigit(static_cast<unsigned char>(name[0])) && *end == 0 && index < directions.size()) return directions[index];
  std::string known = std::to_string(directions.size()) + " numbered directions";
  if (ridge_noise) {
    for (const std::string &trait : ridge_noise->traits) known += ", " + trait;
  }
  throw BadInput("direction '" + name.substr(0, 40) + "': this bundle has " + known);
}

std::string Bundle::read(const std::string &name) const {
  const std::string file = path + "/" + name;
  if (name.empty() || name[0] == '/' || name.find("..") != std::string::npos) {
    throw BadInput(file + ": leads out of the bundle");
  }
  std::string content = read_file(file);
  const Json *listed = manifest.at("files").find(name);
  if (listed == nullptr) throw BadInput(file + ": bundle.json does not list it");
  if (sha256(content) != listed->text("sha256")) {
    throw BadInput(file + ": is not the file that bundle.json lists (its SHA-256 differs); copy the bundle again");
  }
  return content;
}

}  // namespace fingergen
