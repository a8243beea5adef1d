#include "seeds.h"

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
}

namespace fingergen {
namespace {

uint64_t next_uint64(void *stream) { return static_cast<Stream *>(stream)->next(); }
uint32_t next_uint32(void *stream) { return static_cast<uint32_t>(next_uint64(stream)); }
double next_double(void *stream) { return static_cast<double>(next_uint64(stream) >> 11) * 0x1p-53; }

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

std::vector<float> Stream::normal(size_t count) {
  bitgen generator{this, next_uint64, next_uint32, next_double, next_uint64};
  std::vector<float> drawn(count);
  for (float &value : drawn) value = static_cast<float>(random_standard_normal(&generator));
  return drawn;
}

}  // namespace fingergen
