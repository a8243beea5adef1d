// Each place's kernel is computed once and kept, kBlock places at a time with their weights side by side, so that a
// round reads them in one go. A round is then, for each place, a sum over the kernel in one fixed order: which thread
// takes which rows changes nothing.
#include "ridge_growth/ridge_growth.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "common/vectors.h"
#include "ridge_growth/gabor.h"

namespace fingergen {
namespace {

constexpr int64_t kBlock = 32;  // places of a row that are computed together
constexpr int64_t kRows = 8;    // rows that a thread takes at a time

struct Offset {
  int64_t dx, dy;
};

struct Plan {
  RidgeGrowth op;
  int64_t height, width;
  int64_t blocks;  // in a row; the last may reach beyond the image
  int64_t stride;  // of a row of an image: mirrored samples before it and after it, room for the last block
  std::vector<Offset> pairs;

  Plan(const RidgeGrowth& op, int64_t height, int64_t width)
      : op(op), height(height), width(width), blocks((width + kBlock - 1) / kBlock) {
    stride = blocks * kBlock + 2 * op.radius;
    for (int64_t dy = 0; dy <= op.radius; ++dy) {
      for (int64_t dx = dy > 0 ? -op.radius : 1; dx <= op.radius; ++dx) {
        if (op.in_disc(dx, dy)) pairs.push_back({dx, dy});
      }
    }
  }

  // The kernels of a block: for each place the scale of its sum, then the weights, kBlock of each offset.
  int64_t block_bytes() const {
    const int64_t weights = static_cast<int64_t>(pairs.size()) + 1;
    return kBlock * (sizeof(float) + weights * sizeof(int16_t));
  }
  int64_t kernel_bytes() const { return height * blocks * block_bytes(); }
  template <typename Byte>  // char or const char
  Byte* kernels_at(Byte* kernels, int64_t y, int64_t block) const {
    return kernels + (y * blocks + block) * block_bytes();
  }
  int64_t samples() const { return height * stride; }
  const float* row(const float* image, int64_t y) const {
    const int64_t mirrored = y < 0 ? -y : y >= height ? 2 * (height - 1) - y : y;
    return image + mirrored * stride + op.radius;
  }
  // Fills what lies beside a row.
  FINGERGEN_INLINE void mirror(float* row) const {
    for (int64_t i = 1; i <= op.radius; ++i) {
      row[-i] = row[i];
      row[width - 1 + i] = row[width - 1 - i];
    }
  }
};

// Kernels of the places of rows [begin, end).
template <typename M>
struct Kernels {
  using V = typename M::V;

  static FINGERGEN_INLINE void run(const Plan& plan, const float* orientation, const float* period, char* kernels,
                                   int64_t begin, int64_t end) {
    float angles[kBlock], periods[kBlock];
    for (int64_t y = begin; y < end; ++y) {
      for (int64_t block = 0; block < plan.blocks; ++block) {
        for (int64_t i = 0; i < kBlock; ++i) {
          const int64_t place = y * plan.width + std::min(block * kBlock + i, plan.width - 1);
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
    for (int64_t k = 0; k < count; ++k) {
      V envelope, wave;
      gabor.at(static_cast<float>(plan.pairs[k].dx), static_cast<float>(plan.pairs[k].dy), envelope, wave);
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

  static constexpr int64_t kMostPairs = RidgeGrowth{0, RidgeGrowth::kMaxRadius}.pairs();
};

// One round for rows [begin, end): from `in` to `out`, both with mirrored samples beside the rows; or to `last`, an
// image without, where that is given, and then without the tanh.
template <typename M>
struct Round {
  using V = typename M::V;
  static constexpr int64_t kVectors = kBlock / M::kLanes;

  static FINGERGEN_INLINE void run(const Plan& plan, const char* kernels, const float* in, float* out, float* last,
                                   int64_t begin, int64_t end) {
    const float *below[RidgeGrowth::kMaxRadius + 1], *above[RidgeGrowth::kMaxRadius + 1];
    for (int64_t y = begin; y < end; ++y) {
      for (int64_t dy = 0; dy <= plan.op.radius; ++dy) {
        below[dy] = plan.row(in, y + dy);
        above[dy] = plan.row(in, y - dy);
      }
      float* row = out + y * plan.stride + plan.op.radius;
      for (int64_t block = 0; block < plan.blocks; ++block) {
        const int64_t x = block * kBlock;
        const float* scales = reinterpret_cast<const float*>(plan.kernels_at(kernels, y, block));
        const int16_t* weight = reinterpret_cast<const int16_t*>(scales + kBlock);
        V sums[kVectors];
        for (int64_t v = 0; v < kVectors; ++v) {
          sums[v] = M::mul(M::load(weight + v * M::kLanes), M::load(below[0] + x + v * M::kLanes));
        }
        for (const Offset& pair : plan.pairs) {
          weight += kBlock;
          const float *one = below[pair.dy] + x + pair.dx, *other = above[pair.dy] + x - pair.dx;
          for (int64_t v = 0; v < kVectors; ++v) {
            const int64_t i = v * M::kLanes;
            sums[v] = M::madd(M::load(weight + i), M::load(one + i) + M::load(other + i), sums[v]);
          }
        }
        for (int64_t v = 0; v < kVectors; ++v) sums[v] = M::mul(sums[v], M::load(scales + v * M::kLanes));
        if (last) {
          float values[kBlock];
          for (int64_t v = 0; v < kVectors; ++v) M::store(values + v * M::kLanes, sums[v]);
          std::copy(values, values + std::min(kBlock, plan.width - x), last + y * plan.width + x);
        } else {
          for (int64_t v = 0; v < kVectors; ++v) {
            M::store(row + x + v * M::kLanes, Gabor<M>::tanh(sums[v] + sums[v]));
          }
        }
      }
      if (!last) plan.mirror(row);
    }
  }
};

}  // namespace

void ridge_growth_cpu(const RidgeGrowth& op, const float* noise, const float* orientation, const float* period,
                      float* y, int64_t n, int64_t height, int64_t width, const ParallelFor& parallel_for) {
  const Plan plan(op, height, width);
  // Of one finger at a time, so that memory does not grow with the batch; not filled first, for it is all written.
  const std::unique_ptr<char[]> kernels(new char[plan.kernel_bytes()]);
  std::vector<float> images[2];
  for (std::vector<float>& image : images) image.resize(plan.samples());

  for (int64_t i = 0; i < n; ++i) {
    const int64_t offset = i * height * width;
    for_ranges(parallel_for, height, kRows, [&](int64_t begin, int64_t end) {
      with_fma<Kernels>(plan, orientation + offset, period + offset, kernels.get(), begin, end);
    });
    for (int64_t row = 0; row < height; ++row) {
      float* place = images[0].data() + row * plan.stride + op.radius;
      std::copy(noise + offset + row * width, noise + offset + (row + 1) * width, place);
      plan.mirror(place);
    }
    for (int64_t round = 0; round <= op.rounds; ++round) {
      const float* in = images[round % 2].data();
      float* out = images[(round + 1) % 2].data();
      float* last = round == op.rounds ? y + offset : nullptr;
      for_ranges(parallel_for, height, kRows, [&](int64_t begin, int64_t end) {
        with_fma<Round>(plan, static_cast<const char*>(kernels.get()), in, out, last, begin, end);
      });
    }
  }
}

}  // namespace fingergen
