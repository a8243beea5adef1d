// Runs kernels on cases read from standard input and writes their results to standard output. Built with sanitizers:
// buffers have exactly the tensors' sizes, so any access outside of them ends the program.
//
// A case: Case, then x, then the parameter (the bias; the FIR kernel; orientation and period), then (answered) y.
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
#include "ridge_growth/ridge_growth.h"
#include "upfirdn2d/upfirdn2d.h"
#ifdef FINGERGEN_PLUGINS
#include "plugin.h"
#endif

namespace {

enum Op : int64_t { kFusedLeakyReLU, kUpFirDn2d, kRidgeGrowth };
enum Way : int64_t { kCpu, kCuda, kPlugin };

struct Case {
  Op op;
  int64_t half;
  Way way;
  int64_t n, c, height, width;  // of x; inner = height * width for FusedLeakyReLU
  int64_t settings[8];          // UpFirDn2d: kernel height and width, up, down, pad; RidgeGrowth: rounds, radius

  fingergen::UpFirDn2d upfirdn2d() const {
    return {settings[2], settings[3], settings[4], settings[5], settings[6], settings[7]};
  }
  fingergen::UpFirDn2dSize upfirdn2d_size() const { return {n * c, height, width, settings[0], settings[1]}; }
  fingergen::RidgeGrowth ridge_growth() const { return {settings[0], settings[1]}; }
};

void in_turn(int64_t count, const std::function<void(int64_t)>& chunk) {
  for (int64_t i = 0; i < count; ++i) chunk(i);
}

#ifdef FINGERGEN_PLUGINS
template <typename T>
void run_plugin(const Case& c, const T* x, const T* parameter, T* y) {
  const auto type = std::is_same_v<T, float> ? nvinfer1::DataType::kFLOAT : nvinfer1::DataType::kHALF;
  const auto kInt = nvinfer1::PluginFieldType::kINT32;
  int32_t settings[8];
  std::copy(std::begin(c.settings), std::end(c.settings), settings);
  const std::vector<int64_t> shape{c.n, c.c, c.height, c.width};
  switch (c.op) {
    case kFusedLeakyReLU: return plugin::run("FusedLeakyReLU", {}, type, {{shape, x}, {{c.c}, parameter}}, y);
    case kUpFirDn2d:
      return plugin::run("UpFirDn2d",
                         {{"up", settings + 2, kInt, 1}, {"down", settings + 3, kInt, 1}, {"pad", settings + 4, kInt, 4}},
                         type, {{shape, x}, {{c.settings[0], c.settings[1]}, parameter}}, y);
    case kRidgeGrowth: {
      const T* period = parameter + c.n * c.height * c.width;
      return plugin::run("RidgeGrowth", {{"rounds", settings, kInt, 1}, {"radius", settings + 1, kInt, 1}}, type,
                         {{shape, x}, {shape, parameter}, {shape, period}}, y);
    }
  }
}
#endif

void expect(const char* error) {
  if (!error) return;
  std::fprintf(stderr, "%s\n", error);
  std::exit(3);
}

template <typename T>
void run_on_cpu(const Case& c, const T* x, const T* parameter, T* y) {
  switch (c.op) {
    case kFusedLeakyReLU:
      return fingergen::fused_leaky_relu_cpu({}, x, parameter, y, c.n, c.c, c.height * c.width, in_turn);
    case kUpFirDn2d:
      return fingergen::upfirdn2d_cpu(c.upfirdn2d(), c.upfirdn2d_size(), x, parameter, y, in_turn);
    case kRidgeGrowth:
      if constexpr (std::is_same_v<T, float>) {
        return fingergen::ridge_growth_cpu(c.ridge_growth(), x, parameter, parameter + c.n * c.height * c.width, y, c.n,
                                           c.height, c.width, in_turn);
      }
      std::exit(4);
  }
}

template <typename T>
void run_on_device(const Case& c, const T* x, const T* parameter, T* y) {
  switch (c.op) {
    case kFusedLeakyReLU:
      return expect(
          fingergen::fused_leaky_relu_cuda({}, x, parameter, y, c.n, c.c, c.height * c.width, nullptr));
    case kUpFirDn2d:
      return expect(fingergen::upfirdn2d_cuda(c.upfirdn2d(), c.upfirdn2d_size(), x, parameter, y, nullptr));
    case kRidgeGrowth:
      if constexpr (std::is_same_v<T, float>) {
        const fingergen::RidgeGrowth op = c.ridge_growth();
        const device::Memory<char> scratch(op.scratch_bytes(c.height, c.width));
        expect(fingergen::ridge_growth_cuda(op, x, parameter, parameter + c.n * c.height * c.width, y, c.n, c.height,
                                            c.width, scratch.get(), nullptr));
        return device::check(cudaDeviceSynchronize());  // before its scratch memory is freed
      }
      std::exit(4);
  }
}

template <typename T>
void run(const Case& c, const T* x, const T* parameter, T* y) {
  switch (c.way) {
    case kCpu: return run_on_cpu(c, x, parameter, y);
    case kCuda: return run_on_device(c, x, parameter, y);
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

Sizes sizes(const Case& c) {
  const int64_t x = c.n * c.c * c.height * c.width;
  switch (c.op) {
    case kFusedLeakyReLU: return {x, c.c, x};
    case kUpFirDn2d: {
      const fingergen::UpFirDn2d op = c.upfirdn2d();
      const int64_t kernel_height = c.settings[0], kernel_width = c.settings[1];
      return {x, kernel_height * kernel_width,
              c.n * c.c * op.out_height(c.height, kernel_height) * op.out_width(c.width, kernel_width)};
    }
    case kRidgeGrowth: return {x, 2 * x, x};
  }
  std::exit(4);
}

template <typename T>
void answer(const Case& c) {
  const Sizes size = sizes(c);
  const bool on_device = c.way != kCpu;
  device::Tensor<T> x(size.x, on_device), parameter(size.parameter, on_device), y(size.y, on_device);
  x.read();
  parameter.read();
  run(c, x.get(), parameter.get(), y.get());
  device::check(cudaDeviceSynchronize());
  y.write();
}

template <typename T>
void time(const Case& c) {
  constexpr int kCalls = 20;
  const Sizes size = sizes(c);
  const int64_t bytes = sizeof(T) * (size.x + size.parameter + size.y);
  device::Timer timer;
  double kernel, copy;
  {
    device::Memory<T> x(size.x), parameter(size.parameter), y(size.y);
    device::check(cudaMemset(x.get(), 0, sizeof(T) * size.x));
    device::check(cudaMemset(parameter.get(), 0, sizeof(T) * size.parameter));
    kernel = timer.median(kCalls, [&] { run(c, x.get(), parameter.get(), y.get()); });
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
