// Huge pages for what is large and about to be written for the first time. Of small pages the system clears and maps one
// after the other, five hundred for each huge one: in a new process that can take as long as computing what goes there.
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace fingergen {

// Asks for huge pages wherever [data, data + bytes) has a part of one, if that is much: what lies beside it is mostly of
// the same allocator, and soon written too. The system may have none: nothing else changes.
inline void use_huge_pages(void* data, size_t bytes) {
#ifdef MADV_HUGEPAGE
  constexpr uintptr_t kPage = uintptr_t{1} << 21;
  if (bytes < kPage / 4) return;
  const uintptr_t from = reinterpret_cast<uintptr_t>(data), to = from + bytes;
  const uintptr_t first = from / kPage * kPage, end = (to + kPage - 1) / kPage * kPage;
  madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
#else
  (void)data, (void)bytes;
#endif
}

}  // namespace fingergen
