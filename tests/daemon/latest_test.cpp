#include "daemon/latest.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <catch2/catch.hpp>

#include <vector>

using namespace aronet::daemon;
using namespace std::chrono_literals;

namespace {

struct Line {
    boost::asio::io_context io;
    Latest latest{io};
    std::vector<int> served, outdated;
    bool together = false, busy = false;

    boost::asio::awaitable<void> wait(int number, std::chrono::milliseconds lasting) {
        const bool mine = co_await latest.turn();
        if (!mine) {
            outdated.push_back(number);
            co_return;
        }
        const Latest::Turn turn(latest);
        together = together || std::exchange(busy, true);
        boost::asio::steady_timer timer(io, lasting);
        co_await timer.async_wait(boost::asio::use_awaitable);
        busy = false;
        served.push_back(number);
    }
    void come(int number, std::chrono::milliseconds lasting) {
        boost::asio::co_spawn(io, wait(number, lasting), boost::asio::detached);
    }
};

}  // namespace

TEST_CASE("of a hundred who come at once the first and the last are served, one after the other") {
    Line line;
    for (int i = 1; i <= 100; ++i) line.come(i, 1ms);
    line.io.run();
    CHECK(line.served == std::vector{1, 100});
    CHECK(line.outdated.size() == 98);
    CHECK_FALSE(line.together);
}

TEST_CASE("who comes when nobody is there is served at once, also after a crowd") {
    Line line;
    for (int round = 0; round < 3; ++round) {
        line.come(10 * round, 1ms);
        line.come(10 * round + 1, 1ms);
        line.io.restart();
        line.io.run();
    }
    CHECK(line.served == std::vector{0, 1, 10, 11, 20, 21});
    CHECK(line.outdated.empty());
}
