// SHA-256 (FIPS 180-4).
#pragma once

#include <string>

namespace fingergen {

std::string sha256(const std::string &data);  // in hexadecimal, lower case

}  // namespace fingergen
