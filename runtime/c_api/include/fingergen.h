/* libfingergen: fingerprints from a bundle, in C.
 *
 * Pixels are those of the Python runtime on the CPU, bit for bit, for the same ONNX Runtime and custom ops. Supported are
 * bundles whose noise is `const`, `random` or `none`; bundles with ridge noise need the Python runtime, and
 * fingergen_load says so.
 *
 * No function throws or keeps global state. One model may be used by many threads at once, but must not be freed
 * while it is. Functions return FINGERGEN_OK or what went wrong, and then write one line that names the file, the
 * field and the fix into `error` (UTF-8, cut to `error_size` bytes with its NUL; NULL and 0: not wanted).
 *
 * libfingergen loads ONNX Runtime when a model is loaded. It sets ORT_DISABLE_TELEMETRY=1 in the environment
 * before, unless the variable is set: ONNX Runtime 1.32 and later report usage otherwise.
 */
#ifndef FINGERGEN_H
#define FINGERGEN_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define FINGERGEN_API __attribute__((visibility("default")))
#else
#define FINGERGEN_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Changes when a program has to be compiled again; fingergen_abi() is that of the library. */
#define FINGERGEN_ABI 1

typedef enum fingergen_status {
  FINGERGEN_OK = 0,
  FINGERGEN_FAILED = 1,   /* of memory, of ONNX Runtime */
  FINGERGEN_BAD_INPUT = 2 /* an argument or a bundle that can be mended */
} fingergen_status;

typedef struct fingergen_model fingergen_model;

/* How a model runs. Zero-initialize it: zero and NULL stand for the defaults. */
typedef struct fingergen_options {
  const char *onnxruntime; /* libonnxruntime.so; NULL: $FINGERGEN_ONNXRUNTIME, else what the system finds */
  const char *custom_ops;  /* libfingergen_onnxruntime.so; NULL: beside libfingergen, if there; "": none */
  int threads;             /* inside one image; 0: one. Threads of the caller scale better. */
} fingergen_options;

/* What images of a model are. */
typedef struct fingergen_image_info {
  int width, height; /* pixels */
  int channels;      /* 1: gray, 3: RGB, interleaved */
  double ppi;        /* pixels per inch */
  size_t bytes;      /* width * height * channels */
} fingergen_image_info;

/* The version of FingerGen, such as "0.1.0". */
FINGERGEN_API const char *fingergen_version(void);

/* FINGERGEN_ABI of the library. */
FINGERGEN_API int fingergen_abi(void);

/* Reads and verifies the bundle directory `bundle`. `options` may be NULL. Free *model with fingergen_free. */
FINGERGEN_API fingergen_status fingergen_load(const char *bundle, const fingergen_options *options,
                                              fingergen_model **model, char *error, size_t error_size);

/* Frees a model; NULL does nothing. */
FINGERGEN_API void fingergen_free(fingergen_model *model);

/* Size and resolution of the model's images. */
FINGERGEN_API fingergen_status fingergen_image_info_of(const fingergen_model *model, fingergen_image_info *info);

/* The fingerprint of a seed: `pixels` gets rows from the top, 0 black, 255 white. `size`: bytes of `pixels`, at
 * least fingergen_image_info.bytes. `truncation`: NULL for what the bundle recommends. */
FINGERGEN_API fingergen_status fingergen_synthesize(const fingergen_model *model, uint64_t seed,
                                                    const double *truncation, uint8_t *pixels, size_t size,
                                                    char *error, size_t error_size);

#ifdef __cplusplus
}
#endif

#endif
