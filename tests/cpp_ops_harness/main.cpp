// Runs kernels on cases read from standard input and writes their results to standard output. Built with sanitizers:
// buffers have exactly the tensors' sizes, so any access outside of them ends the program.
//
// A case: Case, then x, then the bias or the FIR kernel, then (answered) y.
#include <cuda_runtime.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <type_traits>
#include <vector>

#include "fused_leaky_relu/fused_leaky_relu.h"
#include "upfirdn2d/upfirdn2d.h"
#ifdef FINGERGEN_PLUGINS
#include "plugin.h"
#endif

namespace {

using fingergen::FusedLeakyReLU;
using fingergen::UpFirDn2d;

enum Way : int64_t { kCpu, kCuda, kPlugin };

struct Case {
  int64_t upfirdn2d, half;
  Way way;
  int64_t n, c, height, width;  // inner = height * width for FusedLeakyReLU
  int64_t kernel_height, kernel_width;
  int64_t up, down, x0, x1, y0, y1;
};

void in_turn(int64_t count, const std::function<void(int64_t)>& chunk) {
  for (int64_t i = 0; i < count; ++i) chunk(i);
}

// Ends the program with what CUDA says went wrong.
void check(cudaError_t status) {
  if (status == cudaSuccess) return;
  std::fprintf(stderr, "%s\n", cudaGetErrorString(status));
  std::exit(3);
}

// A tensor in memory that the host and the device share.
template <typename T>
class Buffer {
 public:
  explicit Buffer(int64_t size) : size_(size) {
    if (size > 0) check(cudaMallocManaged(&memory_, size * sizeof(T)));
  }
  ~Buffer() { cudaFree(memory_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  T* get() const { return static_cast<T*>(memory_); }
  void read() {
    if (size_ > 0 && std::fread(memory_, sizeof(T) * size_, 1, stdin) != 1) std::exit(2);
  }
  void write() const {
    if (size_ > 0) std::fwrite(memory_, sizeof(T) * size_, 1, stdout);
  }

 private:
  int64_t size_;
  void* memory_ = nullptr;
};

#ifdef FINGERGEN_PLUGINS
template <typename T>
void run_plugin(const Case& c, const T* x, const T* parameter, T* y) {
  const auto type = std::is_same_v<T, float> ? nvinfer1::DataType::kFLOAT : nvinfer1::DataType::kHALF;
  const plugin::Tensor input{{c.n, c.c, c.height, c.width}, x};
  if (c.upfirdn2d) {
    const int32_t up = c.up, down = c.down;
    const int32_t pad[4] = {static_cast<int32_t>(c.x0), static_cast<int32_t>(c.x1), static_cast<int32_t>(c.y0),
                            static_cast<int32_t>(c.y1)};
    const auto kInt = nvinfer1::PluginFieldType::kINT32;
    plugin::run("UpFirDn2d", {{"up", &up, kInt, 1}, {"down", &down, kInt, 1}, {"pad", pad, kInt, 4}}, type, input,
                {{c.kernel_height, c.kernel_width}, parameter}, y);
  } else {
    plugin::run("FusedLeakyReLU", {}, type, input, {{c.c}, parameter}, y);
  }
}
#endif

template <typename T>
void run(const Case& c, const UpFirDn2d& op, const T* x, const T* parameter, T* y) {
  const fingergen::UpFirDn2dSize size{c.n * c.c, c.height, c.width, c.kernel_height, c.kernel_width};
  const int64_t inner = c.height * c.width;
  switch (c.way) {
    case kCpu:
      return c.upfirdn2d ? fingergen::upfirdn2d_cpu(op, size, x, parameter, y, in_turn)
                         : fingergen::fused_leaky_relu_cpu({}, x, parameter, y, c.n, c.c, inner, in_turn);
    case kCuda: {
      const char* error = c.upfirdn2d
                              ? fingergen::upfirdn2d_cuda(op, size, x, parameter, y, nullptr)
                              : fingergen::fused_leaky_relu_cuda({}, x, parameter, y, c.n, c.c, inner, nullptr);
      if (error) {
        std::fprintf(stderr, "%s\n", error);
        std::exit(3);
      }
      return;
    }
    case kPlugin:
#ifdef FINGERGEN_PLUGINS
      return run_plugin(c, x, parameter, y);
#endif
      std::exit(4);
  }
}

template <typename T>
void answer(const Case& c) {
  const UpFirDn2d op{c.up, c.down, c.x0, c.x1, c.y0, c.y1};
  const int64_t out_size =
      c.upfirdn2d ? c.n * c.c * op.out_height(c.height, c.kernel_height) * op.out_width(c.width, c.kernel_width)
                  : c.n * c.c * c.height * c.width;
  Buffer<T> x(c.n * c.c * c.height * c.width), y(out_size);
  Buffer<T> parameter(c.upfirdn2d ? c.kernel_height * c.kernel_width : c.c);
  x.read();
  parameter.read();
  run(c, op, x.get(), parameter.get(), y.get());
  check(cudaDeviceSynchronize());
  y.write();
}

}  // namespace

int main() {
  Case c;
  while (std::fread(&c, sizeof c, 1, stdin) == 1) c.half ? answer<fingergen::Half>(c) : answer<float>(c);
}
