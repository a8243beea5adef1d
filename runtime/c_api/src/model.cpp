#include "model.h"

#include <algorithm>
#include <cmath>

#include "errors.h"
#include "growth_graph.h"
#include "resize.h"
#include "ridge_map/ridge_map.h"

namespace fingergen {
namespace {

const std::string kImage = "image", kPixels = "pixels", kLatent = "w";
const std::string kFirst = "easy";  // preset of the impression that a seed stands for
constexpr double kDegrees = 2;  // of an edit of a trait, to a standard deviation
constexpr int kGrowthThreads = 4;  // a print's rows are cut into as many parts

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
  decoder_ = open("decoder", custom_ops, threads);
  fields_ = open("fields", custom_ops, threads);
  if (bundle_.ridge_noise) {
    const std::string graph(reinterpret_cast<const char *>(kGrowthGraph), sizeof(kGrowthGraph));
    growth_ = std::make_unique<Session>(runtime_, graph, custom_ops, std::min(threads, kGrowthThreads), "ridge growth");
  }
}

std::unique_ptr<Session> Model::open(const char *graph, const std::string &custom_ops, int threads) const {
  const Json &graphs = bundle_.manifest.at("graphs");
  const bool optional = graph == std::string("decoder") || graph == std::string("fields");
  if (optional && graphs.find(graph) == nullptr) return nullptr;
  std::string file;
  try {
    file = graphs.text(graph);
  } catch (const BadInput &error) {
    throw BadInput(bundle_.path + "/bundle.json: graphs: " + error.what());
  }
  return std::make_unique<Session>(runtime_, bundle_.read(file), custom_ops, threads, bundle_.path + "/" + file);
}

void Model::check_ridges() const {
  if (!bundle_.ridge_noise) {
    throw BadInput(bundle_.path + ": a bundle without ridge noise: its fingers have neither impressions nor known minutiae");
  }
  if (bundle_.window < kSmallestWindow || bundle_.window > kLargestWindow) {
    throw BadInput(bundle_.path + ": its images show " + std::to_string(bundle_.window) + " pixels at 500 ppi; fingers have " +
                   std::to_string(kSmallestWindow) + " to " + std::to_string(kLargestWindow));
  }
}

Pixels Model::synthesize(uint64_t seed, double truncation) const {
  return render(*synthesis_, styles(truncated(map(latent(seed)), truncation)), noise(seed));
}

Pixels Model::edit(uint64_t seed, const std::string &name, double degree, double truncation) const {
  if (!std::isfinite(degree)) throw BadInput("degree: must be a finite number");
  const size_t width = static_cast<size_t>(bundle_.style_dim), first = bundle_.edit_from * width;
  std::vector<float> z = latent(seed), w = styles(map(z));
  if (const auto trait = bundle_.trait(name)) {  // z is changed, as when the generator learned what traits do
    z[*trait] += static_cast<float>(degree / kDegrees);
    const std::vector<float> changed = map(z);
    for (size_t i = first; i < w.size(); ++i) w[i] = changed[i % width];
  } else {
    const std::vector<float> &direction = bundle_.direction(name);
    for (size_t i = first; i < w.size(); ++i) w[i] += static_cast<float>(degree) * direction[i % width];
  }
  return render(*synthesis_, truncated(std::move(w), truncation), noise(seed));
}

Pixels Model::impression(uint64_t seed, uint32_t number, const std::string &preset, double truncation, Template *truth) const {
  check_ridges();
  const Master finger = make_master(seed, bundle_.window, *growth_);
  const Capture capture(finger, number, preset);
  const std::vector<float> w = map(with_traits(latent(seed, number), capture.traits()));
  const Buffers noise = noise_of(capture.skin(finger, map_step()), seed, number);
  Pixels pixels = render(*synthesis_, styles(truncated(w, truncation)), noise);
  if (truth != nullptr) *truth = rescaled(capture.truth(finger), 500.0 * bundle_.output_size / bundle_.window);
  return pixels;
}

Pixels Model::reconstruct(const Template &given, uint64_t seed) const {
  check_ridges();
  if (fields_ == nullptr) throw BadInput(bundle_.path + ": a bundle without the graph fields: it cannot reconstruct from templates");
  check(given);
  const Template seen = to_field_of_view(given, bundle_.output_size, bundle_.output_ppi);
  const std::vector<float> raster = rasterize(seen);
  std::vector<float> fields;
  std::vector<uint8_t> none;
  fields_->run({{"raster", {1, kChannels, kCells, kCells}, raster.data()}}, "fields", fields, "", none);
  check_size(fields.size(), size_t{kFields} * kCells * kCells, "fields");
  check_finite(fields, "fields");

  std::vector<double> places;
  std::vector<uint8_t> types;
  for (const fingergen_minutia &minutia : seen.minutiae) {
    places.insert(places.end(), {minutia.x, minutia.y, minutia.angle});
    types.push_back(static_cast<uint8_t>(minutia.type));
  }
  const int side = bundle_.ridge_noise->map_size;
  const size_t area = static_cast<size_t>(side) * side;
  Skin skin{std::vector<float>(area), std::vector<float>(area)};
  make_ridge_map({seen.width, seen.ppi, places.data(), types.data(), types.size()}, fields.data(), kCells, side, skin.ridges.data(),
                 skin.contact.data());
  const std::vector<float> w = map(with_traits(latent(seed), sample_traits(seed)));
  return render(decoder_ ? *decoder_ : *synthesis_, styles(w), noise_of(skin, seed, 0));
}

std::vector<float> Model::latent(uint64_t seed, uint32_t number) const {
  Stream stream = number == 0 ? Stream(seed, Purpose::latent) : Stream(seed, Purpose::look, number);
  return stream.normal(static_cast<size_t>(bundle_.style_dim));
}

std::vector<float> Model::with_traits(std::vector<float> z, const Traits &traits) const {
  const std::vector<std::string> &names = bundle_.ridge_noise->traits;
  for (size_t i = 0; i < names.size(); ++i) z[i] = look_of(traits, names[i]).value_or(z[i]);
  return z;
}

std::vector<float> Model::map(const std::vector<float> &z) const {
  std::vector<float> w;
  std::vector<uint8_t> none;
  mapping_->run({{"z", {1, bundle_.style_dim}, z.data()}}, kLatent, w, "", none);
  check_size(w.size(), z.size(), "mapping");
  check_finite(w, "mapping");
  return w;
}

std::vector<float> Model::truncated(std::vector<float> w, double truncation) const {
  if (!std::isfinite(truncation)) throw BadInput("truncation: must be a finite number");
  if (truncation == 1) return w;
  const auto psi = static_cast<float>(truncation);
  const std::vector<float> &average = bundle_.w_avg;
  for (size_t i = 0; i < w.size(); ++i) w[i] = average[i % average.size()] + psi * (w[i] - average[i % average.size()]);
  return w;
}

std::vector<float> Model::styles(const std::vector<float> &w) const {
  std::vector<float> repeated;
  for (int i = 0; i < bundle_.num_ws; ++i) repeated.insert(repeated.end(), w.begin(), w.end());
  return repeated;
}

Buffers Model::white(uint64_t seed) const {
  Stream stream(seed, Purpose::noise);
  Buffers drawn;
  for (const Array &stored : bundle_.noise) drawn.push_back(stream.normal(stored.values.size()));
  return drawn;
}

Buffers Model::noise(uint64_t seed) const {
  if (bundle_.noise_mode == Noise::ridges) {
    check_ridges();
    const Master finger = make_master(seed, bundle_.window, *growth_);
    return noise_of(Capture(finger, 0, kFirst).skin(finger, map_step()), seed, 0);
  }
  if (bundle_.noise_mode == Noise::random) return white(seed);
  Buffers buffers;
  for (const Array &stored : bundle_.noise) {
    buffers.push_back(bundle_.noise_mode == Noise::constant ? stored.values : std::vector<float>(stored.values.size()));
  }
  return buffers;
}

Buffers Model::noise_of(const Skin &skin, uint64_t seed, uint32_t number) const {
  return bundle_.ridge_noise->images(skin.ridges, skin.contact, Stream(seed, Purpose::impression_noise, number));
}

int Model::map_step() const { return bundle_.window / bundle_.ridge_noise->map_size; }

Pixels Model::render(const Session &graph, const std::vector<float> &w, const Buffers &noise) const {
  std::vector<Input> inputs = {{kLatent, {1, bundle_.num_ws, bundle_.style_dim}, w.data()}};
  for (size_t layer = 0; layer < noise.size(); ++layer) {
    inputs.push_back({"noise_" + std::to_string(layer), bundle_.noise[layer].shape, noise[layer].data()});
  }
  std::vector<float> image;
  Pixels planes;
  const bool makes_pixels = graph.has_output(kPixels);
  graph.run(inputs, kImage, image, makes_pixels ? kPixels : "", planes);
  const int side = bundle_.resolution, size = bundle_.output_size, channels = bundle_.channels;
  const size_t area = static_cast<size_t>(side) * side;
  check_size(image.size(), area * channels, "synthesis");
  check_finite(image, "synthesis");
  if (!makes_pixels) {
    for (float value : image) planes.push_back(level(value));
  }
  check_size(planes.size(), image.size(), "synthesis");

  Pixels pixels(static_cast<size_t>(size) * size * channels);
  for (int channel = 0; channel < channels; ++channel) {
    const auto start = planes.begin() + static_cast<std::ptrdiff_t>(area) * channel;
    const Pixels plane = resize({start, start + static_cast<std::ptrdiff_t>(area)}, side, size);
    for (size_t i = 0; i < plane.size(); ++i) pixels[i * channels + channel] = plane[i];
  }
  return pixels;
}

}  // namespace fingergen
