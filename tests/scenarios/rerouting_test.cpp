// A tunnel goes, and complete nodes do what follows within one round trip of the underlay after it is known:
// another way into the kernel, or where there is none a word to the neighbours.

#include "sim/story.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace aronet;
using namespace aronet::sim;
using namespace std::chrono_literals;

namespace {

constexpr Duration kRoundTrip = 10ms;  // the weather's

std::string tunnel_to(World& world, std::size_t from, std::size_t to) {
    const auto answer = nlohmann::json::parse(world.ask(from, "tunnels"));
    const std::string name = "node" + std::to_string(to + 1);
    for (const auto& tunnel : answer.at("tunnels")) {
        if (tunnel.at("peer").get<std::string>().find(name) != std::string::npos)
            return tunnel.at("interface");
    }
    throw std::logic_error("no tunnel to " + name);
}

std::string prefix_of(std::size_t host) { return "10.10." + std::to_string(host + 1) + ".0/24"; }

// The link that the kernel of `from` sends on to the network of `to`; empty: none.
std::string way(World& world, std::size_t from, std::size_t to) {
    for (const auto& [key, route] : world.kernel(from).routes()) {
        if (key.destination.to_string() == prefix_of(to)) return route.link;
    }
    return "";
}

Duration until(World& world, const std::function<bool()>& holds) {
    const Instant start = world.now();
    world.run_for(0ms);
    while (!holds() && world.now() - start < 60s) world.run_for(1ms);
    return world.now() - start;
}

void deleted_by_the_peer(World& world, std::size_t peer) {
    std::set<std::size_t> others;
    for (std::size_t i = 1; i < world.size(); ++i) others.insert(i);
    world.esp_arrives = false;  // what Babel says as it leaves the tunnel
    world.load_registry(peer, others);
    world.run_for(kRoundTrip / 2 - 1ms);
    world.esp_arrives = true;
    world.run_for(1ms);
}

void link_taken_away(World& world, std::size_t peer) {
    world.suffer(0, netlink::RemoveLink{netlink::Space::underlay, tunnel_to(world, 0, peer)});
}

// Host 0's tunnel to a peer goes. When a loss returns, host 0 knows of it, and has had no other hint.
struct Known {
    const char* how;
    std::function<void(World&, std::size_t peer)> loss;
};
const std::vector<Known> kLosses{
    {"the peer deletes it", deleted_by_the_peer}, {"its interface goes", link_taken_away}};

}  // namespace

// 0 reaches 3 by 1 and by 2 alone.
TEST_CASE("however a tunnel goes down, the kernel has the other way in the moment that this is known") {
    for (const Known& known : kLosses) {
        CAPTURE(known.how);
        World world(31, plans(4));
        world.cut(0, 3);
        world.start_all();
        REQUIRE(world.converge(30s));
        world.run_for(20s);
        const std::string by_1 = tunnel_to(world, 0, 1), by_2 = tunnel_to(world, 0, 2);
        const bool first = way(world, 0, 3) == by_1;
        REQUIRE((first || way(world, 0, 3) == by_2));
        known.loss(world, first ? 1 : 2);
        const Duration took = until(world, [&] { return way(world, 0, 3) == (first ? by_2 : by_1); });
        CAPTURE(base::milliseconds(took));
        CHECK(took == 0ms);
        INFO(report(world));
        CHECK(world.violations().empty());
    }
}

// 3, 1, 0, 2 in a line.
TEST_CASE("however the only tunnel to some networks goes down, the neighbours have heard within a round trip"
) {
    for (const Known& known : kLosses) {
        CAPTURE(known.how);
        World world(32, plans(4));
        for (const auto& [a, b] : {std::pair{0, 3}, {2, 3}, {1, 2}}) world.cut(a, b);
        world.start_all();
        REQUIRE(world.converge(60s));
        world.run_for(20s);
        REQUIRE(way(world, 2, 1) == tunnel_to(world, 2, 0));
        REQUIRE(way(world, 2, 3) == tunnel_to(world, 2, 0));
        known.loss(world, 1);
        const Duration took =
            until(world, [&] { return way(world, 2, 1).empty() && way(world, 2, 3).empty(); });
        CAPTURE(base::milliseconds(took));
        CHECK(took <= kRoundTrip);
        INFO(report(world));
        CHECK(world.violations().empty());
    }
}
