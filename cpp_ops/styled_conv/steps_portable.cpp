#include "styled_conv/steps.h"

namespace fingergen::styled_conv {

Steps portable_steps(bool up) { return steps<Vectors<4>>(up); }

}  // namespace fingergen::styled_conv
