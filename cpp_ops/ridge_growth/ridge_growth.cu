// A thread per place, one finger at a time: its kernels are computed once and stay in device memory, with the weights
// of one offset side by side, so that the threads of a warp read them in one go.
#include "common/cuda.cuh"
#include "ridge_growth/gabor.h"
#include "ridge_growth/ridge_growth.h"

namespace fingergen {
namespace {

// One float, multiplied as vectors.h multiplies.
struct Scalar {
  using V = float;
  static __device__ float all(float value) { return value; }
  static __device__ float madd(float a, float b, float c) { return fmaf(a, b, c); }
  static __device__ float mul(float a, float b) { return __fmul_rn(a, b); }
  static __device__ float power_of_two(float shifted) {
    return __uint_as_float((__float_as_uint(shifted) << 23) + 0x3f800000u);
  }
};

struct Image {
  int radius, height, width;
  __device__ int places() const { return height * width; }
};

// Calls body(k, dx, dy) for pair k of opposite offsets, in the order of the CPU's sum.
template <typename Body>
__device__ void for_pairs(int radius, const Body& body) {
  int k = 0;
  for (int dy = 0; dy <= radius; ++dy) {
    for (int dx = dy > 0 ? -radius : 1; dx <= radius; ++dx) {
      if (dx * dx + dy * dy <= radius * (radius + 1)) body(k++, dx, dy);
    }
  }
}

__device__ int mirrored(int index, int size) {
  return index < 0 ? -index : index >= size ? 2 * (size - 1) - index : index;
}

__global__ void compute_kernels(Image image, const float* __restrict__ orientation, const float* __restrict__ period,
                                float* __restrict__ scales, int16_t* __restrict__ weights) {
  const int step = gridDim.x * blockDim.x;
  for (int place = blockIdx.x * blockDim.x + threadIdx.x; place < image.places(); place += step) {
    const Gabor<Scalar> gabor(orientation[place], period[place]);
    Normalization<Scalar> sums;
    float envelope, wave;
    for_pairs(image.radius, [&](int, int dx, int dy) {
      gabor.at(dx, dy, envelope, wave);
      sums.add_pair(envelope, wave);
    });
    const float mean = sums.mean();
    scales[place] = sums.scale();
    weights[place] = static_cast<int16_t>(sums.weight(1.0f, 1.0f, mean));
    for_pairs(image.radius, [&](int k, int dx, int dy) {
      gabor.at(dx, dy, envelope, wave);
      weights[(k + 1) * image.places() + place] = static_cast<int16_t>(sums.weight(envelope, wave, mean));
    });
  }
}

__global__ void filter(Image image, const float* __restrict__ scales, const int16_t* __restrict__ weights,
                       const float* __restrict__ in, float* __restrict__ out, bool last) {
  const int step = gridDim.x * blockDim.x;
  for (int place = blockIdx.x * blockDim.x + threadIdx.x; place < image.places(); place += step) {
    const int x = place % image.width, y = place / image.width;
    float sum = __fmul_rn(weights[place], in[place]);
    for_pairs(image.radius, [&](int k, int dx, int dy) {
      const float one = in[mirrored(y + dy, image.height) * image.width + mirrored(x + dx, image.width)];
      const float other = in[mirrored(y - dy, image.height) * image.width + mirrored(x - dx, image.width)];
      sum = fmaf(weights[(k + 1) * image.places() + place], one + other, sum);
    });
    sum = __fmul_rn(sum, scales[place]);
    out[place] = last ? sum : Gabor<Scalar>::tanh(sum + sum);
  }
}

}  // namespace

const char* ridge_growth_cuda(const RidgeGrowth& op, const float* noise, const float* orientation, const float* period,
                              float* y, int64_t n, int64_t height, int64_t width, void* scratch, cudaStream_t stream) {
  const int64_t places = height * width;
  if (places * (op.pairs() + 1) > INT32_MAX / 2) return "the image is too large";  // for counting in 32 bits
  const Image image{static_cast<int>(op.radius), static_cast<int>(height), static_cast<int>(width)};
  float* other = static_cast<float*>(scratch);
  float* scales = other + places;
  int16_t* weights = reinterpret_cast<int16_t*>(scales + places);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t offset = i * places;
    if (const char* error = launch(compute_kernels, places, stream, image, orientation + offset, period + offset,
                                   scales, weights)) {
      return error;
    }
    const float* in = noise + offset;
    for (int64_t round = 0; round <= op.rounds; ++round) {
      float* out = (op.rounds - round) % 2 == 0 ? y + offset : other;  // the last into y
      if (const char* error = launch(filter, places, stream, image, static_cast<const float*>(scales),
                                     static_cast<const int16_t*>(weights), in, out, round == op.rounds)) {
        return error;
      }
      in = out;
    }
  }
  return nullptr;
}

}  // namespace fingergen
