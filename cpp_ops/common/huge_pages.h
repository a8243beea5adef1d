// Huge pages for what is large and about to be written for the first time. Of small pages the system clears and maps one
// after the other, five hundred for each huge one: in a new process that can take as long as computing what goes there.
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace fingergen {

// Asks for huge pages wherever they fit into [data, data + bytes). The system may have none: nothing else changes.
inline void use_huge_pages(void* data, size_t bytes) {
#ifdef MADV_HUGEPAGE
  constexpr uintptr_t kPage = uintptr_t{1} << 21;
  const uintptr_t from = reinterpret_cast<uintptr_t>(data), to = from + bytes;
  const uintptr_t first = (from + kPage - 1) / kPage * kPage, end = to / kPage * kPage;
  if (first < end) madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
#else
  (void)data, (void)bytes;
#endif
}

}  // namespace fingergen
