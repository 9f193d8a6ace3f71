// What is redistributed of what the kernel says.

#include "overlay/sightings.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::overlay;
using base::Prefix;
using netlink::Space;

namespace {

Address ip(const char* text) { return *Address::parse(text); }
babel::Destination to(const char* text) { return babel::Destination::of(*Prefix::parse(text)); }

netlink::ForeignRoute route(
    const char* prefix, std::uint8_t protocol, const char* link, std::uint32_t metric = 0
) {
    netlink::Route route;
    route.key = {Space::underlay, 254, *Prefix::parse(prefix), std::nullopt, metric};
    route.link = link;
    return {route, protocol};
}

babel::MetricRules all_static() { return {{{.protocol = std::uint8_t{4}}, 10}}; }

}  // namespace

TEST_CASE("a route is offered while it is there, its link is up and a rule wants it") {
    Sightings seen(Space::underlay, all_static());
    CHECK(seen.see(netlink::LinkUp{Space::underlay, "eth0", 2, 1500}));
    CHECK(seen.see(route("10.1.0.0/16", 4, "eth0")));
    CHECK_FALSE(seen.see(route("10.2.0.0/16", 2, "eth0")));
    CHECK(seen.offered(to("10.1.0.0/16")) == 10);
    CHECK_FALSE(seen.offered(to("10.2.0.0/16")));
    CHECK(seen.take_touched() == std::set{to("10.1.0.0/16")});
    CHECK(seen.see(netlink::LinkDown{Space::underlay, "eth0"}));
    CHECK_FALSE(seen.offered(to("10.1.0.0/16")));
    CHECK(seen.take_touched() == std::set{to("10.1.0.0/16")});
}

TEST_CASE("rules ask for the table and the priority that the kernel has a route with") {
    Sightings seen(
        Space::underlay, {{{.metrics = {100, 200}, .table = 254u}, 10}, {{.metrics = {300, UINT32_MAX}}, 20}}
    );
    seen.see(route("10.1.0.0/16", 4, "eth0", 100));
    seen.see(route("10.2.0.0/16", 4, "eth0", 99));
    seen.see(route("10.3.0.0/16", 4, "eth0", 70000));
    auto elsewhere = route("10.4.0.0/16", 4, "eth0", 100);
    elsewhere.route.key.table = 100;
    seen.see(elsewhere);
    CHECK(seen.offered(to("10.1.0.0/16")) == 10);
    CHECK_FALSE(seen.offered(to("10.2.0.0/16")));
    CHECK(seen.offered(to("10.3.0.0/16")) == 20);
    CHECK_FALSE(seen.offered(to("10.4.0.0/16")));
}

TEST_CASE("a route that changes into one that no rule wants is offered no more") {
    Sightings seen(Space::underlay, all_static());
    seen.see(route("10.1.0.0/16", 4, "eth0"));
    seen.take_touched();
    CHECK(seen.see(route("10.1.0.0/16", 2, "eth0")));
    CHECK(seen.take_touched() == std::set{to("10.1.0.0/16")});
    CHECK_FALSE(seen.offered(to("10.1.0.0/16")));
    CHECK_FALSE(seen.see(netlink::ForeignRouteGone{route("10.1.0.0/16", 2, "eth0").route.key}));
}

TEST_CASE("a route goes with the link it leads over last, and no other link's") {
    Sightings seen(Space::underlay, all_static());
    for (const char* link : {"a", "b"}) seen.see(netlink::LinkUp{Space::underlay, link, 2, 1500});
    seen.see(route("10.1.0.0/16", 4, "a"));
    CHECK(seen.see(route("10.1.0.0/16", 4, "b")));
    CHECK_FALSE(seen.see(route("10.1.0.0/16", 4, "b")));
    auto from_source = route("10.1.0.0/16", 4, "a");
    from_source.route.key.source = *Prefix::parse("10.9.0.0/16");
    seen.see(from_source);
    const babel::Destination specific{*Prefix::parse("10.1.0.0/16"), *Prefix::parse("10.9.0.0/16")};
    seen.take_touched();
    seen.see(netlink::LinkDown{Space::underlay, "a"});
    CHECK(seen.take_touched() == std::set{specific});
    CHECK_FALSE(seen.offered(specific));
    CHECK(seen.offered(to("10.1.0.0/16")) == 10);
    seen.see(netlink::LinkUp{Space::underlay, "a", 2, 1500});
    CHECK(seen.see(from_source));
    seen.see(netlink::LinkDown{Space::underlay, "b"});
    CHECK(seen.destinations() == std::set{specific});
}

TEST_CASE("of several routes to one destination the best offer counts") {
    Sightings seen(Space::underlay, {{{.interface = "a"}, 30}, {{.interface = "b"}, 20}});
    seen.see(route("10.1.0.0/16", 4, "a", 1));
    seen.see(route("10.1.0.0/16", 4, "b", 2));
    CHECK(seen.offered(to("10.1.0.0/16")) == 20);
    CHECK(seen.see(netlink::ForeignRouteGone{route("10.1.0.0/16", 4, "b", 2).route.key}));
    CHECK(seen.offered(to("10.1.0.0/16")) == 30);
    CHECK(seen.see(netlink::ForeignRouteGone{route("10.1.0.0/16", 4, "a", 1).route.key}));
    CHECK_FALSE(seen.see(netlink::ForeignRouteGone{route("10.1.0.0/16", 4, "a", 1).route.key}));
    CHECK_FALSE(seen.offered(to("10.1.0.0/16")));
    CHECK(seen.destinations().empty());
}

TEST_CASE("an address is offered as a host while any link has it, and never a link-local one") {
    Sightings seen(Space::underlay, {{{.local = true}, 0}});
    seen.see(netlink::AddressAppeared{Space::underlay, "eth0", ip("10.1.0.1")});
    seen.see(netlink::AddressAppeared{Space::underlay, "eth1", ip("10.1.0.1")});
    seen.see(netlink::AddressAppeared{Space::underlay, "eth0", ip("fe80::1")});
    seen.see(netlink::AddressAppeared{Space::underlay, "lo", ip("::1")});
    CHECK_FALSE(seen.see(netlink::AddressAppeared{Space::overlay, "eth0", ip("10.2.0.1")}));
    CHECK(seen.offered(to("10.1.0.1/32")) == 0);
    CHECK_FALSE(seen.offered(to("fe80::1/128")));
    CHECK_FALSE(seen.offered(to("::1/128")));
    CHECK_FALSE(seen.wants_routes());
    CHECK(seen.see(netlink::AddressVanished{Space::underlay, "eth0", ip("10.1.0.1")}));
    CHECK(seen.offered(to("10.1.0.1/32")) == 0);
    CHECK(seen.see(netlink::AddressVanished{Space::underlay, "eth1", ip("10.1.0.1")}));
    CHECK_FALSE(seen.offered(to("10.1.0.1/32")));
}

TEST_CASE("a denial before a permission keeps back") {
    Sightings seen(
        Space::underlay,
        {{{.prefix = *Prefix::parse("10.1.0.0/16")}, babel::kInfinity}, {{.protocol = std::uint8_t{4}}, 0}}
    );
    seen.see(route("10.1.2.0/24", 4, "eth0"));
    seen.see(route("10.2.2.0/24", 4, "eth0"));
    CHECK_FALSE(seen.offered(to("10.1.2.0/24")));
    CHECK(seen.offered(to("10.2.2.0/24")) == 0);
    CHECK(seen.wants_routes());
}
