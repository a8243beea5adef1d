// Memory and time of the device, as CUDA's runtime gives them; what goes wrong ends the program with CUDA's words.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace device {

inline void check(cudaError_t status) {
  if (status == cudaSuccess) return;
  std::fprintf(stderr, "%s\n", cudaGetErrorString(status));
  std::exit(3);
}

// Exactly so many elements, so that a checker of memory sees any access outside of them.
template <typename T>
class Memory {
 public:
  explicit Memory(int64_t size) {
    if (size > 0) check(cudaMalloc(&memory_, size * sizeof(T)));
  }
  ~Memory() { cudaFree(memory_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  T* get() const { return static_cast<T*>(memory_); }

 private:
  void* memory_ = nullptr;
};

// A tensor on the host, and on the device too where it is computed with there.
template <typename T>
class Tensor {
 public:
  Tensor(int64_t size, bool on_device) : host_(size), device_(on_device ? size : 0), on_device_(on_device) {}
  T* get() { return on_device_ ? device_.get() : host_.data(); }
  void read() {
    if (!host_.empty() && std::fread(host_.data(), bytes(), 1, stdin) != 1) std::exit(2);
    if (on_device_ && bytes() > 0) check(cudaMemcpy(device_.get(), host_.data(), bytes(), cudaMemcpyHostToDevice));
  }
  void write() {
    if (on_device_ && bytes() > 0) check(cudaMemcpy(host_.data(), device_.get(), bytes(), cudaMemcpyDeviceToHost));
    if (!host_.empty()) std::fwrite(host_.data(), bytes(), 1, stdout);
  }

 private:
  size_t bytes() const { return host_.size() * sizeof(T); }

  std::vector<T> host_;
  Memory<T> device_;
  bool on_device_;
};

// How long work takes on the default stream, from memory: before each call something else fills the caches, which also
// gives the host the time to queue all that is timed.
class Timer {
 public:
  Timer() : flushed_(kFlushBytes) {
    check(cudaEventCreate(&begin_));
    check(cudaEventCreate(&end_));
  }
  ~Timer() {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
  }

  // Median of so many calls, in seconds, after a few that do not count.
  template <typename Work>
  double median(int calls, const Work& work) {
    std::vector<double> seconds;
    for (int i = -kWarmUp; i < calls; ++i) {
      check(cudaMemsetAsync(flushed_.get(), i, kFlushBytes, nullptr));
      check(cudaEventRecord(begin_, nullptr));
      work();
      check(cudaEventRecord(end_, nullptr));
      check(cudaEventSynchronize(end_));
      float milliseconds = 0;
      check(cudaEventElapsedTime(&milliseconds, begin_, end_));
      if (i >= 0) seconds.push_back(milliseconds / 1000.0);
    }
    std::sort(seconds.begin(), seconds.end());
    return (seconds[(calls - 1) / 2] + seconds[calls / 2]) / 2;
  }

 private:
#ifdef FINGERGEN_FLUSH_BYTES
  static constexpr int64_t kFlushBytes = FINGERGEN_FLUSH_BYTES;
#else
  static constexpr int64_t kFlushBytes = int64_t{256} << 20;  // more than any second-level cache
#endif
  static constexpr int kWarmUp = 3;
  Memory<char> flushed_;
  cudaEvent_t begin_, end_;
};

}  // namespace device
