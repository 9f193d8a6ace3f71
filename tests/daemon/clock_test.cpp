#include "daemon/clock.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <catch2/catch.hpp>

#include <ctime>

using namespace aronet;
using namespace std::chrono_literals;

namespace {

timespec wall_clock(base::Duration offset) {
    timespec t{};
    clock_gettime(CLOCK_REALTIME, &t);
    const auto ns = std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec) + offset;
    return {ns / 1s, (ns % 1s).count()};
}

}  // namespace

TEST_CASE("a time stamp of the wall clock becomes the instant it stands for, within the last second") {
    const base::Instant now = daemon::now();
    const auto age = now - daemon::from_wall_clock(wall_clock(-200ms), now);
    CHECK(age >= 200ms);
    CHECK(age < 400ms);
    CHECK(daemon::from_wall_clock(wall_clock(+1h), now) == now);
    CHECK(daemon::from_wall_clock(wall_clock(-1h), now) == now - 1s);
}

TEST_CASE("an alarm rings when it is due, also one that was set anew while somebody waited") {
    boost::asio::io_context io;
    daemon::Alarm alarm(io);
    bool rang = false;
    alarm.set(daemon::now() + 1h);
    co_spawn(
        io,
        [&]() -> boost::asio::awaitable<void> {
            co_await alarm.rings();
            rang = true;
        },
        boost::asio::detached
    );
    io.poll();
    CHECK_FALSE(rang);
    const base::Instant start = daemon::now();
    alarm.set(start + 20ms);
    io.restart();
    io.run();
    CHECK(rang);
    CHECK(daemon::now() - start >= 20ms);
}

TEST_CASE("an alarm in the past rings at once and a withdrawn one never") {
    boost::asio::io_context io;
    daemon::Alarm past(io), never(io);
    int rings = 0;
    const auto wait = [&](daemon::Alarm& alarm) -> boost::asio::awaitable<void> {
        co_await alarm.rings();
        ++rings;
    };
    past.set(base::Instant());
    never.set(daemon::now() + 5ms);
    never.set(std::nullopt);
    co_spawn(io, wait(past), boost::asio::detached);
    co_spawn(io, wait(never), boost::asio::detached);
    io.run_for(50ms);
    CHECK(rings == 1);
}
