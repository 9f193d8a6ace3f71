#include "daemon/kernel.hpp"

#include "daemon/clock.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace aronet;

TEST_CASE("what takes long is done by turns, in order, and all of it") {
    boost::asio::io_context io;
    daemon::Kernel kernel(io, nullptr, daemon::Netns());
    constexpr netlink::ChangeId kMany = 20'000;
    for (netlink::ChangeId id = 1; id <= kMany; ++id)
        kernel.perform(
            {id, netlink::GetSysctl{netlink::Space::underlay, "net.ipv4.ip_forward"}}, daemon::now()
        );
    std::vector<netlink::ChangeId> done;
    unsigned turns = 0;
    while (done.size() < kMany && turns < kMany) {
        ++turns;
        for (const netlink::Notice& notice : kernel.take_notices(daemon::now())) {
            if (const auto* answer = std::get_if<netlink::Done>(&notice)) done.push_back(answer->id);
        }
        if (done.size() == kMany) break;
        REQUIRE(kernel.deadline());
        REQUIRE(kernel.deadline()->at <= daemon::now());
        kernel.tick(daemon::now());
    }
    CHECK(turns > 1);
    CHECK(done.size() == kMany);
    CHECK(std::ranges::is_sorted(done));
    CHECK_FALSE(kernel.deadline());
}
