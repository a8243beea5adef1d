// A node of a graph as its kernel sees it: attributes, inputs, threads.
#pragma once

#define ORT_API_MANUAL_INIT
#include <onnxruntime_cxx_api.h>
#undef ORT_API_MANUAL_INIT

#include <string>
#include <vector>

#include "common/parallel.h"

namespace fingergen {

[[noreturn]] inline void fail(const std::string& op, const std::string& message) {
  throw Ort::Exception("fingergen." + op + ": " + message, ORT_INVALID_ARGUMENT);
}

inline std::string text(const std::vector<int64_t>& shape) {
  std::string result = "[";
  for (size_t i = 0; i < shape.size(); ++i) result += (i ? ", " : "") + std::to_string(shape[i]);
  return result + "]";
}

// Attributes of a node. ONNX Runtime checks neither their types nor their names for custom ops.
class Attributes {
 public:
  Attributes(const char* op, const OrtKernelInfo* info) : op_(op), info_(info) {}

  float get(const char* name, float otherwise) const {
    float value = otherwise;
    const Ort::Status status(Ort::GetApi().KernelInfoGetAttribute_float(info_, name, &value));
    if (status.IsOK()) return value;
    expect_absent(name, "a float");
    return otherwise;
  }

  int64_t get(const char* name, int64_t otherwise) const {
    int64_t value = otherwise;
    const Ort::Status status(Ort::GetApi().KernelInfoGetAttribute_int64(info_, name, &value));
    if (status.IsOK()) return value;
    expect_absent(name, "an integer");
    return otherwise;
  }

  std::vector<int64_t> get(const char* name, std::vector<int64_t> otherwise) const {
    size_t size = 0;
    std::vector<int64_t> value;
    const Ort::Status sized(Ort::GetApi().KernelInfoGetAttributeArray_int64(info_, name, nullptr, &size));
    if (sized.IsOK()) {
      value.resize(size);
      Ort::ThrowOnError(Ort::GetApi().KernelInfoGetAttributeArray_int64(info_, name, value.data(), &size));
      return value;
    }
    expect_absent(name, "a list of integers");
    return otherwise;
  }

 private:
  // A failed read means that the attribute is absent or of another type; only the first is fine.
  void expect_absent(const char* name, const char* wanted) const {
    const OrtApi& api = Ort::GetApi();
    float real;
    int64_t integer;
    size_t size = 0;
    const bool present = Ort::Status(api.KernelInfoGetAttribute_float(info_, name, &real)).IsOK() ||
                         Ort::Status(api.KernelInfoGetAttribute_int64(info_, name, &integer)).IsOK() ||
                         Ort::Status(api.KernelInfoGetAttribute_string(info_, name, nullptr, &size)).IsOK() ||
                         Ort::Status(api.KernelInfoGetAttributeArray_float(info_, name, nullptr, &size)).IsOK() ||
                         Ort::Status(api.KernelInfoGetAttributeArray_int64(info_, name, nullptr, &size)).IsOK();
    if (present) fail(op_, std::string("attribute ") + name + " must be " + wanted);
  }

  const char* op_;
  const OrtKernelInfo* info_;
};

inline ParallelFor on_threads_of(Ort::KernelContext& context) {
  return [&context](int64_t count, const std::function<void(int64_t)>& chunk) {
    using Chunk = const std::function<void(int64_t)>;
    if (count == 1) return chunk(0);
    context.ParallelFor([](void* data, size_t i) { (*static_cast<Chunk*>(data))(static_cast<int64_t>(i)); },
                        static_cast<size_t>(count), 0, const_cast<void*>(static_cast<const void*>(&chunk)));
  };
}

template <typename T>
const T* data(const Ort::ConstValue& value) {
  return static_cast<const T*>(value.GetTensorRawData());
}

using Shape = std::vector<int64_t>;

inline Shape shape(Ort::KernelContext& context, size_t i) {
  return context.GetInput(i).GetTensorTypeAndShapeInfo().GetShape();
}

// Whether a node has an input, which it may lack.
inline bool has(Ort::KernelContext& context, size_t i) {
  return i < context.GetInputCount() && context.GetInput(i);
}

inline int64_t product(const Shape& shape, size_t from) {
  int64_t result = 1;
  for (size_t i = from; i < shape.size(); ++i) result *= shape[i];
  return result;
}

}  // namespace fingergen
