#include "common/cuda.cuh"
#include "upfirdn2d/upfirdn2d.h"

namespace fingergen {
namespace {

__host__ __device__ inline int64_t floor_mod(int64_t a, int64_t b) { return (a % b + b) % b; }

// Sizes of one call, in the integer type that a kernel computes with.
template <typename Index>
struct Geometry {
  Index height, width, out_height, out_width;
  Index x0, y0;
  Index patches_across, patches_down, patches;  // in a row, in a column, in all planes
  bool aligned;  // a patch's row of output is one whole, aligned store
};

// Elements that one store instruction moves.
template <typename T, int Size>
struct alignas(Size * sizeof(T)) Pack {
  T values[Size];
};

// Measured on an H200 from 2 x 4 to 16 x 4: for large planes the quickest in float16 and near it in float32.
constexpr int kPatchRows = 4, kPatchColumns = 4;

// The networks' filters: sizes known to the compiler. A thread computes a patch of kRows x kColumns output samples and
// reads each input sample under it once. Patches start where the upsampled plane has an input sample, so which taps
// meet a sample is known to the compiler too; the first ones may start `y0` or `x0` modulo Up before the plane.
template <typename T, int Up, int Down, int Taps>
struct Patch {
  static constexpr int kRows = kPatchRows, kColumns = kPatchColumns;
  static constexpr int kInRows = ((kRows - 1) * Down + Taps - 1) / Up + 1;
  static constexpr int kInColumns = ((kColumns - 1) * Down + Taps - 1) / Up + 1;

  static int64_t overhang(int64_t pad) { return floor_mod(-pad, Up); }
  static int64_t count(int64_t out_size, int64_t pad, int64_t patch) {
    return (out_size + overhang(pad) + patch - 1) / patch;
  }

  static __device__ void compute(const Geometry<int32_t>& g, const T* x, const float (&weights)[Taps][Taps], T* y,
                                 int32_t out_top, int32_t out_left) {
    const int32_t top = (out_top * Down - g.y0) / Up, left = (out_left * Down - g.x0) / Up;
    bool inside[kInColumns];
#pragma unroll
    for (int i = 0; i < kInColumns; ++i) inside[i] = left + i >= 0 && left + i < g.width;
    float sums[kRows][kColumns] = {};
#pragma unroll
    for (int in_row = 0; in_row < kInRows; ++in_row) {
      const int32_t row = top + in_row;
      if (row < 0 || row >= g.height) continue;
      float samples[kInColumns];
#pragma unroll
      for (int i = 0; i < kInColumns; ++i) samples[i] = inside[i] ? load(x[row * g.width + left + i]) : 0.0f;
#pragma unroll
      for (int out_row = 0; out_row < kRows; ++out_row) {
        const int tap_row = in_row * Up - out_row * Down;
        if (tap_row < 0 || tap_row >= Taps) continue;
#pragma unroll
        for (int out_column = 0; out_column < kColumns; ++out_column) {
#pragma unroll
          for (int i = 0; i < kInColumns; ++i) {
            const int tap_column = i * Up - out_column * Down;
            if (tap_column < 0 || tap_column >= Taps) continue;
            sums[out_row][out_column] += weights[Taps - 1 - tap_row][Taps - 1 - tap_column] * samples[i];
          }
        }
      }
    }
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      const int32_t row = out_top + i;
      if (row < 0 || row >= g.out_height) continue;
      T* place = y + row * g.out_width + out_left;
      if (g.aligned) {
        Pack<T, kColumns> pack;
#pragma unroll
        for (int j = 0; j < kColumns; ++j) store(&pack.values[j], sums[i][j]);
        *reinterpret_cast<Pack<T, kColumns>*>(place) = pack;
        continue;
      }
#pragma unroll
      for (int j = 0; j < kColumns; ++j) {
        if (out_left + j >= 0 && out_left + j < g.out_width) store(&place[j], sums[i][j]);
      }
    }
  }
};

template <typename T, int Up, int Down, int Taps>
__global__ void filter_patches(Geometry<int32_t> g, int32_t overhang_y, int32_t overhang_x, const T* __restrict__ x,
                               const T* __restrict__ kernel, T* __restrict__ y) {
  using P = Patch<T, Up, Down, Taps>;
  float weights[Taps][Taps];
#pragma unroll
  for (int i = 0; i < Taps; ++i) {
#pragma unroll
    for (int j = 0; j < Taps; ++j) weights[i][j] = load(kernel[i * Taps + j]);
  }
  const uint32_t step = gridDim.x * blockDim.x;
  for (uint32_t p = blockIdx.x * blockDim.x + threadIdx.x; p < static_cast<uint32_t>(g.patches); p += step) {
    const int32_t across = p % g.patches_across;
    const int32_t down = p / g.patches_across % g.patches_down;
    const int64_t plane = p / g.patches_across / g.patches_down;
    P::compute(g, x + plane * g.height * g.width, weights, y + plane * g.out_height * g.out_width,
               down * P::kRows - overhang_y, across * P::kColumns - overhang_x);
  }
}

// Any factors, kernels and sizes: one output sample a thread, taps that meet inserted zeros are stepped over.
template <typename T>
__global__ void filter_samples(UpFirDn2d op, UpFirDn2dSize size, int64_t out_height, int64_t out_width,
                               const T* __restrict__ x, const T* __restrict__ kernel, T* __restrict__ y) {
  const int64_t count = size.planes * out_height * out_width;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t o = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; o < count; o += step) {
    const int64_t left = o % out_width * op.down - op.x0;  // of the window, in the upsampled plane
    const int64_t top = o / out_width % out_height * op.down - op.y0;
    const T* plane = x + o / out_width / out_height * size.height * size.width;
    const int64_t first_column = floor_mod(-left, op.up);
    float sum = 0;
    for (int64_t i = floor_mod(-top, op.up); i < size.kernel_height; i += op.up) {
      const int64_t row = (top + i) / op.up;
      if (row < 0 || row >= size.height) continue;
      const T* weights = kernel + (size.kernel_height - 1 - i) * size.kernel_width;
      for (int64_t j = first_column; j < size.kernel_width; j += op.up) {
        const int64_t column = (left + j) / op.up;
        if (column < 0 || column >= size.width) continue;
        sum += load(weights[size.kernel_width - 1 - j]) * load(plane[row * size.width + column]);
      }
    }
    store(&y[o], sum);
  }
}

template <int Up, int Down, int Taps, typename T>
const char* run_patches(const UpFirDn2d& op, const UpFirDn2dSize& size, int64_t out_height, int64_t out_width,
                        const T* x, const T* kernel, T* y, cudaStream_t stream) {
  using P = Patch<T, Up, Down, Taps>;
  const int64_t across = P::count(out_width, op.x0, P::kColumns), down = P::count(out_height, op.y0, P::kRows);
  const auto narrow = [](int64_t value) { return static_cast<int32_t>(value); };
  const Geometry<int32_t> geometry{narrow(size.height), narrow(size.width), narrow(out_height),
                                   narrow(out_width),   narrow(op.x0),      narrow(op.y0),
                                   narrow(across),      narrow(down),       narrow(size.planes * across * down),
                                   out_width % P::kColumns == 0 && P::overhang(op.x0) == 0 && is_aligned(y)};
  return launch(filter_patches<T, Up, Down, Taps>, size.planes * across * down, stream, geometry,
                narrow(P::overhang(op.y0)), narrow(P::overhang(op.x0)), x, kernel, y);
}

}  // namespace

template <typename T>
const char* upfirdn2d_cuda(const UpFirDn2d& op, const UpFirDn2dSize& size, const T* host_x, const T* host_kernel,
                           T* host_y, CUstream_st* stream) {
  using Element = typename DeviceType<T>::type;
  const auto* x = reinterpret_cast<const Element*>(host_x);
  const auto* kernel = reinterpret_cast<const Element*>(host_kernel);
  auto* y = reinterpret_cast<Element*>(host_y);

  const int64_t out_height = op.out_height(size.height, size.kernel_height);
  const int64_t out_width = op.out_width(size.width, size.kernel_width);
  const int64_t count = size.planes * out_height * out_width;
  if (count == 0) return nullptr;
  // Patches count in 32 bits: within a plane by element, across planes by patch. A quarter of the range leaves room
  // for padding and for the grid's last step past the end. Counted with a patch over each edge.
  const int64_t limit = int64_t{1} << 29;
  const int64_t patches = size.planes * (out_height / kPatchRows + 2) * (out_width / kPatchColumns + 2);
  const bool fits = size.kernel_height == 4 && size.kernel_width == 4 && size.height * size.width < limit &&
                    out_height * out_width < limit && patches < limit;
  const auto is = [&](int64_t up, int64_t down) { return fits && op.up == up && op.down == down; };
  if (is(1, 1)) return run_patches<1, 1, 4>(op, size, out_height, out_width, x, kernel, y, stream);
  if (is(2, 1)) return run_patches<2, 1, 4>(op, size, out_height, out_width, x, kernel, y, stream);
  if (is(1, 2)) return run_patches<1, 2, 4>(op, size, out_height, out_width, x, kernel, y, stream);
  return launch(filter_samples<Element>, count, stream, op, size, out_height, out_width, x, kernel, y);
}

template const char* upfirdn2d_cuda(const UpFirDn2d&, const UpFirDn2dSize&, const float*, const float*, float*,
                                    CUstream_st*);
template const char* upfirdn2d_cuda(const UpFirDn2d&, const UpFirDn2dSize&, const Half*, const Half*, Half*,
                                    CUstream_st*);

}  // namespace fingergen
