#pragma once

// Time as a value. The core is told the time and cannot ask for it: Clock has no now(), so asking does not
// compile. Instants count from an origin that only the shell knows (CLOCK_BOOTTIME in the daemon, zero in a
// simulation).

#include <chrono>
#include <cstdint>

namespace aronet::base {

using Duration = std::chrono::nanoseconds;

struct Clock {
    using duration = Duration;
    using rep = duration::rep;
    using period = duration::period;
    using time_point = std::chrono::time_point<Clock>;
    static constexpr bool is_steady = true;
};

using Instant = Clock::time_point;

// When a machine wants its next tick(), and why: the reason makes a sleeping daemon observable.
// `why` points to a string literal.
struct Deadline {
    Instant at;
    const char* why;
};

using namespace std::chrono_literals;

constexpr std::int64_t milliseconds(Duration d) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(d).count();
}

constexpr std::int64_t microseconds(Duration d) {
    return std::chrono::duration_cast<std::chrono::microseconds>(d).count();
}

}  // namespace aronet::base
