// TensorRT plugins FusedLeakyReLU, UpFirDn2d and RidgeGrowth, namespace "fingergen", version "1".
//
// getCreators is how TensorRT and TensorRT-RTX load this library (IPluginRegistry::loadLibrary). Nothing of theirs is
// linked or called, so one binary serves versions 10.14 to 11: the interfaces implemented here are stable among them,
// their registry's and logger's are not. For want of a logger, complaints go to standard error.
#include <NvInferRuntime.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "fused_leaky_relu/fused_leaky_relu.h"
#include "ridge_growth/ridge_growth.h"
#include "upfirdn2d/upfirdn2d.h"

namespace fingergen {
namespace {

using namespace nvinfer1;

constexpr const char* kNamespace = "fingergen";
constexpr const char* kVersion = "1";

// An attribute of an op: how the ONNX parser is to hand it over, and where it goes.
struct Attribute {
  const char* name;
  PluginFieldType type;
  int32_t length;
  void* value;
};

int32_t complain(const char* op, const std::string& message) {
  std::fprintf(stderr, "fingergen.%s: %s\n", op, message.c_str());
  return 1;
}

class FusedLeakyReLUOp {
 public:
  static constexpr const char* kName = "FusedLeakyReLU";
  static constexpr int32_t kInputs = 2;
  static constexpr bool kHalf = true;

  std::vector<Attribute> attributes() {
    return {{"negative_slope", PluginFieldType::kFLOAT32, 1, &op_.negative_slope},
            {"scale", PluginFieldType::kFLOAT32, 1, &op_.scale}};
  }

  const char* invalid() const { return nullptr; }

  static bool accepts(const DimsExprs* in) { return in[0].nbDims >= 2 && in[1].nbDims == 1; }

  void out_shape(const DimsExprs* in, DimsExprs& out, IExprBuilder&) const { out = in[0]; }

  static size_t scratch_bytes(const Dims&) { return 0; }

  template <typename T>
  const char* run(const PluginTensorDesc* in, const T* const* inputs, T* y, void*, cudaStream_t stream) const {
    const Dims& x = in[0].dims;
    int64_t inner = 1;
    for (int32_t i = 2; i < x.nbDims; ++i) inner *= x.d[i];
    return fused_leaky_relu_cuda(op_, inputs[0], inputs[1], y, x.d[0], x.d[1], inner, stream);
  }

 private:
  FusedLeakyReLU op_;
};

class UpFirDn2dOp {
 public:
  static constexpr const char* kName = "UpFirDn2d";
  static constexpr int32_t kInputs = 2;
  static constexpr bool kHalf = true;

  std::vector<Attribute> attributes() {
    return {{"up", PluginFieldType::kINT32, 1, &up_},
            {"down", PluginFieldType::kINT32, 1, &down_},
            {"pad", PluginFieldType::kINT32, 4, pad_}};
  }

  const char* invalid() const { return op().invalid(); }

  static bool accepts(const DimsExprs* in) { return in[0].nbDims == 4 && in[1].nbDims == 2; }

  void out_shape(const DimsExprs* in, DimsExprs& out, IExprBuilder& builder) const {
    // floor((size * up + pads - taps) / down) + 1
    const auto out_size = [&](const IDimensionExpr& size, const IDimensionExpr& taps, int32_t pads) {
      const auto combine = [&](DimensionOperation operation, const IDimensionExpr& a, const IDimensionExpr& b) {
        return builder.operation(operation, a, b);
      };
      const auto* grown = combine(DimensionOperation::kPROD, size, *builder.constant(up_));
      const auto* padded = combine(DimensionOperation::kSUM, *grown, *builder.constant(pads));
      const auto* room = combine(DimensionOperation::kSUB, *padded, taps);
      const auto* steps = combine(DimensionOperation::kFLOOR_DIV, *room, *builder.constant(down_));
      return combine(DimensionOperation::kSUM, *steps, *builder.constant(1));
    };
    out = in[0];
    out.d[2] = out_size(*in[0].d[2], *in[1].d[0], pad_[2] + pad_[3]);
    out.d[3] = out_size(*in[0].d[3], *in[1].d[1], pad_[0] + pad_[1]);
  }

  static size_t scratch_bytes(const Dims&) { return 0; }

  template <typename T>
  const char* run(const PluginTensorDesc* in, const T* const* inputs, T* y, void*, cudaStream_t stream) const {
    const Dims &x = in[0].dims, &taps = in[1].dims;
    return upfirdn2d_cuda(op(), {x.d[0] * x.d[1], x.d[2], x.d[3], taps.d[0], taps.d[1]}, inputs[0], inputs[1], y,
                          stream);
  }

 private:
  UpFirDn2d op() const { return {up_, down_, pad_[0], pad_[1], pad_[2], pad_[3]}; }

  int32_t up_ = 1, down_ = 1;
  int32_t pad_[4] = {0, 0, 0, 0};
};

class RidgeGrowthOp {
 public:
  static constexpr const char* kName = "RidgeGrowth";
  static constexpr int32_t kInputs = 3;
  static constexpr bool kHalf = false;

  std::vector<Attribute> attributes() {
    return {{"rounds", PluginFieldType::kINT32, 1, &rounds_}, {"radius", PluginFieldType::kINT32, 1, &radius_}};
  }

  const char* invalid() const { return op().invalid(); }

  static bool accepts(const DimsExprs* in) { return in[0].nbDims == 4 && in[1].nbDims == 4 && in[2].nbDims == 4; }

  void out_shape(const DimsExprs* in, DimsExprs& out, IExprBuilder&) const { out = in[0]; }

  size_t scratch_bytes(const Dims& noise) const { return op().scratch_bytes(noise.d[2], noise.d[3]); }

  const char* run(const PluginTensorDesc* in, const float* const* inputs, float* y, void* scratch,
                  cudaStream_t stream) const {
    const Dims& noise = in[0].dims;
    for (int32_t i = 0; i < kInputs; ++i) {
      for (int32_t axis = 0; axis < 4; ++axis) {
        if (in[i].dims.d[axis] != noise.d[axis] || noise.d[1] != 1) return "inputs must be alike, [N, 1, H, W]";
      }
    }
    if (std::min(noise.d[2], noise.d[3]) <= radius_) return "noise is too small for the radius";
    return ridge_growth_cuda(op(), inputs[0], inputs[1], inputs[2], y, noise.d[0], noise.d[2], noise.d[3], scratch,
                             stream);
  }

 private:
  RidgeGrowth op() const { return {rounds_, radius_}; }

  int32_t rounds_ = 30, radius_ = 6;
};

// An op of some inputs and one output, float32 or (kHalf) float16 throughout, linear layout.
template <typename Op>
class Plugin final : public IPluginV3, public IPluginV3OneCore, public IPluginV3OneBuild, public IPluginV3OneRuntime {
 public:
  explicit Plugin(const Op& op) : op_(op) {}

  // IPluginV3
  IPluginCapability* getCapabilityInterface(PluginCapabilityType type) noexcept override {
    switch (type) {
      case PluginCapabilityType::kCORE: return static_cast<IPluginV3OneCore*>(this);
      case PluginCapabilityType::kBUILD: return static_cast<IPluginV3OneBuild*>(this);
      case PluginCapabilityType::kRUNTIME: return static_cast<IPluginV3OneRuntime*>(this);
    }
    return nullptr;
  }
  IPluginV3* clone() noexcept override { return new Plugin(op_); }

  // Core
  const char* getPluginName() const noexcept override { return Op::kName; }
  const char* getPluginVersion() const noexcept override { return kVersion; }
  const char* getPluginNamespace() const noexcept override { return kNamespace; }

  // Build
  int32_t getNbOutputs() const noexcept override { return 1; }

  int32_t getOutputDataTypes(DataType* out, int32_t, const DataType* in, int32_t) const noexcept override {
    out[0] = in[0];
    return 0;
  }

  int32_t getOutputShapes(const DimsExprs* in, int32_t in_count, const DimsExprs*, int32_t, DimsExprs* out, int32_t,
                          IExprBuilder& builder) noexcept override {
    if (in_count != Op::kInputs || !Op::accepts(in)) {
      return complain(Op::kName, "the number of inputs or their ranks are wrong");
    }
    op_.out_shape(in, out[0], builder);
    return 0;
  }

  bool supportsFormatCombination(int32_t position, const DynamicPluginTensorDesc* tensors, int32_t,
                                 int32_t) noexcept override {
    const PluginTensorDesc& tensor = tensors[position].desc;
    const DataType x = tensors[0].desc.type;
    return tensor.format == TensorFormat::kLINEAR && tensor.type == x &&
           (x == DataType::kFLOAT || (Op::kHalf && x == DataType::kHALF));
  }

  int32_t configurePlugin(const DynamicPluginTensorDesc*, int32_t, const DynamicPluginTensorDesc*,
                          int32_t) noexcept override {
    return 0;
  }

  size_t getWorkspaceSize(const DynamicPluginTensorDesc* in, int32_t, const DynamicPluginTensorDesc*,
                          int32_t) const noexcept override {
    return op_.scratch_bytes(in[0].max);
  }

  // Runtime
  int32_t onShapeChange(const PluginTensorDesc*, int32_t, const PluginTensorDesc*, int32_t) noexcept override {
    return 0;
  }

  int32_t enqueue(const PluginTensorDesc* in, const PluginTensorDesc*, const void* const* inputs,
                  void* const* outputs, void* scratch, cudaStream_t stream) noexcept override {
    const char* error = nullptr;
    if (in[0].type == DataType::kFLOAT) {
      error = run<float>(in, inputs, outputs, scratch, stream);
    } else if constexpr (Op::kHalf) {
      error = run<Half>(in, inputs, outputs, scratch, stream);
    }
    return error ? complain(Op::kName, error) : 0;
  }

  IPluginV3* attachToContext(IPluginResourceContext*) noexcept override { return clone(); }

  const PluginFieldCollection* getFieldsToSerialize() noexcept override {
    fields_.clear();
    for (const Attribute& attribute : op_.attributes()) {
      fields_.emplace_back(attribute.name, attribute.value, attribute.type, attribute.length);
    }
    collection_ = {static_cast<int32_t>(fields_.size()), fields_.data()};
    return &collection_;
  }

 private:
  template <typename T>
  const char* run(const PluginTensorDesc* in, const void* const* inputs, void* const* outputs, void* scratch,
                  cudaStream_t stream) {
    const T* typed[Op::kInputs];
    for (int32_t i = 0; i < Op::kInputs; ++i) typed[i] = static_cast<const T*>(inputs[i]);
    return op_.run(in, typed, static_cast<T*>(outputs[0]), scratch, stream);
  }

  Op op_;
  std::vector<PluginField> fields_;
  PluginFieldCollection collection_;
};

// Makes plugins of an ONNX node's attributes and, with the same fields, of a serialized engine's.
template <typename Op>
class Creator final : public IPluginCreatorV3One {
 public:
  Creator() {
    for (const Attribute& attribute : Op().attributes()) {
      fields_.emplace_back(attribute.name, nullptr, attribute.type, attribute.length);
    }
    collection_ = {static_cast<int32_t>(fields_.size()), fields_.data()};
  }

  const char* getPluginName() const noexcept override { return Op::kName; }
  const char* getPluginVersion() const noexcept override { return kVersion; }
  const char* getPluginNamespace() const noexcept override { return kNamespace; }
  const PluginFieldCollection* getFieldNames() noexcept override { return &collection_; }

  IPluginV3* createPlugin(const char*, const PluginFieldCollection* fields, TensorRTPhase) noexcept override {
    Op op;
    for (const Attribute& attribute : op.attributes()) {
      for (int32_t i = 0; i < fields->nbFields; ++i) {
        const PluginField& field = fields->fields[i];
        if (std::strcmp(field.name, attribute.name) != 0) continue;
        if (field.type != attribute.type || field.length != attribute.length || !field.data) {
          complain(Op::kName, std::string("attribute ") + attribute.name + " is of the wrong type or length");
          return nullptr;
        }
        std::memcpy(attribute.value, field.data, sizeof(int32_t) * attribute.length);
      }
    }
    if (const char* problem = op.invalid()) {
      complain(Op::kName, std::string("attribute ") + problem);
      return nullptr;
    }
    return new Plugin<Op>(op);
  }

 private:
  std::vector<PluginField> fields_;
  PluginFieldCollection collection_;
};

static_assert(sizeof(int32_t) == sizeof(float), "attributes of both types are copied alike");

}  // namespace
}  // namespace fingergen

#define FINGERGEN_EXPORT extern "C" __attribute__((visibility("default")))

FINGERGEN_EXPORT nvinfer1::IPluginCreatorInterface* const* getCreators(int32_t& count) {
  static fingergen::Creator<fingergen::FusedLeakyReLUOp> fused_leaky_relu;
  static fingergen::Creator<fingergen::UpFirDn2dOp> upfirdn2d;
  static fingergen::Creator<fingergen::RidgeGrowthOp> ridge_growth;
  static nvinfer1::IPluginCreatorInterface* const creators[] = {&fused_leaky_relu, &upfirdn2d, &ridge_growth};
  count = 3;
  return creators;
}

// TensorRT wants to find this; the logger it offers is not used, see above.
FINGERGEN_EXPORT void setLoggerFinder(nvinfer1::ILoggerFinder*) {}
