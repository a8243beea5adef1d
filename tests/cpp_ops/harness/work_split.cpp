// How a layer's work divides among threads: each piece that a thread would take is timed alone, on one thread, and handed
// in order to whichever of so many threads is free first.
#include <time.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "styled_conv/styled_conv.h"

using fingergen::StyledConv;
using fingergen::StyledConvWeights;

namespace {

double seconds_of_this_thread() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double longest_path(const std::vector<double>& pieces, int64_t threads) {
  std::vector<double> busy(threads);
  for (double piece : pieces) *std::min_element(busy.begin(), busy.end()) += piece;
  return *std::max_element(busy.begin(), busy.end());
}

}  // namespace

// sizes: outputs, inputs, height, width, of zeros. threads [counts]; paths [counts]: seconds of the longest path with so
// many threads. The least of `rounds` times of each piece counts. Returns how often threads wait for each other.
extern "C" int64_t work_split(const int64_t* sizes, int64_t up, int64_t rounds, const int64_t* threads, int64_t counts,
                              double* paths) {
  const int64_t outputs = sizes[0], inputs = sizes[1], height = sizes[2], width = sizes[3];
  StyledConv op;
  op.up = up != 0;
  const std::vector<float> x(inputs * height * width), style(inputs, 1.0f), weight(outputs * inputs * 9),
      noise(op.out(height) * op.out(width)), bias(outputs), taps(4, 0.5f), strength(1);
  std::vector<float> y(outputs * op.out(height) * op.out(width));
  const auto weights = StyledConvWeights::of(op, weight.data(), outputs, inputs);
  std::vector<std::vector<double>> regions;
  for (int64_t round = 0; round < rounds; ++round) {
    size_t region = 0;
    const fingergen::ParallelFor timed = [&](int64_t count, const std::function<void(int64_t)>& chunk) {
      if (region == regions.size()) {
        regions.emplace_back(count, std::numeric_limits<double>::infinity());
      }
      std::vector<double>& pieces = regions[region++];
      for (int64_t i = count - 1; i >= 0; --i) {  // so that none profits by the one before it
        const double begin = seconds_of_this_thread();
        chunk(i);
        pieces[i] = std::min(pieces[i], seconds_of_this_thread() - begin);
      }
    };
    fingergen::styled_conv_cpu(op, *weights, {1, height, width, 1, x.data(), style.data(), noise.data(), bias.data(),
                                              op.up ? taps.data() : nullptr, strength.data(), y.data()}, timed);
  }
  for (int64_t i = 0; i < counts; ++i) {
    paths[i] = 0;
    for (const std::vector<double>& pieces : regions) paths[i] += longest_path(pieces, threads[i]);
  }
  return static_cast<int64_t>(regions.size());
}
