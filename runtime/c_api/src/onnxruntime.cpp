#include "onnxruntime.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>

#include "errors.h"

namespace fingergen {
namespace {

// Frees what ONNX Runtime gave, whatever happens.
template <typename Value>
struct Owned {
  Owned(void (*release)(Value *)) : release(release) {}
  ~Owned() {
    if (value != nullptr) release(value);
  }
  Owned(const Owned &) = delete;
  Owned &operator=(const Owned &) = delete;
  Value *value = nullptr;
  void (*release)(Value *);
};

template <typename Number>
void copy(const OnnxRuntime &runtime, OrtValue *value, std::vector<Number> &into) {
  Owned<OrtTensorTypeAndShapeInfo> info(runtime.api->ReleaseTensorTypeAndShapeInfo);
  runtime.check(runtime.api->GetTensorTypeAndShape(value, &info.value));
  size_t count = 0;
  runtime.check(runtime.api->GetTensorShapeElementCount(info.value, &count));
  ONNXTensorElementDataType type{};
  runtime.check(runtime.api->GetTensorElementType(info.value, &type));
  const auto wanted = sizeof(Number) == 1 ? ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8 : ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
  if (type != wanted) throw BadInput("an output of another type; export the bundle again");
  void *data = nullptr;
  runtime.check(runtime.api->GetTensorMutableData(value, &data));
  const auto *first = static_cast<const Number *>(data);
  into.assign(first, first + count);
}

}  // namespace

OnnxRuntime::OnnxRuntime(const std::string &library) {
  setenv("ORT_DISABLE_TELEMETRY", "1", 0);  // read when the library is loaded
  library_ = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library_ == nullptr) {
    throw BadInput(std::string("ONNX Runtime: ") + dlerror() +
                   "; pip install onnxruntime and name its libonnxruntime.so in FINGERGEN_ONNXRUNTIME");
  }
  auto get_base = reinterpret_cast<const OrtApiBase *(*)()>(dlsym(library_, "OrtGetApiBase"));
  api = get_base == nullptr ? nullptr : get_base()->GetApi(ORT_API_VERSION);
  if (api == nullptr) {
    dlclose(library_);
    throw BadInput(library + ": no ONNX Runtime of version 1." + std::to_string(ORT_API_VERSION) + " or later");
  }
  int release = 0;
  std::sscanf(get_base()->GetVersionString(), "1.%d", &release);
  sets_spin_duration = release >= 26;
  if (OrtStatus *status = api->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "fingergen", &environment); status != nullptr) {
    std::string message = api->GetErrorMessage(status);
    api->ReleaseStatus(status);
    dlclose(library_);
    throw std::runtime_error(library + ": " + message);
  }
}

OnnxRuntime::~OnnxRuntime() {
  api->ReleaseEnv(environment);
  // The library stays loaded: ONNX Runtime's threads and registries outlive its environment.
}

void OnnxRuntime::check(OrtStatus *status) const {
  if (status == nullptr) return;
  std::string message = api->GetErrorMessage(status);
  api->ReleaseStatus(status);
  throw std::runtime_error("ONNX Runtime: " + message);
}

Session::Session(std::shared_ptr<const OnnxRuntime> runtime, const std::string &graph, const std::string &custom_ops,
                 int threads, std::string name)
    : runtime_(std::move(runtime)), name_(std::move(name)) {
  const OrtApi &api = *runtime_->api;
  Owned<OrtSessionOptions> options(api.ReleaseSessionOptions);
  runtime_->check(api.CreateSessionOptions(&options.value));
  runtime_->check(api.SetIntraOpNumThreads(options.value, threads));
  runtime_->check(api.SetInterOpNumThreads(options.value, 1));
  runtime_->check(api.SetSessionLogSeverityLevel(options.value, ORT_LOGGING_LEVEL_FATAL));
  // As in Python, runtime/backends/ort/sessions.py.
  runtime_->check(api.AddSessionConfigEntry(options.value, "session.intra_op.allow_spinning",
                                            runtime_->sets_spin_duration ? "1" : "0"));
  runtime_->check(api.AddSessionConfigEntry(options.value, "session.intra_op.spin_duration_us", "50"));
  runtime_->check(
      api.AddSessionConfigEntry(options.value, "optimization.disable_specified_optimizers", "ConstantSharing"));
  if (!custom_ops.empty()) runtime_->check(api.RegisterCustomOpsLibrary_V2(options.value, custom_ops.c_str()));
  if (OrtStatus *status = api.CreateSessionFromArray(runtime_->environment, graph.data(), graph.size(), options.value, &session_);
      status != nullptr) {
    std::string message = api.GetErrorMessage(status);
    api.ReleaseStatus(status);
    throw BadInput(name_ + ": ONNX Runtime cannot load this graph: " + message);
  }
  size_t count = 0;
  runtime_->check(api.SessionGetOutputCount(session_, &count));
  OrtAllocator *allocator = nullptr;
  runtime_->check(api.GetAllocatorWithDefaultOptions(&allocator));
  for (size_t i = 0; i < count; ++i) {
    char *output = nullptr;
    runtime_->check(api.SessionGetOutputName(session_, i, allocator, &output));
    outputs_.emplace_back(output);
    runtime_->check(api.AllocatorFree(allocator, output));
  }
}

Session::~Session() {
  if (session_ != nullptr) runtime_->api->ReleaseSession(session_);
}

bool Session::has_output(const std::string &name) const {
  for (const std::string &output : outputs_) {
    if (output == name) return true;
  }
  return false;
}

void Session::run(const std::vector<Input> &inputs, const std::string &floats, std::vector<float> &values,
                  const std::string &bytes, std::vector<uint8_t> &levels) const {
  const OrtApi &api = *runtime_->api;
  Owned<OrtMemoryInfo> memory(api.ReleaseMemoryInfo);
  runtime_->check(api.CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory.value));
  std::vector<std::unique_ptr<Owned<OrtValue>>> tensors;
  std::vector<const OrtValue *> given;
  std::vector<const char *> names;
  for (const Input &input : inputs) {
    size_t count = 1;
    for (int64_t side : input.shape) count *= static_cast<size_t>(side);
    tensors.push_back(std::make_unique<Owned<OrtValue>>(api.ReleaseValue));
    // Inputs are read only, although the interface takes them as changeable.
    runtime_->check(api.CreateTensorWithDataAsOrtValue(memory.value, const_cast<float *>(input.values),
                                                       count * sizeof(float), input.shape.data(), input.shape.size(),
                                                       ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &tensors.back()->value));
    given.push_back(tensors.back()->value);
    names.push_back(input.name.c_str());
  }
  const char *wanted[] = {floats.c_str(), bytes.c_str()};
  Owned<OrtValue> first(api.ReleaseValue), second(api.ReleaseValue);
  OrtValue *made[] = {nullptr, nullptr};
  const size_t count = bytes.empty() ? 1 : 2;
  OrtStatus *status = api.Run(session_, nullptr, names.data(), given.data(), given.size(), wanted, count, made);
  first.value = made[0], second.value = made[1];
  if (status != nullptr) {
    std::string message = api.GetErrorMessage(status);
    api.ReleaseStatus(status);
    throw std::runtime_error(name_ + ": " + message);
  }
  copy(*runtime_, first.value, values);
  if (count == 2) copy(*runtime_, second.value, levels);
}

}  // namespace fingergen
