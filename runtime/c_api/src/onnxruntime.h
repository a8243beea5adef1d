// ONNX Runtime through its C API, from a library that is loaded at run time.
#pragma once

#include <onnxruntime_c_api.h>

#include <memory>
#include <string>
#include <vector>

namespace fingergen {

struct Input {
  std::string name;
  std::vector<int64_t> shape;
  const float *values;
};

// The library; sessions keep it alive.
class OnnxRuntime {
 public:
  explicit OnnxRuntime(const std::string &library);  // BadInput if it cannot be loaded
  ~OnnxRuntime();
  OnnxRuntime(const OnnxRuntime &) = delete;
  OnnxRuntime &operator=(const OnnxRuntime &) = delete;

  void check(OrtStatus *status) const;  // throws what the status says

  const OrtApi *api = nullptr;
  OrtEnv *environment = nullptr;
  bool sets_spin_duration = false;  // ONNX Runtime 1.26 and later

 private:
  void *library_ = nullptr;
};

// A graph, ready to run; from many threads at once.
class Session {
 public:
  // `custom_ops`: library of FingerGen's operators; empty: the functions that graphs carry. `name` stands in messages.
  Session(std::shared_ptr<const OnnxRuntime> runtime, const std::string &graph, const std::string &custom_ops,
          int threads, std::string name);
  ~Session();
  Session(const Session &) = delete;
  Session &operator=(const Session &) = delete;

  bool has_output(const std::string &name) const;

  // Runs the graph; the float32 output `floats` goes to `values` and, if named, the uint8 output `bytes` to `levels`.
  void run(const std::vector<Input> &inputs, const std::string &floats, std::vector<float> &values,
           const std::string &bytes, std::vector<uint8_t> &levels) const;

 private:
  std::shared_ptr<const OnnxRuntime> runtime_;
  std::string name_;
  std::vector<std::string> outputs_;
  OrtSession *session_ = nullptr;
};

}  // namespace fingergen
