// Modulation: what a layer's w says of its input channels, in a StyleGAN2 network (Karras et al., arXiv:1912.04958), or
// of the strength of its noise.
//   style = w * weight + bias
//
// Every sum has one fixed order: so the same bits come out whatever the batch.
#pragma once

#include <cstdint>

namespace fingergen {

// w [n, dim], whose rows begin `stride` after each other; weight [dim, inputs]; bias [inputs]; style [n, inputs], apart
// from the rest.
struct ModulationArrays {
  int64_t n, stride, dim, inputs;
  const float *w, *weight, *bias;
  float* style;
};

void modulation_cpu(const ModulationArrays& arrays);

}  // namespace fingergen
