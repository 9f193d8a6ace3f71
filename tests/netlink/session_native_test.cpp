// The Session against this machine's kernel, inside namespaces made for each test.

#include "host.hpp"

#include <cerrno>

using namespace aronet;
using namespace aronet::netlink;

namespace {

Route route_to(const char* destination, const char* link, Space space = Space::underlay) {
    Route route;
    route.key.space = space;
    route.key.destination = prefix(destination);
    route.link = link;
    return route;
}

}  // namespace

TEST_CASE("a veth pair across the namespaces is made, addressed and routed as in netns mode", "[native]") {
    Host host;
    REQUIRE(host.perform(AddLink{veth_link()}).error == 0);
    CHECK(host.wait_for<LinkUp>().name == "ov");
    const LinkAddress inside{
        Space::overlay, "ov", address("fd66::ffff:0:0:2"), 128, address("fd66::ffff:0:0:1")};
    const LinkAddress outside{
        Space::underlay, "ov", address("fd66::ffff:0:0:1"), 128, address("fd66::ffff:0:0:2")};
    REQUIRE(host.perform(AddAddress{outside}).error == 0);
    REQUIRE(host.perform(AddAddress{inside}).error == 0);
    REQUIRE(host.perform(AddAddress{inside}).error == 0);  // idempotent

    Route default_v6 = route_to("::/0", "ov", Space::overlay),
          default_v4 = route_to("0.0.0.0/0", "ov", Space::overlay);
    default_v6.via = default_v4.via = address("fd66::ffff:0:0:1");
    REQUIRE(host.perform(AddRoute{default_v6}).error == 0);
    REQUIRE(host.perform(AddRoute{default_v4}).error == 0);
    CHECK(has(host.run(Space::overlay, "ip -N route"), "default via inet6 fd66::ffff:0:0:1 dev ov proto 140")
    );
    CHECK(has(host.run(Space::overlay, "ip -N -6 route"), "default via fd66::ffff:0:0:1 dev ov proto 140"));
    // The kernel may take a second to see that both ends are up.
    CHECK_FALSE(has(host.run(Space::underlay, "ping -c10 -i0.2 -W1 fd66::ffff:0:0:2"), " 0 received"));

    REQUIRE(host.perform(RemoveRoute{default_v4.key}).error == 0);
    REQUIRE(host.perform(RemoveRoute{default_v4.key}).error == 0);
    CHECK_FALSE(has(host.run(Space::overlay, "ip route"), "default"));
    REQUIRE(host.perform(RemoveAddress{inside}).error == 0);
    REQUIRE(host.perform(RemoveAddress{inside}).error == 0);
    REQUIRE(host.perform(RemoveLink{Space::underlay, "ov"}).error == 0);
    REQUIRE(host.perform(RemoveLink{Space::underlay, "ov"}).error == 0);
    CHECK_FALSE(has(host.run(Space::overlay, "ip link"), "ov"));
}

TEST_CASE("a route is replaced in place and carries its metric, MTU, source and encapsulation", "[native]") {
    Host host;
    REQUIRE(host.perform(AddLink{veth_link()}).error == 0);
    Route route = route_to("fd67::/64", "ov");
    route.key.metric = 32;
    route.key.table = 128;
    route.via = address("fe80::1");
    REQUIRE(host.perform(AddRoute{route}).error == 0);
    route.via = address("fe80::2");
    route.mtu = 1336;
    REQUIRE(host.perform(AddRoute{route}).error == 0);
    const std::string text = host.run(Space::underlay, "ip -N -6 route show table 128");
    CHECK(has(text, "via fe80::2 dev ov proto 140 metric 32 mtu 1336"));
    CHECK_FALSE(has(text, "fe80::1 "));

    Route specific = route_to("::/0", "ov");
    specific.key.source = prefix("fd66::/64");
    specific.via = address("fe80::3");
    REQUIRE(host.perform(AddRoute{specific}).error == 0);
    CHECK(has(host.run(Space::underlay, "ip -6 route"), "default from fd66::/64 via fe80::3"));

    Route end = route_to("fd66::ffff:0:0:a/128", "ov"), dx4 = route_to("fd66::ffff:0:0:b/128", "ov");
    end.encap = Seg6LocalEnd{};
    dx4.encap = Seg6LocalEndDx4{};
    REQUIRE(host.perform(AddRoute{end}).error == 0);
    REQUIRE(host.perform(AddRoute{dx4}).error == 0);
    Route seg6 = route_to("192.168.9.0/24", "ov");
    seg6.encap = Seg6Encap{{address("fd67::1"), address("fd68::2")}, false};
    REQUIRE(host.perform(AddRoute{seg6}).error == 0);
    const std::string all = host.run(Space::underlay, "ip -6 route; ip route");
    CHECK(has(all, "encap seg6local action End dev ov"));
    CHECK(has(all, "action End.DX4 nh4 0.0.0.0 dev ov"));
    CHECK(has(all, "encap seg6 mode encap segs 2 [ fd67::1 fd68::2 ]"));

    Route unreachable;
    unreachable.key.destination = prefix("10.9.0.0/16");
    unreachable.kind = RouteKind::unreachable;
    REQUIRE(host.perform(AddRoute{unreachable}).error == 0);
    CHECK(has(host.run(Space::underlay, "ip route show proto 140"), "unreachable 10.9.0.0/16"));

    const Snapshot snapshot = host.snapshot("ov");
    const auto known = [&](const Route& wanted) {
        return std::any_of(snapshot.routes.begin(), snapshot.routes.end(), [&](const Route& found) {
            return found.key.destination == wanted.key.destination && found.encap == wanted.encap &&
                   found.via == wanted.via && found.mtu == wanted.mtu && found.kind == wanted.kind &&
                   found.key.source == wanted.key.source && found.key.table == wanted.key.table;
        });
    };
    CHECK(known(route));
    CHECK(known(specific));
    CHECK(known(end));
    CHECK(known(dx4));
    CHECK(known(seg6));
    CHECK(known(unreachable));
    CHECK(snapshot.routes.size() == 6);
}

TEST_CASE("a route that skips its table leaves a destination to the next rule", "[native]") {
    Host host;
    REQUIRE(host.perform(AddLink{veth_link()}).error == 0);
    host.run(
        Space::underlay,
        "ip link add way type veth peer name yaw; ip link set yaw up; ip link set way up; ip addr add "
        "192.0.2.1/24 dev way"
    );
    host.run(Space::underlay, "ip addr add 2001:db8::1/64 dev way nodad");
    host.run(Space::underlay, "ip -4 route add default dev way; ip -6 route add default dev way");
    for (const char* family : {"-4", "-6"})
        host.run(Space::underlay, std::string("ip ") + family + " rule add priority 100 lookup 128");
    std::vector<Route> skips;
    for (const char* text : {"10.9.0.0/16", "0.0.0.0/0", "fd09::/16", "::/0"}) {
        Route& skip = skips.emplace_back();
        skip.key.destination = prefix(text);
        skip.key.table = 128;
        skip.key.metric = 1024;
        skip.kind = RouteKind::skip;
    }
    skips.back().key.source = prefix("2001:db8::/64");
    for (const char* wider : {"10.0.0.0/8", "fd00::/8", "::/0"}) {
        Route route = route_to(wider, "ov");
        route.key.table = 128;
        REQUIRE(host.perform(AddRoute{route}).error == 0);
    }
    for (const Route& skip : skips) REQUIRE(host.perform(AddRoute{skip}).error == 0);
    const auto leads_over = [&](const std::string& to, const char* link) {
        const std::string text = host.run(Space::underlay, "ip route get " + to);
        INFO(text);
        CHECK(has(text, std::string("dev ") + link));
    };
    leads_over("10.9.1.1", "way");
    leads_over("10.8.1.1", "ov");
    leads_over("198.51.100.1", "way");
    leads_over("fd09::1", "way");
    leads_over("fd08::1", "ov");
    leads_over("2001:db8:9::1 from 2001:db8::1", "way");
    const Snapshot snapshot = host.snapshot("ov");
    for (const Route& skip : skips)
        CHECK(std::count(snapshot.routes.begin(), snapshot.routes.end(), skip) == 1);
    for (const Route& skip : skips) REQUIRE(host.perform(RemoveRoute{skip.key}).error == 0);
    leads_over("10.9.1.1", "ov");
    leads_over("fd09::1", "ov");
}

TEST_CASE(
    "routes removed by others or with their link are reported as lost, our own removals are not", "[native]"
) {
    Host host;
    REQUIRE(host.perform(AddLink{veth_link()}).error == 0);
    const Route ours = route_to("fd67::/64", "ov"), mine = route_to("fd68::/64", "ov");
    REQUIRE(host.perform(AddRoute{ours}).error == 0);
    REQUIRE(host.perform(AddRoute{mine}).error == 0);
    REQUIRE(host.perform(RemoveRoute{mine.key}).error == 0);
    host.run(Space::underlay, "ip -6 route del fd67::/64");
    CHECK(host.wait_for<RouteLost>().key.destination == prefix("fd67::/64"));
    host.run(Space::underlay, "ip link del ov");
    CHECK(host.wait_for<LinkDown>().name == "ov");
}

TEST_CASE(
    "a link of ours that is there with another kind is made anew, a TUN device only gets its properties",
    "[native]"
) {
    Host host;
    host.run(Space::underlay, "ip link add ov type bridge; ip link set ov alias 'aronet ov'");
    REQUIRE(host.perform(AddLink{veth_link()}).error == 0);
    CHECK(has(host.run(Space::underlay, "ip -d link show ov"), "veth"));
    CHECK(has(host.run(Space::underlay, "ip link show ov"), "alias aronet ov"));

    Link tun;
    tun.name = "tunnel";
    tun.kind = Tun{};
    tun.mtu = 1400;
    tun.keep_link_local = false;
    CHECK(host.perform(AddLink{tun}).error == ENODEV);
    host.run(Space::underlay, "ip tuntap add tunnel mode tun");
    host.perform(AddLink{tun});
    const std::string text = host.run(Space::underlay, "ip -d link show tunnel");
    CHECK(has(text, "mtu 1400"));
    CHECK(has(text, "addrgenmode none"));
    CHECK(has(text, "UP"));
}

TEST_CASE(
    "a link of somebody else under a name that we want stays as it is, and is said to be there", "[native]"
) {
    Host host;
    for (const char* kind : {"bridge", "veth peer name other"}) {
        host.run(Space::underlay, std::string("ip link add ov type ") + kind + "; ip link set ov up");
        host.run(Space::underlay, "ip link set other up; ip addr add 192.0.2.1/24 dev ov");
        const Done refused = host.perform(AddLink{veth_link()});
        CHECK(refused.error == EEXIST);
        CHECK(has(refused.text, "not ours"));
        CHECK(has(host.run(Space::underlay, "ip addr show ov"), "192.0.2.1"));
        CHECK(host.perform(RemoveLink{Space::underlay, "ov"}).error == 0);
        CHECK(has(host.run(Space::underlay, "ip link show ov"), "ov"));
        CHECK(host.snapshot("ov").links.empty());
        host.run(Space::underlay, "ip link del ov");
    }
    CHECK(host.perform(AddLink{veth_link()}).error == 0);
    CHECK(host.snapshot("ov").links.size() == 1);
}

TEST_CASE(
    "a link of ours that somebody renames or alters is reported, and made anew under its name", "[native]"
) {
    Host host;
    Link link = veth_link();
    link.mtu = 1400;
    REQUIRE(host.perform(AddLink{link}).error == 0);
    host.run(Space::underlay, "ip link set ov mtu 1300");
    CHECK(
        host.wait_for<LinkAltered>([](const LinkAltered& a) { return a.link.name == "ov"; }).link.mtu == 1300
    );
    REQUIRE(host.perform(AddLink{link}).error == 0);
    CHECK(has(host.run(Space::underlay, "ip link show ov"), "mtu 1400"));
    host.run(Space::underlay, "ip link set ov down; ip link set ov name vo");
    CHECK(host.wait_for<LinkDown>().name == "ov");
}

TEST_CASE("a route of ours that somebody replaces is reported as lost", "[native]") {
    Host host;
    REQUIRE(host.perform(AddLink{veth_link()}).error == 0);
    for (const char* destination : {"fd67::/64", "10.1.0.0/16"}) {
        Route route = route_to(destination, "ov");
        route.key.metric = 77;
        REQUIRE(host.perform(AddRoute{route}).error == 0);
        for (const char* number : {"boot", "140"}) {  // under ours, too
            const std::string how = std::string(destination) + " dev ov metric 77 mtu 1300 proto " + number;
            host.run(Space::underlay, "ip route replace " + how);
            CHECK(host.wait_for<RouteLost>().key.destination == prefix(destination));
            REQUIRE(host.perform(AddRoute{route}).error == 0);
        }
    }
    CHECK(host.snapshot("ov").routes.size() == 2);
    CHECK(!host.has_heard<RouteLost>());  // of what we do ourselves nothing is told
}

TEST_CASE("a TUN device is fetched from where it was made, once", "[native]") {
    Host host;
    Link tun;
    tun.space = Space::overlay;
    tun.name = "tunnel";
    tun.kind = Tun{};
    tun.mtu = 1400;
    CHECK(host.perform(AddLink{tun}).error == ENODEV);
    host.run(Space::underlay, "ip tuntap add tunnel mode tun");
    REQUIRE(host.perform(AddLink{tun}).error == 0);
    const std::string inside = host.run(Space::overlay, "ip -d link show tunnel");
    CHECK(has(inside, "mtu 1400"));
    CHECK(has(inside, "UP"));
    CHECK(has(host.run(Space::underlay, "ip link show tunnel 2>&1"), "does not exist"));
    REQUIRE(host.perform(AddLink{tun}).error == 0);
    // One of somebody else is not mistaken for it, wherever it is.
    host.run(Space::underlay, "ip tuntap add tunnel mode tun");
    CHECK(host.perform(AddLink{tun}).error == 0);
    CHECK(has(host.run(Space::underlay, "ip link show tunnel"), "DOWN"));
    host.run(
        Space::overlay, "ip link del tunnel; ip link add tunnel type dummy || ip link add tunnel type bridge"
    );
    const Done refused = host.perform(AddLink{tun});
    CHECK(refused.error == EEXIST);
    CHECK(has(refused.text, "not ours"));
}

TEST_CASE("rules are added once, found again, told of when others remove them, and removed", "[native]") {
    Host host;
    const Rule rule{Space::underlay, Family::v6, 500, prefix("fd66::/16"), std::nullopt, 0x2a, 12025, true};
    REQUIRE(host.perform(AddRule{rule}).error == 0);
    REQUIRE(host.perform(AddRule{rule}).error == 0);
    const Snapshot snapshot = host.snapshot("ov");
    REQUIRE(snapshot.rules.size() == 1);
    CHECK(snapshot.rules.front() == rule);
    CHECK(
        has(host.run(Space::underlay, "ip -6 rule show pref 500"),
            "not from all to fd66::/16 fwmark 0x2a lookup 12025")
    );
    host.run(Space::underlay, "ip -6 rule del pref 500");
    CHECK(host.wait_for<RuleLost>().rule == rule);
    REQUIRE(host.perform(AddRule{rule}).error == 0);
    REQUIRE(host.perform(RemoveRule{rule}).error == 0);
    REQUIRE(host.perform(RemoveRule{rule}).error == 0);
    CHECK(host.snapshot("ov").rules.empty());
}

TEST_CASE(
    "an error comes with the kernel's own words, and a thousand changes are each answered once", "[native]"
) {
    Host host;
    Route nowhere = route_to("fd67::/64", "ov");
    CHECK(host.perform(AddRoute{nowhere}).error == ENODEV);
    REQUIRE(host.perform(AddLink{veth_link()}).error == 0);
    Route bad = route_to("10.0.0.0/8", "ov");
    bad.via = address("192.0.2.1");
    const Done refused = host.perform(AddRoute{bad});
    CHECK(refused.error == ENETUNREACH);
    CHECK(has(refused.text, "Nexthop has invalid gateway"));

    std::vector<Wish> routes;
    for (std::uint64_t i = 0; i < 1000; ++i) {
        Route route = route_to("fd00::/64", "ov");
        route.key.destination = Prefix(address("fd00::").plus(i << 32), 96);
        routes.push_back(AddRoute{route});
    }
    const auto answers = host.perform_all(std::move(routes));
    CHECK(answers.size() == 1000);
    CHECK(std::all_of(answers.begin(), answers.end(), [](const Done& done) { return done.error == 0; }));
    CHECK(host.snapshot("ov").routes.size() == 1000);
    CHECK(host.session().idle());
}

TEST_CASE("a message that claims to be longer than two gigabytes is no message") {
    Session session;
    SessionOutput output;
    base::Bytes bytes(64, 0xff);
    session.handle(Channel::underlay_route, bytes, base::Instant(), output);
    CHECK(output.notices.empty());
}

TEST_CASE(
    "a link leaves the group it was made in, and stays in the one that somebody puts it into", "[native]"
) {
    Host host;
    Link vrf;
    vrf.name = "ov";
    vrf.kind = Veth{"ov-far", Space::underlay};
    REQUIRE(host.perform(AddLink{vrf}).error == 0);
    CHECK(has(host.run(Space::underlay, "ip link show ov"), "group default"));
    host.run(Space::underlay, "ip link set ov group 77");
    vrf.mtu = 1400;
    REQUIRE(host.perform(AddLink{vrf}).error == 0);
    CHECK(has(host.run(Space::underlay, "ip link show ov"), "mtu 1400"));
    CHECK(has(host.run(Space::underlay, "ip link show ov"), "group 77"));
}

TEST_CASE(
    "row 9: the kernel tells of forwarding and rp_filter, once for all and of the link alone", "[native]"
) {
    Host host;
    REQUIRE(host.perform(AddLink{veth_link()}).error == 0);
    const auto told_of = [&](const std::string& link) {
        return host.wait_for<SysctlTouched>([&](const SysctlTouched& one) { return one.link == link; }).space;
    };
    const std::string forwarding = "net.ipv4.ip_forward";
    const std::string other = has(host.run(Space::underlay, "sysctl -n " + forwarding), "1") ? "0" : "1";
    host.run(Space::underlay, "sysctl -w " + forwarding + "=" + other);
    CHECK(told_of("") == Space::underlay);
    host.run(Space::overlay, "sysctl -w net.ipv6.conf.all.forwarding=1");
    CHECK(told_of("") == Space::overlay);
    host.run(Space::underlay, "sysctl -w net.ipv4.conf.ov.rp_filter=2");
    CHECK(told_of("ov") == Space::underlay);
}
