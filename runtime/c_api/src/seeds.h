// The random numbers of a seed: NumPy's Philox and its distributions, as runtime/seeds.py draws them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fingergen {

enum class Purpose : uint64_t {  // those of runtime/seeds.py
  latent = 0,
  noise = 1,
  growth = 3,
  skin = 4,
  pattern = 5,
  impression = uint64_t{1} << 32,
  look = uint64_t{2} << 32,
  impression_noise = uint64_t{3} << 32,
};

// The numbers that a numpy.random.Generator gives, in the same order.
class Stream {
 public:
  Stream(uint64_t seed, Purpose purpose, uint32_t number = 0) : key_{seed, static_cast<uint64_t>(purpose) + number} {}

  uint64_t next();
  uint32_t next_half();
  double random();  // uniform in [0, 1)
  double uniform(double low, double high) { return low + (high - low) * random(); }
  double normal(double mean, double deviation);
  double gamma(double shape, double scale);
  int64_t integer(int64_t below);                       // in [0, below)
  size_t choice(const std::vector<double> &probabilities);  // an index

  std::vector<double> uniforms(double low, double high, size_t count);
  std::vector<double> normals(double mean, double deviation, size_t count);
  std::vector<float> normal(size_t count);   // standard normal numbers, drawn as double
  std::vector<float> normalf(size_t count);  // standard normal numbers, drawn as float
  std::vector<float> deviates(size_t count); // standard normal numbers in steps, as impression_noise draws them

 private:
  uint64_t key_[2], counter_[4] = {0, 0, 0, 0}, block_[4] = {0, 0, 0, 0};
  int used_ = 4;  // numbers of the block
  bool has_half_ = false;
  uint32_t half_ = 0;  // of the last number, the upper half
};

}  // namespace fingergen
