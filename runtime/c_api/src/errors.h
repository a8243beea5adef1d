// What goes wrong inside the library; the C interface turns it into a status and one line.
#pragma once

#include <stdexcept>
#include <string>

namespace fingergen {

struct BadInput : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace fingergen
