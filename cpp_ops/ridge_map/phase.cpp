#include "phase.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "multigrid.h"

namespace fingergen {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr size_t kSingular = 12;     // plaquettes of orientation that are cores or deltas, at most
constexpr double kSeen = 0.3;        // weight, of the largest, from which on a singular plaquette counts
constexpr double kLookAhead = 0.75;  // periods from a minutia along its direction: on its ridge or in its valley
constexpr int kAnchor = 2;           // pixels around the point there that are held

double sign(double value) { return value >= 0 ? 1.0 : -1.0; }

// Increments of phase on the vertical edges of one row: what winds the phase around a plaquette.
struct String {
  int row;
  std::vector<double> increments;
};

class Graph {
 public:
  explicit Graph(const PhaseFields &fields) : n_(fields.size), area_(static_cast<size_t>(n_) * n_), weight_(fields.weight) {
    for (auto *field : {&nx_, &ny_, &twist_x_, &twist_y_, &wanted_x_, &wanted_y_, &weight_x_, &weight_y_}) field->resize(area_);
    std::vector<double> kx(area_), ky(area_);
    for (size_t i = 0; i < area_; ++i) {  // across the ridge, y down
      const double k = 2 * kPi / fields.period[i];
      nx_[i] = std::sin(fields.orientation[i]), ny_[i] = std::cos(fields.orientation[i]);
      kx[i] = k * nx_[i], ky[i] = k * ny_[i];
    }
    for (int y = 0; y < n_; ++y) {
      for (int x = 0; x < n_; ++x) {
        const size_t i = at(y, x);
        if (x + 1 < n_) {
          twist_x_[i] = sign(nx_[i] * nx_[i + 1] + ny_[i] * ny_[i + 1]);
          wanted_x_[i] = (kx[i] + twist_x_[i] * kx[i + 1]) / 2;
          weight_x_[i] = (weight_[i] + weight_[i + 1]) / 2;
        }
        if (y + 1 < n_) {
          const size_t down = at(y + 1, x);
          twist_y_[i] = sign(nx_[i] * nx_[down] + ny_[i] * ny_[down]);
          wanted_y_[i] = (ky[i] + twist_y_[i] * ky[down]) / 2;
          weight_y_[i] = (weight_[i] + weight_[down]) / 2;
        }
      }
    }
  }

  // Has the phase wind once around a point, in the sense of a minutia of this direction.
  void add(const GridMinutia &minutia) {
    const double column = std::floor(minutia.x), row = std::floor(minutia.y);
    if (!(0 <= row && row < n_ - 1 && 0 <= column && column < n_ - 1)) return;
    const int y = static_cast<int>(row), x = static_cast<int>(column);
    const double along = nx_[at(y, x)] * std::sin(minutia.angle) + ny_[at(y, x)] * std::cos(minutia.angle);
    const String wound = string(y, x, along >= 0 ? 1.0 : -1.0);
    for (int i = 0; i < n_; ++i) wanted_y_[at(y, i)] += wound.increments[i];
  }

  // The phase by least squares.
  std::vector<double> solve() const {
    const Multigrid grid(n_, n_, couplings(weight_x_, twist_x_), couplings(weight_y_, twist_y_), {});
    std::vector<double> total = widened(grid.solve(normal(wanted_x_, wanted_y_)));
    std::vector<std::vector<double>> phases, residuals;
    const std::vector<double> none(area_);
    for (const auto &[row, column] : singular()) {
      const String wound = string(row, column, 1.0);
      std::vector<double> wanted(area_);
      for (int i = 0; i < n_; ++i) wanted[at(row, i)] = wound.increments[i];
      phases.push_back(widened(grid.solve(normal(none, wanted))));
      residuals.push_back(residual(phases.back(), none, wanted));
    }
    if (phases.empty()) return total;
    const std::vector<double> charges = whole_numbers(residuals, residual(total, wanted_x_, wanted_y_));
    for (size_t k = 0; k < phases.size(); ++k) {
      for (size_t i = 0; i < area_; ++i) total[i] += charges[k] * phases[k][i];
    }
    return total;
  }

  // The phase, moved smoothly to be as wanted, but for whole turns, at pixels.
  std::vector<double> anchored(std::vector<double> phase, const std::vector<size_t> &pixels, const std::vector<double> &wanted) const {
    if (pixels.empty()) return phase;
    std::vector<double> anchors(area_), goal(area_);
    for (size_t k = 0; k < pixels.size(); ++k) {
      const size_t middle = pixels[k];
      const int row = static_cast<int>(middle) / n_, column = static_cast<int>(middle) % n_;
      double off = wanted[k] - phase[middle];
      off -= 2 * kPi * std::nearbyint(off / (2 * kPi));
      for (int y = std::max(row - kAnchor, 0); y <= std::min(row + kAnchor, n_ - 1); ++y) {
        for (int x = std::max(column - kAnchor, 0); x <= std::min(column + kAnchor, n_ - 1); ++x) {
          const size_t i = at(y, x);
          anchors[i] += weight_[middle];
          goal[i] += weight_[middle] * off * sign(nx_[i] * nx_[middle] + ny_[i] * ny_[middle]);
        }
      }
    }
    const Multigrid grid(n_, n_, couplings(weight_x_, twist_x_), couplings(weight_y_, twist_y_), anchors);
    const std::vector<float> moved = grid.solve(goal);
    for (size_t i = 0; i < area_; ++i) phase[i] += moved[i];
    return phase;
  }

 private:
  size_t at(int y, int x) const { return static_cast<size_t>(y) * n_ + x; }

  std::vector<float> couplings(const std::vector<double> &weight, const std::vector<double> &twist) const {
    std::vector<float> product(area_);
    for (size_t i = 0; i < area_; ++i) product[i] = static_cast<float>(weight[i] * twist[i]);
    return product;
  }

  static std::vector<double> widened(const std::vector<float> &values) { return {values.begin(), values.end()}; }

  // From a plaquette to the nearer side.
  String string(int row, int column, double charge) const {
    String wound{row, std::vector<double>(n_)};
    double carried = 2 * kPi * charge;
    if (column + 1 < n_ / 2) {
      for (int x = column; x >= 0; --x) {
        wound.increments[x] = carried;
        if (x > 0) carried *= twist_x_[at(row, x - 1)];
      }
    } else {
      for (int x = column + 1; x < n_; ++x) wound.increments[x] = -(carried *= twist_x_[at(row, x - 1)]);
    }
    return wound;
  }

  // Plaquettes that no choice of signs fits: cores and deltas, those of the largest weight.
  std::vector<std::pair<int, int>> singular() const {
    std::vector<std::pair<int, int>> found;
    double largest = 0;
    for (int y = 0; y + 1 < n_; ++y) {
      for (int x = 0; x + 1 < n_; ++x) {
        if (twist_x_[at(y, x)] * twist_x_[at(y + 1, x)] * twist_y_[at(y, x)] * twist_y_[at(y, x + 1)] >= 0) continue;
        found.emplace_back(y, x);
        largest = std::max(largest, weight_[at(y, x)]);
      }
    }
    auto weight = [&](const std::pair<int, int> &place) { return weight_[at(place.first, place.second)]; };
    std::stable_sort(found.begin(), found.end(), [&](const auto &a, const auto &b) { return weight(a) > weight(b); });
    if (found.size() > kSingular) found.resize(kSingular);
    found.erase(std::remove_if(found.begin(), found.end(), [&](const auto &place) { return weight(place) <= kSeen * largest; }), found.end());
    return found;
  }

  // Right-hand side of the normal equations.
  std::vector<double> normal(const std::vector<double> &wanted_x, const std::vector<double> &wanted_y) const {
    std::vector<double> side(area_);
    for (int y = 0; y < n_; ++y) {
      for (int x = 0; x < n_; ++x) {
        const size_t i = at(y, x);
        if (x + 1 < n_) {
          const double flow = weight_x_[i] * wanted_x[i];
          side[i] -= flow, side[i + 1] += twist_x_[i] * flow;
        }
        if (y + 1 < n_) {
          const double flow = weight_y_[i] * wanted_y[i];
          side[i] -= flow, side[at(y + 1, x)] += twist_y_[i] * flow;
        }
      }
    }
    return side;
  }

  // What least squares leaves, on every edge, times the root of its weight.
  std::vector<double> residual(const std::vector<double> &phase, const std::vector<double> &wanted_x, const std::vector<double> &wanted_y) const {
    std::vector<double> left(2 * area_);
    for (int y = 0; y < n_; ++y) {
      for (int x = 0; x < n_; ++x) {
        const size_t i = at(y, x);
        if (x + 1 < n_) left[i] = std::sqrt(weight_x_[i]) * (twist_x_[i] * phase[i + 1] - phase[i] - wanted_x[i]);
        if (y + 1 < n_) left[area_ + i] = std::sqrt(weight_y_[i]) * (twist_y_[i] * phase[at(y + 1, x)] - phase[i] - wanted_y[i]);
      }
    }
    return left;
  }

  // Whole numbers q that make |rest + columns q| small: rounded one by one, the surest first.
  static std::vector<double> whole_numbers(const std::vector<std::vector<double>> &columns, const std::vector<double> &rest) {
    const size_t count = columns.size();
    auto product = [](const std::vector<double> &a, const std::vector<double> &b) { return std::inner_product(a.begin(), a.end(), b.begin(), 0.0); };
    std::vector<double> gram(count * count), against(count), charges(count);
    for (size_t i = 0; i < count; ++i) {
      against[i] = product(columns[i], rest);
      for (size_t j = 0; j < count; ++j) gram[i * count + j] = product(columns[i], columns[j]);
    }
    std::vector<size_t> free(count);
    std::iota(free.begin(), free.end(), size_t{0});
    while (!free.empty()) {
      const size_t left = free.size();
      std::vector<double> matrix(left * left);
      for (size_t i = 0; i < left; ++i) {
        for (size_t j = 0; j < left; ++j) matrix[i * left + j] = gram[free[i] * count + free[j]];
      }
      const std::vector<double> inverse = pseudo_inverse(std::move(matrix), static_cast<int>(left), 1e-12);
      size_t surest = 0;
      double nearest = 2, whole = 0;
      for (size_t i = 0; i < left; ++i) {
        double best = 0;
        for (size_t j = 0; j < left; ++j) best -= inverse[i * left + j] * against[free[j]];
        const double off = std::fabs(best - std::nearbyint(best));
        if (off < nearest) surest = i, nearest = off, whole = std::nearbyint(best);
      }
      const size_t number = free[surest];
      free.erase(free.begin() + static_cast<std::ptrdiff_t>(surest));
      charges[number] = whole;
      for (size_t i = 0; i < count; ++i) against[i] += whole * gram[i * count + number];
    }
    return charges;
  }

  int n_;
  size_t area_;
  std::vector<double> weight_, nx_, ny_, twist_x_, twist_y_, wanted_x_, wanted_y_, weight_x_, weight_y_;
};

}  // namespace

std::vector<double> ridge_phase(const PhaseFields &fields, const std::vector<GridMinutia> &minutiae) {
  Graph graph(fields);
  for (const GridMinutia &minutia : minutiae) graph.add(minutia);
  std::vector<double> phase = graph.solve();
  auto pixel = [&](double x, double y) {
    const double last = fields.size - 1;
    return static_cast<size_t>(std::clamp(std::nearbyint(y), 0.0, last) * fields.size + std::clamp(std::nearbyint(x), 0.0, last));
  };
  std::vector<size_t> ahead;
  std::vector<double> wanted;
  double votes = 0;
  for (const GridMinutia &minutia : minutiae) {
    if (!minutia.typed) continue;
    const double step = kLookAhead * fields.period[pixel(minutia.x, minutia.y)];
    ahead.push_back(pixel(minutia.x + step * std::cos(minutia.angle), minutia.y - step * std::sin(minutia.angle)));
    wanted.push_back(minutia.ending ? 0.0 : kPi);
    votes += std::cos(phase[ahead.back()] - wanted.back());
  }
  // The phase of all ridges together is free by half a turn: as most of the minutiae want it.
  if (votes < 0) {
    for (double &value : phase) value += kPi;
  }
  return graph.anchored(std::move(phase), ahead, wanted);
}

}  // namespace fingergen
