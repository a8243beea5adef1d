#include "template.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "errors.h"

namespace fingergen {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr double kLowestPpi = 1, kHighestPpi = 100000, kCmPerInch = 2.54;
constexpr int kLargestSide = 1 << 16, kCoordinate = (1 << 14) - 1;
constexpr double kNominal[] = {125, 250, 500, 750, 1000};  // ppi of scanners, which whole pixels per cm cannot say

// Bytes of a record, read front to back.
class Octets {
 public:
  Octets(const uint8_t *data, size_t size) : data_(data), size_(size) {}
  size_t at() const { return at_; }
  size_t left() const { return size_ - at_; }
  unsigned number(size_t length, const char *field) {
    if (left() < length) throw BadInput("template: " + std::string(field) + " at offset " + std::to_string(at_) + " is missing: the record is truncated");
    unsigned value = 0;
    for (size_t i = 0; i < length; ++i) value = value << 8 | data_[at_++];
    return value;
  }
  Octets part(size_t length, const char *field) {
    if (left() < length) number(left() + 1, field);
    at_ += length;
    return {data_ + at_ - length, length};
  }

 private:
  const uint8_t *data_;
  size_t size_, at_ = 0;
};

double ppi_of(unsigned per_cm) {
  for (double nominal : kNominal) {
    if (std::nearbyint(nominal / kCmPerInch) == per_cm) return nominal;
  }
  return per_cm * kCmPerInch;
}

// Whether the finger views end where the record or the data ends: ANSI/INCITS 378-2004 has the same identifier and version.
bool fits(const uint8_t *data, size_t size) {
  constexpr size_t kHeader = 24;
  if (size < kHeader) return false;
  Octets length(data + 8, 4);
  size_t at = kHeader;
  for (int view = 0; view < data[22]; ++view) {
    if (at + 4 > size) return false;
    at += 4 + 6 * size_t{data[at + 3]};
    if (at + 2 > size) return false;
    at += 2 + (size_t{data[at]} << 8 | data[at + 1]);
  }
  return at == size || at == length.number(4, "record length");
}

// Cores and deltas of the extended data (7.5.3).
void read_singular(Octets area, Template &into) {
  for (auto *points : {&into.cores, &into.deltas}) {
    const unsigned angles = points == &into.cores ? 1 : 3;
    for (unsigned count = area.number(1, "number of cores or deltas") & 0xF; count > 0; --count) {
      const unsigned flag_and_x = area.number(2, "x of a core or delta"), y = area.number(2, "its y") & kCoordinate;
      if ((flag_and_x >> 14) == 1) area.part(angles, "its angles");
      points->push_back({static_cast<double>(flag_and_x & kCoordinate), static_cast<double>(y)});
    }
  }
}

void read_extended(Octets record, Template &into) {
  try {
    const unsigned length = record.number(2, "length of the extended data");
    for (Octets areas = record.part(length, "extended data"); areas.left() > 0;) {
      const unsigned kind = areas.number(2, "type of an area"), size = areas.number(2, "length of an area");
      if (size < 4) throw BadInput("template: an area of extended data is too short");
      Octets area = areas.part(size - 4, "area of extended data");
      if (kind == 2) read_singular(area, into);
    }
  } catch (const BadInput &) {  // the minutiae are whole: damaged cores and deltas are left out, as Python does
    into.cores.clear();
    into.deltas.clear();
  }
}

// What lies within a pixel outside the image is moved to its border, the rest dropped.
template <typename Point>
size_t keep_inside(std::vector<Point> &points, int width, int height) {
  const size_t before = points.size();
  auto outside = [&](const Point &p) { return p.x < -1 || p.x > width || p.y < -1 || p.y > height; };
  points.erase(std::remove_if(points.begin(), points.end(), outside), points.end());
  for (Point &point : points) {
    point.x = std::clamp(point.x, 0.0, width - 1.0);
    point.y = std::clamp(point.y, 0.0, height - 1.0);
  }
  return before - points.size();
}

template <typename Point>
void check_points(const std::vector<Point> &points, const char *name, const Template &given) {
  for (const Point &point : points) {
    if (!(point.x >= 0 && point.x < given.width && point.y >= 0 && point.y < given.height)) {
      throw BadInput("template: a " + std::string(name) + " lies outside the image of " + std::to_string(given.width) + " x " +
                     std::to_string(given.height) + " pixels");
    }
  }
}

void check_ppi(double ppi) {
  if (!(ppi >= kLowestPpi && ppi <= kHighestPpi)) throw BadInput("template: ppi: give 1 to 100000, such as 500");
}

int half_down(int value) { return value >= 0 ? value / 2 : -((1 - value) / 2); }

}  // namespace

Template rescaled(const Template &given, double ppi) {
  const double scale = ppi / given.ppi;
  Template result = given;
  result.ppi = ppi;
  result.width = std::max(1, static_cast<int>(std::nearbyint(given.width * scale)));
  result.height = std::max(1, static_cast<int>(std::nearbyint(given.height * scale)));
  auto stretch = [&](auto &points) {
    for (auto &point : points) {
      point.x = std::clamp((point.x + 0.5) * scale - 0.5, 0.0, result.width - 0.5);
      point.y = std::clamp((point.y + 0.5) * scale - 0.5, 0.0, result.height - 0.5);
    }
  };
  stretch(result.minutiae), stretch(result.cores), stretch(result.deltas);
  return result;
}

Template read_template(const uint8_t *data, size_t size) {
  constexpr uint8_t kStart[] = {'F', 'M', 'R', 0, ' ', '2', '0', 0};
  if (size < sizeof(kStart) || !std::equal(kStart, kStart + sizeof(kStart), data) || !fits(data, size)) {
    throw BadInput("template: no ISO/IEC 19794-2:2005 record; fg-run convert makes one of every other format");
  }
  Octets record(data, size);
  record.part(14, "header");
  Template found;
  const unsigned width = record.number(2, "image width"), height = record.number(2, "image height");
  const unsigned across = record.number(2, "x resolution"), down = record.number(2, "y resolution");
  if (width == 0 || height == 0) throw BadInput("template: the record does not say the size of its image");
  if (across == 0 || down == 0) throw BadInput("template: the record does not say its resolution");
  if (across != down) throw BadInput("template: x and y resolution differ; fg-run convert makes a record where they do not");
  found.width = static_cast<int>(width), found.height = static_cast<int>(height), found.ppi = ppi_of(across);
  check_ppi(found.ppi);
  if (record.number(1, "number of finger views") == 0) throw BadInput("template: the record has no finger view");
  record.part(4, "finger view header");
  const unsigned count = record.number(1, "number of minutiae");
  for (unsigned i = 0; i < count; ++i) {
    const unsigned type_and_x = record.number(2, "x of a minutia"), y = record.number(2, "y of a minutia") & kCoordinate;
    const unsigned angle = record.number(1, "angle of a minutia"), quality = record.number(1, "quality of a minutia");
    const unsigned code = type_and_x >> 14;
    found.minutiae.push_back({static_cast<double>(type_and_x & kCoordinate), static_cast<double>(y), angle * (360.0 / 256),
                              code == 1 ? kEnding : code == 2 ? kBifurcation : kOther,
                              quality == 0 || quality > 100 ? -1 : static_cast<double>(quality)});
  }
  read_extended(record, found);
  if (keep_inside(found.minutiae, found.width, found.height) * 2 > count) {
    throw BadInput("template: more than half of the minutiae lie outside the image");
  }
  keep_inside(found.cores, found.width, found.height);
  keep_inside(found.deltas, found.width, found.height);
  return found;
}

void check(const Template &given) {
  if (given.width < 1 || given.width > kLargestSide || given.height < 1 || given.height > kLargestSide) {
    throw BadInput("template: width and height: give 1 to " + std::to_string(kLargestSide) + " pixels");
  }
  check_ppi(given.ppi);
  if (given.minutiae.empty()) throw BadInput("template: holds no minutiae; there is nothing to reconstruct a finger from");
  for (const fingergen_minutia &minutia : given.minutiae) {
    if (!std::isfinite(minutia.angle)) throw BadInput("template: the angle of a minutia is not a finite number");
    if (minutia.type != kOther && minutia.type != kEnding && minutia.type != kBifurcation) {
      throw BadInput("template: a minutia of an unknown type: give a fingergen_minutia_type");
    }
  }
  check_points(given.minutiae, "minutia", given);
  check_points(given.cores, "core", given);
  check_points(given.deltas, "delta", given);
}

Template to_field_of_view(const Template &given, int side, double ppi) {
  Template result = given.ppi == ppi ? given : rescaled(given, ppi);
  const int left = half_down(result.width - side), top = half_down(result.height - side);
  result.width = result.height = side;
  auto crop = [&](auto &points) {
    for (auto &point : points) point.x -= left, point.y -= top;
    auto leaves = [&](const auto &point) { return !(point.x >= 0 && point.x < side && point.y >= 0 && point.y < side); };
    points.erase(std::remove_if(points.begin(), points.end(), leaves), points.end());
  };
  crop(result.minutiae), crop(result.cores), crop(result.deltas);
  for (fingergen_minutia &minutia : result.minutiae) {
    const double turned = std::fmod(minutia.angle, 360.0);
    minutia.angle = turned < 0 ? turned + 360 : turned;
  }
  return result;
}

std::vector<float> rasterize(const Template &given) {
  std::vector<float> raster(static_cast<size_t>(kChannels) * kCells * kCells);
  const double scale_x = static_cast<double>(kCells) / given.width, scale_y = static_cast<double>(kCells) / given.height;
  auto put = [&](double x, double y, auto channels) {  // of several points in one cell the last one stands
    x = (x + 0.5) * scale_x, y = (y + 0.5) * scale_y;
    const int column = std::min(static_cast<int>(x), kCells - 1), row = std::min(static_cast<int>(y), kCells - 1);
    channels([&, row, column](int channel) -> float & { return raster[(static_cast<size_t>(channel) * kCells + row) * kCells + column]; },
             x - column - 0.5, y - row - 0.5);
  };
  for (const fingergen_minutia &minutia : given.minutiae) {
    const double t = minutia.angle * (kPi / 180);
    put(minutia.x, minutia.y, [&](auto cell, double dx, double dy) {
      const double type = minutia.type == kEnding ? 0.5 : minutia.type == kBifurcation ? -0.5 : 0;
      const double values[] = {1, std::cos(2 * t), std::sin(2 * t), std::cos(t), std::sin(t), type, dx, dy};
      for (int channel = 0; channel < 8; ++channel) cell(channel) = static_cast<float>(values[channel]);
    });
  }
  for (const fingergen_point &core : given.cores) put(core.x, core.y, [](auto cell, double, double) { cell(8) = 1; });
  for (const fingergen_point &delta : given.deltas) put(delta.x, delta.y, [](auto cell, double, double) { cell(9) = 1; });
  return raster;
}

}  // namespace fingergen
