// What nodes are to each other: partial meshes, leaves, exits, and who announces what is another's.

#include "sim/story.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace aronet;
using namespace aronet::sim;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

using overlay::Config;

json list_of(World& world, std::size_t host, const char* verb) {
    return json::parse(world.ask(host, verb)).at(verb);
}

std::size_t tunnels_of(World& world, std::size_t host) { return list_of(world, host, "tunnels").size(); }

std::string warnings(World& world, std::size_t host) {
    return json::parse(world.ask(host, "status")).at("warnings").dump();
}

void only_with(HostPlan& plan, const std::string& name) {
    plan.configure = [name](Config& config) { config.connect = {{{{"*", name}, false}}}; };
}

// 0 - 1 - 2, and by way of 3, too, if that is there.
void cut_the_ends(World& world) { world.cut(0, 2); }

// ---- exits

const base::Prefix kEverything4 = base::Prefix::any(base::Family::v4);
const base::Prefix kEverything6 = base::Prefix::any(base::Family::v6);

netlink::ForeignRoute default_route(base::Family family) {
    netlink::Route route;
    route.key = {netlink::Space::underlay, 254, base::Prefix::any(family), std::nullopt, 0};
    route.link = "eth0";
    return {route, 3};
}

// Of Babel.
bool has_default(World& world, std::size_t host, const babel::Destination& about) {
    for (const auto& [key, route] : world.kernel(host).routes()) {
        const auto source = key.source.value_or(base::Prefix::any(key.destination.family()));
        const bool same = key.destination == about.prefix && source == about.source;
        if (same && key.metric == overlay::kBabelMetric && route.kind == netlink::RouteKind::unicast)
            return true;
    }
    return false;
}

// The first is an exit, the second takes what it offers, the third does not.
struct WithExit : World {
    explicit WithExit(overlay::SysctlChoice sysctl = overlay::SysctlChoice::apply)
        : World(41, hosts(sysctl)) {
        start_all();
        REQUIRE(converge(20s));
        tell(0, netlink::LinkUp{netlink::Space::underlay, "eth0", 2, 1500});
        for (const auto family : {base::Family::v4, base::Family::v6}) tell(0, default_route(family));
    }
    static std::vector<HostPlan> hosts(overlay::SysctlChoice sysctl) {
        auto list = plans(3);
        list[0].configure = [sysctl](Config& config) {
            config.sysctl = sysctl;
            config.exits = {
                {{kEverything6, *base::Prefix::parse("fd10:2::/64")}, 0},
                {babel::Destination::of(kEverything4), 5}};
        };
        list[1].configure = [](Config& config) {
            config.babel.imports = {{{.peer = "sim/node1", .unregistered = true}, 10}};
        };
        return list;
    }
    bool is_used(std::size_t host, bool v4, bool v6) {
        return has_default(*this, host, babel::Destination::of(kEverything4)) == v4 &&
               has_default(*this, host, {kEverything6, *base::Prefix::parse("fd10:2::/64")}) == v6;
    }
    void forwarding(const char* value) {
        for (const char* key : {"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"})
            kernel(0).perform({0, netlink::SetSysctl{netlink::Space::underlay, key, value}});
    }
};

}  // namespace

TEST_CASE("around a hub only the hub has tunnels with all, and everybody reaches everybody") {
    auto hosts = plans(6);
    for (std::size_t i = 1; i < hosts.size(); ++i) only_with(hosts[i], "node1");
    World world(40, hosts);
    world.start_all();
    const bool converged = world.converge(30s);
    INFO(report(world));
    REQUIRE(converged);
    CHECK(tunnels_of(world, 0) == 5);
    for (std::size_t i = 1; i < hosts.size(); ++i) CHECK(tunnels_of(world, i) == 1);
    CHECK(world.violations().empty());
}

TEST_CASE("a rule that the registry does not tell of costs the others a question in half a minute") {
    auto hosts = plans(4);
    only_with(hosts[1], "node1");
    hosts[1].tells_connect = false;
    World world(40, hosts);
    world.start_all();
    const bool converged = world.converge(30s);
    INFO(report(world));
    REQUIRE(converged);
    CHECK(tunnels_of(world, 1) == 1);
    CHECK(tunnels_of(world, 2) == 3);
    world.run_for(300s);
    const std::uint64_t before = world.ike_sent();
    world.run_for(300s);
    // Two nodes try, four messages each time.
    CHECK(world.ike_sent() - before > 0);
    CHECK(world.ike_sent() - before <= 2 * 4 * 300 / 20);
    CHECK(world.unreached().empty());
    CHECK(world.violations().empty());
}

TEST_CASE("a node that is no transit is reached, and nobody is through it") {
    for (const bool transit : {true, false}) {
        CAPTURE(transit);
        auto hosts = plans(3);
        hosts[1].configure = [transit](Config& config) { config.babel.transit = transit; };
        World world(42, hosts);
        cut_the_ends(world);
        world.start_all();
        world.run_for(40s);
        const auto unreached = world.unreached();
        CHECK(unreached.size() == (transit ? 0 : 4));
        for (const std::string& pair : unreached) CHECK(pair.find("node2") == std::string::npos);
        const auto status = json::parse(world.ask(0, "status"));
        CHECK(status.at("unreached") == (transit ? json::array() : json::array({"sim/node3"})));
        CHECK(world.violations().empty());
    }
}

TEST_CASE("traffic goes round a node that is no transit, however near that is") {
    auto hosts = plans(4);
    hosts[1].configure = [](Config& config) { config.babel.transit = false; };
    hosts[3].configure = [](Config& config) { config.babel.rxcost = 5000; };
    World world(43, hosts);
    cut_the_ends(world);
    world.start_all();
    const bool converged = world.converge(40s);
    INFO(report(world));
    REQUIRE(converged);
    world.run_for(30s);
    for (const json& route : list_of(world, 0, "routes")) {
        const bool to_the_end = route.at("destination") == "10.10.3.0/24";
        if (to_the_end) CHECK(route.at("via") == "sim/node4");
    }
    CHECK(world.violations().empty());
}

TEST_CASE("a peer that is made dearer is told so") {
    auto hosts = plans(3);
    hosts[0].configure = [](Config& config) { config.babel.peers = {{{"*", "node2"}, 100}}; };
    World world(44, hosts);
    world.start_all();
    REQUIRE(world.converge(20s));
    world.run_for(10s);
    for (const json& neighbour : list_of(world, 0, "neighbours"))
        CHECK(neighbour.at("rxcost") == (neighbour.at("peer") == "sim/node2" ? 132 : 32));
    for (const json& neighbour : list_of(world, 1, "neighbours"))
        CHECK(neighbour.at("txcost") == (neighbour.at("peer") == "sim/node1" ? 132 : 32));
}

TEST_CASE("an exit is announced while its host has a default route, to whoever lets it in") {
    WithExit world;
    world.run_for(4s);
    CHECK(world.is_used(1, true, true));
    CHECK(world.is_used(2, false, false));
    for (const json& route : list_of(world, 1, "routes")) {
        if (route.at("destination") == "0.0.0.0/0") CHECK(route.at("received_metric") == 15);
    }
    world.tell(0, netlink::ForeignRouteGone{default_route(base::Family::v4).route.key});
    world.run_for(1s);
    CHECK(world.is_used(1, false, true));
    const auto exits = json::parse(world.ask(0, "status")).at("exits");
    CHECK(exits.at(0).at("announced") == true);
    CHECK(exits.at(1).at("announced") == false);
    CHECK(exits.at(1).at("obstacle") == "the underlay has no default route");
    CHECK(warnings(world, 0).find("the exit 0.0.0.0/0 is not announced") != std::string::npos);
    world.tell(0, default_route(base::Family::v4));
    world.run_for(1s);
    CHECK(world.is_used(1, true, true));
    world.tell(0, netlink::LinkDown{netlink::Space::underlay, "eth0"});
    world.run_for(1s);
    CHECK(world.is_used(1, false, false));
    world.stop(0);
    world.run_for(6s);
    CHECK(world.kernel(0).is_empty());
    INFO(report(world));
    CHECK(world.violations().empty());
}

TEST_CASE("an exit is taken back within some seconds when its host does not forward any more") {
    WithExit world(overlay::SysctlChoice::check);
    world.run_for(4s);
    CHECK(world.is_used(1, false, false));
    world.forwarding("1");
    world.run_for(4s);
    CHECK(world.is_used(1, true, true));
    world.forwarding("0");
    world.run_for(4s);
    CHECK(world.is_used(1, false, false));
    INFO(report(world));
    CHECK(world.violations().empty());
}

TEST_CASE("where it may, an exit has its host forward again") {
    WithExit world;
    world.run_for(4s);
    REQUIRE(world.is_used(1, true, true));
    world.forwarding("0");
    world.run_for(8s);
    CHECK(world.is_used(1, true, true));
}

TEST_CASE("row 55: a member that announces another member's prefix is heard, and told of by name") {
    auto hosts = plans(4);
    hosts[1].configure = [](Config& config) {
        config.prefixes.push_back(*base::Prefix::parse("10.10.3.0/24"));
    };
    World world(45, hosts);
    world.start_all();
    world.run_for(15s);
    CHECK(warnings(world, 0) == "[]");
    world.run_for(45s);
    const std::string told = "sim/node2 announces 10.10.3.0/24 of sim/node3";
    for (const std::size_t host : {0, 1, 2, 3}) CHECK(warnings(world, host).find(told) != std::string::npos);
    std::size_t ways = 0;
    for (const json& route : list_of(world, 0, "routes"))
        ways += route.at("destination") == "10.10.3.0/24" && route.at("via") == "sim/node2" ? 1 : 0;
    CHECK(ways == 1);
    // Without it nothing is told of any more.
    world.stop(1);
    world.run_for(90s);
    CHECK(warnings(world, 0) == "[]");
}

TEST_CASE("restarts, and who is transit for all, are no reason to warn of anybody") {
    auto hosts = plans(4);
    for (std::size_t i = 1; i < hosts.size(); ++i) only_with(hosts[i], "node1");
    World world(46, hosts);
    world.start_all();
    REQUIRE(world.converge(30s));
    for (int i = 0; i < 5; ++i) {
        world.kill(2);
        world.run_for(3s);
        world.start(2);
        world.run_for(40s);
        for (const std::size_t host : {0, 1, 3}) CHECK(warnings(world, host) == "[]");
    }
}
