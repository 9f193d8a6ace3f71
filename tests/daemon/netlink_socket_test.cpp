#include "daemon/netlink_socket.hpp"

#include <catch2/catch.hpp>

#include <linux/netlink.h>
#include <sys/socket.h>

using namespace aronet;

// Programs may send to each other over this protocol, so that a test is the kernel.
TEST_CASE("row 12: a datagram that is larger than the buffer is known to be cut, others are whole") {
    boost::asio::io_context io;
    daemon::Netns here;
    auto ours = daemon::open_netlink(here, NETLINK_USERSOCK, {});
    const auto theirs = daemon::open_netlink(here, NETLINK_USERSOCK, {});
    REQUIRE((ours && theirs));
    daemon::NetlinkSocket socket(io, std::move(*ours));
    sockaddr_nl to{};
    to.nl_family = AF_NETLINK;
    to.nl_pid = socket.port();
    const int room = 1 << 20;
    setsockopt(theirs->get(), SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    bool overrun = false;
    for (const std::size_t size : {std::size_t(100), std::size_t(200'000), std::size_t(128 * 1024)}) {
        const base::Bytes sent(size, 7);
        const auto* name = reinterpret_cast<const sockaddr*>(&to);
        REQUIRE(sendto(theirs->get(), sent.data(), size, 0, name, sizeof to) == ssize_t(size));
        const auto received = socket.receive(overrun);
        REQUIRE(received.has_value());
        CHECK(received->cut == (size == 200'000));
        CHECK(received->bytes.size() == std::min<std::size_t>(size, 128 * 1024));
    }
    CHECK_FALSE(overrun);
}
