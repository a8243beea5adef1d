// The image is cut into tiles of 4x4 inputs; a column is a tile, tiles of a row follow each other. Rows of tiles are
// worked off in bands, each in three steps:
//   1. of each input channel: scaled by its style, each tile evaluated at the points of winograd.h;
//   2. of each point: a matrix product, outputs x inputs x columns;
//   3. of each output channel: interpolated, (up) filtered, demodulated; noise, bias, activation.
// Weights at the points are four times as many as taps. They are made with the layer and kept; but large layers make them
// when they are first needed, and those whose image is one band compute them every time.
// Threads take sections of an image, or, where a band is much work, share its steps; the smallest images are one
// thread's.
#include "styled_conv/styled_conv.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>
#include <vector>

#include "common/simd.h"
#include "styled_conv/band.h"
#include "styled_conv/winograd.h"

namespace fingergen {
namespace {

using styled_conv::Band;
using styled_conv::kAligned;
using styled_conv::kCarried;
using styled_conv::kPanel;
using styled_conv::Steps;

constexpr int64_t kColumns = 64;          // of a band, if its rows are no longer; half as many where up
constexpr int64_t kSections = 4;          // fewest that threads take
constexpr int64_t kManySections = 16;     // enough for any band
constexpr int64_t kUpSections = 8;        // fewest and most where up: of each, the row above may have to be done again
constexpr int64_t kUpRows = 2;            // of tiles, least in such a section
constexpr int64_t kShared = 64'000'000;   // products of a band whose steps are worth sharing in spite of sections
constexpr int64_t kAlone = 1'000'000;     // products of an image that no other thread is worth waking for
constexpr int64_t kChannels = 4;          // that a thread takes at a time in steps 1 and 3
constexpr int64_t kPanels = 16;           // the same in step 2
constexpr int64_t kTapPanels = 2;         // the same where it transforms their weights first
constexpr int64_t kSmall = 6'000'000;     // weights at the points that are kept in any case
constexpr int64_t kWeights = styled_conv::Plain::kWeights;
static_assert(kWeights == styled_conv::Up::kWeights);

// Memory that a thread keeps from call to call: to get it anew costs more than small layers do.
class Memory {
 public:
  float* get(int64_t floats) {
    if (static_cast<int64_t>(values_.size()) < floats + kAligned) values_ = std::vector<float>(floats + kAligned);
    void* place = values_.data();
    size_t space = values_.size() * sizeof(float);
    return static_cast<float*>(std::align(kAligned * sizeof(float), floats * sizeof(float), place, space));
  }

 private:
  std::vector<float> values_;
};

Steps steps_for_this_processor(bool up) {
#if defined(__x86_64__) && !defined(FINGERGEN_PORTABLE)
  static const bool avx512 = detail::has_avx512(), avx2 = detail::has_avx2();
  if (avx512) return styled_conv::avx512_steps(up);
  if (avx2) return styled_conv::avx2_steps(up);
#endif
  return styled_conv::portable_steps(up);
}

struct Weights : StyledConvWeights {
  int64_t outputs, inputs, panels;
  Memory memory;
  float* taps;               // as Band::taps_of_weights
  std::vector<float> power;  // [inputs][outputs], of the taps: what demodulation is made from
  bool small;                // at the points

  Weights(const StyledConv& op, const float* weight, int64_t outputs, int64_t inputs)
      : outputs(outputs), inputs(inputs), panels((outputs + kPanel - 1) / kPanel), power(outputs * inputs) {
    const int64_t stride = inputs * kPanel + kAligned;
    taps = memory.get(panels * 9 * stride);
    for (int64_t o = 0; o < outputs; ++o) {
      for (int64_t i = 0; i < inputs; ++i, weight += 9) {
        float* const place = taps + o / kPanel * 9 * stride + i * kPanel + o % kPanel;
        double sum = 0;
        for (int64_t k = 0; k < 9; ++k) sum += static_cast<double>(weight[k]) * weight[k];
        power[i * outputs + o] = static_cast<float>(sum);
        for (int64_t k = 0; k < 9; ++k) place[k * stride] = weight[k];
      }
    }
    small = kWeights * kWeights * band().weights_stride(panels) <= kSmall;
    if (small) at_points(steps_for_this_processor(op.up));
  }

  // What a band has of them.
  Band band() const {
    Band band{};
    band.inputs = inputs, band.outputs = outputs;
    band.taps_of_weights = taps;
    return band;
  }

  // As Band::weights, made at the first call.
  const float* at_points(const Steps& steps) const {
    std::call_once(transformed_, [&] {
      const Band band = this->band();
      const int64_t stride = kWeights * band.weights_stride(panels);
      points_ = points_memory_.get(kWeights * stride);
      for (int64_t row = 0; row < kWeights; ++row) steps.transform(band, row, 0, panels, points_ + row * stride);
    });
    return points_;
  }

 private:
  mutable std::once_flag transformed_;
  mutable Memory points_memory_;
  mutable float* points_;
};

// FNV-1a, a value at a time.
uint64_t hash(const float* values, int64_t count) {
  uint64_t result = 0xcbf29ce484222325u;
  for (int64_t i = 0; i < count; ++i) {
    uint32_t bits;
    std::memcpy(&bits, values + i, sizeof(bits));
    result = (result ^ bits) * 0x100000001b3u;
  }
  return result;
}

void in_order(int64_t count, const std::function<void(int64_t)>& chunk) {
  for (int64_t i = 0; i < count; ++i) chunk(i);
}

int64_t rows_of_band(const Band& band) {
  return std::max<int64_t>(1, kColumns / (band.op.up ? 2 : 1) / band.across);
}

// Rows [begin, end) of tiles, in bands.
void section(Band band, const Steps& steps, int64_t points, int64_t begin, int64_t end,
             const ParallelFor& parallel_for) {
  thread_local Memory points_memory, products_memory, carried_memory;
  thread_local uint64_t carried_image = 0;  // the image, and the row of tiles below what `carried_memory` holds of it
  thread_local int64_t carried_row = 0;
  const int64_t step = rows_of_band(band);
  band.first = 0, band.last = step;
  band.points = points_memory.get(points * band.points_stride());
  band.products = products_memory.get(points * band.products_stride() + band.lanes);
  band.carried = carried_memory.get(band.op.up ? band.outputs * band.carried_stride() : 0);

  // The row of tiles above, for what it carries, unless this thread has just done it.
  const bool before = band.op.up && begin > 0 && (carried_image != band.image || carried_row != begin);
  for (int64_t row = begin - before; row < end; row = band.last) {
    band.quiet = row < begin;
    band.first = row;
    band.last = band.quiet ? begin : std::min(row + step, end);
    for_ranges(parallel_for, band.inputs, kChannels, [&](int64_t first, int64_t last) {
      thread_local Memory memory;
      steps.input(band, first, last, memory.get(band.scratch(kChannels)));
    });
    const int64_t panels = band.output_panels();
    if (band.weights) {
      const int64_t parts = (panels + kPanels - 1) / kPanels;
      parallel_for(points * parts, [&](int64_t i) {
        const int64_t first = i % parts * kPanels;
        steps.product(band, i / parts, first, std::min(first + kPanels, panels));
      });
    } else {
      const int64_t parts = (panels + kTapPanels - 1) / kTapPanels;
      parallel_for(parts * kWeights, [&](int64_t i) {  // all rows of a part in turn: its taps are then in a cache
        thread_local Memory memory;
        const int64_t first = i / kWeights * kTapPanels;
        float* weights = memory.get(kWeights * band.weights_stride(kTapPanels));
        steps.row_of_products(band, i % kWeights, first, std::min(first + kTapPanels, panels), weights);
      });
    }
    for_ranges(parallel_for, band.outputs, kChannels, [&](int64_t first, int64_t last) {
      thread_local Memory memory;
      steps.output(band, first, last, memory.get(band.scratch(kChannels)));
    });
  }
  carried_image = band.image, carried_row = end;
}

void layer(const StyledConv& op, const Weights& weights, const StyledConvArrays& arrays,
           const ParallelFor& parallel_for) {
  const Steps steps = steps_for_this_processor(op.up);
  const int64_t points = op.up ? styled_conv::Up::kPoints * styled_conv::Up::kPoints
                              : styled_conv::Plain::kPoints * styled_conv::Plain::kPoints;
  Band band = weights.band();
  band.op = op;
  band.height = arrays.height, band.width = arrays.width;
  band.out_height = op.out(arrays.height), band.out_width = op.out(arrays.width);
  band.rows = (band.height + 3) / 4, band.across = (band.width + 3) / 4;
  band.lanes = steps.lanes;
  band.vectors = band.rows * band.across <= band.lanes ? 1 : 2;
  band.padded = (band.across + band.lanes - 1) / band.lanes * band.lanes;
  band.bias = arrays.bias, band.taps = arrays.taps;
  const int64_t step = rows_of_band(band);
  if (step < band.rows || weights.small) band.weights = weights.at_points(steps);
  const int64_t section_rows = op.up ? std::max(kUpRows, (band.rows + kUpSections - 1) / kUpSections) : step;
  const int64_t sections = (band.rows + section_rows - 1) / section_rows;
  const int64_t products = points * band.inputs * band.outputs;  // of a tile
  const int64_t fewest = op.up ? kUpSections : kSections;
  const bool cut = sections >= kManySections || (sections >= fewest && products * step * band.across < kShared);
  const bool alone = products * band.rows * band.across < kAlone;
  static std::atomic<uint64_t> images{0};
  std::vector<float> demodulation(weights.outputs);
  std::vector<double> norms(weights.outputs);
  for (int64_t n = 0; n < arrays.n; ++n) {
    band.x = arrays.x + n * weights.inputs * band.height * band.width;
    band.style = arrays.style + n * weights.inputs;
    band.noise = arrays.noise + (arrays.noise_n == 1 ? 0 : n) * band.out_height * band.out_width;
    band.strength = arrays.strength[n];
    band.y = arrays.y + n * weights.outputs * band.out_height * band.out_width;
    std::fill(norms.begin(), norms.end(), op.epsilon);
    for (int64_t i = 0; i < weights.inputs; ++i) {  // outside, so that no sum waits for the one before it
      const float* const power = weights.power.data() + i * weights.outputs;
      const double style = band.style[i];
      for (int64_t o = 0; o < weights.outputs; ++o) norms[o] += power[o] * style * style;
    }
    for (int64_t o = 0; o < weights.outputs; ++o) demodulation[o] = static_cast<float>(1 / std::sqrt(norms[o]));
    band.demodulation = demodulation.data();
    band.image = ++images;
    if (cut) {
      parallel_for(sections, [&](int64_t i) {
        section(band, steps, points, i * section_rows, std::min((i + 1) * section_rows, band.rows), in_order);
      });
    } else {
      section(band, steps, points, 0, band.rows, alone ? in_order : parallel_for);
    }
  }
}

}  // namespace

std::shared_ptr<const StyledConvWeights> StyledConvWeights::of(const StyledConv& op, const float* weight,
                                                               int64_t outputs, int64_t inputs) {
  static std::mutex one_at_a_time;
  static std::map<std::tuple<bool, int64_t, int64_t, uint64_t>, std::weak_ptr<const Weights>> known;
  const std::lock_guard<std::mutex> lock(one_at_a_time);
  for (auto each = known.begin(); each != known.end();) each = each->second.expired() ? known.erase(each) : ++each;
  auto& place = known[{op.up, outputs, inputs, hash(weight, outputs * inputs * 9)}];
  if (auto found = place.lock()) return found;
  const auto weights = std::make_shared<Weights>(op, weight, outputs, inputs);
  place = weights;
  return weights;
}

void styled_conv_cpu(const StyledConv& op, const StyledConvWeights& weights, const StyledConvArrays& arrays,
                     const ParallelFor& parallel_for) {
  layer(op, static_cast<const Weights&>(weights), arrays, parallel_for);
}

}  // namespace fingergen
