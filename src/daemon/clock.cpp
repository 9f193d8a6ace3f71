#include "daemon/clock.hpp"

#include <boost/asio/use_awaitable.hpp>

#include <sys/timerfd.h>

#include <algorithm>
#include <ctime>
#include <system_error>

namespace aronet::daemon {
namespace {

base::Duration to_duration(const timespec& t) {
    return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

base::Duration read_clock(clockid_t clock) {
    timespec t{};
    clock_gettime(clock, &t);
    return to_duration(t);
}

}  // namespace

base::Instant now() { return base::Instant(read_clock(CLOCK_BOOTTIME)); }

base::Instant from_wall_clock(const timespec& stamp, base::Instant now) {
    const base::Duration age = read_clock(CLOCK_REALTIME) - to_duration(stamp);
    return now - std::clamp<base::Duration>(age, std::chrono::seconds(0), std::chrono::seconds(1));
}

Alarm::Alarm(boost::asio::io_context& io) : timer_(io) {
    const int fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (fd < 0) throw std::system_error(errno, std::generic_category(), "timerfd");
    timer_.assign(fd);
}

void Alarm::set(std::optional<base::Instant> at) {
    if (set_ && *set_ == at) return;
    set_ = at;
    itimerspec spec{};
    if (at) {
        // An instant of zero would disarm the timer instead of firing it.
        const auto ns = std::max<base::Duration::rep>(at->time_since_epoch().count(), 1);
        spec.it_value = {ns / 1'000'000'000, ns % 1'000'000'000};
    }
    timerfd_settime(timer_.native_handle(), TFD_TIMER_ABSTIME, &spec, nullptr);
}

boost::asio::awaitable<void> Alarm::rings() {
    for (;;) {
        co_await timer_.async_wait(timer_.wait_read, boost::asio::use_awaitable);
        std::uint64_t expirations = 0;
        if (::read(timer_.native_handle(), &expirations, sizeof expirations) <= 0) continue;
        set_.reset();
        co_return;
    }
}

}  // namespace aronet::daemon
