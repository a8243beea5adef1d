// CUDA's float16 in terms of our own storage type.
#pragma once

#include "common/half.h"

using __half = fingergen::Half;
inline float __half2float(__half value) { return fingergen::to_float(value); }
inline __half __float2half_rn(float value) { return fingergen::from_float<__half>(value); }
