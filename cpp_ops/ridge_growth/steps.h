// The steps of ridge_growth.cpp, for vectors of M. One file for each instruction set includes this: GCC splits vectors
// that a function's own instruction set lacks, even where the function is inlined into another.
#pragma once

#include <algorithm>
#include <cstdint>

#include "common/vectors.h"
#include "ridge_growth/gabor.h"
#include "ridge_growth/plan.h"

namespace fingergen::ridge_growth {

template <typename M>
struct Forms {
  using V = typename M::V;
  static constexpr int64_t kVectors = kBlock / M::kLanes;
  static constexpr int64_t kMostPairs = RidgeGrowth{0, RidgeGrowth::kMaxRadius}.pairs();

  static void kernels(const Plan& plan, const float* orientation, const float* period, char* kernels, int64_t begin,
                      int64_t end) {
    float angles[kBlock], periods[kBlock];
    for (int64_t y = begin; y < end; ++y) {
      for (int64_t block = 0; block < plan.blocks; ++block) {
        for (int64_t i = 0; i < kBlock; ++i) {
          const int64_t x = block * kBlock + i, place = y * plan.width + (x < plan.width ? x : plan.width - 1);
          angles[i] = orientation[place];
          periods[i] = period[place];
        }
        float* scales = reinterpret_cast<float*>(plan.kernels_at(kernels, y, block));
        int16_t* weights = reinterpret_cast<int16_t*>(scales + kBlock);
        for (int64_t i = 0; i < kBlock; i += M::kLanes) {
          vector(plan, M::load(angles + i), M::load(periods + i), scales + i, weights + i);
        }
      }
    }
  }

  static FINGERGEN_INLINE void vector(const Plan& plan, V orientation, V period, float* scales, int16_t* weights) {
    const Gabor<M> gabor(orientation, period);
    Normalization<M> sums;
    float envelopes[kMostPairs * M::kLanes], waves[kMostPairs * M::kLanes];
    const int64_t count = static_cast<int64_t>(plan.pairs.size());
    const Offset* pairs = plan.pairs.data();
    for (int64_t k = 0; k < count; ++k) {
      V envelope, wave;
      gabor.at(static_cast<float>(pairs[k].dx), static_cast<float>(pairs[k].dy), envelope, wave);
      sums.add_pair(envelope, wave);
      M::store(envelopes + k * M::kLanes, envelope);
      M::store(waves + k * M::kLanes, wave);
    }
    const V mean = sums.mean();
    M::store(scales, sums.scale());
    M::store(weights, sums.weight(M::all(1.0f), M::all(1.0f), mean));
    for (int64_t k = 0; k < count; ++k) {
      const V envelope = M::load(envelopes + k * M::kLanes), wave = M::load(waves + k * M::kLanes);
      M::store(weights + (k + 1) * kBlock, sums.weight(envelope, wave, mean));
    }
  }

  static void round(const Plan& plan, const char* kernels, const float* in, float* out, float* last, int64_t begin,
                    int64_t end) {
    for (int64_t y = begin; y < end; ++y) {
      const float* from = plan.row(in, y);
      float* to = plan.row(out, y);
      for (int64_t block = 0; block < plan.blocks; ++block) {
        const int64_t x = block * kBlock;
        V sums[kVectors];
        filter(plan, plan.kernels_at(kernels, y, block), from + x, sums);
        if (last) {
          float values[kBlock];
          for (int64_t v = 0; v < kVectors; ++v) M::store(values + v * M::kLanes, sums[v]);
          const int64_t valid = plan.width - x < kBlock ? plan.width - x : kBlock;
          for (int64_t i = 0; i < valid; ++i) last[y * plan.width + x + i] = values[i];
        } else {
          for (int64_t v = 0; v < kVectors; ++v) {
            M::store(to + x + v * M::kLanes, Gabor<M>::tanh(sums[v] + sums[v]));
          }
        }
      }
      if (!last) plan.mirror(out, y);
    }
  }

  // For each place, a sum over its kernel in one fixed order.
  static FINGERGEN_INLINE void filter(const Plan& plan, const char* kernels, const float* middle, V* sums) {
    const float* scales = reinterpret_cast<const float*>(kernels);
    const int16_t* weight = reinterpret_cast<const int16_t*>(scales + kBlock);
    for (int64_t v = 0; v < kVectors; ++v) {
      sums[v] = M::mul(M::load(weight + v * M::kLanes), M::load(middle + v * M::kLanes));
    }
    const int64_t count = static_cast<int64_t>(plan.steps.size());
    const int64_t* steps = plan.steps.data();
    for (int64_t k = 0; k < count; ++k) {
      weight += kBlock;
      const float *one = middle + steps[k], *other = middle - steps[k];
      for (int64_t v = 0; v < kVectors; ++v) {
        const int64_t i = v * M::kLanes;
        sums[v] = M::madd(M::load(weight + i), M::load(one + i) + M::load(other + i), sums[v]);
      }
    }
    for (int64_t v = 0; v < kVectors; ++v) sums[v] = M::mul(sums[v], M::load(scales + v * M::kLanes));
  }
};

template <typename M>
Steps steps() {
  return {Forms<M>::kernels, Forms<M>::round};
}

}  // namespace fingergen::ridge_growth
