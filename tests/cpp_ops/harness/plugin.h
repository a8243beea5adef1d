// Takes a TensorRT plugin through its life, as TensorRT would: created of attributes, cloned, serialized, created of
// that, attached to a context, run.
#pragma once

#include <NvInferRuntime.h>

#include <cstring>
#include <initializer_list>
#include <vector>

#include "device.h"

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

inline void run(const char* name, std::vector<PluginField> fields, DataType type, const std::vector<Tensor>& tensors,
                void* y) {
  const auto count = static_cast<int32_t>(tensors.size());
  const PluginFieldCollection given{static_cast<int32_t>(fields.size()), fields.data()};
  IPluginV3* parsed = creator(name).createPlugin("node", &given, TensorRTPhase::kBUILD);
  require(parsed, "the creator refused the attributes");
  IPluginV3* copy = parsed->clone();
  delete parsed;

  auto* builds = static_cast<IPluginV3OneBuild*>(copy->getCapabilityInterface(PluginCapabilityType::kBUILD));
  std::vector<DynamicPluginTensorDesc> all;
  for (const Tensor& tensor : tensors) all.push_back({describe(tensor.shape, type), {}, {}, {}});
  all.push_back(all[0]);  // the output; its shape does not matter here
  for (DynamicPluginTensorDesc& each : all) each.max = each.desc.dims;
  for (int32_t i = 0; i <= count; ++i) {
    require(builds->supportsFormatCombination(i, all.data(), count, 1), "refuses its own type");
  }
  const device::Memory<char> scratch(
      static_cast<int64_t>(builds->getWorkspaceSize(all.data(), count, all.data() + count, 1)));
  all[1].desc.type = DataType::kINT8;
  require(!builds->supportsFormatCombination(1, all.data(), count, 1), "takes a type that it has no kernel for");

  auto* written = static_cast<IPluginV3OneRuntime*>(copy->getCapabilityInterface(PluginCapabilityType::kRUNTIME));
  IPluginV3* read = creator(name).createPlugin("node", written->getFieldsToSerialize(), TensorRTPhase::kRUNTIME);
  require(read, "the creator refused the serialized fields");
  delete copy;
  auto* loaded = static_cast<IPluginV3OneRuntime*>(read->getCapabilityInterface(PluginCapabilityType::kRUNTIME));
  IPluginV3* attached = loaded->attachToContext(nullptr);
  delete read;

  auto* runs = static_cast<IPluginV3OneRuntime*>(attached->getCapabilityInterface(PluginCapabilityType::kRUNTIME));
  std::vector<PluginTensorDesc> in;
  std::vector<const void*> inputs;
  for (const Tensor& tensor : tensors) {
    in.push_back(describe(tensor.shape, type));
    inputs.push_back(tensor.data);
  }
  const PluginTensorDesc out[1] = {in[0]};
  void* outputs[1] = {y};
  require(runs->onShapeChange(in.data(), count, out, 1) == 0, "refuses the shape");
  require(runs->enqueue(in.data(), out, inputs.data(), outputs, scratch.get(), nullptr) == 0, "fails to run");
  device::check(cudaDeviceSynchronize());  // before its scratch memory is freed
  delete attached;
}

}  // namespace plugin
