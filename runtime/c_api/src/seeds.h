// The random numbers of a seed: NumPy's Philox and its normal distribution, as runtime/seeds.py draws them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fingergen {

enum class Purpose : uint64_t { latent = 0, noise = 1 };  // those of runtime/seeds.py

class Stream {
 public:
  Stream(uint64_t seed, Purpose purpose) : key_{seed, static_cast<uint64_t>(purpose)} {}

  std::vector<float> normal(size_t count);  // standard normal numbers, drawn as double
  uint64_t next();

 private:
  uint64_t key_[2], counter_[4] = {0, 0, 0, 0}, block_[4] = {0, 0, 0, 0};
  int used_ = 4;  // numbers of the block
};

}  // namespace fingergen
