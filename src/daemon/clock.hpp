#pragma once

// The one place that asks for the time. CLOCK_BOOTTIME: it never jumps and goes on while the machine sleeps,
// so that a laptop waking up finds its deadlines due.

#include "base/time.hpp"
#include "daemon/descriptor.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <optional>

struct timespec;

namespace aronet::daemon {

base::Instant now();

// The instant that a wall clock time stamp of the kernel stands for; stamps of the future or older than a
// second are clamped, since the wall clock may have been set in between.
base::Instant from_wall_clock(const timespec& stamp, base::Instant now);

// One alarm that can be set anew while somebody waits for it.
class Alarm {
public:
    explicit Alarm(boost::asio::io_context& io);

    void set(std::optional<base::Instant> at);  // nullopt: never
    boost::asio::awaitable<void> rings();       // throws when cancelled

private:
    boost::asio::posix::stream_descriptor timer_;
    std::optional<std::optional<base::Instant>> set_;  // to what, until it rings
};

}  // namespace aronet::daemon
