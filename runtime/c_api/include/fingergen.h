/* libfingergen: fingerprints from a bundle, in C.
 *
 * Pixels are those of the Python runtime on the CPU, bit for bit, for the same ONNX Runtime and custom ops. All bundles make
 * fingerprints of seeds and edits of them; those with ridge noise also make impressions of a finger, with their true
 * minutiae, and fingers from a template. Bundles whose encoder reads minutiae maps reconstruct in Python only.
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

typedef enum fingergen_minutia_type {
  FINGERGEN_OTHER = 0, /* or not known */
  FINGERGEN_ENDING = 1,
  FINGERGEN_BIFURCATION = 2
} fingergen_minutia_type;

/* x and y in pixels from the top left, pixel centers on whole numbers. The angle in degrees counterclockwise as seen, as in
 * ISO/IEC 19794-2: from an ending back along its ridge, from a bifurcation into the valley between its branches. Quality from
 * 0 to 100; negative: not known. */
typedef struct fingergen_minutia {
  double x, y, angle;
  fingergen_minutia_type type;
  double quality;
} fingergen_minutia;

typedef struct fingergen_point {
  double x, y;
} fingergen_point;

/* A minutiae template. Make one of your own arrays, or have one made; only what the library made goes to
 * fingergen_template_free. */
typedef struct fingergen_template {
  int width, height; /* of the image, pixels */
  double ppi;        /* pixels per inch */
  const fingergen_minutia *minutiae;
  size_t minutiae_count;
  const fingergen_point *cores;
  size_t cores_count;
  const fingergen_point *deltas;
  size_t deltas_count;
} fingergen_template;

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

/* As fingergen_synthesize, after an edit, then truncation. `direction`: the name of a trait, such as "moisture" (two degrees
 * to a standard deviation), or the number of a SeFa direction, such as "0": w + degree * direction. */
FINGERGEN_API fingergen_status fingergen_edit(const fingergen_model *model, uint64_t seed, const char *direction,
                                              double degree, const double *truncation, uint8_t *pixels, size_t size,
                                              char *error, size_t error_size);

/* Impression `number` of the finger of a seed; of bundles with ridge noise. `preset`: how far impressions differ in place and
 * look: "easy", "medium", "hard" or "partial"; NULL: "easy". `truncation`: NULL for 1, for the preset gives the look.
 * `truth`, unless NULL, gets the true minutiae, in the image's pixels; free *truth with fingergen_template_free. */
FINGERGEN_API fingergen_status fingergen_impression(const fingergen_model *model, uint64_t finger, uint32_t number,
                                                    const char *preset, const double *truncation, uint8_t *pixels,
                                                    size_t size, fingergen_template **truth, char *error,
                                                    size_t error_size);

/* A finger that has the minutiae of a template; of bundles with ridge noise. A template of another size or resolution is
 * brought to the image's. `seed`: of the look, and of what is random in the noise; 0 is what fg-run reconstruct takes. */
FINGERGEN_API fingergen_status fingergen_reconstruct(const fingergen_model *model, const fingergen_template *given,
                                                     uint64_t seed, uint8_t *pixels, size_t size, char *error,
                                                     size_t error_size);

/* The first finger view of an ISO/IEC 19794-2:2005 record; `fg-run convert` makes one of every other format. Free *made with
 * fingergen_template_free. */
FINGERGEN_API fingergen_status fingergen_template_read(const void *data, size_t size, fingergen_template **made,
                                                       char *error, size_t error_size);

/* Frees a template that this library made; NULL does nothing. */
FINGERGEN_API void fingergen_template_free(fingergen_template *made);

#ifdef __cplusplus
}
#endif

#endif
