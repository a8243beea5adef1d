// The steps of ridge_growth.cpp, for vectors of M. One file for each instruction set includes this: GCC splits vectors
// that a function's own instruction set lacks, even where the function is inlined into another.
#pragma once

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
    for (int64_t y = begin; y < end; ++y) {
      const float* row = orientation + y * plan.width;
      const float* north = y > 0 ? row - plan.width : row;
      const float* south = y < plan.height - 1 ? row + plan.width : row;
      for (int64_t block = 0; block < plan.blocks; ++block) {
        Fields fields;
        for (int64_t i = 0; i < kBlock; ++i) {
          const int64_t here = block * kBlock + i, last = plan.width - 1, x = here < last ? here : last;
          fields.period[i] = period[y * plan.width + x];
          fields.here[i] = row[x];
          fields.west[i] = row[x > 0 ? x - 1 : 0];
          fields.east[i] = row[x < last ? x + 1 : last];
          fields.north[i] = north[x];
          fields.south[i] = south[x];
        }
        block_kernels(plan, fields, kernels, y, block);
      }
    }
  }

  struct Fields {  // of a block: the period, and the orientation here and beside
    float period[kBlock], here[kBlock], west[kBlock], east[kBlock], north[kBlock], south[kBlock];
  };

  static void block_kernels(const Plan& plan, const Fields& fields, char* kernels, int64_t y, int64_t block) {
    bool differ = false;
    for (int64_t i = 0; i < kBlock; i += M::kLanes) differ = bent(gabor(fields, i)) || differ;
    plan.differ_at(kernels, y, block) = differ;
    float* scales = reinterpret_cast<float*>(plan.kernels_at(kernels, y, block));
    int16_t* weights = reinterpret_cast<int16_t*>(scales + kBlock);
    int16_t* differences = reinterpret_cast<int16_t*>(plan.differences_at(kernels, y, block));
    for (int64_t i = 0; i < kBlock; i += M::kLanes) {
      if (differ) {
        vector<true>(plan, gabor(fields, i), scales + i, weights + i, differences + i);
      } else {
        vector<false>(plan, gabor(fields, i), scales + i, weights + i, nullptr);
      }
    }
  }

  static FINGERGEN_INLINE Gabor<M> gabor(const Fields& fields, int64_t i) {
    return Gabor<M>(M::load(fields.here + i), M::load(fields.period + i), M::load(fields.west + i),
                    M::load(fields.east + i), M::load(fields.north + i), M::load(fields.south + i));
  }

  static FINGERGEN_INLINE bool bent(const Gabor<M>& gabor) {
    float bends[M::kLanes];
    M::store(bends, gabor.half_bend);
    bool any = false;
    for (float bend : bends) any = any || bend != 0.0f;
    return any;
  }

  template <bool kBent>
  static FINGERGEN_INLINE void vector(const Plan& plan, const Gabor<M>& gabor, float* scales, int16_t* weights,
                                      int16_t* differences) {
    Normalization<M> sums;
    constexpr int64_t kMost = kMostPairs * M::kLanes;
    float envelopes[kMost], waves[kMost], other_envelopes[kBent ? kMost : 1], other_waves[kBent ? kMost : 1];
    const int64_t count = static_cast<int64_t>(plan.pairs.size());
    const Offset* pairs = plan.pairs.data();
    for (int64_t k = 0; k < count; ++k) {
      const int64_t at = k * M::kLanes;
      V along_squared, across, envelope, wave;
      gabor.place(static_cast<float>(pairs[k].dx), static_cast<float>(pairs[k].dy), along_squared, across);
      if constexpr (kBent) {
        const V arc = gabor.arc(along_squared);
        V other_envelope, other_wave;
        gabor.at(along_squared, across - arc, envelope, wave);
        gabor.at(along_squared, across + arc, other_envelope, other_wave);
        sums.add_pair(envelope, wave, other_envelope, other_wave);
        M::store(other_envelopes + at, other_envelope);
        M::store(other_waves + at, other_wave);
      } else {
        gabor.at(along_squared, across, envelope, wave);
        sums.add_pair(envelope, wave);
      }
      M::store(envelopes + at, envelope);
      M::store(waves + at, wave);
    }
    const V mean = sums.mean();
    M::store(scales, sums.scale());
    M::store(weights, sums.rounded(sums.exact(M::all(1.0f), M::all(1.0f), mean)));
    for (int64_t k = 0; k < count; ++k) {
      const int64_t at = k * M::kLanes;
      V weight = sums.exact(M::load(envelopes + at), M::load(waves + at), mean);
      if constexpr (kBent) {
        const V other = sums.exact(M::load(other_envelopes + at), M::load(other_waves + at), mean);
        M::store(differences + k * kBlock, sums.rounded(M::mul(weight - other, M::all(0.5f))));
        weight = M::mul(weight + other, M::all(0.5f));
      }
      M::store(weights + (k + 1) * kBlock, sums.rounded(weight));
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
        const int16_t* differences = reinterpret_cast<const int16_t*>(plan.differences_at(kernels, y, block));
        if (plan.differ_at(kernels, y, block)) {
          filter<true>(plan, plan.kernels_at(kernels, y, block), differences, from + x, sums);
        } else {
          filter<false>(plan, plan.kernels_at(kernels, y, block), nullptr, from + x, sums);
        }
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
  template <bool kDiffer>
  static FINGERGEN_INLINE void filter(const Plan& plan, const char* kernels, const int16_t* difference,
                                      const float* middle, V* sums) {
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
        if constexpr (kDiffer) {
          sums[v] = M::madd(M::load(difference + i), M::load(one + i) - M::load(other + i), sums[v]);
        }
      }
      if constexpr (kDiffer) difference += kBlock;
    }
    for (int64_t v = 0; v < kVectors; ++v) sums[v] = M::mul(sums[v], M::load(scales + v * M::kLanes));
  }
};

template <typename M>
Steps steps() {
  return {Forms<M>::kernels, Forms<M>::round};
}

}  // namespace fingergen::ridge_growth
