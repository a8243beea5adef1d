#include "thinning.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <set>

namespace fingergen {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr int kMargin = 8;   // minutiae nearer than this to the border are left out
constexpr int kTrace = 12;   // steps along a branch that give its direction
constexpr int kSpur = 5;     // branches of fewer steps are spurs that thinning leaves
constexpr int kCluster = 3;  // pixels within which pixels of crossing number 3 are one fork
constexpr int kApart = 9;    // minutiae nearer than this to each other, a core or a delta are unclear

// The 8 neighbors in order around a pixel, as (dy, dx): from the north, clockwise.
constexpr int kRing[8][2] = {{-1, 0}, {-1, 1}, {0, 1}, {1, 1}, {1, 0}, {1, -1}, {0, -1}, {-1, -1}};

// Pixels within a border of one, so that neighbors need no bounds.
struct Framed {
  explicit Framed(int size) : width(size + 2), pixels(static_cast<size_t>(width) * width) {
    for (int i = 0; i < 8; ++i) steps[i] = kRing[i][0] * width + kRing[i][1];
  }
  explicit Framed(const Bits &bits) : Framed(bits.size) {
    for (int y = 0; y < bits.size; ++y) {
      for (int x = 0; x < bits.size; ++x) pixels[place(y, x)] = bits.at(y, x);
    }
  }
  int place(int y, int x) const { return (y + 1) * width + x + 1; }

  // The neighbors, one bit each.
  unsigned around(int at) const {
    unsigned bits = 0;
    for (int i = 0; i < 8; ++i) bits |= unsigned{pixels[at + steps[i]]} << i;
    return bits;
  }

  int width, steps[8];
  std::vector<uint8_t> pixels;
};

// How often the neighbors, seen one after the other, change from absent to present.
int runs(unsigned around) {
  int count = 0;
  for (int i = 0; i < 8; ++i) count += !(around >> i & 1) && (around >> (i + 1) % 8 & 1);
  return count;
}

// A bit per pixel, 64 in a word, so that logic takes whole words, within a border of absent ones.
class Words {
 public:
  Words(const std::vector<float> &values, int size) : size_(size), stride_((size + 63) / 64 + 2), words_(static_cast<size_t>(size + 2) * stride_) {
    for (int y = 0; y < size; ++y) {
      uint64_t *row = &words_[place(y)];
      for (int x = 0; x < size; ++x) row[x / 64] |= uint64_t{values[static_cast<size_t>(y) * size + x] > 0} << x % 64;
    }
  }

  // One of Zhang and Suen's passes; whether it took a pixel away.
  bool thin(bool first) {
    const std::vector<uint64_t> before = words_;
    for (int y = 0; y < size_; ++y) {
      for (int i = 0; i < stride_ - 2; ++i) words_[place(y) + i] &= ~removable(&before[place(y) + i], first);
    }
    return words_ != before;
  }

  Bits bits() const {
    Bits bits{size_, std::vector<uint8_t>(static_cast<size_t>(size_) * size_)};
    for (int y = 0; y < size_; ++y) {
      const uint64_t *row = &words_[place(y)];
      for (int x = 0; x < size_; ++x) bits.pixels[static_cast<size_t>(y) * size_ + x] = row[x / 64] >> x % 64 & 1;
    }
    return bits;
  }

 private:
  size_t place(int y) const { return static_cast<size_t>(y + 1) * stride_ + 1; }

  // The pixels of a word that a pass takes away.
  uint64_t removable(const uint64_t *word, bool first) const {
    uint64_t ring[9];  // the neighbors of all pixels, each in the pixel's own place, and the first again
    for (int i = 0; i < 8; ++i) {
      const uint64_t *at = word + kRing[i][0] * stride_;
      const int dx = kRing[i][1];
      ring[i] = dx == 0 ? *at : dx < 0 ? *at << 1 | at[-1] >> 63 : *at >> 1 | at[1] << 63;
    }
    ring[8] = ring[0];
    // Around the pixel: a step from absent to present, more than one, two present or two absent in a row.
    uint64_t step = 0, more = 0, present = 0, covered = ~uint64_t{0};
    for (int i = 0; i < 8; ++i) {
      present |= ring[i] & ring[i + 1];
      covered &= ring[i] | ring[i + 1];
      const uint64_t begins = ring[i + 1] & ~ring[i];
      more |= step & begins;
      step |= begins;
    }
    const uint64_t north = ring[0], east = ring[2], south = ring[4], west = ring[6];
    const uint64_t kept = first ? east & south & (north | west) : north & west & (east | south);
    // Of one run, two to six are present if some two in a row are and some two are not.
    return step & present & ~(more | covered | kept);
  }

  int size_, stride_;  // pixels a side; words a row
  std::vector<uint64_t> words_;
};

using Pixels = std::set<int>;

Pixels onward(const Framed &thin, const Pixels &front, Pixels &seen) {
  Pixels next;
  for (int pixel : front) {
    for (int step : thin.steps) {
      if (thin.pixels[pixel + step] && seen.count(pixel + step) == 0) next.insert(pixel + step);
    }
  }
  seen.insert(next.begin(), next.end());
  return next;
}

// `front` in sets of pixels that touch.
std::vector<Pixels> connected(const Framed &thin, Pixels front) {
  std::vector<Pixels> parts;
  while (!front.empty()) {
    std::vector<int> part = {*front.begin()};
    front.erase(front.begin());
    for (size_t i = 0; i < part.size(); ++i) {
      for (int step : thin.steps) {
        if (front.erase(part[i] + step) > 0) part.push_back(part[i] + step);
      }
    }
    parts.emplace_back(part.begin(), part.end());
  }
  return parts;
}

// Directions (radians, y up) of the thinned ridges that leave a pixel; spurs are none.
std::vector<double> branches(const Framed &thin, int start) {
  Pixels seen = {start}, front = {start};
  for (int i = 0; i < kSpur; ++i) front = onward(thin, front, seen);
  std::vector<double> directions;
  for (Pixels &branch : connected(thin, front)) {
    for (int i = kSpur; i < kTrace; ++i) {
      Pixels next = onward(thin, branch, seen);
      if (next.empty()) break;
      branch = std::move(next);
    }
    int dy = 0, dx = 0;
    for (int pixel : branch) dy += pixel / thin.width - start / thin.width, dx += pixel % thin.width - start % thin.width;
    directions.push_back(std::atan2(-dy, dx));
  }
  return directions;
}

struct Spot {
  int x, y;
};

// Forks of pixels of crossing number 3, of which thinning leaves up to five at a fork: of each cluster its middle.
std::vector<Spot> forks(const std::vector<Spot> &pixels) {
  std::vector<Spot> middles;
  std::vector<bool> taken(pixels.size());
  for (size_t first = 0; first < pixels.size(); ++first) {
    if (taken[first]) continue;
    std::vector<size_t> group = {first};
    taken[first] = true;
    for (size_t i = 0; i < group.size(); ++i) {
      for (size_t other = 0; other < pixels.size(); ++other) {
        const Spot &a = pixels[group[i]], &b = pixels[other];
        if (!taken[other] && std::max(std::abs(a.x - b.x), std::abs(a.y - b.y)) <= kCluster) {
          taken[other] = true;
          group.push_back(other);
        }
      }
    }
    std::sort(group.begin(), group.end());
    double x = 0, y = 0, nearest = HUGE_VAL;
    for (size_t i : group) x += pixels[i].x, y += pixels[i].y;
    x /= static_cast<double>(group.size()), y /= static_cast<double>(group.size());
    Spot middle{};
    for (size_t i : group) {
      const double distance = std::hypot(pixels[i].y - y, pixels[i].x - x);
      if (distance < nearest) nearest = distance, middle = pixels[i];
    }
    middles.push_back(middle);
  }
  return middles;
}

}  // namespace

Bits thinned(const std::vector<float> &ridges, int size) {
  Words words(ridges, size);
  for (bool changed = true; changed;) {
    changed = words.thin(true);
    changed = words.thin(false) || changed;
  }
  return words.bits();
}

std::vector<FingerMinutia> read_minutiae(const Bits &thin, const std::function<double(int, int)> &orientation,
                                         const std::vector<Place> &singular) {
  struct Found {
    Spot at;
    bool ending;
    std::vector<double> leave;
  };
  const Framed framed(thin);
  std::vector<Spot> ends, forked;
  for (int y = kMargin; y < thin.size - kMargin; ++y) {
    for (int x = kMargin; x < thin.size - kMargin; ++x) {
      if (!thin.at(y, x)) continue;
      const int crossing = runs(framed.around(framed.place(y, x)));
      if (crossing == 1) ends.push_back({x, y});
      if (crossing == 3) forked.push_back({x, y});
    }
  }
  std::vector<Found> found;
  for (const bool ending : {true, false}) {
    for (const Spot &spot : ending ? ends : forks(forked)) {
      std::vector<double> leave = branches(framed, framed.place(spot.y, spot.x));
      if (leave.size() == (ending ? 1 : 3)) found.push_back({spot, ending, std::move(leave)});
    }
  }
  std::vector<FingerMinutia> minutiae;
  for (const Found &each : found) {
    const auto near = [&](double x, double y) { return std::hypot(each.at.x - x, each.at.y - y) < kApart; };
    const auto others = std::count_if(found.begin(), found.end(), [&](const Found &other) { return near(other.at.x, other.at.y); });
    if (others > 1 || std::any_of(singular.begin(), singular.end(), [&](const Place &point) { return near(point.x, point.y); })) continue;
    const double field = orientation(each.at.x, each.at.y);
    double sense = 0;  // back along an ending's one branch; at a fork two branches outweigh the one across from them
    for (double branch : each.leave) sense += std::cos(branch - field);
    const double angle = sense >= 0 ? field : field + kPi;
    minutiae.push_back({static_cast<double>(each.at.x), static_cast<double>(each.at.y), angle - 2 * kPi * std::floor(angle / (2 * kPi)), each.ending});
  }
  return minutiae;
}

}  // namespace fingergen
