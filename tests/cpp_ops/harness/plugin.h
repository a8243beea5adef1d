// Takes a TensorRT plugin through its life, as TensorRT would: created of attributes, cloned, serialised, created of
// that, attached to a context, run.
#pragma once

#include <NvInferRuntime.h>

#include <cstring>
#include <initializer_list>
#include <vector>

extern "C" nvinfer1::IPluginCreatorInterface* const* getCreators(int32_t& count);

namespace plugin {

using namespace nvinfer1;

struct Tensor {
  std::vector<int64_t> shape;
  const void* data;
};

inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

inline IPluginCreatorV3One& creator(const char* name) {
  int32_t count = 0;
  IPluginCreatorInterface* const* creators = getCreators(count);
  for (int32_t i = 0; i < count; ++i) {
    auto* candidate = static_cast<IPluginCreatorV3One*>(creators[i]);
    if (std::strcmp(candidate->getPluginName(), name) == 0) return *candidate;
  }
  require(false, "no such creator");
  std::abort();
}

inline PluginTensorDesc describe(const std::vector<int64_t>& shape, DataType type) {
  PluginTensorDesc result{};
  result.type = type;
  result.format = TensorFormat::kLINEAR;
  result.dims.nbDims = static_cast<int32_t>(shape.size());
  for (size_t i = 0; i < shape.size(); ++i) result.dims.d[i] = shape[i];
  return result;
}

inline void run(const char* name, std::vector<PluginField> fields, DataType type, const Tensor& x,
                const Tensor& parameter, void* y) {
  const PluginFieldCollection given{static_cast<int32_t>(fields.size()), fields.data()};
  IPluginV3* parsed = creator(name).createPlugin("node", &given, TensorRTPhase::kBUILD);
  require(parsed, "the creator refused the attributes");
  IPluginV3* copy = parsed->clone();
  delete parsed;

  auto* builds = static_cast<IPluginV3OneBuild*>(copy->getCapabilityInterface(PluginCapabilityType::kBUILD));
  DynamicPluginTensorDesc all[3] = {};
  all[0].desc = describe(x.shape, type);
  all[1].desc = describe(parameter.shape, type);
  all[2].desc = describe(x.shape, type);  // its shape does not matter here
  for (int32_t i = 0; i < 3; ++i) require(builds->supportsFormatCombination(i, all, 2, 1), "refuses its own type");
  all[1].desc.type = DataType::kINT8;
  require(!builds->supportsFormatCombination(1, all, 2, 1), "takes a type that it has no kernel for");

  auto* written = static_cast<IPluginV3OneRuntime*>(copy->getCapabilityInterface(PluginCapabilityType::kRUNTIME));
  IPluginV3* read = creator(name).createPlugin("node", written->getFieldsToSerialize(), TensorRTPhase::kRUNTIME);
  require(read, "the creator refused the serialised fields");
  delete copy;
  auto* loaded = static_cast<IPluginV3OneRuntime*>(read->getCapabilityInterface(PluginCapabilityType::kRUNTIME));
  IPluginV3* attached = loaded->attachToContext(nullptr);
  delete read;

  auto* runs = static_cast<IPluginV3OneRuntime*>(attached->getCapabilityInterface(PluginCapabilityType::kRUNTIME));
  const PluginTensorDesc in[2] = {describe(x.shape, type), describe(parameter.shape, type)};
  const PluginTensorDesc out[1] = {describe(x.shape, type)};
  const void* inputs[2] = {x.data, parameter.data};
  void* outputs[1] = {y};
  require(runs->onShapeChange(in, 2, out, 1) == 0, "refuses the shape");
  require(runs->enqueue(in, out, inputs, outputs, nullptr, nullptr) == 0, "fails to run");
  delete attached;
}

}  // namespace plugin
