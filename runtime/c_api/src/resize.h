// Bicubic resizing of 8-bit images in integers, with the bits of Pillow's Image.resize(…, BICUBIC).
#pragma once

#include <cstdint>
#include <vector>

namespace fingergen {

// A square image of `side` pixels, row by row → one of `size` pixels.
std::vector<uint8_t> resize(const std::vector<uint8_t> &image, int side, int size);

}  // namespace fingergen
