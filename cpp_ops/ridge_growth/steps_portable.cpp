#include "ridge_growth/steps.h"

namespace fingergen::ridge_growth {

Steps portable_steps() { return steps<Widened<4>>(); }

}  // namespace fingergen::ridge_growth
