// VRF, XFRM interfaces, SAs and policies: on a kernel that has them (tests/guest).

#include "host.hpp"

using namespace aronet;
using namespace aronet::netlink;

namespace {

base::Sa make_sa(base::Direction direction, base::EspSuite suite) {
    base::Sa sa;
    sa.direction = direction;
    const bool out = direction == base::Direction::out;
    sa.source = {address(out ? "192.0.2.1" : "192.0.2.2"), 12025};
    sa.destination = {address(out ? "192.0.2.2" : "192.0.2.1"), 12026};
    sa.spi = out ? 0xc1000001 : 0xc1000002;
    sa.reqid = 7;
    sa.if_id = 0x2a;
    sa.suite = suite;
    base::Bytes key(base::key_size(suite));
    for (std::size_t i = 0; i < key.size(); ++i) key[i] = static_cast<base::Byte>(i);
    sa.key = base::Secret(base::ByteView(key));
    return sa;
}

Link tunnel_link(Space space, const std::string& master) {
    Link link;
    link.space = space;
    link.name = "ov-2a";
    link.kind = Tunnel{0x2a};
    link.mtu = 1400;
    link.multicast = true;
    link.keep_link_local = false;
    link.master = master;
    return link;
}

}  // namespace

TEST_CASE("a VRF with an enslaved tunnel interface is made, adopted and remade when it differs", "[.guest]") {
    Host host;
    Link vrf;
    vrf.name = "ov";
    vrf.kind = Vrf{128};
    REQUIRE(host.perform(AddLink{vrf}).error == 0);
    REQUIRE(host.perform(AddLink{tunnel_link(Space::underlay, "ov")}).error == 0);
    const std::string text = host.run(Space::underlay, "ip -d link show ov-2a");
    CHECK(has(text, "master ov"));
    CHECK(has(text, "MULTICAST"));
    CHECK(has(text, "mtu 1400"));
    CHECK(has(text, "xfrm if_id 0x2a"));
    CHECK(has(text, "addrgenmode none"));
    CHECK_FALSE(has(host.run(Space::underlay, "ip -6 addr show ov-2a"), "fe80"));
    const std::string before = host.run(Space::underlay, "cat /sys/class/net/ov-2a/ifindex");
    REQUIRE(host.perform(AddLink{tunnel_link(Space::underlay, "ov")}).error == 0);
    const Snapshot snapshot = host.snapshot("ov");
    CHECK(snapshot.links.size() == 2);

    Link other = tunnel_link(Space::underlay, "ov");
    other.kind = Tunnel{0x2b};
    REQUIRE(host.perform(AddLink{other}).error == 0);
    CHECK(has(host.run(Space::underlay, "ip -d link show ov-2a"), "if_id 0x2b"));
}

TEST_CASE("row 13: an if_id or a table that somebody else's link has is told with its name", "[.guest]") {
    Host host;
    host.run(
        Space::underlay, "ip link add theirs type xfrm dev lo if_id 0x2a; ip link add blue type vrf table 128"
    );
    Link vrf;
    vrf.name = "ov";
    vrf.kind = Vrf{128};
    const Done no_vrf = host.perform(AddLink{vrf}),
               no_tunnel = host.perform(AddLink{tunnel_link(Space::overlay, "")});
    CHECK(no_vrf.error == EEXIST);
    CHECK(no_vrf.text == "table 128 is that of blue, which is not ours");
    CHECK(no_tunnel.error == EEXIST);
    CHECK(no_tunnel.text == "if_id 0x0000002a is that of theirs, which is not ours");
    CHECK(has(host.run(Space::underlay, "ip -d link show theirs"), "if_id 0x2a"));
    host.run(Space::underlay, "ip link del theirs; ip link del blue; ip link add theirs type xfrm external");
    CHECK(host.perform(AddLink{vrf}).error == 0);
    CHECK(host.perform(AddLink{tunnel_link(Space::underlay, "")}).error == 0);
    Link shared = tunnel_link(Space::underlay, "");
    shared.name = "ov-x";
    shared.kind = External{};
    CHECK(
        host.perform(AddLink{shared}).text ==
        "the external interface of this namespace is that of theirs, which is not ours"
    );
    // One of ours that somebody gave another name is none of somebody else's.
    host.run(Space::underlay, "ip link set ov-2a down; ip link set ov-2a name other");
    CHECK(host.perform(AddLink{tunnel_link(Space::underlay, "")}).error == 0);
    CHECK_FALSE(has(host.run(Space::underlay, "ip link"), "other"));
}

TEST_CASE("a tunnel interface of the overlay keeps its SAs in the underlay", "[.guest]") {
    Host host;
    REQUIRE(host.perform(AddLink{tunnel_link(Space::overlay, "")}).error == 0);
    CHECK(has(host.run(Space::overlay, "ip -d link show ov-2a"), "xfrm if_id 0x2a"));
    CHECK_FALSE(has(host.run(Space::underlay, "ip link"), "ov-2a"));
    CHECK(has(host.run(Space::overlay, "ip link show ov-2a"), "UP"));
    REQUIRE(host.perform(RemoveLink{Space::overlay, "ov-2a"}).error == 0);
}

TEST_CASE("SAs of every suite and both directions are installed, replaced, listed and removed", "[.guest]") {
    Host host;
    using base::EspSuite;
    for (const EspSuite suite :
         {EspSuite::aes_gcm_128,
          EspSuite::aes_gcm_256,
          EspSuite::chacha20_poly1305,
          EspSuite::aes_cbc_128_sha256,
          EspSuite::aes_cbc_256_sha256,
          EspSuite::aes_cbc_256_sha512}) {
        INFO("suite " << int(suite));
        REQUIRE(host.perform(AddSa{make_sa(base::Direction::in, suite)}).error == 0);
        REQUIRE(host.perform(AddSa{make_sa(base::Direction::out, suite)}).error == 0);
    }
    const std::string text = host.run(Space::underlay, "ip xfrm state");
    CHECK(has(text, "src 192.0.2.1 dst 192.0.2.2"));
    CHECK(has(text, "spi 0xc1000001 reqid 7 mode tunnel"));
    CHECK(has(text, "flag nopmtudisc af-unspec"));
    CHECK(has(text, "encap type espinudp sport 12025 dport 12026"));
    CHECK(has(text, "if_id 0x2a"));
    CHECK(host.snapshot("ov").sas.size() == 2);
    for (const auto direction : {base::Direction::in, base::Direction::out}) {
        const base::Sa sa = make_sa(direction, EspSuite::aes_gcm_256);
        REQUIRE(host.perform(RemoveSa{sa.id(), sa.source.address}).error == 0);
        REQUIRE(host.perform(RemoveSa{sa.id(), sa.source.address}).error == 0);
    }
    CHECK(host.run(Space::underlay, "ip xfrm state").empty());
}

TEST_CASE("a window of 4096 packets, ESN and a mark reach the kernel", "[.guest]") {
    Host host;
    base::Sa in = make_sa(base::Direction::in, base::EspSuite::aes_gcm_256);
    in.esn = true;
    in.replay_window = 4096;
    REQUIRE(host.perform(AddSa{std::move(in)}).error == 0);
    base::Sa out = make_sa(base::Direction::out, base::EspSuite::aes_gcm_256);
    out.esn = true;
    out.mark = 0x77;
    REQUIRE(host.perform(AddSa{std::move(out)}).error == 0);
    const std::string text = host.run(Space::underlay, "ip xfrm state");
    CHECK(has(text, "replay_window 4096"));
    CHECK(has(text, "esn"));
    CHECK(has(text, "output-mark 0x77"));
}

TEST_CASE("SAs move: ports, their source, their destination; keys and numbers stay", "[.guest]") {
    Host host;
    const auto at = [](const char* text, std::uint16_t port) { return base::Endpoint{address(text), port}; };
    const auto state = [&](const char* how = "") {
        return host.run(Space::underlay, std::string("ip ") + how + " xfrm state");
    };
    for (const auto suite : {base::EspSuite::aes_gcm_256, base::EspSuite::aes_cbc_256_sha512}) {
        for (const bool esn : {false, true}) {
            INFO("suite " << int(suite) << (esn ? " with ESN" : ""));
            base::Sa in = make_sa(base::Direction::in, suite), out = make_sa(base::Direction::out, suite);
            in.esn = out.esn = esn;
            out.mark = 0x77;
            const base::SaId in_id = in.id(), out_id = out.id();
            REQUIRE(host.perform(AddSa{std::move(in)}).error == 0);
            REQUIRE(host.perform(AddSa{std::move(out)}).error == 0);
            const std::string before = state();
            const auto move = [&](const base::SaId& id, base::Direction direction, auto from, auto to) {
                const Done done = host.perform(MoveSa{id, direction, from, to});
                INFO(done.text);
                REQUIRE(done.error == 0);
            };
            // There and back by ports alone: as if nothing had been.
            move(out_id, base::Direction::out, at("192.0.2.1", 12025), at("192.0.2.2", 40777));
            CHECK(has(state(), "dport 40777"));
            move(out_id, base::Direction::out, at("192.0.2.1", 12025), at("192.0.2.2", 12026));
            CHECK(state() == before);
            move(in_id, base::Direction::in, at("198.51.100.7", 40777), at("192.0.2.1", 12026));
            CHECK(has(state(), "src 198.51.100.7 dst 192.0.2.1"));
            CHECK_FALSE(has(state(), "src 192.0.2.2 dst 192.0.2.1"));
            move(out_id, base::Direction::out, at("192.0.2.1", 12025), at("198.51.100.7", 40777));
            CHECK(has(state(), "src 192.0.2.1 dst 198.51.100.7"));
            CHECK(has(state(), "src 192.0.2.1 dst 192.0.2.2"));  // until it is removed
            CHECK(has(state(), "output-mark 0x77"));
            REQUIRE(host.perform(RemoveSa{out_id, address("192.0.2.1")}).error == 0);
            CHECK(host.snapshot("ov").sas.size() == 2);
            // Also where the family changes.
            const base::SaId moved{address("198.51.100.7"), out_id.spi};
            move(moved, base::Direction::out, at("2001:db8::1", 12025), at("2001:db8::7", 40777));
            CHECK(has(state(), "src 2001:db8::1 dst 2001:db8::7"));
            CHECK(host.perform(MoveSa{out_id, base::Direction::out, {}, {}}).error == ESRCH);
            host.run(Space::underlay, "ip xfrm state flush");
        }
    }
}

TEST_CASE("the six policies of a tunnel are set, switched to another SA and removed", "[.guest]") {
    Host host;
    Policies policies{0x2a, 7, address("192.0.2.1"), address("192.0.2.2"), 0xc1000001};
    REQUIRE(host.perform(SetPolicies{policies}).error == 0);
    policies.spi_out = 0xc1000009;
    REQUIRE(host.perform(SetPolicies{policies}).error == 0);
    const std::string text = host.run(Space::underlay, "ip xfrm policy");
    CHECK(has(text, "spi 0xc1000009"));
    CHECK_FALSE(has(text, "spi 0xc1000001"));
    std::size_t count = 0;
    for (auto at = text.find("if_id 0x2a"); at != std::string::npos; at = text.find("if_id 0x2a", at + 1))
        ++count;
    CHECK(count == 6);
    const auto shown = host.snapshot("ov").policies;
    REQUIRE(shown.size() == 1);
    CHECK(shown.front() == policies);
    REQUIRE(host.perform(RemovePolicies{0x2a}).error == 0);
    REQUIRE(host.perform(RemovePolicies{0x2a}).error == 0);
    CHECK(host.run(Space::underlay, "ip xfrm policy").empty());
}

TEST_CASE(
    "tunnels that share a link: pinned policies, routes that name them, the link in either space", "[.guest]"
) {
    for (const Space space : {Space::underlay, Space::overlay}) {
        Host host;
        Link link;
        link.space = space;
        link.name = "ov-x";
        link.kind = External{};
        link.mtu = 1400;
        link.keep_link_local = false;
        REQUIRE(host.perform(AddLink{link}).error == 0);
        REQUIRE(host.perform(AddLink{link}).error == 0);
        const auto links = host.snapshot("ov").links;
        REQUIRE(links.size() == 1);
        CHECK(links.front().kind == link.kind);
        Link other = link;
        other.name = "ov-y";
        CHECK(host.perform(AddLink{other}).error == EEXIST);  // one a namespace
        Route route;
        route.key = {space, 254, prefix("fe80::2/128"), std::nullopt, 1024};
        route.link = link.name;
        route.encap = XfrmEncap{0x2a};
        Route v4;
        v4.key = {space, 254, prefix("10.9.0.0/16"), std::nullopt, 32};
        v4.link = link.name;
        v4.via = address("fe80::2");
        v4.encap = XfrmEncap{0x2a};
        REQUIRE(host.perform(AddRoute{route}).error == 0);
        REQUIRE(host.perform(AddRoute{v4}).error == 0);
        const auto routes = host.snapshot("ov").routes;
        CHECK(std::ranges::find(routes, route) != routes.end());
        CHECK(std::ranges::find(routes, v4) != routes.end());
        const Pin pin{address("fe80::1"), address("fe80::2:0")};
        const Policies policies{0x2a, 7, address("192.0.2.1"), address("192.0.2.2"), 0xc1000001, pin};
        REQUIRE(host.perform(SetPolicies{policies}).error == 0);
        REQUIRE(host.perform(SetPolicies{policies}).error == 0);
        CHECK(host.snapshot("ov").policies == std::vector{policies});
        CHECK(has(host.run(Space::underlay, "ip xfrm policy"), "src fe80::/10 dst ::/0"));
        REQUIRE(host.perform(RemovePolicies{0x2a, pin}).error == 0);
        CHECK(host.run(Space::underlay, "ip xfrm policy").empty());
    }
}

TEST_CASE("End.DT46 of a VRF table is a route", "[.guest]") {
    Host host;
    Link vrf;
    vrf.name = "ov";
    vrf.kind = Vrf{128};
    host.run(Space::underlay, "sysctl -qw net.vrf.strict_mode=1");
    REQUIRE(host.perform(AddLink{vrf}).error == 0);
    Route route;
    route.key.destination = prefix("fd66::ffff:0:0:c/128");
    route.key.table = 128;
    route.link = "ov";
    route.encap = Seg6LocalEndDt46{128};
    REQUIRE(host.perform(AddRoute{route}).error == 0);
    CHECK(has(host.run(Space::underlay, "ip -6 route show table 128"), "action End.DT46 vrftable 128"));
    Route reduced;
    reduced.key.destination = prefix("192.168.9.0/24");
    reduced.link = "ov";
    reduced.mtu = 1360;
    reduced.encap = Seg6Encap{{address("fd67::b")}, true};
    REQUIRE(host.perform(AddRoute{reduced}).error == 0);
    CHECK(
        has(host.run(Space::underlay, "ip route show proto 140"),
            "mode encap.red segs 1 [ fd67::b ] dev ov scope link mtu 1360")
    );
}

TEST_CASE("what an SA has carried is read in one batch", "[.guest]") {
    Host host;
    REQUIRE(host.perform(AddLink{veth_link()}).error == 0);
    REQUIRE(host.perform(AddLink{tunnel_link(Space::underlay, "")}).error == 0);
    host.run(Space::underlay, "ip addr add 192.0.2.1/24 dev ov; ip addr add 10.9.0.1/24 dev ov-2a");
    base::Sa in = make_sa(base::Direction::in, base::EspSuite::aes_gcm_256);
    base::Sa out = make_sa(base::Direction::out, base::EspSuite::aes_gcm_256);
    const base::SaId in_id = in.id(), out_id = out.id();
    REQUIRE(host.perform(AddSa{std::move(in)}).error == 0);
    REQUIRE(host.perform(AddSa{std::move(out)}).error == 0);
    REQUIRE(
        host.perform(SetPolicies{{0x2a, 7, address("192.0.2.1"), address("192.0.2.2"), out_id.spi}}).error ==
        0
    );
    const auto read = [&](const base::SaId& id) {
        REQUIRE(host.perform(ReadCounters{}).error == 0);
        const auto counters = host.wait_for<Counters>();
        CHECK(counters.sas.size() == 2);
        for (const Counters::Sa& sa : counters.sas) {
            if (sa.id == id) return sa;
        }
        FAIL("the SA is not there");
        return Counters::Sa{};
    };
    const auto before = read(out_id).packets;
    host.run(Space::underlay, "ping -c3 -i0.2 -W1 10.9.0.2");
    const auto after = read(out_id);
    CHECK(after.packets >= before + 3);
    CHECK(after.bytes >= 3 * 84);
    CHECK(read(in_id).packets == 0);
}
