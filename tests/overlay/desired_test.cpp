#include "overlay/host_side.hpp"
#include "overlay/keeper.hpp"
#include "overlay/legacy.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace aronet;
using namespace aronet::overlay;

namespace {

Config config(Mode mode) {
    Config out;
    out.organization = "acme";
    out.common_name = "one";
    out.network = *Prefix::parse("fd66::/64");
    out.prefixes = {*Prefix::parse("10.1.0.0/16")};
    out.extra_ip = {{*Address::parse("10.1.0.1"), 32}};
    out.mode = mode;
    EndpointConfig endpoint;
    endpoint.address = *Address::parse("192.0.2.1");
    endpoint.serial_number = "0";
    out.endpoints = {endpoint};
    return out;
}

Registry registry(int nodes) {
    Registry out;
    for (int i = 2; i < nodes + 2; ++i) {
        RegistryNode node;
        node.organization = "acme";
        node.common_name = "n" + std::to_string(i);
        node.network = *Prefix::parse("fd" + std::to_string(60 + i) + "::/64");
        node.prefixes = {
            *Prefix::parse("10." + std::to_string(i) + ".0.0/16"), *Prefix::parse("10.1.0.0/16")};
        RegistryEndpoint endpoint;
        endpoint.address = *Address::parse("192.0.2." + std::to_string(i));
        endpoint.serial_number = "0";
        node.endpoints = {endpoint};
        out.nodes.push_back(node);
    }
    return out;
}

Objects objects(Mode mode, int nodes) {
    return desired(config(mode), registry(nodes), pairings(config(mode), registry(nodes), {}));
}

std::vector<std::string> words(const Objects& wanted) {
    std::vector<std::string> out;
    for (const netlink::Wish& wish : difference({}, wanted)) out.push_back(netlink::describe(wish));
    return out;
}

bool says(const std::vector<std::string>& lines, const std::string& part) {
    return std::any_of(lines.begin(), lines.end(), [&](const std::string& line) {
        return line.find(part) != std::string::npos;
    });
}

// Performs wishes on the values themselves.
Objects performed(Objects state, const std::vector<netlink::Wish>& wishes) {
    for (const netlink::Wish& wish : wishes) {
        if (const auto* add = std::get_if<netlink::AddRoute>(&wish)) {
            std::erase_if(state.routes, [&](const auto& r) { return r.key == add->route.key; });
            state.routes.push_back(add->route);
        } else if (const auto* remove = std::get_if<netlink::RemoveRoute>(&wish)) {
            std::erase_if(state.routes, [&](const auto& r) { return r.key == remove->key; });
        } else if (const auto* link = std::get_if<netlink::AddLink>(&wish)) {
            std::erase_if(state.links, [&](const auto& l) { return l.name == link->link.name; });
            state.links.push_back(link->link);
        } else if (const auto* gone = std::get_if<netlink::RemoveLink>(&wish)) {
            std::erase_if(state.links, [&](const auto& l) { return l.name == gone->name; });
            std::erase_if(state.addresses, [&](const auto& a) { return a.link == gone->name; });
        } else if (const auto* address = std::get_if<netlink::AddAddress>(&wish)) {
            state.addresses.push_back(address->address);
        } else if (const auto* away = std::get_if<netlink::RemoveAddress>(&wish)) {
            std::erase(state.addresses, away->address);
        } else if (const auto* rule = std::get_if<netlink::AddRule>(&wish)) {
            state.rules.push_back(rule->rule);
        } else if (const auto* off = std::get_if<netlink::RemoveRule>(&wish)) {
            std::erase(state.rules, off->rule);
        }
    }
    return state;
}

bool same(Objects a, Objects b) {
    const auto by_name = [](const auto& x, const auto& y) { return x.name < y.name; };
    std::sort(a.links.begin(), a.links.end(), by_name);
    std::sort(b.links.begin(), b.links.end(), by_name);
    for (Objects* o : {&a, &b}) {
        std::sort(o->rules.begin(), o->rules.end());
        std::sort(o->addresses.begin(), o->addresses.end());
        std::sort(o->routes.begin(), o->routes.end());
    }
    return a.links == b.links && a.addresses == b.addresses && a.routes == b.routes && a.rules == b.rules;
}

}  // namespace

TEST_CASE("with a VRF the kernel looks as the original leaves it") {
    const auto lines = words(objects(Mode::vrf, 1));
    CHECK(lines.front() == "ip link add aronet type vrf table 128");
    CHECK(says(lines, "ip addr add fd66::ffff:0:0:1/128 dev aronet"));
    CHECK(says(lines, "ip addr add 10.1.0.1/32 dev aronet"));
    CHECK(says(lines, "fd66::ffff:0:0:a/128 encap seg6local action End dev aronet table 128"));
    CHECK(says(lines, "fd66::ffff:0:0:b/128 encap seg6local action End.DX4 nh4 0.0.0.0 dev aronet table 128")
    );
    CHECK(says(lines, "ip route replace 10.2.0.0/16 dev aronet table 12025"));
    CHECK(says(lines, "ip -6 route replace fd62::/64 dev aronet table 12025"));
    CHECK(says(lines, "mtu 1400 type xfrm if_id 0x"));
    CHECK(says(lines, "multicast on master aronet"));
}

TEST_CASE("with a namespace a veth pair leads into it and default routes lead out") {
    const auto lines = words(objects(Mode::netns, 1));
    CHECK(lines.front() == "ip link add aronet type veth peer name aronet");
    CHECK(says(lines, "ip addr add fd66::ffff:0:0:1 peer fd66::ffff:0:0:2/128 dev aronet"));
    CHECK(says(lines, "ip -n overlay addr add fd66::ffff:0:0:2 peer fd66::ffff:0:0:1/128 dev aronet"));
    CHECK(says(lines, "ip -n overlay addr add 192.168.168.168/32 dev aronet"));
    CHECK(says(lines, "ip -n overlay -6 route replace ::/0 via fd66::ffff:0:0:1 dev aronet"));
    CHECK(says(lines, "ip -n overlay route replace 0.0.0.0/0 via inet6 fd66::ffff:0:0:1 dev aronet"));
    CHECK(says(lines, "ip route replace 10.2.0.0/16 via inet6 fd66::ffff:0:0:2 dev aronet table 12025"));
    CHECK(says(
        lines, "ip -n overlay -6 route replace fd66::ffff:0:0:a/128 encap seg6local action End dev aronet"
    ));
}

TEST_CASE("what is the others' has an end on the host that only the tunnels' own packets do not look at") {
    for (const Mode mode : {Mode::vrf, Mode::netns}) {
        const auto lines = words(objects(mode, 1));
        for (const char* prefix : {"10.2.0.0/16", "-6 route replace unreachable fd62::/64"})
            CHECK(says(lines, std::string(prefix) + " table 12025 proto 140 metric 4278198272"));
        for (const char* family : {"ip rule add ", "ip -6 rule add "})
            CHECK(says(lines, std::string(family) + "pref 32000 not fwmark 0x000020a0 lookup 12025"));
        CHECK(!says(lines, "unreachable 10.1.0.0/16"));
        // As the original: no guard, no rule.
        Config original = config(mode);
        original.host_table = netlink::kMainTable;
        const Objects in_main = desired(original, registry(1), {});
        CHECK(says(words(in_main), "ip -6 route replace fd62::/64"));
        CHECK(in_main.rules.empty());
        for (const auto& route : in_main.routes) {
            const bool guards = route.kind == netlink::RouteKind::unreachable;
            const bool inside =
                mode == Mode::vrf ? route.key.table == 128 : route.key.space == netlink::Space::overlay;
            CHECK((!guards || inside));
        }
    }
    CHECK(objects(Mode::none, 1).rules.empty());
}

TEST_CASE(
    "row 63: a prefix that holds the nodes' own addresses is taken, as the tunnels' packets go by other "
    "tables"
) {
    Registry all = registry(2);
    all.nodes[0].prefixes = {*Prefix::parse("192.0.2.0/24")};
    for (const Mode mode : {Mode::vrf, Mode::netns}) {
        const Objects wanted = desired(config(mode), all, pairings(config(mode), all, {}));
        unsigned routes = 0;
        for (const netlink::Route& route : wanted.routes) {
            if (route.key.destination != all.nodes[0].prefixes[0]) continue;
            ++routes;
            const bool of_host = route.key.space == netlink::Space::underlay && route.key.table == 12025;
            const bool inside =
                mode == Mode::vrf ? route.key.table == 128 : route.key.space == netlink::Space::overlay;
            CHECK((of_host || inside));
        }
        CHECK(routes >= 2);
        REQUIRE_FALSE(wanted.rules.empty());
        for (const netlink::Rule& rule : wanted.rules) {
            CHECK(rule.unless_fits);
            CHECK(rule.mark == config(mode).fwmark);
        }
    }
}

TEST_CASE("a rule of protocol 140 is ours where it leads all to a table of the host's at our place") {
    netlink::Snapshot snapshot;
    netlink::Rule rule;
    rule.priority = kHostRule;
    rule.table = 12025;
    snapshot.rules.push_back(rule);
    for (const auto& change :
         {+[](netlink::Rule& r) { r.priority = 31000; },
          +[](netlink::Rule& r) { r.table = 77; },
          +[](netlink::Rule& r) { r.from = *Prefix::parse("10.0.0.0/8"); },
          +[](netlink::Rule& r) { r.to = *Prefix::parse("10.0.0.0/8"); },
          +[](netlink::Rule& r) { r.space = netlink::Space::overlay; }}) {
        snapshot.rules.push_back(rule);
        change(snapshot.rules.back());
    }
    CHECK(found(snapshot, config(Mode::vrf)).rules == std::vector<netlink::Rule>{rule});
}

TEST_CASE("what is ours leaves the overlay towards this host, also when others claim it, or something wider"
) {
    for (const Mode mode : {Mode::vrf, Mode::netns, Mode::none}) {
        std::size_t found = 0, in_host_table = 0;
        for (const auto& route : objects(mode, 3).routes) {
            const bool ours = route.key.destination == *Prefix::parse("10.1.0.0/16") ||
                              route.key.destination == *Prefix::parse("fd66::/64");
            if (!ours) continue;
            CHECK(route.key.metric == 1024);
            if (route.key.table == 12025) {  // that the host looks at before its own
                CHECK(route.kind == netlink::RouteKind::skip);
                CHECK(route.key.space == netlink::Space::underlay);
                ++in_host_table;
                continue;
            }
            ++found;
            CHECK(route.key.table == (mode == Mode::vrf ? 128 : 254));
            if (mode == Mode::vrf) CHECK(route.kind == netlink::RouteKind::skip);
            if (mode == Mode::netns) CHECK(route.via == Address::parse("fd66::ffff:0:0:1"));
        }
        CHECK(found == (mode == Mode::none ? 0 : 2));
        CHECK(in_host_table == (mode == Mode::none ? 0 : 2));
    }
}

TEST_CASE("IPv4 is carried to the SID of the node that has it, which tells what comes out of IPv6") {
    for (const Mode mode : {Mode::vrf, Mode::netns}) {
        Config carrying = config(mode);
        carrying.ipv4_transport = Ipv4Transport::srv6;
        const auto lines = words(desired(carrying, registry(1), {}));
        CHECK(says(
            lines,
            "10.2.0.0/16 encap seg6 mode encap.red segs fd62::ffff:0:0:b dev aronet mtu 1400 table " +
                std::to_string(mode == Mode::vrf ? 128 : netlink::kMainTable)
        ));
        // Who forwards into it has to know what fits.
        CHECK(says(lines, "ip route replace 10.2.0.0/16"));
        CHECK(says(lines, "dev aronet mtu 1336 table 12025"));
        Registry shared = registry(2);  // of several Babel chooses one
        shared.nodes[1].prefixes.push_back(*Prefix::parse("10.2.0.0/16"));
        CHECK_FALSE(says(words(desired(carrying, shared, {})), "10.2.0.0/16 encap"));
        CHECK_FALSE(says(lines, "ip -6 route replace fd62::/64 encap"));
        Registry without = registry(1);
        without.nodes[0].network.reset();
        CHECK_FALSE(says(words(desired(carrying, without, {})), "encap seg6 "));
    }
    const auto strict = words(desired(config(Mode::vrf), registry(1), {}, true));
    for (const char* sid : {"fd66::ffff:0:0:b/128", "fd66::ffff:0:0:c/128"})
        CHECK(says(strict, std::string(sid) + " encap seg6local action End.DT46 vrftable 128 dev aronet"));
    const auto inside = words(desired(config(Mode::netns), registry(1), {}, true));
    CHECK(says(inside, "fd66::ffff:0:0:b/128 encap seg6local action End.DX4 nh4 0.0.0.0"));
    CHECK(says(inside, "fd66::ffff:0:0:c/128 encap seg6local action End.DX6 nh6 ::"));
}

TEST_CASE("segments of forwarded TCP fit into a tunnel with all that is around them") {
    Config clamping = config(Mode::vrf);
    CHECK(clamp(clamping)->ipv4 == 1360);
    CHECK(clamp(clamping)->ipv6 == 1340);
    CHECK(clamp(clamping)->table == "aronet_aronet");
    clamping.ipv4_transport = Ipv4Transport::srv6;
    CHECK(clamp(clamping)->ipv4 == 1360 - 40 - 8 - 16);
    clamping.segments = {{*Prefix::parse("fd62::/64"), {NodeName{"acme", "n3"}}}};
    CHECK(clamp(clamping)->ipv6 == 1340 - 40 - 8 - 32);
    clamping.mode = Mode::none;
    CHECK_FALSE(clamp(clamping));
    clamping.mode = Mode::netns;
    clamping.clamp_mss = false;
    CHECK_FALSE(clamp(clamping));
}

TEST_CASE("a prefix with segments passes the nodes that are named, once the registry has them all") {
    Config steering = config(Mode::netns);
    const Prefix part = *Prefix::parse("10.2.128.0/17"), whole = *Prefix::parse("fd62::/64");
    steering.segments = {
        {part, {NodeName{"acme", "n3"}, *Address::parse("fd63::5")}}, {whole, {NodeName{"acme", "n3"}}}};
    const auto lines = words(desired(steering, registry(2), {}));
    CHECK(
        says(lines, "10.2.128.0/17 encap seg6 mode encap.red segs fd63::ffff:0:0:a,fd63::5,fd62::ffff:0:0:b")
    );
    CHECK(says(lines, "ip route replace 10.2.0.0/16 via"));
    CHECK(says(lines, "ip route replace 10.2.128.0/17 via"));
    CHECK(says(lines, "fd62::/64 encap seg6 mode encap.red segs fd63::ffff:0:0:a,fd62::ffff:0:0:c dev"));
    CHECK_FALSE(says(lines, "fd62::/64 via"));
    CHECK(says(lines, "unreachable fd62::/64 table 12025"));
    // Else the packets that carry would be carried themselves.
    CHECK(says(lines, "fd62::ffff:0:0:c/128 via fd66::ffff:0:0:2 dev aronet table 12025"));
    const auto before = words(desired(steering, registry(1), {}));
    CHECK_FALSE(says(before, "encap seg6 "));
    CHECK(says(before, "fd62::/64 via"));
    CHECK(lists_out_of_force(steering, registry(2)).empty());
    CHECK(lists_out_of_force(steering, registry(1)) == std::vector{part, whole});
    // What is in no prefix of the registry would leave in the clear.
    steering.segments = {{part, {*Address::parse("fd99::5")}}};
    CHECK_FALSE(says(words(desired(steering, registry(2), {})), "encap seg6 "));
    // A segment that is carried by the list that it is on would never arrive.
    const Prefix sid = *Prefix::parse("fd62::ffff:0:0:c/128");
    steering.segments = {{sid, {NodeName{"acme", "n3"}}}};
    CHECK_FALSE(says(words(desired(steering, registry(2), {})), "encap seg6 "));
    CHECK(lists_out_of_force(steering, registry(2)) == std::vector{sid});
    // Nor does one list carry what another one's packets are for.
    steering.segments = {
        {*Prefix::parse("fd62::/64"), {NodeName{"acme", "n3"}}},
        {*Prefix::parse("fd63::/64"), {NodeName{"acme", "n2"}}}};
    const auto both = words(desired(steering, registry(2), {}));
    for (const char* each : {"fd62::ffff:0:0:a", "fd62::ffff:0:0:c", "fd63::ffff:0:0:a", "fd63::ffff:0:0:c"})
        CHECK(says(both, std::string(each) + "/128 via fd66::ffff:0:0:2 dev aronet table 12025"));
}

TEST_CASE("of an earlier run with another table for the host nothing is left") {
    netlink::Snapshot snapshot;
    auto& link = snapshot.links.emplace_back();
    link.name = "aronet";
    link.kind = netlink::Vrf{128};
    for (const char* out_of : {"aronet", ""}) {
        auto& route = snapshot.routes.emplace_back();
        route.key = {netlink::Space::underlay, 12025, *Prefix::parse("10.2.0.0/16"), std::nullopt, 5};
        route.link = out_of;
        if (route.link.empty()) route.kind = netlink::RouteKind::unreachable;
    }
    snapshot.rules.emplace_back().table = 12025;
    snapshot.rules.back().priority = kHostRule;
    for (const Mode mode : {Mode::vrf, Mode::netns, Mode::none}) {
        Config now = config(mode);
        now.host_table = netlink::kMainTable;
        const Objects ours = found(snapshot, now);
        CHECK(ours.routes.size() == 2);
        CHECK(ours.rules.size() == 1);
    }
}

TEST_CASE("what leaves by an exit goes to the host, for its sources before what others announce") {
    for (const Mode mode : {Mode::vrf, Mode::netns}) {
        Config with = config(mode);
        const Prefix any = Prefix::any(Family::v6), source = *Prefix::parse("fd10::/16");
        with.exits = {{{any, source}, 0}, {babel::Destination::of(Prefix::any(Family::v4)), 0}};
        const auto lines = words(desired(with, registry(1), {}));
        if (mode == Mode::vrf) {
            CHECK(says(lines, "ip -6 route replace throw ::/0 from fd10::/16 table 128 proto 140 metric 1024")
            );
            CHECK(says(lines, "ip route replace throw 0.0.0.0/0 table 128 proto 140 metric 1024"));
        } else {
            CHECK(says(
                lines,
                "ip -n overlay -6 route replace ::/0 from fd10::/16 via fd66::ffff:0:0:1 dev aronet table "
                "254 "
                "proto 140 metric 1024"
            ));
        }
    }
}

TEST_CASE("what a difference says leads from one state to the other, and from equal states nowhere") {
    for (const Mode mode : {Mode::vrf, Mode::netns}) {
        for (const int before : {0, 1, 5}) {
            for (const int after : {0, 2, 5}) {
                const Objects actual = objects(mode, before), wanted = objects(mode, after);
                CHECK(same(performed(actual, difference(actual, wanted)), wanted));
                CHECK(difference(wanted, wanted).empty());
            }
        }
    }
}

TEST_CASE("a node that is gone takes its routes, its guards and its interface with it") {
    const Objects before = objects(Mode::vrf, 2), after = objects(Mode::vrf, 1);
    std::size_t routes = 0, links = 0, added = 0;
    for (const netlink::Wish& wish : difference(before, after)) {
        routes += std::holds_alternative<netlink::RemoveRoute>(wish) ? 1 : 0;
        links += std::holds_alternative<netlink::RemoveLink>(wish) ? 1 : 0;
        added += netlink::describe(wish).find(" add ") != std::string::npos ? 1 : 0;
    }
    CHECK(routes == 6);  // network and prefix, each with its guards
    CHECK(links == 1);
    CHECK(added == 0);
}

TEST_CASE("a link is ours by its whole name, not by how it begins") {
    netlink::Snapshot snapshot;
    for (const char* name :
         {"aronet", "aronet-1", "aronet-00ff12ab", "aronet-lan", "aronet-", "aronet-123456789"}) {
        netlink::Link link;
        link.name = name;
        link.kind = netlink::Tun{};
        snapshot.links.push_back(link);
    }
    const Objects ours = found(snapshot, config(Mode::vrf));
    REQUIRE(ours.links.size() == 3);
    CHECK(ours.links.back().name == "aronet-00ff12ab");
}

TEST_CASE("SAs and policies of an earlier run are cleaned up, those of others are not") {
    const auto planned = pairings(config(Mode::vrf), registry(1), {});
    netlink::Snapshot snapshot;
    const Address peer = *Address::parse("192.0.2.2");
    snapshot.sas = {{{peer, 0x1000}, peer, 1, planned.at(0).if_id}, {{peer, 0x2000}, peer, 9, 9}};
    snapshot.policies.resize(2);
    snapshot.policies[0].if_id = planned.at(0).if_id;
    snapshot.policies[1].if_id = 9;
    CHECK(clean_up(snapshot, config(Mode::vrf), planned, {}).size() == 2);
    netlink::Link old;
    old.name = "aronet-9";
    old.kind = netlink::Tunnel{9};
    snapshot.links = {old};
    CHECK(clean_up(snapshot, config(Mode::vrf), planned, {}).size() == 4);
}
