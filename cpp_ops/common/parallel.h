// How a CPU kernel is cut up for the threads that its caller has.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>

namespace fingergen {

// Calls chunk(i) once for each i in [0, count), in any order, on any threads, and returns when all are done.
using ParallelFor = std::function<void(int64_t count, const std::function<void(int64_t)>& chunk)>;

// Cuts [0, total) into ranges of `step` and runs body(first, last) on each.
template <typename Body>
void for_ranges(const ParallelFor& parallel_for, int64_t total, int64_t step, const Body& body) {
  parallel_for((total + step - 1) / step,
               [&](int64_t i) { body(i * step, std::min(total, (i + 1) * step)); });
}

}  // namespace fingergen
