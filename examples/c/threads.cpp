// Makes fingerprints with one model on several threads, and prints a checksum for each seed.
//
//   c++ -std=c++17 -pthread threads.cpp $(pkg-config --cflags --libs fingergen) -o threads
//   ./threads BUNDLE COUNT
#include <fingergen.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

int main(int count, char **arguments) {
  if (count != 3) {
    std::fprintf(stderr, "usage: %s BUNDLE COUNT\n", arguments[0]);
    return 2;
  }
  char error[512];
  fingergen_model *loaded = nullptr;
  if (auto status = fingergen_load(arguments[1], nullptr, &loaded, error, sizeof error); status != FINGERGEN_OK) {
    std::fprintf(stderr, "%s\n", error);
    return status;
  }
  const std::unique_ptr<fingergen_model, void (*)(fingergen_model *)> model(loaded, fingergen_free);
  fingergen_image_info info;
  fingergen_image_info_of(model.get(), &info);
  std::vector<unsigned long long> sums(std::strtoul(arguments[2], nullptr, 10));
  std::atomic<size_t> next{0};
  std::atomic<int> failures{0};
  auto work = [&] {
    std::vector<uint8_t> pixels(info.bytes);
    char line[512];
    for (size_t seed = next++; seed < sums.size(); seed = next++) {
      if (fingergen_synthesize(model.get(), seed, nullptr, pixels.data(), pixels.size(), line, sizeof line) != FINGERGEN_OK) {
        std::fprintf(stderr, "seed %zu: %s\n", seed, line);
        ++failures;
        continue;
      }
      for (size_t i = 0; i < pixels.size(); ++i) sums[seed] = sums[seed] * 31 + pixels[i];
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back(work);
  for (auto &thread : threads) thread.join();
  for (size_t seed = 0; seed < sums.size(); ++seed) std::printf("%zu %llu\n", seed, sums[seed]);
  return failures ? 1 : 0;
}
