// Polyphase: output samples whose windows meet the input at the same taps form a phase. Along an axis there are
// up / gcd(up, down) phases, and within one every output sample takes the same taps, down / gcd input samples further
// on. So a row of one phase is a weighted sum of shifted input rows, and no inserted zero is multiplied.
//
// A FIR kernel that is a column times a row, as the networks' are, filters each input row horizontally once, and
// output rows are then weighted sums of filtered rows.
#include "upfirdn2d/upfirdn2d.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "common/simd.h"

namespace fingergen {
namespace {

constexpr int64_t kChunk = 1 << 15;  // output samples a thread takes at a time, about

int64_t floor_mod(int64_t a, int64_t b) { return (a % b + b) % b; }
int64_t round_up(int64_t a, int64_t b) { return (a + b - 1) / b * b; }

struct Kernel {
  int64_t height, width;
  std::vector<float> weights;  // [height, width]

  float at(int64_t row, int64_t column) const { return weights[row * width + column]; }
};

// Finds column [height, 1] and row [1, width] whose product is the kernel, up to the rounding of its weights.
bool separate(const Kernel& kernel, Kernel& column, Kernel& row) {
  const auto larger = [](float a, float b) { return std::abs(a) < std::abs(b); };
  const int64_t pivot = std::max_element(kernel.weights.begin(), kernel.weights.end(), larger) - kernel.weights.begin();
  const float peak = kernel.weights[pivot];
  column = {kernel.height, 1, {}};
  row = {1, kernel.width, {}};
  for (int64_t i = 0; i < kernel.height; ++i) column.weights.push_back(kernel.at(i, pivot % kernel.width));
  for (int64_t j = 0; j < kernel.width; ++j) row.weights.push_back(kernel.at(pivot / kernel.width, j) / peak);
  for (int64_t i = 0; i < kernel.height; ++i) {
    for (int64_t j = 0; j < kernel.width; ++j) {
      const float difference = kernel.at(i, j) - column.weights[i] * row.weights[j];
      if (!(std::abs(difference) <= 2e-7f * std::abs(peak))) return false;  // nor if it is no number
    }
  }
  return true;
}

struct ColumnTap {
  int64_t column;  // of the kernel
  int64_t offset;  // of the samples it weighs, in a row as prepared for summing
};
using ColumnTaps = std::vector<std::vector<ColumnTap>>;  // by phase

// Every `stride`-th sample of an input row, from sample `start` on; those in [begin, end) exist, the rest are zeros.
struct Subrow {
  int64_t start, begin, end;
};

// The horizontal side of the work, the same for every row. An input row is first spread into `stride` subrows one
// after the other, so that every tap reads contiguously and within bounds.
struct Columns {
  int64_t phases;  // also the distance of a phase's samples in the output row
  int64_t stride;
  int64_t length;  // of a subrow
  int64_t count;   // output samples of a phase, rounded up to whole vectors
  std::vector<Subrow> subrows;
  ColumnTaps taps;

  Columns(const UpFirDn2d& op, int64_t width, int64_t kernel_width, int64_t out_width) {
    const int64_t gcd = std::gcd(op.up, op.down);
    phases = op.up / gcd;
    stride = op.down / gcd;
    count = round_up((out_width + phases - 1) / phases, kLanes);
    taps.resize(phases);

    int64_t first = 0, last = 0;  // samples that a tap reads
    bool any = false;
    for (int64_t phase = 0; phase < phases; ++phase) {
      for (int64_t i = 0; i < kernel_width; ++i) {
        const int64_t position = phase * op.down + i - op.x0;  // in the upsampled row
        if (floor_mod(position, op.up) != 0) continue;
        const int64_t sample = position / op.up;
        taps[phase].push_back({kernel_width - 1 - i, sample});
        first = any ? std::min(first, sample) : sample;
        last = any ? std::max(last, sample) : sample;
        any = true;
      }
    }
    length = (last - first) / stride + count;
    for (auto& phase : taps) {
      for (auto& tap : phase) {
        const int64_t sample = tap.offset - first;
        tap.offset = sample % stride * length + sample / stride;
      }
    }
    for (int64_t start = first; start < first + stride; ++start) {
      const int64_t begin = start >= 0 ? 0 : (-start + stride - 1) / stride;
      const int64_t end = start >= width ? 0 : std::min(length, (width - 1 - start) / stride + 1);
      subrows.push_back({start, begin, end});
    }
  }

  int64_t spread_size() const { return stride * length; }
  int64_t sums_size() const { return phases * count; }

  // Writes the samples of a row; the zeros around them are there from the start.
  template <typename T>
  FINGERGEN_INLINE void spread(const T* row, float* out) const {
    for (const Subrow& subrow : subrows) {
      if (stride == 1) {
        for (int64_t i = subrow.begin; i < subrow.end; ++i) out[i] = to_float(row[subrow.start + i]);
      } else {
        for (int64_t i = subrow.begin; i < subrow.end; ++i) out[i] = to_float(row[subrow.start + i * stride]);
      }
      out += length;
    }
  }

  // Puts the phases' samples in turn.
  template <typename T>
  FINGERGEN_INLINE void interleave(const float* sums, T* out, int64_t width) const {
    if (phases == 1) {
      for (int64_t i = 0; i < width; ++i) out[i] = from_float<T>(sums[i]);
      return;
    }
    for (int64_t phase = 0; phase < phases; ++phase) {
      const float* sum = sums + phase * count;
      for (int64_t x = phase; x < width; x += phases) out[x] = from_float<T>(*sum++);
    }
  }
};

struct Term {
  const float* samples;
  float weight;
};
using Terms = std::vector<Term>;

// Sums `Vectors` vectors of output samples in registers. Loops over plain arrays would keep the sums in memory.
template <int Vectors>
FINGERGEN_INLINE void weighted_sum(const Terms& terms, int64_t at, float* out) {
  Floats sums[Vectors];
  for (int v = 0; v < Vectors; ++v) sums[v] = Floats{};
  for (const Term& term : terms) {
    const FloatsInMemory* samples = reinterpret_cast<const FloatsInMemory*>(term.samples + at);
    for (int v = 0; v < Vectors; ++v) sums[v] += term.weight * samples[v];
  }
  FloatsInMemory* place = reinterpret_cast<FloatsInMemory*>(out + at);
  for (int v = 0; v < Vectors; ++v) place[v] = sums[v];
}

FINGERGEN_INLINE void weighted_sum(const Terms& terms, int64_t count, float* out) {
  int64_t at = 0;
  for (; at + 4 * kLanes <= count; at += 4 * kLanes) weighted_sum<4>(terms, at, out);
  for (; at < count; at += kLanes) weighted_sum<1>(terms, at, out);
}

// What does not depend on the data or on the chunk.
struct Plan {
  UpFirDn2d op;
  UpFirDn2dSize size;
  int64_t out_height, out_width;
  Columns columns;
  Kernel row;     // [1, kernel_width], where separable
  Kernel kernel;  // what output rows are summed with: a column where separable
  bool separable;
  ColumnTaps taps;  // of `kernel`

  Plan(const UpFirDn2d& op, const UpFirDn2dSize& size, Kernel whole)
      : op(op),
        size(size),
        out_height(op.out_height(size.height, size.kernel_height)),
        out_width(op.out_width(size.width, size.kernel_width)),
        columns(op, size.width, size.kernel_width, out_width),
        separable(separate(whole, kernel, row)) {
    if (separable) {
      for (int64_t phase = 0; phase < columns.phases; ++phase) taps.push_back({{0, phase * columns.count}});
    } else {
      kernel = std::move(whole);
      taps = columns.taps;
    }
  }

  // Input rows under one window follow each other; those of the next window overwrite the oldest.
  int64_t ring() const { return (size.kernel_height - 1) / op.up + 1; }
  int64_t ring_row() const { return separable ? columns.sums_size() : columns.spread_size(); }
};

// The work on one chunk: its buffers, and what its output rows are made of.
struct Chunk {
  struct Place {
    int64_t in_row;
    int64_t index;  // in the ring
  };
  struct OutRow {
    std::vector<Place> places;
    std::vector<Terms> terms;  // by phase
  };

  std::vector<float> ring, spread, sums;
  std::vector<int64_t> held;      // which input row, counted through all planes, each place of the ring holds
  std::vector<OutRow> out_rows;   // those from `begin` on, until they repeat in the next plane
  std::vector<Terms> row_filter;  // by phase, where separable

  Chunk(const Plan& plan, int64_t begin, int64_t end)
      : ring(plan.ring() * plan.ring_row()),
        spread(plan.columns.spread_size()),
        sums(plan.columns.sums_size()),
        held(plan.ring(), -1),
        out_rows(std::min(plan.out_height, end - begin)),
        row_filter(plan.columns.phases) {
    for (size_t r = 0; r < out_rows.size(); ++r) out_rows[r] = make_row(plan, (begin + r) % plan.out_height);
    if (!plan.separable) return;
    for (int64_t phase = 0; phase < plan.columns.phases; ++phase) {
      for (const ColumnTap& tap : plan.columns.taps[phase]) {
        row_filter[phase].push_back({spread.data() + tap.offset, plan.row.at(0, tap.column)});
      }
    }
  }

  OutRow make_row(const Plan& plan, int64_t out_row) const {
    OutRow result;
    result.places.reserve(plan.ring());
    result.terms.resize(plan.columns.phases);
    for (int64_t phase = 0; phase < plan.columns.phases; ++phase) {
      result.terms[phase].reserve(plan.ring() * plan.taps[phase].size());
    }
    const int64_t top = out_row * plan.op.down - plan.op.y0;  // of the window, in the upsampled plane
    for (int64_t i = floor_mod(-top, plan.op.up); i < plan.kernel.height; i += plan.op.up) {
      const int64_t in_row = (top + i) / plan.op.up;
      if (in_row < 0 || in_row >= plan.size.height) continue;
      const int64_t index = in_row % plan.ring();
      result.places.push_back({in_row, index});
      for (int64_t phase = 0; phase < plan.columns.phases; ++phase) {
        for (const ColumnTap& tap : plan.taps[phase]) {
          result.terms[phase].push_back({ring.data() + index * plan.ring_row() + tap.offset,
                                         plan.kernel.at(plan.kernel.height - 1 - i, tap.column)});
        }
      }
    }
    return result;
  }
};

template <typename T>
struct Rows {
  static FINGERGEN_INLINE void prepare(const Plan& plan, Chunk& chunk, const T* row, float* place) {
    if (!plan.separable) return plan.columns.spread(row, place);
    plan.columns.spread(row, chunk.spread.data());
    for (int64_t phase = 0; phase < plan.columns.phases; ++phase) {
      weighted_sum(chunk.row_filter[phase], plan.columns.count, place + phase * plan.columns.count);
    }
  }

  // Output rows [begin, end), counted through all planes.
  static FINGERGEN_INLINE void run(const Plan& plan, const T* x, T* y, int64_t begin, int64_t end) {
    Chunk chunk(plan, begin, end);
    int64_t plane = begin / plan.out_height, out_row = begin % plan.out_height;
    size_t r = 0;
    for (int64_t row = begin; row < end; ++row) {
      const Chunk::OutRow& out = chunk.out_rows[r];
      for (const Chunk::Place& place : out.places) {
        const int64_t wanted = plane * plan.size.height + place.in_row;
        if (chunk.held[place.index] == wanted) continue;
        prepare(plan, chunk, x + wanted * plan.size.width, chunk.ring.data() + place.index * plan.ring_row());
        chunk.held[place.index] = wanted;
      }
      for (int64_t phase = 0; phase < plan.columns.phases; ++phase) {
        weighted_sum(out.terms[phase], plan.columns.count, chunk.sums.data() + phase * plan.columns.count);
      }
      plan.columns.interleave(chunk.sums.data(), y + row * plan.out_width, plan.out_width);

      if (++r == chunk.out_rows.size()) r = 0;
      if (++out_row == plan.out_height) out_row = 0, ++plane;
    }
  }
};

}  // namespace

template <typename T>
void upfirdn2d_cpu(const UpFirDn2d& op, const UpFirDn2dSize& size, const T* x, const T* kernel, T* y,
                   const ParallelFor& parallel_for) {
  Kernel whole{size.kernel_height, size.kernel_width, {}};
  for (int64_t i = 0; i < whole.height * whole.width; ++i) whole.weights.push_back(to_float(kernel[i]));
  const Plan plan(op, size, std::move(whole));
  const int64_t out_rows = size.planes * plan.out_height;
  if (out_rows == 0 || plan.out_width == 0) return;
  for_ranges(parallel_for, out_rows, std::max<int64_t>(1, kChunk / plan.out_width), [&](int64_t begin, int64_t end) {
    with_simd<Rows<T>>(plan, x, y, begin, end);
  });
}

template void upfirdn2d_cpu(const UpFirDn2d&, const UpFirDn2dSize&, const float*, const float*, float*,
                            const ParallelFor&);
template void upfirdn2d_cpu(const UpFirDn2d&, const UpFirDn2dSize&, const Half*, const Half*, Half*,
                            const ParallelFor&);

}  // namespace fingergen
