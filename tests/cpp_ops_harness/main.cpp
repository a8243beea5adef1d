// Runs kernels on cases read from standard input and writes their results to standard output. Built with sanitizers:
// buffers have exactly the tensors' sizes, so any access outside of them ends the program.
//
// A case: Case, then x, then the bias or the FIR kernel, then (answered) y.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "fused_leaky_relu/fused_leaky_relu.h"
#include "upfirdn2d/upfirdn2d.h"

namespace {

struct Case {
  int64_t upfirdn2d, half, cuda;
  int64_t n, c, height, width;       // inner = height * width for FusedLeakyReLU
  int64_t kernel_height, kernel_width;
  int64_t up, down, x0, x1, y0, y1;
};

void in_turn(int64_t count, const std::function<void(int64_t)>& chunk) {
  for (int64_t i = 0; i < count; ++i) chunk(i);
}

template <typename T>
std::unique_ptr<T[]> read(int64_t size) {
  std::unique_ptr<T[]> values(new T[size]);
  if (std::fread(values.get(), sizeof(T), size, stdin) != static_cast<size_t>(size)) std::exit(2);
  return values;
}

template <typename T>
void answer(const Case& c) {
  const fingergen::UpFirDn2d op{c.up, c.down, c.x0, c.x1, c.y0, c.y1};
  const fingergen::UpFirDn2dSize size{c.n * c.c, c.height, c.width, c.kernel_height, c.kernel_width};
  const int64_t out_size =
      c.upfirdn2d ? c.n * c.c * op.out_height(c.height, c.kernel_height) * op.out_width(c.width, c.kernel_width)
                  : c.n * c.c * c.height * c.width;
  const auto x = read<T>(c.n * c.c * c.height * c.width);
  const auto parameter = read<T>(c.upfirdn2d ? c.kernel_height * c.kernel_width : c.c);
  const std::unique_ptr<T[]> y(new T[out_size]);
  if (c.upfirdn2d && c.cuda) {
    fingergen::upfirdn2d_cuda(op, size, x.get(), parameter.get(), y.get(), nullptr);
  } else if (c.upfirdn2d) {
    fingergen::upfirdn2d_cpu(op, size, x.get(), parameter.get(), y.get(), in_turn);
  } else if (c.cuda) {
    fingergen::fused_leaky_relu_cuda({}, x.get(), parameter.get(), y.get(), c.n, c.c, c.height * c.width, nullptr);
  } else {
    fingergen::fused_leaky_relu_cpu({}, x.get(), parameter.get(), y.get(), c.n, c.c, c.height * c.width, in_turn);
  }
  std::fwrite(y.get(), sizeof(T), out_size, stdout);
}

}  // namespace

int main() {
  Case c;
  while (std::fread(&c, sizeof c, 1, stdin) == 1) c.half ? answer<fingergen::Half>(c) : answer<float>(c);
}
