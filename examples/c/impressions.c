/* Writes impressions of a seed's finger as PGM files, prints their true minutiae, and reconstructs the finger from those.
 * For bundles with ridge noise.
 *
 *   cc impressions.c $(pkg-config --cflags --libs fingergen) -o impressions
 *   ./impressions BUNDLE SEED FOLDER
 */
#include <fingergen.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static int write_pgm(const char *folder, const char *name, const fingergen_image_info *info, const uint8_t *pixels) {
  char path[1024];
  snprintf(path, sizeof path, "%s/%s.pgm", folder, name);
  FILE *file = fopen(path, "wb");
  if (file == NULL) {
    perror(path);
    return 1;
  }
  fprintf(file, "P5\n%d %d\n255\n", info->width, info->height);
  fwrite(pixels, 1, info->bytes, file);
  return fclose(file);
}

int main(int count, char **arguments) {
  char *end = NULL;
  const uint64_t finger = count == 4 ? strtoull(arguments[2], &end, 10) : 0;
  if (count != 4 || end == arguments[2] || *end != '\0') {
    fprintf(stderr, "usage: %s BUNDLE SEED FOLDER\n", arguments[0]);
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
    fprintf(stderr, "no memory, or images in color\n");
    status = FINGERGEN_FAILED;
  }
  for (uint32_t number = 0; status == FINGERGEN_OK && number < 2; ++number) {
    fingergen_template *truth = NULL;
    status = fingergen_impression(model, finger, number, "medium", NULL, pixels, info.bytes, &truth, error, sizeof error);
    if (status != FINGERGEN_OK) {
      fprintf(stderr, "%s\n", error);
      break;
    }
    char name[32];
    snprintf(name, sizeof name, "impression-%" PRIu32, number);
    if (write_pgm(arguments[3], name, &info, pixels) != 0) status = FINGERGEN_FAILED;
    for (size_t i = 0; i < truth->minutiae_count; ++i) {
      const fingergen_minutia *minutia = &truth->minutiae[i];
      const char *type = minutia->type == FINGERGEN_ENDING ? "ending" : "bifurcation";
      printf("%" PRIu32 " %.1f %.1f %.1f %s\n", number, minutia->x, minutia->y, minutia->angle, type);
    }
    if (status == FINGERGEN_OK && number == 1) {
      status = fingergen_reconstruct(model, truth, 0, pixels, info.bytes, error, sizeof error);
      if (status != FINGERGEN_OK) fprintf(stderr, "%s\n", error);
      else if (write_pgm(arguments[3], "reconstruction", &info, pixels) != 0) status = FINGERGEN_FAILED;
    }
    fingergen_template_free(truth);
  }
  free(pixels);
  fingergen_free(model);
  return status;
}
