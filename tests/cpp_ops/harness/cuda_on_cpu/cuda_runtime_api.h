// For TensorRT's headers, which name these types.
#pragma once

#include "cuda_runtime.h"
