#include "daemon/udp.hpp"

#include "daemon/clock.hpp"

#include <catch2/catch.hpp>

#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <thread>

using namespace aronet;
using namespace std::chrono_literals;

namespace {

daemon::UdpSocket open(boost::asio::io_context& io, base::Family family, std::uint16_t port) {
    daemon::UdpOptions options;
    options.family = family;
    options.port = port;
    daemon::Netns here;
    auto descriptor = daemon::open_udp(here, options);
    REQUIRE(descriptor.has_value());
    return {io, std::move(*descriptor), port};
}

std::optional<daemon::Arrival> wait_for(daemon::UdpSocket& socket) {
    pollfd ready{socket.descriptor(), POLLIN, 0};
    poll(&ready, 1, 2000);
    return socket.receive();
}

void check_exchange(base::Family family, const char* loopback) {
    boost::asio::io_context io;
    auto a = open(io, family, 42601), b = open(io, family, 42602);
    const auto host = *base::Address::parse(loopback);
    const base::Bytes sent{0, 0, 0, 0, 1, 2, 3};
    const base::Instant before = daemon::now();
    REQUIRE(a.send(base::Address::any(family), {host, 42602}, 0, sent));
    const auto arrival = wait_for(b);
    REQUIRE(arrival);
    CHECK(base::Bytes(arrival->bytes.begin(), arrival->bytes.end()) == sent);
    CHECK(arrival->from == base::Endpoint{host, 42601});
    CHECK(arrival->to == base::Endpoint{host, 42602});
    CHECK(arrival->interface_index == if_nametoindex("lo"));
    CHECK(arrival->at >= before - 1ms);
    CHECK(arrival->at <= daemon::now());
    CHECK_FALSE(b.receive());
}

}  // namespace

TEST_CASE("a datagram is received with its endpoints, its interface and its time, in both families") {
    check_exchange(base::Family::v4, "127.0.0.1");
    check_exchange(base::Family::v6, "::1");
}

// What RTTs are measured by. A kernel that stamped for nobody before begins a moment after it is asked to.
TEST_CASE("the time of a datagram is when it arrived, however late it is read") {
    boost::asio::io_context io;
    auto a = open(io, base::Family::v6, 42609), b = open(io, base::Family::v6, 42610);
    base::Duration after_sending{}, before_reading{};
    // Once in ten it is left alone by whatever else runs here.
    const auto plain = [&] { return before_reading >= 100ms && after_sending <= 50ms; };
    for (int attempt = 0; attempt < 10 && !plain(); ++attempt) {
        const base::Instant sent = daemon::now();
        REQUIRE(a.send(
            base::Address::any(base::Family::v6), {*base::Address::parse("::1"), 42610}, 0, base::Bytes{1}
        ));
        std::this_thread::sleep_for(150ms);
        const base::Instant read = daemon::now();
        const auto arrival = wait_for(b);
        REQUIRE(arrival);
        after_sending = arrival->at - sent;
        before_reading = read - arrival->at;
    }
    CAPTURE(base::milliseconds(after_sending), base::milliseconds(before_reading));
    CHECK(before_reading >= 100ms);
    CHECK(after_sending >= -1ms);
    CHECK(after_sending <= 50ms);
}

TEST_CASE("the source address is the one that was asked for") {
    boost::asio::io_context io;
    auto a = open(io, base::Family::v4, 42603), b = open(io, base::Family::v4, 42604);
    const auto from = *base::Address::parse("127.9.9.9");
    REQUIRE(a.send(from, {*base::Address::parse("127.0.0.1"), 42604}, 0, base::Bytes{1}));
    const auto arrival = wait_for(b);
    REQUIRE(arrival);
    CHECK(arrival->from.address == from);
}

TEST_CASE("what is for the link alone has a hop limit of 1, to one and to many") {
    daemon::UdpOptions options;
    options.family = base::Family::v6;
    options.port = 42606;
    options.link_scope = true;
    daemon::Netns here;
    const auto socket = daemon::open_udp(here, options);
    REQUIRE(socket.has_value());
    for (const int option : {IPV6_UNICAST_HOPS, IPV6_MULTICAST_HOPS}) {
        int hops = 0;
        socklen_t size = sizeof hops;
        REQUIRE(getsockopt(socket->get(), IPPROTO_IPV6, option, &hops, &size) == 0);
        CHECK(hops == 1);
    }
}

TEST_CASE("a port that is taken is an error that names it") {
    boost::asio::io_context io;
    const auto first = open(io, base::Family::v6, 42605);
    daemon::UdpOptions options;
    options.port = 42605;
    daemon::Netns here;
    const auto second = daemon::open_udp(here, options);
    REQUIRE_FALSE(second.has_value());
    CHECK(second.error().text.find("42605") != std::string::npos);
}

TEST_CASE("an ICMP error of an earlier send does not stop reception") {
    boost::asio::io_context io;
    auto a = open(io, base::Family::v4, 42606), b = open(io, base::Family::v4, 42607);
    const auto host = *base::Address::parse("127.0.0.1");
    a.send(base::Address::any(base::Family::v4), {host, 42608}, 0, base::Bytes{1});  // nobody listens there
    REQUIRE(b.send(base::Address::any(base::Family::v4), {host, 42606}, 0, base::Bytes{7}));
    const auto arrival = wait_for(a);
    REQUIRE(arrival);
    CHECK(arrival->bytes[0] == 7);
}
