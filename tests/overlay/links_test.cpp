// A node on ordinary interfaces: what it does when the kernel says that they come, change and go.

#include "overlay/router.hpp"

using namespace aronet;
using namespace aronet::overlay;
using namespace std::chrono_literals;
using netlink::Space;

namespace {

using Spoken = std::map<std::string, std::string>;

}  // namespace

TEST_CASE("Babel runs on an interface that fits while it is up and has a link-local address") {
    Router router(R"("interfaces": ["eth*", "lan0"])");
    CHECK(router.state_of("lan0") == "absent");
    router.up("eth0");
    CHECK(router.state_of("eth0") == "no link-local address");
    CHECK(router.speaks().empty());
    router.add("eth0", "fe80::1");
    CHECK(router.state_of("eth0") == "running");
    CHECK(router.listening == std::set<std::string>{"eth0"});
    CHECK(router.speaks() == Spoken{{"eth0", "fe80::1"}});
    router.up("wlan0");
    router.add("wlan0", "fe80::2");
    CHECK(router.speaks() == Spoken{{"eth0", "fe80::1"}});
    router.down("eth0");
    CHECK(router.state_of("eth0") == "down");
    CHECK(router.speaks().empty());
    router.up("eth0");
    CHECK(router.speaks() == Spoken{{"eth0", "fe80::1"}});
}

TEST_CASE("another link-local address is used when the one in use goes, and not before") {
    Router router(R"("interfaces": ["eth0"])");
    router.add("eth0", "fe80::5");
    router.up("eth0");
    router.add("eth0", "fe80::1");
    CHECK(router.speaks() == Spoken{{"eth0", "fe80::5"}});
    router.remove("eth0", "fe80::5");
    CHECK(router.speaks() == Spoken{{"eth0", "fe80::1"}});
    router.remove("eth0", "fe80::1");
    CHECK(router.speaks().empty());
}

TEST_CASE("the loopback and interfaces of ours are no ordinary ones, whatever the pattern") {
    Router router(R"("interfaces": ["*"])");
    for (const char* link : {"lo", "aronet", "aronet-0000beef", "eth0"}) {
        router.up(link);
        router.add(link, "fe80::1");
    }
    CHECK(router.speaks() == Spoken{{"eth0", "fe80::1"}});
}

TEST_CASE("the status shows what is taken from the kernel") {
    Router router(R"("interfaces": [{"name": "eth0", "type": "tunnel"}])");
    router.up("eth0", 1400);
    router.add("eth0", "fe80::1");
    router.add("eth0", "192.0.2.1");
    auto status = router.ask("status");
    REQUIRE(status.at("interfaces").size() == 1);
    const auto entry = status.at("interfaces").front();
    CHECK(entry.at("type") == "tunnel");
    CHECK(entry.at("mtu") == 1400);
    CHECK(entry.at("ipv4") == "192.0.2.1");
    CHECK(status.at("datapath") == "none");
    CHECK(status.at("state") == "ready");
    router.neighbourhood = {
        netlink::LinkUp{Space::underlay, "eth0", 2, 1400},
        netlink::AddressAppeared{Space::underlay, "eth0", *Address::parse("fe80::1")}};
    router.remove("eth0", "192.0.2.1");
    router.up("eth0", 9000);
    status = router.ask("status");
    CHECK(status.at("interfaces").front().at("ipv4").is_null());
    CHECK(status.at("interfaces").front().at("mtu") == 9000);
}

TEST_CASE("after lost notices what is there is learned anew and what has gone is left") {
    Router router(R"("interfaces": ["eth*"])");
    for (const char* link : {"eth0", "eth1"}) {
        router.up(link);
        router.add(link, "fe80::1");
    }
    CHECK(router.speaks() == Spoken{{"eth0", "fe80::1"}, {"eth1", "fe80::1"}});
    router.neighbourhood = {
        netlink::LinkUp{Space::underlay, "eth1", 3, 1500},
        netlink::AddressAppeared{Space::underlay, "eth1", *Address::parse("fe80::2")}};
    router.tell(netlink::Lost{});
    CHECK(router.snapshots == 2);
    CHECK(router.speaks() == Spoken{{"eth1", "fe80::2"}});
}

TEST_CASE("routes of others are looked at again when a link came back or an IPv4 address went") {
    Router router(R"("interfaces": ["eth0"], "redistribute": [{"protocol": "static"}])");
    router.up("eth0");
    router.add("eth0", "192.0.2.1");
    CHECK(router.snapshots == 1);
    router.neighbourhood = {
        netlink::LinkUp{Space::underlay, "eth0", 2, 1500},
        netlink::AddressAppeared{Space::underlay, "eth0", *Address::parse("192.0.2.1")}};
    router.down("eth0");
    router.up("eth0");
    CHECK(router.snapshots == 2);
    router.remove("eth0", "192.0.2.1");
    CHECK(router.snapshots == 3);
}
