// The C interface: no exception leaves it, every failure becomes a status and one line.
#include "fingergen.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "errors.h"
#include "model.h"

struct fingergen_model {
  fingergen::Model model;
};

namespace {

// Length in bytes of the UTF-8 character at `text`; 0: it is none, or one that a terminal obeys instead of showing it.
size_t visible(const unsigned char *text) {
  if (*text < 0x80) return *text >= ' ' && *text != 0x7f;
  const size_t length = *text >= 0xf0 ? 4 : *text >= 0xe0 ? 3 : 2;
  unsigned value = *text & (0xff >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((text[i] & 0xc0) != 0x80) return 0;
    value = value << 6 | (text[i] & 0x3f);
  }
  constexpr unsigned kFirst[] = {0, 0, 0xa0, 0x800, 0x10000};
  return *text < 0xf8 && value >= kFirst[length] && value < 0x110000 && (value < 0xd800 || value > 0xdfff) ? length : 0;
}

// Writes a message as one line; what cannot be shown, which may come from a file or a name, is written as \xNN.
void tell(char *error, size_t size, const char *message) {
  if (error == nullptr || size == 0) return;
  size_t at = 0;
  for (auto *text = reinterpret_cast<const unsigned char *>(message); *text != 0;) {
    const size_t shown = visible(text);
    char code[8] = " ";
    if (shown > 0) {
      std::memcpy(code, text, shown);
      code[shown] = 0;
    } else if (*text != '\n') {
      std::snprintf(code, sizeof(code), "\\x%02x", static_cast<unsigned>(*text));
    }
    const size_t length = std::strlen(code);
    if (at + length >= size) break;
    std::memcpy(error + at, code, length);
    at += length;
    text += std::max<size_t>(shown, 1);
  }
  error[at] = 0;
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

// A template of ours: the arrays that the face points to lie behind it.
struct Made : fingergen_template {
  static Made *make(fingergen::Template &&found) {
    auto *made = new Made;
    made->kept = std::move(found);
    const fingergen::Template &kept = made->kept;
    static_cast<fingergen_template &>(*made) = {kept.width,        kept.height,        kept.ppi,
                                                kept.minutiae.data(), kept.minutiae.size(), kept.cores.data(),
                                                kept.cores.size(), kept.deltas.data(), kept.deltas.size()};
    return made;
  }

  fingergen::Template kept;
};

constexpr size_t kMostMinutiae = 1 << 16;

template <typename Point>
void take(const Point *points, size_t count, std::vector<Point> &into) {
  if (count > kMostMinutiae || (count > 0 && points == nullptr)) throw fingergen::BadInput("template: an array is NULL, or too long");
  into.assign(points, points + count);
}

void check(const fingergen_model *model, const uint8_t *pixels, size_t size) {
  if (model == nullptr || pixels == nullptr) throw fingergen::BadInput("model and pixels: must not be NULL");
  fingergen_image_info info;
  fingergen_image_info_of(model, &info);
  if (size < info.bytes) {
    throw fingergen::BadInput("pixels: has " + std::to_string(size) + " bytes, an image needs " + std::to_string(info.bytes));
  }
}

double psi(const fingergen_model *model, const double *truncation) {
  return truncation == nullptr ? model->model.bundle().truncation : *truncation;
}

void put(const fingergen::Pixels &made, uint8_t *pixels) { std::memcpy(pixels, made.data(), made.size()); }

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
    check(model, pixels, size);
    put(model->model.synthesize(seed, psi(model, truncation)), pixels);
  });
}

fingergen_status fingergen_edit(const fingergen_model *model, uint64_t seed, const char *direction, double degree,
                                const double *truncation, uint8_t *pixels, size_t size, char *error, size_t error_size) {
  return guarded(error, error_size, [&] {
    check(model, pixels, size);
    if (direction == nullptr) throw fingergen::BadInput("direction: must not be NULL");
    put(model->model.edit(seed, direction, degree, psi(model, truncation)), pixels);
  });
}

fingergen_status fingergen_impression(const fingergen_model *model, uint64_t finger, uint32_t number, const char *preset,
                                      const double *truncation, uint8_t *pixels, size_t size, fingergen_template **truth,
                                      char *error, size_t error_size) {
  if (truth != nullptr) *truth = nullptr;
  return guarded(error, error_size, [&] {
    check(model, pixels, size);
    fingergen::Template found;
    // A look that a preset gives is narrowed only where that is asked for.
    const double psi = truncation == nullptr ? 1.0 : *truncation;
    put(model->model.impression(finger, number, preset == nullptr ? "easy" : preset, psi, truth == nullptr ? nullptr : &found), pixels);
    if (truth != nullptr) *truth = Made::make(std::move(found));
  });
}

fingergen_status fingergen_reconstruct(const fingergen_model *model, const fingergen_template *given, uint64_t seed,
                                       uint8_t *pixels, size_t size, char *error, size_t error_size) {
  return guarded(error, error_size, [&] {
    check(model, pixels, size);
    if (given == nullptr) throw fingergen::BadInput("template: must not be NULL");
    fingergen::Template copy;
    copy.width = given->width, copy.height = given->height, copy.ppi = given->ppi;
    take(given->minutiae, given->minutiae_count, copy.minutiae);
    take(given->cores, given->cores_count, copy.cores);
    take(given->deltas, given->deltas_count, copy.deltas);
    put(model->model.reconstruct(copy, seed), pixels);
  });
}

fingergen_status fingergen_template_read(const void *data, size_t size, fingergen_template **made, char *error,
                                         size_t error_size) {
  if (made != nullptr) *made = nullptr;
  return guarded(error, error_size, [&] {
    if (data == nullptr || made == nullptr) throw fingergen::BadInput("data and made: must not be NULL");
    *made = Made::make(fingergen::read_template(static_cast<const uint8_t *>(data), size));
  });
}

void fingergen_template_free(fingergen_template *made) { delete static_cast<Made *>(made); }

}  // extern "C"
