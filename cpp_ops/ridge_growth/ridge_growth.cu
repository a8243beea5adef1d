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

// Of all places, those of an offset side by side: what scales the sums, the weights of the middle and of each pair of
// opposite offsets, by how much the two differ, and whether any pair of a place does.
struct Kernels {
  float* __restrict__ scales;
  int16_t* __restrict__ weights;
  int16_t* __restrict__ differences;
  bool* __restrict__ bent;
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
                                Kernels kernels) {
  const int step = gridDim.x * blockDim.x;
  for (int place = blockIdx.x * blockDim.x + threadIdx.x; place < image.places(); place += step) {
    const int x = place % image.width, y = place / image.width;
    const Gabor<Scalar> gabor(orientation[place], period[place], orientation[x > 0 ? place - 1 : place],
                              orientation[x < image.width - 1 ? place + 1 : place],
                              orientation[y > 0 ? place - image.width : place],
                              orientation[y < image.height - 1 ? place + image.width : place]);
    Normalization<Scalar> sums;
    float envelope, wave, other_envelope, other_wave;
    const auto both = [&](int dx, int dy) {
      float along_squared, across;
      gabor.place(dx, dy, along_squared, across);
      const float arc = gabor.arc(along_squared);
      gabor.at(along_squared, across - arc, envelope, wave);
      gabor.at(along_squared, across + arc, other_envelope, other_wave);
    };
    for_pairs(image.radius, [&](int, int dx, int dy) {
      both(dx, dy);
      sums.add_pair(envelope, wave, other_envelope, other_wave);
    });
    const float mean = sums.mean();
    kernels.scales[place] = sums.scale();
    kernels.bent[place] = gabor.half_bend != 0.0f;
    kernels.weights[place] = static_cast<int16_t>(sums.rounded(sums.exact(1.0f, 1.0f, mean)));
    for_pairs(image.radius, [&](int k, int dx, int dy) {
      both(dx, dy);
      const float one = sums.exact(envelope, wave, mean), other = sums.exact(other_envelope, other_wave, mean);
      const int at = k * image.places() + place;
      kernels.weights[at + image.places()] = static_cast<int16_t>(sums.rounded(__fmul_rn(one + other, 0.5f)));
      kernels.differences[at] = static_cast<int16_t>(sums.rounded(__fmul_rn(one - other, 0.5f)));
    });
  }
}

__global__ void filter(Image image, Kernels kernels, const float* __restrict__ in, float* __restrict__ out, bool last) {
  const int step = gridDim.x * blockDim.x;
  for (int place = blockIdx.x * blockDim.x + threadIdx.x; place < image.places(); place += step) {
    const int x = place % image.width, y = place / image.width;
    const bool bent = kernels.bent[place];
    float sum = __fmul_rn(kernels.weights[place], in[place]);
    for_pairs(image.radius, [&](int k, int dx, int dy) {
      const float one = in[mirrored(y + dy, image.height) * image.width + mirrored(x + dx, image.width)];
      const float other = in[mirrored(y - dy, image.height) * image.width + mirrored(x - dx, image.width)];
      sum = fmaf(kernels.weights[(k + 1) * image.places() + place], one + other, sum);
      if (bent) sum = fmaf(kernels.differences[k * image.places() + place], one - other, sum);
    });
    sum = __fmul_rn(sum, kernels.scales[place]);
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
  Kernels kernels;
  kernels.scales = other + places;
  kernels.weights = reinterpret_cast<int16_t*>(kernels.scales + places);
  kernels.differences = kernels.weights + places * (op.pairs() + 1);
  kernels.bent = reinterpret_cast<bool*>(kernels.differences + places * op.pairs());
  for (int64_t i = 0; i < n; ++i) {
    const int64_t offset = i * places;
    if (const char* error =
            launch(compute_kernels, places, stream, image, orientation + offset, period + offset, kernels)) {
      return error;
    }
    const float* in = noise + offset;
    for (int64_t round = 0; round <= op.rounds; ++round) {
      float* out = (op.rounds - round) % 2 == 0 ? y + offset : other;  // the last into y
      if (const char* error = launch(filter, places, stream, image, kernels, in, out, round == op.rounds)) {
        return error;
      }
      in = out;
    }
  }
  return nullptr;
}

}  // namespace fingergen
