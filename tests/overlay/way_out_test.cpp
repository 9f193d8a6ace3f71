#include "overlay/way_out.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::overlay;
using netlink::Space;

namespace {

const char* const kKeys[] = {"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"};

netlink::ForeignRoute way(
    const char* link, std::uint32_t metric = 0, netlink::RouteKind kind = netlink::RouteKind::unicast
) {
    netlink::Route route;
    route.key = {Space::underlay, 254, Prefix::any(Family::v4), std::nullopt, metric};
    route.link = link;
    route.kind = kind;
    return {route, 3};
}

// A host that forwards, with eth0 up.
struct Forwarding : WayOut {
    explicit Forwarding(Mode mode = Mode::netns) : WayOut(config(mode)) {
        for (const Space space : {Space::underlay, Space::overlay}) {
            for (const char* key : kKeys) see(netlink::SysctlValue{space, key, "1"});
        }
        see(netlink::LinkUp{Space::underlay, "eth0", 2, 1500});
    }
    static Config config(Mode mode) {
        Config out;
        out.mode = mode;
        return out;
    }
    bool open() const { return obstacle(Family::v4).empty(); }
};

}  // namespace

TEST_CASE("there is a way out while there is a default route of the family over a link that is up") {
    Forwarding host;
    CHECK(host.obstacle(Family::v4) == "the underlay has no default route");
    CHECK(host.see(way("eth0")));
    CHECK(host.open());
    CHECK_FALSE(host.obstacle(Family::v6).empty());
    CHECK(host.see(netlink::ForeignRouteGone{way("eth0").route.key}));
    CHECK_FALSE(host.open());
    CHECK(host.see(way("eth1")));  // nobody said that it is up
    CHECK_FALSE(host.open());
}

TEST_CASE(
    "no way out is what leads elsewhere: other tables and namespaces, the overlay, some destinations, some "
    "sources"
) {
    Forwarding host;
    auto route = way("eth0");
    route.route.key.table = 100;
    CHECK_FALSE(host.see(route));
    route = way("eth0");
    route.route.key.space = Space::overlay;
    CHECK_FALSE(host.see(route));
    route = way("eth0");
    route.route.key.destination = *Prefix::parse("10.0.0.0/8");
    CHECK_FALSE(host.see(route));
    route = way("eth0");
    route.route.key.source = *Prefix::parse("10.0.0.0/8");
    CHECK_FALSE(host.see(route));
    CHECK_FALSE(host.see(way("aronet")));
    CHECK_FALSE(host.see(way("aronet-12345678")));
    CHECK_FALSE(host.open());
}

TEST_CASE("of several default routes the one with the lowest metric decides") {
    Forwarding host;
    host.see(way("eth0", 100));
    CHECK(host.open());
    host.see(way("", 50, netlink::RouteKind::unreachable));
    CHECK(host.obstacle(Family::v4) == "the underlay's default route leads nowhere");
    host.see(way("eth0", 20));
    CHECK(host.open());
    host.see(netlink::ForeignRouteGone{way("", 20).route.key});
    host.see(way("", 50));  // over several links
    CHECK(host.open());
}

TEST_CASE("without forwarding, in the namespace too, there is no way out") {
    for (const Mode mode : {Mode::vrf, Mode::netns, Mode::none}) {
        WayOut host(Forwarding::config(mode));
        host.see(netlink::LinkUp{Space::underlay, "eth0", 2, 1500});
        host.see(way("eth0"));
        CHECK(host.obstacle(Family::v4) == "net.ipv4.ip_forward is not known");
        std::vector<Space> spaces{Space::underlay};
        if (mode == Mode::netns) spaces.push_back(Space::overlay);
        for (const Space space : spaces) {
            for (const char* key : kKeys) {
                CHECK(host.see(netlink::SysctlValue{space, key, "0"}));
                CHECK(host.see(netlink::SysctlValue{space, key, "1"}));
                CHECK_FALSE(host.see(netlink::SysctlValue{space, key, "1"}));
            }
        }
        CHECK(host.obstacle(Family::v4).empty());
        CHECK_FALSE(host.see(netlink::SysctlValue{Space::underlay, "net.ipv4.conf.all.rp_filter", "0"}));
        host.see(netlink::SysctlValue{spaces.back(), "net.ipv4.ip_forward", "0"});
        CHECK(host.obstacle(Family::v4) == "net.ipv4.ip_forward is 0");
    }
}

TEST_CASE("a default route goes with its link, and is looked for when the link is back") {
    Forwarding host;
    host.see(way("eth0"));
    CHECK_FALSE(host.see(netlink::LinkDown{Space::overlay, "eth0"}));
    CHECK(host.see(netlink::LinkDown{Space::underlay, "eth0"}));
    CHECK_FALSE(host.open());
    CHECK_FALSE(host.see(netlink::LinkUp{Space::underlay, "eth7", 3, 1500}));
    CHECK(host.see(netlink::LinkUp{Space::underlay, "eth0", 2, 1500}));
    CHECK_FALSE(host.open());  // nobody has said so yet
}

TEST_CASE("what is not told again when everything is told anew is gone, and nothing before") {
    Forwarding host;
    host.see(way("eth0"));
    host.look_again();
    CHECK(host.open());
    host.looked_again();
    CHECK_FALSE(host.open());
    host.look_again();
    host.see(way("eth0"));
    host.looked_again();
    CHECK(host.open());
}
