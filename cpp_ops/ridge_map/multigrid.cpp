#include "multigrid.h"

#include <algorithm>
#include <cmath>

namespace fingergen {
namespace {

constexpr int kCoarsest = 8;  // pixels a side of the grid that is solved directly
constexpr float kOvercorrection = 0.55f;  // piecewise constant functions have about twice the energy of smooth ones
constexpr double kTolerance = 1e-5;       // of the residual, relative: phases to 0.001
constexpr int kIterations = 60;

double dot(const Padded &a, const Padded &b, int height, int width) {
  double sum = 0;
  for (int y = 0; y < height; ++y) {
    const float *p = a.row(y), *q = b.row(y);
    for (int x = 0; x < width; ++x) sum += static_cast<double>(p[x]) * q[x];
  }
  return sum;
}

}  // namespace

Multigrid::Level::Level(int height, int width)
    : height(height), width(width), right(height, width), below(height, width), diagonal(height, width), sign(height, width) {}

float Multigrid::Level::coupled(const Padded &x, int y, int column) const {
  const float *here = x.row(y) + column, *across = right.row(y) + column, *down = below.row(y) + column;
  return across[0] * here[1] + across[-1] * here[-1] + down[0] * here[x.stride] + down[-x.stride] * here[-x.stride];
}

void Multigrid::Level::align() {
  for (int y = 0; y < height; y += 2) {
    for (int x = 0; x < width; x += 2) {
      sign.row(y)[x] = 1;
      sign.row(y)[x + 1] = right.row(y)[x] < 0 ? -1.0f : 1.0f;
      sign.row(y + 1)[x] = below.row(y)[x] < 0 ? -1.0f : 1.0f;
      sign.row(y + 1)[x + 1] = sign.row(y)[x + 1] * (below.row(y)[x + 1] < 0 ? -1.0f : 1.0f);
    }
  }
}

// Gauss-Seidel on the pixels of one color of a checkerboard.
void Multigrid::Level::relax(Padded &x, const Padded &side, int color) const {
  for (int y = 0; y < height; ++y) {
    float *row = x.row(y);
    const float *wanted = side.row(y), *own = diagonal.row(y);
    for (int column = (y + color) % 2; column < width; column += 2) row[column] = (wanted[column] + coupled(x, y, column)) / own[column];
  }
}

Multigrid::Multigrid(int height, int width, const std::vector<float> &right, const std::vector<float> &below,
                     const std::vector<double> &anchors) {
  Level finest(height, width);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const size_t at = static_cast<size_t>(y) * width + x;
      finest.right.row(y)[x] = right[at];
      finest.below.row(y)[x] = below[at];
    }
  }
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const float *across = finest.right.row(y) + x, *down = finest.below.row(y) + x;
      const double sum = 1e-9 + std::fabs(across[0]) + std::fabs(across[-1]) + std::fabs(down[0]) + std::fabs(down[-finest.below.stride]);
      finest.diagonal.row(y)[x] = static_cast<float>(sum + (anchors.empty() ? 0.0 : anchors[static_cast<size_t>(y) * width + x]));
    }
  }
  levels_.push_back(std::move(finest));
  while (std::min(levels_.back().height, levels_.back().width) > kCoarsest) {
    levels_.back().align();
    levels_.push_back(coarser(levels_.back()));
  }
  last_ = dense_inverse(levels_.back());
}

// The grid of half the size: Galerkin's product with piecewise constant functions, rescaled.
Multigrid::Level Multigrid::coarser(const Level &fine) {
  Level coarse(fine.height / 2, fine.width / 2);
  auto across = [&](int y, int x) { return x + 1 < fine.width ? fine.sign.row(y)[x] * fine.right.row(y)[x] * fine.sign.row(y)[x + 1] : 0.0f; };
  auto down = [&](int y, int x) { return y + 1 < fine.height ? fine.sign.row(y)[x] * fine.below.row(y)[x] * fine.sign.row(y + 1)[x] : 0.0f; };
  for (int y = 0; y < coarse.height; ++y) {
    for (int x = 0; x < coarse.width; ++x) {
      const int v = 2 * y, u = 2 * x;
      float block = 0;
      for (int row = v; row < v + 2; ++row) block += fine.diagonal.row(row)[u] + fine.diagonal.row(row)[u + 1];
      block -= 2 * (across(v, u) + across(v + 1, u) + down(v, u) + down(v, u + 1));
      coarse.diagonal.row(y)[x] = kOvercorrection * block;
      coarse.right.row(y)[x] = kOvercorrection * (across(v, u + 1) + across(v + 1, u + 1));
      coarse.below.row(y)[x] = kOvercorrection * (down(v + 1, u) + down(v + 1, u + 1));
    }
  }
  return coarse;
}

std::vector<double> Multigrid::dense_inverse(const Level &level) {
  const int size = level.height * level.width;
  std::vector<double> matrix(static_cast<size_t>(size) * size);
  for (int y = 0; y < level.height; ++y) {
    for (int x = 0; x < level.width; ++x) {
      const size_t at = static_cast<size_t>(y) * level.width + x;
      matrix[at * size + at] = level.diagonal.row(y)[x];
      if (x + 1 < level.width) matrix[at * size + at + 1] = matrix[(at + 1) * size + at] = -level.right.row(y)[x];
      if (y + 1 < level.height) {
        matrix[at * size + at + level.width] = matrix[(at + level.width) * size + at] = -level.below.row(y)[x];
      }
    }
  }
  // Without cores, deltas and anchors the constant is in the kernel, but for rounding.
  return pseudo_inverse(std::move(matrix), size, 1e-6);
}

Padded Multigrid::cycle(const Padded &side, size_t depth) const {
  const Level &level = levels_[depth];
  Padded x(level.height, level.width);
  if (depth + 1 == levels_.size()) {
    const int size = level.height * level.width;
    for (int i = 0; i < size; ++i) {
      double sum = 0;
      for (int j = 0; j < size; ++j) sum += last_[static_cast<size_t>(i) * size + j] * side.row(j / level.width)[j % level.width];
      x.row(i / level.width)[i % level.width] = static_cast<float>(sum);
    }
    return x;
  }
  level.relax(x, side, 1);  // of zeros
  level.relax(x, side, 0);
  Padded coarse(level.height / 2, level.width / 2);
  for (int y = 0; y < level.height; ++y) {
    for (int column = 0; column < level.width; ++column) {
      const float rest = side.row(y)[column] - (level.diagonal.row(y)[column] * x.row(y)[column] - level.coupled(x, y, column));
      coarse.row(y / 2)[column / 2] += level.sign.row(y)[column] * rest;
    }
  }
  const Padded correction = cycle(coarse, depth + 1);
  for (int y = 0; y < level.height; ++y) {
    for (int column = 0; column < level.width; ++column) {
      x.row(y)[column] += level.sign.row(y)[column] * correction.row(y / 2)[column / 2];
    }
  }
  level.relax(x, side, 0);
  level.relax(x, side, 1);
  return x;
}

std::vector<float> Multigrid::solve(const std::vector<double> &side) const {
  const Level &level = levels_.front();
  const int height = level.height, width = level.width;
  Padded x(height, width), residual(height, width), direction(height, width), moved(height, width);
  for (int y = 0; y < height; ++y) {
    for (int column = 0; column < width; ++column) residual.row(y)[column] = static_cast<float>(side[static_cast<size_t>(y) * width + column]);
  }
  const double goal = kTolerance * kTolerance * dot(residual, residual, height, width);
  double old = 1;
  for (int iteration = 0; iteration < kIterations && dot(residual, residual, height, width) > goal; ++iteration) {
    const Padded guess = cycle(residual, 0);
    const double now = dot(residual, guess, height, width);
    const auto ratio = static_cast<float>(iteration == 0 ? 0.0 : now / (old == 0 ? 1.0 : old));
    old = now;
    for (size_t i = 0; i < direction.values.size(); ++i) direction.values[i] = guess.values[i] + ratio * direction.values[i];
    for (int y = 0; y < height; ++y) {
      for (int column = 0; column < width; ++column) {
        moved.row(y)[column] = level.diagonal.row(y)[column] * direction.row(y)[column] - level.coupled(direction, y, column);
      }
    }
    const double curvature = dot(direction, moved, height, width);
    const auto step = static_cast<float>(now / (curvature == 0 ? 1.0 : curvature));
    for (size_t i = 0; i < x.values.size(); ++i) {
      x.values[i] += step * direction.values[i];
      residual.values[i] -= step * moved.values[i];
    }
  }
  std::vector<float> found;
  found.reserve(static_cast<size_t>(height) * width);
  for (int y = 0; y < height; ++y) found.insert(found.end(), x.row(y), x.row(y) + width);
  return found;
}

// By Jacobi's method: rotations make the matrix diagonal.
std::vector<double> pseudo_inverse(std::vector<double> matrix, int size, double cutoff) {
  const auto n = static_cast<size_t>(size);
  std::vector<double> vectors(n * n);  // rows
  for (size_t i = 0; i < n; ++i) vectors[i * n + i] = 1;
  for (int sweep = 0; sweep < 30; ++sweep) {
    double off = 0, all = 0;
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < n; ++j) (i == j ? all : off) += matrix[i * n + j] * matrix[i * n + j];
    }
    if (off <= 1e-28 * all) break;
    for (size_t p = 0; p < n; ++p) {
      for (size_t q = p + 1; q < n; ++q) {
        const double between = matrix[p * n + q];
        if (between == 0) continue;
        const double theta = (matrix[q * n + q] - matrix[p * n + p]) / (2 * between);
        const double t = (theta >= 0 ? 1.0 : -1.0) / (std::fabs(theta) + std::sqrt(theta * theta + 1));
        const double c = 1 / std::sqrt(t * t + 1), s = t * c;
        auto rotate = [&](double &a, double &b) {
          const double first = c * a - s * b;
          b = s * a + c * b;
          a = first;
        };
        for (size_t k = 0; k < n; ++k) rotate(matrix[p * n + k], matrix[q * n + k]);
        for (size_t k = 0; k < n; ++k) rotate(matrix[k * n + p], matrix[k * n + q]);
        for (size_t k = 0; k < n; ++k) rotate(vectors[p * n + k], vectors[q * n + k]);
      }
    }
  }
  double largest = 0;
  for (size_t i = 0; i < n; ++i) largest = std::max(largest, std::fabs(matrix[i * n + i]));
  std::vector<double> inverse(n * n);
  for (size_t i = 0; i < n; ++i) {
    const double value = matrix[i * n + i];
    if (std::fabs(value) <= cutoff * largest) continue;
    for (size_t row = 0; row < n; ++row) {
      const double scaled = vectors[i * n + row] / value;
      for (size_t column = 0; column < n; ++column) inverse[row * n + column] += scaled * vectors[i * n + column];
    }
  }
  return inverse;
}

}  // namespace fingergen
