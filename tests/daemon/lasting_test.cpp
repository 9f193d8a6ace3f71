#include "daemon/lasting.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <catch2/catch.hpp>

#include <stdexcept>

using namespace aronet::daemon;
using namespace std::chrono_literals;
using boost::asio::awaitable;

namespace {

awaitable<void> waits(boost::asio::io_context& io, std::chrono::milliseconds time, bool fails) {
    boost::asio::steady_timer timer(io, time);
    co_await timer.async_wait(boost::asio::use_awaitable);
    if (fails) throw std::runtime_error("broken");
}

awaitable<void> both(Lasting& lasting, awaitable<void> one, awaitable<void> other) {
    using namespace boost::asio::experimental::awaitable_operators;
    auto either = lasting(std::move(one)) || lasting(std::move(other));
    co_await std::move(either);
}

}  // namespace

TEST_CASE("a part that fails ends the others, and why is known") {
    boost::asio::io_context io;
    Lasting lasting;
    boost::asio::co_spawn(
        io, both(lasting, waits(io, 20ms, true), waits(io, 10s, false)), boost::asio::detached
    );
    CHECK(io.run_for(5s) > 0);
    CHECK(io.stopped());
    CHECK(lasting.is_broken());
    CHECK_THROWS_WITH(lasting.rethrow(), "broken");
}

TEST_CASE("a part that is done ends the others, and they are not broken for that") {
    boost::asio::io_context io;
    Lasting lasting;
    boost::asio::co_spawn(
        io, both(lasting, waits(io, 20ms, false), waits(io, 10s, true)), boost::asio::detached
    );
    io.run_for(5s);
    CHECK(io.stopped());
    CHECK_FALSE(lasting.is_broken());
    lasting.rethrow();
}
