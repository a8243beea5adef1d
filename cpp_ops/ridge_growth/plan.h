// What the steps of ridge_growth.cpp share. Each place's kernel is computed once and kept, kBlock places at a time with
// their weights side by side, so that a round reads them in one go.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "common/simd.h"
#include "ridge_growth/ridge_growth.h"

namespace fingergen::ridge_growth {

constexpr int64_t kBlock = 32;  // places of a row that are computed together

struct Offset {
  int64_t dx, dy;
};

struct Plan {
  RidgeGrowth op;
  int64_t height, width;
  int64_t blocks;  // in a row; the last may reach beyond the image
  int64_t stride;  // of a row of an image: mirrored samples before it and after it, room for the last block
  std::vector<Offset> pairs;
  std::vector<int64_t> steps;  // the same offsets, in samples of an image

  Plan(const RidgeGrowth& op, int64_t height, int64_t width)
      : op(op), height(height), width(width), blocks((width + kBlock - 1) / kBlock) {
    stride = blocks * kBlock + 2 * op.radius;
    for (int64_t dy = 0; dy <= op.radius; ++dy) {
      for (int64_t dx = dy > 0 ? -op.radius : 1; dx <= op.radius; ++dx) {
        if (!op.in_disc(dx, dy)) continue;
        pairs.push_back({dx, dy});
        steps.push_back(dy * stride + dx);
      }
    }
  }

  // The kernels of a block: for each place the scale of its sum, then the weights, kBlock of each pair of offsets and of
  // the middle. Behind those of all blocks, what opposite weights differ by; last, a byte per block: whether any differ.
  FINGERGEN_INLINE int64_t block_bytes() const {
    const int64_t weights = static_cast<int64_t>(pairs.size()) + 1;
    return kBlock * (sizeof(float) + weights * sizeof(int16_t));
  }
  FINGERGEN_INLINE int64_t difference_bytes() const { return kBlock * pairs.size() * sizeof(int16_t); }
  int64_t kernel_bytes() const { return height * blocks * (block_bytes() + difference_bytes() + 1); }
  template <typename Byte>  // char or const char
  FINGERGEN_INLINE Byte* kernels_at(Byte* kernels, int64_t y, int64_t block) const {
    return kernels + (y * blocks + block) * block_bytes();
  }
  template <typename Byte>
  FINGERGEN_INLINE Byte* differences_at(Byte* kernels, int64_t y, int64_t block) const {
    return kernels + height * blocks * block_bytes() + (y * blocks + block) * difference_bytes();
  }
  template <typename Byte>
  FINGERGEN_INLINE Byte& differ_at(Byte* kernels, int64_t y, int64_t block) const {
    return kernels[height * blocks * (block_bytes() + difference_bytes()) + y * blocks + block];
  }

  // Of an image, with mirrored rows above and below.
  int64_t samples() const { return (height + 2 * op.radius) * stride; }
  template <typename Float>  // float or const float
  FINGERGEN_INLINE Float* row(Float* image, int64_t y) const {
    return image + (y + op.radius) * stride + op.radius;
  }
  // Fills what lies beside row y, and the rows that mirror it.
  FINGERGEN_INLINE void mirror(float* image, int64_t y) const {
    float* middle = row(image, y);
    for (int64_t i = 1; i <= op.radius; ++i) {
      middle[-i] = middle[i];
      middle[width - 1 + i] = middle[width - 1 - i];
    }
    for (const int64_t mirrored : {-y, 2 * (height - 1) - y}) {
      if (mirrored == y || mirrored < -op.radius || mirrored >= height + op.radius) continue;
      std::memcpy(row(image, mirrored) - op.radius, middle - op.radius, stride * sizeof(float));
    }
  }
};

// Compiled for an instruction set; rows [begin, end).
struct Steps {
  // The kernels of all places.
  void (*kernels)(const Plan& plan, const float* orientation, const float* period, char* kernels, int64_t begin,
                  int64_t end);
  // A round: from `in` to `out`, both with what is mirrored; or to `last`, an image without, where that is given, and
  // then without the tanh.
  void (*round)(const Plan& plan, const char* kernels, const float* in, float* out, float* last, int64_t begin,
                int64_t end);
};

Steps portable_steps();
Steps avx2_steps();
Steps avx512_steps();

}  // namespace fingergen::ridge_growth
