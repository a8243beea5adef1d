// What the CUDA kernels share: float16 as they see it, vectors of 16 bytes, launches.
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "common/half.h"

namespace fingergen {

template <typename T>
struct DeviceType {
  using type = T;
};
template <>
struct DeviceType<Half> {
  using type = __half;
};

__device__ inline float load(float value) { return value; }
__device__ inline float load(__half value) { return __half2float(value); }
__device__ inline void store(float* place, float value) { *place = value; }
__device__ inline void store(__half* place, float value) { *place = __float2half_rn(value); }

// As many elements as one load or store instruction moves.
template <typename T>
struct alignas(16) Vector {
  static constexpr int kSize = 16 / sizeof(T);
  T values[kSize];
};

inline bool is_aligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }

// Runs kernel(arguments...) on `stream` with at least one thread for each of `count` items, or with enough to fill any
// device, whichever is fewer: kernels step through their items by the size of the grid. Returns null or the error.
template <typename... Parameters>
const char* launch(void (*kernel)(Parameters...), int64_t count, cudaStream_t stream, Parameters... arguments) {
  constexpr int64_t kThreads = 256, kMaxBlocks = 1 << 16;
  cudaLaunchConfig_t config{};
  config.gridDim.x = static_cast<unsigned>(std::min((count + kThreads - 1) / kThreads, kMaxBlocks));
  config.blockDim.x = kThreads;
  config.stream = stream;
  const cudaError_t status = cudaLaunchKernelEx(&config, kernel, arguments...);
  return status == cudaSuccess ? nullptr : cudaGetErrorString(status);
}

}  // namespace fingergen
