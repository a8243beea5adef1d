// The C interface: no exception leaves it, every failure becomes a status and one line.
#include "fingergen.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "errors.h"
#include "model.h"

struct fingergen_model {
  fingergen::Model model;
};

namespace {

void tell(char *error, size_t size, const char *message) {
  if (error == nullptr || size == 0) return;
  const size_t length = std::min(std::strlen(message), size - 1);
  std::memcpy(error, message, length);
  error[length] = 0;
  std::replace(error, error + length, '\n', ' ');
}

template <typename Work>
fingergen_status guarded(char *error, size_t size, Work work) {
  tell(error, size, "");
  try {
    work();
    return FINGERGEN_OK;
  } catch (const fingergen::BadInput &failure) {
    tell(error, size, failure.what());
    return FINGERGEN_BAD_INPUT;
  } catch (const std::bad_alloc &) {
    tell(error, size, "out of memory");
  } catch (const std::exception &failure) {
    tell(error, size, failure.what());
  } catch (...) {
    tell(error, size, "an unknown failure");
  }
  return FINGERGEN_FAILED;
}

std::string onnxruntime_library(const fingergen_options &options) {
  if (options.onnxruntime != nullptr) return options.onnxruntime;
  const char *named = std::getenv("FINGERGEN_ONNXRUNTIME");
  return named != nullptr && *named != 0 ? named : "libonnxruntime.so.1";
}

// The custom ops, which lie beside this library where they were built.
std::string custom_ops_library(const fingergen_options &options) {
  if (options.custom_ops != nullptr) return options.custom_ops;
  Dl_info info;
  if (dladdr(reinterpret_cast<void *>(&custom_ops_library), &info) == 0) return "";
  const std::string self = info.dli_fname;
  const std::string beside = self.substr(0, self.rfind('/') + 1) + "libfingergen_onnxruntime.so";
  return access(beside.c_str(), R_OK) == 0 ? beside : "";
}

}  // namespace

extern "C" {

const char *fingergen_version(void) { return FINGERGEN_VERSION; }

int fingergen_abi(void) { return FINGERGEN_ABI; }

fingergen_status fingergen_load(const char *bundle, const fingergen_options *options, fingergen_model **model,
                                char *error, size_t error_size) {
  if (model != nullptr) *model = nullptr;
  return guarded(error, error_size, [&] {
    if (bundle == nullptr || model == nullptr) throw fingergen::BadInput("bundle and model: must not be NULL");
    const fingergen_options given = options == nullptr ? fingergen_options{} : *options;
    if (given.threads < 0 || given.threads > 1024) throw fingergen::BadInput("threads: give 1 to 1024, or 0 for one");
    *model = new fingergen_model{{bundle, onnxruntime_library(given), custom_ops_library(given), std::max(1, given.threads)}};
  });
}

void fingergen_free(fingergen_model *model) { delete model; }

fingergen_status fingergen_image_info_of(const fingergen_model *model, fingergen_image_info *info) {
  if (model == nullptr || info == nullptr) return FINGERGEN_BAD_INPUT;
  const fingergen::Bundle &bundle = model->model.bundle();
  const size_t side = static_cast<size_t>(bundle.output_size);
  *info = {bundle.output_size, bundle.output_size, bundle.channels, bundle.output_ppi,
           side * side * static_cast<size_t>(bundle.channels)};
  return FINGERGEN_OK;
}

fingergen_status fingergen_synthesize(const fingergen_model *model, uint64_t seed, const double *truncation,
                                      uint8_t *pixels, size_t size, char *error, size_t error_size) {
  return guarded(error, error_size, [&] {
    if (model == nullptr || pixels == nullptr) throw fingergen::BadInput("model and pixels: must not be NULL");
    fingergen_image_info info;
    fingergen_image_info_of(model, &info);
    if (size < info.bytes) {
      throw fingergen::BadInput("pixels: has " + std::to_string(size) + " bytes, an image needs " + std::to_string(info.bytes));
    }
    const fingergen::Model &loaded = model->model;
    const std::vector<uint8_t> made = loaded.synthesize(seed, truncation == nullptr ? loaded.bundle().truncation : *truncation);
    std::memcpy(pixels, made.data(), made.size());
  });
}

}  // extern "C"
