// Runs kernels on cases read from standard input and writes their results to standard output. Built with sanitizers:
// buffers have exactly the tensors' sizes, so any access outside of them ends the program.
//
// A case: Case, then x, then the bias or the FIR kernel, then (answered) y.
//
// With the argument `time` a case is Case alone, and the answer a line: the seconds that the kernel takes, those of a
// copy within the device that moves as many bytes, and these bytes.
#include <cuda_runtime.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>

#include "device.h"
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

struct Sizes {
  int64_t x, parameter, y;
};

Sizes sizes(const Case& c, const UpFirDn2d& op) {
  const int64_t planes = c.n * c.c, x = planes * c.height * c.width;
  if (!c.upfirdn2d) return {x, c.c, x};
  const int64_t y = planes * op.out_height(c.height, c.kernel_height) * op.out_width(c.width, c.kernel_width);
  return {x, c.kernel_height * c.kernel_width, y};
}

UpFirDn2d attributes(const Case& c) { return {c.up, c.down, c.x0, c.x1, c.y0, c.y1}; }

template <typename T>
void answer(const Case& c) {
  const UpFirDn2d op = attributes(c);
  const Sizes size = sizes(c, op);
  const bool on_device = c.way != kCpu;
  device::Tensor<T> x(size.x, on_device), parameter(size.parameter, on_device), y(size.y, on_device);
  x.read();
  parameter.read();
  run(c, op, x.get(), parameter.get(), y.get());
  device::check(cudaDeviceSynchronize());
  y.write();
}

template <typename T>
void time(const Case& c) {
  constexpr int kCalls = 20;
  const UpFirDn2d op = attributes(c);
  const Sizes size = sizes(c, op);
  const int64_t bytes = sizeof(T) * (size.x + size.parameter + size.y);
  device::Timer timer;
  double kernel, copy;
  {
    device::Memory<T> x(size.x), parameter(size.parameter), y(size.y);
    device::check(cudaMemset(x.get(), 0, sizeof(T) * size.x));
    device::check(cudaMemset(parameter.get(), 0, sizeof(T) * size.parameter));
    kernel = timer.median(kCalls, [&] { run(c, op, x.get(), parameter.get(), y.get()); });
  }
  {
    const int64_t half = bytes / 2;  // which is read, and written
    device::Memory<char> from(half), to(half);
    device::check(cudaMemset(from.get(), 0, half));
    copy = timer.median(kCalls, [&] {
      device::check(cudaMemcpyAsync(to.get(), from.get(), half, cudaMemcpyDeviceToDevice, nullptr));
    });
  }
  std::printf("%.9g %.9g %lld\n", kernel, copy, static_cast<long long>(bytes));
}

}  // namespace

int main(int count, char** arguments) {
  const bool timed = count > 1 && std::strcmp(arguments[1], "time") == 0;
  Case c;
  while (std::fread(&c, sizeof c, 1, stdin) == 1) {
    if (timed) {
      c.half ? time<fingergen::Half>(c) : time<float>(c);
    } else {
      c.half ? answer<fingergen::Half>(c) : answer<float>(c);
    }
  }
}
