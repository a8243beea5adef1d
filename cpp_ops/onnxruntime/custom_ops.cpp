// ONNX Runtime custom ops of domain "fingergen", version 1: RegisterCustomOps is what
// SessionOptions.register_custom_ops_library looks for. The library links nothing of ONNX Runtime.
#include <algorithm>
#include <string>
#include <type_traits>
#include <vector>

#include "fused_leaky_relu/fused_leaky_relu.h"
#include "onnxruntime/node.h"
#include "onnxruntime/whole_layers.h"
#include "ridge_growth/ridge_growth.h"
#include "upfirdn2d/upfirdn2d.h"

namespace fingergen {
namespace {

// The oldest API that has all that is used here. The API only grows, so newer headers and runtimes serve it too.
constexpr uint32_t kApiVersion = 18;
static_assert(ORT_API_VERSION >= kApiVersion, "ONNX Runtime headers 1.18 or newer are needed");

struct Cpu {
  static constexpr const char* kProvider = nullptr;  // ONNX Runtime's default
};

struct Cuda {
  static constexpr const char* kProvider = "CUDAExecutionProvider";
};

template <typename T>
constexpr ONNXTensorElementDataType kElementType =
    std::is_same_v<T, float> ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT : ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16;

template <typename Device, typename T>
class FusedLeakyReLUKernel {
 public:
  static constexpr const char* kName = "FusedLeakyReLU";
  static constexpr size_t kInputs = 2;
  static constexpr size_t kOptional = 0;
  static constexpr bool kInPlace = true;

  explicit FusedLeakyReLUKernel(const OrtKernelInfo* info) {
    const Attributes attributes(kName, info);
    op_.negative_slope = attributes.get("negative_slope", op_.negative_slope);
    op_.scale = attributes.get("scale", op_.scale);
  }

  void compute(Ort::KernelContext& context) const {
    const Ort::ConstValue x = context.GetInput(0), bias = context.GetInput(1);
    const std::vector<int64_t> shape = x.GetTensorTypeAndShapeInfo().GetShape();
    const std::vector<int64_t> bias_shape = bias.GetTensorTypeAndShapeInfo().GetShape();
    if (shape.size() < 2 || bias_shape.size() != 1 || bias_shape[0] != shape[1]) {
      fail(kName, "wants x [N, C, ...] and bias [C], got " + text(shape) + " and " + text(bias_shape));
    }
    T* y = static_cast<T*>(context.GetOutput(0, shape).GetTensorMutableRawData());
    const int64_t inner = product(shape, 2);
    if (shape[0] * shape[1] * inner == 0) return;
    if constexpr (std::is_same_v<Device, Cpu>) {
      fused_leaky_relu_cpu(op_, data<T>(x), data<T>(bias), y, shape[0], shape[1], inner, on_threads_of(context));
    } else {
      const char* error = fused_leaky_relu_cuda(op_, data<T>(x), data<T>(bias), y, shape[0], shape[1], inner,
                                                static_cast<CUstream_st*>(context.GetGPUComputeStream()));
      if (error) fail(kName, error);
    }
  }

 private:
  FusedLeakyReLU op_;
};

template <typename Device, typename T>
class UpFirDn2dKernel {
 public:
  static constexpr const char* kName = "UpFirDn2d";
  static constexpr size_t kInputs = 2;
  static constexpr size_t kOptional = 0;
  static constexpr bool kInPlace = false;

  explicit UpFirDn2dKernel(const OrtKernelInfo* info) {
    const Attributes attributes(kName, info);
    op_.up = attributes.get("up", op_.up);
    op_.down = attributes.get("down", op_.down);
    const std::vector<int64_t> pad = attributes.get("pad", std::vector<int64_t>{0, 0, 0, 0});
    if (pad.size() != 4) fail(kName, "attribute pad must be [x0, x1, y0, y1], got " + text(pad));
    op_.x0 = pad[0], op_.x1 = pad[1], op_.y0 = pad[2], op_.y1 = pad[3];
    if (const char* problem = op_.invalid()) fail(kName, std::string("attribute ") + problem);
  }

  void compute(Ort::KernelContext& context) const {
    const Ort::ConstValue x = context.GetInput(0), kernel = context.GetInput(1);
    const std::vector<int64_t> shape = x.GetTensorTypeAndShapeInfo().GetShape();
    const std::vector<int64_t> taps = kernel.GetTensorTypeAndShapeInfo().GetShape();
    if (shape.size() != 4 || taps.size() != 2 || product(taps, 0) == 0) {
      fail(kName, "wants x [N, C, H, W] and kernel [kH, kW], got " + text(shape) + " and " + text(taps));
    }
    const UpFirDn2dSize size{shape[0] * shape[1], shape[2], shape[3], taps[0], taps[1]};
    const int64_t height = op_.out_height(shape[2], taps[0]), width = op_.out_width(shape[3], taps[1]);
    if (height == 0 || width == 0) {
      fail(kName, "x " + text(shape) + " is too small for kernel " + text(taps) + ", up and pad");
    }
    T* y = static_cast<T*>(context.GetOutput(0, {shape[0], shape[1], height, width}).GetTensorMutableRawData());
    if (size.planes == 0) return;
    if constexpr (std::is_same_v<Device, Cpu>) {
      upfirdn2d_cpu(op_, size, data<T>(x), data<T>(kernel), y, on_threads_of(context));
    } else {
      const char* error = upfirdn2d_cuda(op_, size, data<T>(x), data<T>(kernel), y,
                                         static_cast<CUstream_st*>(context.GetGPUComputeStream()));
      if (error) fail(kName, error);
    }
  }

 private:
  UpFirDn2d op_;
};

template <typename Device, typename T>
class RidgeGrowthKernel {
 public:
  static constexpr const char* kName = "RidgeGrowth";
  static constexpr size_t kInputs = 3;
  static constexpr size_t kOptional = 0;
  static constexpr bool kInPlace = false;

  explicit RidgeGrowthKernel(const OrtKernelInfo* info) {
    const Attributes attributes(kName, info);
    op_.rounds = attributes.get("rounds", op_.rounds);
    op_.radius = attributes.get("radius", op_.radius);
    if (const char* problem = op_.invalid()) fail(kName, std::string("attribute ") + problem);
  }

  void compute(Ort::KernelContext& context) const {
    const Ort::ConstValue noise = context.GetInput(0), orientation = context.GetInput(1), period = context.GetInput(2);
    const std::vector<int64_t> shape = noise.GetTensorTypeAndShapeInfo().GetShape();
    for (const Ort::ConstValue& field : {orientation, period}) {
      const std::vector<int64_t> other = field.GetTensorTypeAndShapeInfo().GetShape();
      if (shape.size() != 4 || shape[1] != 1 || other != shape) {
        fail(kName, "wants noise, orientation and period [N, 1, H, W], got " + text(shape) + " and " + text(other));
      }
    }
    T* y = static_cast<T*>(context.GetOutput(0, shape).GetTensorMutableRawData());
    if (product(shape, 0) == 0) return;
    if (std::min(shape[2], shape[3]) <= op_.radius) {
      fail(kName, "noise " + text(shape) + " is too small for radius " + std::to_string(op_.radius));
    }
    if constexpr (std::is_same_v<Device, Cpu>) {
      ridge_growth_cpu(op_, data<T>(noise), data<T>(orientation), data<T>(period), y, shape[0], shape[2], shape[3],
                       on_threads_of(context));
    } else {
      // Freed when this returns; what then gets the memory runs on the same stream, after the kernels queued here.
      Ort::UnownedAllocator allocator(context.GetAllocator(*noise.GetTensorMemoryInfo()));
      Ort::MemoryAllocation scratch = allocator.GetAllocation(op_.scratch_bytes(shape[2], shape[3]));
      const char* error = ridge_growth_cuda(op_, data<T>(noise), data<T>(orientation), data<T>(period), y, shape[0],
                                            shape[2], shape[3], scratch.get(),
                                            static_cast<CUstream_st*>(context.GetGPUComputeStream()));
      if (error) fail(kName, error);
    }
  }

 private:
  RidgeGrowth op_;
};

Ort::Status status_of_current_exception() {
  try {
    throw;
  } catch (const Ort::Exception& error) {
    return Ort::Status(error);
  } catch (const std::exception& error) {
    return Ort::Status(error.what(), ORT_FAIL);
  }
}

// What ONNX Runtime calls; no exception passes from here into it.
template <typename Kernel>
struct Computes : Kernel {
  using Kernel::Kernel;

  OrtStatusPtr ComputeV2(OrtKernelContext* raw) const {
    try {
      Ort::KernelContext context(raw);
      Kernel::compute(context);
      return nullptr;
    } catch (...) {
      return status_of_current_exception().release();
    }
  }
};

template <template <typename, typename> class Kernel, typename Device, typename T>
struct Op : Ort::CustomOpBase<Op<Kernel, Device, T>, Computes<Kernel<Device, T>>, true> {
  using Computing = Computes<Kernel<Device, T>>;

  Op() {
    OrtCustomOp::version = kApiVersion;
    // No shape inference: through this interface a symbolic dimension comes out nameless, and ONNX Runtime
    // then takes the shapes of two such tensors for contradictory. Shapes are computed with the tensors at hand.
    OrtCustomOp::InferOutputShapeFn = nullptr;
    if constexpr (Computing::kInPlace) {
      // The first output may take the first input's memory.
      OrtCustomOp::GetMayInplace = [](int** inputs, int** outputs) -> size_t {
        *inputs = new int[1]{0};
        *outputs = new int[1]{0};
        return 1;
      };
      OrtCustomOp::ReleaseMayInplace = [](int* inputs, int* outputs) {
        delete[] inputs;
        delete[] outputs;
      };
    }
  }

  OrtStatusPtr CreateKernelV2(const OrtApi&, const OrtKernelInfo* info, void** kernel) const {
    try {
      *kernel = new Computing(info);
      return nullptr;
    } catch (...) {
      return status_of_current_exception().release();
    }
  }

  const char* GetName() const { return Computing::kName; }
  const char* GetExecutionProviderType() const { return Device::kProvider; }
  size_t GetInputTypeCount() const { return Computing::kInputs; }
  OrtCustomOpInputOutputCharacteristic GetInputCharacteristic(size_t i) const {
    return i < Computing::kInputs - Computing::kOptional ? INPUT_OUTPUT_REQUIRED : INPUT_OUTPUT_OPTIONAL;
  }
  ONNXTensorElementDataType GetInputType(size_t) const { return kElementType<T>; }
  size_t GetOutputTypeCount() const { return 1; }
  ONNXTensorElementDataType GetOutputType(size_t) const {
    return std::is_same_v<Kernel<Device, T>, ToLevelsKernel<Device, T>> ? ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8
                                                                        : kElementType<T>;
  }
};

template <typename Device>
struct Ops {
  Op<FusedLeakyReLUKernel, Device, float> fused_leaky_relu_float;
  Op<FusedLeakyReLUKernel, Device, Half> fused_leaky_relu_half;
  Op<UpFirDn2dKernel, Device, float> upfirdn2d_float;
  Op<UpFirDn2dKernel, Device, Half> upfirdn2d_half;
  Op<RidgeGrowthKernel, Device, float> ridge_growth;

  void add_to(Ort::CustomOpDomain& domain) const {
    domain.Add(&fused_leaky_relu_float);
    domain.Add(&fused_leaky_relu_half);
    domain.Add(&upfirdn2d_float);
    domain.Add(&upfirdn2d_half);
    domain.Add(&ridge_growth);
  }
};

// A domain, alive as long as the library is loaded.
struct Domain {
  Ops<Cpu> cpu;
#ifdef FINGERGEN_CUDA
  Ops<Cuda> cuda;
#endif
  Op<PlainStyledConvKernel, Cpu, float> styled_conv;
  Op<StyledUpConvKernel, Cpu, float> styled_up_conv;
  Op<ToRGBKernel, Cpu, float> to_rgb;
  Op<ToLevelsKernel, Cpu, float> to_levels;
  Ort::CustomOpDomain domain{"fingergen"};

  explicit Domain(bool whole_layers) {
    cpu.add_to(domain);
#ifdef FINGERGEN_CUDA
    cuda.add_to(domain);
#endif
    if (!whole_layers) return;
    domain.Add(&styled_conv);
    domain.Add(&styled_up_conv);
    domain.Add(&to_rgb);
    domain.Add(&to_levels);
  }
};

// A session for a GPU says "0": a kernel for the CPU alone would take the layers, and their arrays, away from there.
bool wants_whole_layers(const OrtSessionOptions* options) {
  const char* const key = "fingergen.whole_layers";
  int present = 0;
  Ort::ThrowOnError(Ort::GetApi().HasSessionConfigEntry(options, key, &present));
  if (!present) return true;
  char value[8];
  size_t size = sizeof(value);
  Ort::ThrowOnError(Ort::GetApi().GetSessionConfigEntry(options, key, value, &size));
  return std::string(value) != "0";
}

}  // namespace
}  // namespace fingergen

extern "C" __attribute__((visibility("default"))) OrtStatus* ORT_API_CALL
RegisterCustomOps(OrtSessionOptions* options, const OrtApiBase* base) {
  const OrtApi* api = base->GetApi(fingergen::kApiVersion);
  if (!api) {
    return base->GetApi(1)->CreateStatus(ORT_NOT_IMPLEMENTED, "the fingergen ops need ONNX Runtime 1.18 or newer");
  }
  Ort::InitApi(api);
  try {
    static const fingergen::Domain whole(true), parts(false);
    return api->AddCustomOpDomain(options, (fingergen::wants_whole_layers(options) ? whole : parts).domain);
  } catch (...) {
    return fingergen::status_of_current_exception().release();
  }
}
