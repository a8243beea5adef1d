/* Writes the fingerprint of a seed as a PGM file.
 *
 *   cc synthesize.c $(pkg-config --cflags --libs fingergen) -o synthesize
 *   ./synthesize BUNDLE SEED finger.pgm
 */
#include <fingergen.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

int main(int count, char **arguments) {
  char *end = NULL;
  const uint64_t seed = count == 4 ? strtoull(arguments[2], &end, 10) : 0;
  if (count != 4 || end == arguments[2] || *end != '\0') {
    fprintf(stderr, "usage: %s BUNDLE SEED FILE\n", arguments[0]);
    return 2;
  }
  char error[512];
  fingergen_model *model = NULL;
  fingergen_status status = fingergen_load(arguments[1], NULL, &model, error, sizeof error);
  if (status != FINGERGEN_OK) {
    fprintf(stderr, "%s\n", error);
    return status;
  }
  fingergen_image_info info;
  fingergen_image_info_of(model, &info);
  uint8_t *pixels = malloc(info.bytes);
  if (pixels == NULL || info.channels != 1) {
    fprintf(stderr, "no memory, or an image in color\n");
    status = FINGERGEN_FAILED;
  } else {
    status = fingergen_synthesize(model, seed, NULL, pixels, info.bytes, error, sizeof error);
    if (status != FINGERGEN_OK) fprintf(stderr, "%s\n", error);
  }
  if (status == FINGERGEN_OK) {
    FILE *file = fopen(arguments[3], "wb");
    if (file == NULL) {
      perror(arguments[3]);
      status = FINGERGEN_FAILED;
    } else {
      fprintf(file, "P5\n%d %d\n255\n", info.width, info.height);
      fwrite(pixels, 1, info.bytes, file);
      if (fclose(file) != 0) status = FINGERGEN_FAILED;
    }
  }
  free(pixels);
  fingergen_free(model);
  return status;
}
