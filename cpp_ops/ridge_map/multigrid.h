// Conjugate gradients with a multigrid preconditioner, for grids of pixels with signed couplings.
//
// The matrix is A = diag(sum of |couplings| + anchors) - couplings: a Laplacian where all couplings are positive and there
// are no anchors. Four pixels make one of the next coarser grid, after their signs are aligned (aggregation; rescaling of
// the coarse operator as in Brandt and Livne, "Multigrid Techniques", 2011). The reference in NumPy is
// runtime/fingers/reconstruction/multigrid.py.
#pragma once

#include <cstddef>
#include <vector>

namespace fingergen {

// Values of a grid's pixels within a border of one pixel, so that neighbors need no bounds.
struct Padded {
  Padded(int height, int width) : stride(width + 2), values(static_cast<size_t>(height + 2) * (width + 2)) {}
  float *row(int y) { return &values[static_cast<size_t>(y + 1) * stride + 1]; }
  const float *row(int y) const { return &values[static_cast<size_t>(y + 1) * stride + 1]; }

  int stride;
  std::vector<float> values;
};

class Multigrid {
 public:
  // `right` and `below` (height, width): signed coupling of each pixel to the one to its right or below, 0 in the last
  // column or row. `anchors` (height, width), added to the diagonal, or empty. Sides are multiples of 2 as often as they
  // exceed 8.
  Multigrid(int height, int width, const std::vector<float> &right, const std::vector<float> &below,
            const std::vector<double> &anchors);

  // x with A x = side, both (height, width); to a relative residual of 1e-5, or what 60 iterations reach.
  std::vector<float> solve(const std::vector<double> &side) const;

 private:
  struct Level {
    Level(int height, int width);
    float coupled(const Padded &x, int y, int column) const;  // the off-diagonal part, with its sign
    void align();                                             // `sign`: of the four pixels of each block, as coupled
    void relax(Padded &x, const Padded &side, int color) const;

    int height, width;
    Padded right, below, diagonal, sign;
  };

  static Level coarser(const Level &level);
  static std::vector<double> dense_inverse(const Level &level);
  Padded cycle(const Padded &side, size_t depth) const;  // one symmetric V-cycle

  std::vector<Level> levels_;
  std::vector<double> last_;  // the inverse of the coarsest matrix
};

// The pseudo-inverse of a symmetric matrix (size, size): eigenvalues up to `cutoff` times the largest count as 0.
std::vector<double> pseudo_inverse(std::vector<double> matrix, int size, double cutoff);

}  // namespace fingergen
