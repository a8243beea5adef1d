#include "seeds.h"

#include <algorithm>
#include <cmath>
#include <numeric>

// From NumPy's libnpyrandom, which its wheels ship for linking (numpy/random/bitgen.h, distributions.h).
extern "C" {
struct bitgen {
  void *state;
  uint64_t (*next_uint64)(void *);
  uint32_t (*next_uint32)(void *);
  double (*next_double)(void *);
  uint64_t (*next_raw)(void *);
};
double random_standard_normal(bitgen *generator);
void random_standard_normal_fill_f(bitgen *generator, std::ptrdiff_t count, float *out);
double random_standard_gamma(bitgen *generator, double shape);
void random_bounded_uint64_fill(bitgen *generator, uint64_t offset, uint64_t range, std::ptrdiff_t count, bool use_masked, uint64_t *out);
}

namespace fingergen {
namespace {

uint64_t next_uint64(void *stream) { return static_cast<Stream *>(stream)->next(); }
uint32_t next_uint32(void *stream) { return static_cast<Stream *>(stream)->next_half(); }
double next_double(void *stream) { return static_cast<Stream *>(stream)->random(); }

bitgen as_generator(Stream *stream) { return {stream, next_uint64, next_uint32, next_double, next_uint64}; }

// `_deviates` of runtime/seeds.py.
std::vector<float> normal_table() {
  constexpr int kSteps = 4096, kSide = 5 * kSteps;
  std::vector<double> grid, density, below;
  double total = 0;
  for (int i = -kSide; i <= kSide; ++i) {
    grid.push_back(static_cast<double>(i) / kSteps);
    density.push_back(std::exp(-0.5 * grid.back() * grid.back()));
    total += density.back();
    below.push_back(total - 0.5 * density.back());
  }
  std::vector<float> table;
  size_t at = 0;
  for (int i = 0; i < 65536; ++i) {
    const double part = (i + 0.5) / 65536 * total;
    while (at + 2 < below.size() && below[at + 1] <= part) ++at;
    const double found = (grid[at + 1] - grid[at]) / (below[at + 1] - below[at]) * (part - below[at]) + grid[at];
    table.push_back(static_cast<float>(std::nearbyint(found * kSteps) / kSteps));
  }
  return table;
}

}  // namespace

// Philox4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
uint64_t Stream::next() {
  if (used_ < 4) return block_[used_++];
  for (uint64_t &word : counter_) {
    if (++word != 0) break;
  }
  for (int i = 0; i < 4; ++i) block_[i] = counter_[i];
  uint64_t key[2] = {key_[0], key_[1]};
  for (int round = 0; round < 10; ++round) {
    auto first = static_cast<unsigned __int128>(0xD2E7470EE14C6C93) * block_[0];
    auto second = static_cast<unsigned __int128>(0xCA5A826395121157) * block_[2];
    const uint64_t mixed[4] = {static_cast<uint64_t>(second >> 64) ^ block_[1] ^ key[0], static_cast<uint64_t>(second),
                               static_cast<uint64_t>(first >> 64) ^ block_[3] ^ key[1], static_cast<uint64_t>(first)};
    for (int i = 0; i < 4; ++i) block_[i] = mixed[i];
    key[0] += 0x9E3779B97F4A7C15;
    key[1] += 0xBB67AE8584CAA73B;
  }
  used_ = 1;
  return block_[0];
}

// A number gives two of half its size, the lower half first.
uint32_t Stream::next_half() {
  has_half_ = !has_half_;
  if (!has_half_) return half_;
  const uint64_t whole = next();
  half_ = static_cast<uint32_t>(whole >> 32);
  return static_cast<uint32_t>(whole);
}

double Stream::random() { return static_cast<double>(next() >> 11) * 0x1p-53; }

double Stream::normal(double mean, double deviation) {
  bitgen generator = as_generator(this);
  return mean + deviation * random_standard_normal(&generator);
}

double Stream::gamma(double shape, double scale) {
  bitgen generator = as_generator(this);
  return scale * random_standard_gamma(&generator, shape);
}

int64_t Stream::integer(int64_t below) {
  bitgen generator = as_generator(this);
  uint64_t drawn = 0;
  random_bounded_uint64_fill(&generator, 0, static_cast<uint64_t>(below - 1), 1, false, &drawn);
  return static_cast<int64_t>(drawn);
}

size_t Stream::choice(const std::vector<double> &probabilities) {
  std::vector<double> up_to(probabilities.size());
  std::partial_sum(probabilities.begin(), probabilities.end(), up_to.begin());
  for (double &each : up_to) each /= up_to.back();
  return static_cast<size_t>(std::upper_bound(up_to.begin(), up_to.end(), random()) - up_to.begin());
}

std::vector<double> Stream::uniforms(double low, double high, size_t count) {
  std::vector<double> drawn(count);
  for (double &value : drawn) value = uniform(low, high);
  return drawn;
}

std::vector<double> Stream::normals(double mean, double deviation, size_t count) {
  std::vector<double> drawn(count);
  for (double &value : drawn) value = normal(mean, deviation);
  return drawn;
}

std::vector<float> Stream::normal(size_t count) {
  std::vector<float> drawn(count);
  for (float &value : drawn) value = static_cast<float>(normal(0, 1));
  return drawn;
}

std::vector<float> Stream::normalf(size_t count) {
  bitgen generator = as_generator(this);
  std::vector<float> drawn(count);
  random_standard_normal_fill_f(&generator, static_cast<std::ptrdiff_t>(count), drawn.data());
  return drawn;
}

std::vector<float> Stream::deviates(size_t count) {
  static const std::vector<float> table = normal_table();
  std::vector<float> drawn(count);
  uint64_t word = 0;
  for (size_t i = 0; i < count; ++i, word >>= 16) {
    if (i % 4 == 0) word = next();
    drawn[i] = table[word & 0xFFFF];
  }
  return drawn;
}

}  // namespace fingergen
