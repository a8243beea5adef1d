// A round reads the kernels of all places, of radius 6 142 bytes each: more than a core's caches hold. So rows go through
// kFused rounds, one right behind the other. A place's sum has one fixed order: which thread takes which rows, and when,
// changes nothing.
#include "ridge_growth/ridge_growth.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "common/huge_pages.h"
#include "common/simd.h"
#include "ridge_growth/plan.h"

namespace fingergen {
namespace {

using ridge_growth::Plan;
using ridge_growth::Steps;

constexpr int64_t kFused = 3;  // rounds that a row goes through while its kernel is in a cache
constexpr int64_t kStrip = 2;  // rows by which a round goes ahead before the next follows
constexpr int64_t kRows = 72;  // that a thread takes at a time, at least: a quarter of a full print

Steps steps_for_this_processor() {
#if defined(__x86_64__) && !defined(FINGERGEN_PORTABLE)
  static const bool avx512 = detail::has_avx512(), avx2 = detail::has_avx2();
  if (avx512) return ridge_growth::avx512_steps();
  if (avx2) return ridge_growth::avx2_steps();
#endif
  return ridge_growth::portable_steps();
}

// Rounds of one finger. Two images are written in turn: a row of a round is overwritten by the round after the next,
// when no row needs it any more.
struct Growth {
  const Plan& plan;
  const Steps& steps;
  const char* kernels;
  float* images[2];
  float* y;

  void round(int64_t round, int64_t begin, int64_t end) const {
    if (begin >= end) return;
    float* last = round == plan.op.rounds ? y : nullptr;
    steps.round(plan, kernels, images[round % 2], images[(round + 1) % 2], last, begin, end);
  }

  // Rounds [first, first + count) of all rows. Threads take blocks of rows, in each of which a round has fewer rows than
  // the one before, by the radius at both ends that have a neighbor; then what is missing where two blocks meet.
  void rounds(int64_t first, int64_t count, const ParallelFor& parallel_for) const {
    const int64_t blocks = std::max<int64_t>(1, plan.height / std::max(kRows, 2 * kFused * plan.op.radius));
    const auto edge = [&](int64_t block) { return plan.height * block / blocks; };
    parallel_for(blocks, [&](int64_t block) { inside(first, count, edge(block), edge(block + 1)); });
    parallel_for(blocks - 1, [&](int64_t block) {
      for (int64_t i = 1; i < count; ++i) {
        const int64_t reach = i * plan.op.radius;
        round(first + i, edge(block + 1) - reach, edge(block + 1) + reach);
      }
    });
  }

  void inside(int64_t first, int64_t count, int64_t begin, int64_t end) const {
    for (int64_t front = begin; front < end; front += kStrip) {
      const bool finish = front + kStrip >= end;
      for (int64_t i = 0; i < count; ++i) {
        const int64_t behind = i * plan.op.radius;
        const int64_t low = begin > 0 ? begin + behind : 0, high = end < plan.height ? end - behind : plan.height;
        const int64_t from = front == begin ? low : std::max(low, front - behind);
        const int64_t to = finish ? high : front + kStrip - behind;
        round(first + i, from, std::min(to, high));
      }
    }
  }
};

}  // namespace

void ridge_growth_cpu(const RidgeGrowth& op, const float* noise, const float* orientation, const float* period,
                      float* y, int64_t n, int64_t height, int64_t width, const ParallelFor& parallel_for) {
  const Plan plan(op, height, width);
  const Steps steps = steps_for_this_processor();
  // Of one finger at a time, so that memory does not grow with the batch; not filled first, for it is all written.
  const std::unique_ptr<char[]> kernels(new char[plan.kernel_bytes()]);
  use_huge_pages(kernels.get(), plan.kernel_bytes());
  std::vector<float> images[2];
  for (std::vector<float>& image : images) image.resize(plan.samples());

  for (int64_t i = 0; i < n; ++i) {
    const int64_t offset = i * height * width;
    for_ranges(parallel_for, height, kRows, [&](int64_t begin, int64_t end) {
      steps.kernels(plan, orientation + offset, period + offset, kernels.get(), begin, end);
    });
    for (int64_t row = 0; row < height; ++row) {
      std::copy(noise + offset + row * width, noise + offset + (row + 1) * width, plan.row(images[0].data(), row));
      plan.mirror(images[0].data(), row);
    }
    const Growth growth{plan, steps, kernels.get(), {images[0].data(), images[1].data()}, y + offset};
    for (int64_t round = 0; round <= op.rounds; round += kFused) {
      growth.rounds(round, std::min(kFused, op.rounds + 1 - round), parallel_for);
    }
  }
}

}  // namespace fingergen
