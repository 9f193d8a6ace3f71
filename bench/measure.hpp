#pragma once

// What the programs of bench/ measure of themselves.

#include <malloc.h>

#include <cmath>
#include <ctime>

namespace aronet {

inline double cpu_seconds() {
    timespec t{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return double(t.tv_sec) + double(t.tv_nsec) * 1e-9;
}

inline double megabytes() { return double(mallinfo2().uordblks + mallinfo2().hblkhd) / 1e6; }

// By which power of what grew from `from` to `to` something grew from `small` to `large`.
inline double exponent(double small, double large, double from, double to) {
    return std::log(large / small) / std::log(to / from);
}

}  // namespace aronet
