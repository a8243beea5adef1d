#include "common/cuda.cuh"
#include "fused_leaky_relu/fused_leaky_relu.h"

namespace fingergen {
namespace {

// Each thread takes `Vector` elements at a time: 16 bytes, or one where addresses or length do not allow more.
// Index is 32 bits wide where the tensor allows, for division by it is most of the arithmetic here.
template <typename T, typename Vector, typename Index>
__global__ void activate(FusedLeakyReLU op, const Vector* x, const T* __restrict__ bias, Vector* y, Index vectors,
                         Index c, Index inner) {
  constexpr int kSize = sizeof(Vector) / sizeof(T);
  const Index step = static_cast<Index>(gridDim.x) * blockDim.x;
  for (Index v = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x; v < vectors; v += step) {
    Vector vector = x[v];
    T* values = reinterpret_cast<T*>(&vector);
    const Index first = v * kSize;
    Index channel = first / inner % c;
    Index place = first % inner;  // within the channel
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      const float biased = load(values[i]) + load(bias[channel]);
      store(&values[i], op.scale * (biased < 0 ? op.negative_slope * biased : biased));
      if (++place == inner) {
        place = 0;
        channel = channel + 1 == c ? 0 : channel + 1;
      }
    }
    y[v] = vector;
  }
}

}  // namespace

template <typename T>
const char* fused_leaky_relu_cuda(const FusedLeakyReLU& op, const T* x, const T* bias, T* y, int64_t n, int64_t c,
                                  int64_t inner, CUstream_st* stream) {
  using Element = typename DeviceType<T>::type;
  using Wide = Vector<Element>;
  const auto run = [&](auto vector, auto index) {
    using VectorType = decltype(vector);
    using Index = decltype(index);
    const int64_t vectors = n * c * inner / static_cast<int64_t>(sizeof(VectorType) / sizeof(Element));
    return launch(activate<Element, VectorType, Index>, vectors, stream, op, reinterpret_cast<const VectorType*>(x),
                  reinterpret_cast<const Element*>(bias), reinterpret_cast<VectorType*>(y),
                  static_cast<Index>(vectors), static_cast<Index>(c), static_cast<Index>(inner));
  };

  const int64_t size = n * c * inner;
  if (size == 0) return nullptr;
  const bool wide = size % Wide::kSize == 0 && is_aligned(x) && is_aligned(y);
  // Room for the grid's last step past the end: 2^24 threads.
  const bool narrow_index = size < (int64_t{1} << 31);
  if (wide) return narrow_index ? run(Wide{}, uint32_t{}) : run(Wide{}, uint64_t{});
  return narrow_index ? run(Element{}, uint32_t{}) : run(Element{}, uint64_t{});
}

template const char* fused_leaky_relu_cuda(const FusedLeakyReLU&, const float*, const float*, float*, int64_t,
                                           int64_t, int64_t, CUstream_st*);
template const char* fused_leaky_relu_cuda(const FusedLeakyReLU&, const Half*, const Half*, Half*, int64_t, int64_t,
                                           int64_t, CUstream_st*);

}  // namespace fingergen
