// Tunnels that share a link with those of other peers, and those that do not, in one mesh.

#include "overlay/topology.hpp"
#include "sim/story.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <sstream>

using namespace aronet;
using namespace aronet::sim;
using namespace std::chrono_literals;

namespace {

constexpr const char* kShared = "aronet-x";

// The first hosts, with VRFs and namespaces in turn, share; the others do not.
std::vector<HostPlan> some_share(std::size_t sharing, std::size_t nodes) {
    auto hosts = plans(nodes);
    for (std::size_t i = 0; i < sharing; ++i) {
        hosts[i].tells_connect = false;
        hosts[i].configure = [](overlay::Config& config) { config.links = overlay::Links::shared; };
    }
    return hosts;
}

nlohmann::json tunnels(World& world, std::size_t host) {
    return nlohmann::json::parse(world.ask(host, "tunnels")).at("tunnels");
}

struct Mixed {
    explicit Mixed(std::size_t sharing = 3, std::size_t nodes = 4) : world(1, some_share(sharing, nodes)) {
        world.start_all();
        REQUIRE(world.converge(20s));
        world.run_for(20s);
    }
    // What carries its tunnels, by its status.
    std::multiset<std::string> carriers(std::size_t host) {
        std::multiset<std::string> links;
        for (const auto& tunnel : tunnels(world, host))
            links.insert(
                tunnel.at("link") == kShared  ? "shared"
                : tunnel.at("link").is_null() ? "none"
                                              : "own"
            );
        return links;
    }
    std::size_t links(std::size_t host, bool external) {
        return static_cast<std::size_t>(std::ranges::count_if(
            world.kernel(host).links(),
            [&](const auto& link) {
                return external ? std::holds_alternative<netlink::External>(link.kind)
                                : std::holds_alternative<netlink::Tunnel>(link.kind);
            }
        ));
    }

    World world;
};

}  // namespace

TEST_CASE("nodes that both want it share a link, and have one of their own for each of the others") {
    Mixed mesh;
    for (const std::size_t host : {0u, 1u, 2u}) {
        INFO("host " << host);
        CHECK(mesh.carriers(host) == std::multiset<std::string>{"own", "shared", "shared"});
        CHECK(mesh.links(host, true) == 1);
        CHECK(mesh.links(host, false) == 1);
    }
    CHECK(mesh.carriers(3) == std::multiset<std::string>{"own", "own", "own"});
    CHECK(mesh.links(3, true) == 0);
    CHECK(mesh.world.violations().empty());
    CHECK(mesh.world.inexact_for(4s) == std::set<std::string>{});
}

TEST_CASE(
    "whatever somebody takes away of the shared link is there again within a second, the link itself in ten"
) {
    Mixed mesh;
    const auto comes_back = [&](std::size_t host, netlink::Wish wish, Duration within) {
        const std::string before = mesh.world.kernel(host).audit();
        INFO(netlink::describe(wish));
        mesh.world.suffer(host, std::move(wish));
        mesh.world.run_for(within);
        INFO(report(mesh.world));
        CHECK(mesh.world.kernel(host).audit() == before);
        CHECK(mesh.world.unreached().empty());
        mesh.world.run_for(11s);
    };
    for (const std::size_t host : {0u, 1u}) {
        Kernel& kernel = mesh.world.kernel(host);
        for (const auto& [key, route] : Fib::Routes(kernel.routes())) {
            if (route.link == kShared) comes_back(host, netlink::RemoveRoute{key}, 1s);
        }
        for (const auto& address : std::set<netlink::LinkAddress>(kernel.addresses())) {
            if (address.link == kShared) comes_back(host, netlink::RemoveAddress{address}, 1s);
        }
        for (const auto& [if_id, policies] : std::map(kernel.policies()))
            comes_back(host, netlink::RemovePolicies{if_id}, 1s);
        const auto space = host == 1 ? netlink::Space::overlay : netlink::Space::underlay;
        comes_back(host, netlink::RemoveLink{space, kShared}, 10s);
    }
    CHECK(mesh.world.violations().empty());
}

// Whenever its kernel says so: before peers are met, while they are, and when links have been agreed on.
TEST_CASE("a node whose kernel will not have such a link has one for each peer, and says so once") {
    World world(1, some_share(3, 3));
    world.kernels_take = std::chrono::milliseconds(GENERATE(0, 5, 15, 25, 35, 50, 200));
    CAPTURE(base::milliseconds(world.kernels_take));
    netlink::Link other;
    other.name = "somebodys";
    other.kind = netlink::External{};
    world.kernel(0).perform({0, netlink::AddLink{other}});
    world.errors_allowed = true;
    std::ostringstream said;
    world.log = &said;
    world.start_all();
    REQUIRE(world.converge(30s));
    world.run_for(40s);
    const std::string text = said.str(), refusal = "ip link add aronet-x";
    const auto first = text.find(refusal);
    REQUIRE(first != text.npos);
    CHECK(text.find(refusal, first + 1) == text.npos);
    for (const auto& tunnel : tunnels(world, 0)) CHECK(tunnel.at("link") == tunnel.at("interface"));
    CHECK(world.unreached().empty());
}

TEST_CASE(
    "a daemon that is killed goes on over the shared link, and one with another configuration without it"
) {
    Mixed mesh;
    const std::string before = mesh.world.kernel(0).audit();
    mesh.world.kill(0);
    mesh.world.run_for(3s);
    CHECK(mesh.world.kernel(0).audit() == before);
    mesh.world.start(0);
    mesh.world.run_for(2s);
    CHECK(mesh.carriers(0) == std::multiset<std::string>{"own", "shared", "shared"});
    CHECK(mesh.world.unreached().empty());
    mesh.world.run_for(90s);
    CHECK(mesh.world.kernel(0).audit() == before);
    for (const auto& tunnel : tunnels(mesh.world, 1)) CHECK(tunnel.at("came_up") == 1);
    CHECK(mesh.world.violations().empty());
    mesh.world.kill(0);
    mesh.world.run_for(1s);
    mesh.world.reconfigure(0, [](overlay::Config& config) { config.links = overlay::Links::per_peer; });
    mesh.world.start(0);
    REQUIRE(mesh.world.converge(20s));
    mesh.world.run_for(90s);
    CHECK(mesh.carriers(0) == std::multiset<std::string>{"own", "own", "own"});
    CHECK(mesh.links(0, true) == 0);
    CHECK(mesh.carriers(1) == std::multiset<std::string>{"own", "own", "shared"});
    CHECK(mesh.world.unreached().empty());
    CHECK(mesh.world.inexact_for(4s) == std::set<std::string>{});
}

TEST_CASE("a node that is started anew with another wish is met over another link") {
    Mixed mesh;
    const auto restart_with = [&](overlay::Links links) {
        mesh.world.stop(3);
        mesh.world.run_for(3s);
        mesh.world.reconfigure(3, [links](overlay::Config& config) { config.links = links; });
        mesh.world.start(3);
        REQUIRE(mesh.world.converge(20s));
        mesh.world.run_for(20s);
        CHECK(mesh.world.unreached().empty());
        CHECK(mesh.world.inexact_for(4s) == std::set<std::string>{});
    };
    const std::multiset<std::string> all{"shared", "shared", "shared"}, some{"own", "shared", "shared"};
    restart_with(overlay::Links::shared);
    for (std::size_t host = 0; host < 4; ++host) {
        CHECK(mesh.carriers(host) == all);
        CHECK(mesh.links(host, false) == 0);
    }
    restart_with(overlay::Links::per_peer);
    for (std::size_t host = 0; host < 3; ++host) {
        CHECK(mesh.carriers(host) == some);
        CHECK(mesh.links(host, false) == 1);
    }
    CHECK(mesh.links(3, true) == 0);
    CHECK(mesh.world.violations().empty());
}

TEST_CASE("of several tunnels to one endpoint one goes over the shared link") {
    std::vector<overlay::Pairing> pairings(3);
    const auto at = [](const char* text) { return *base::Address::parse(text); };
    pairings[0].on_shared = {at("fe80::1"), at("fe80::9")};
    pairings[1].on_shared = {at("fe80::2"), at("fe80::9")};
    pairings[2].on_shared = {at("fe80::1"), at("fe80::8")};
    const auto may = [&] {
        overlay::share_out(pairings);
        return std::vector<bool>{
            pairings[0].peer.may_share_link,
            pairings[1].peer.may_share_link,
            pairings[2].peer.may_share_link};
    };
    CHECK(may() == std::vector<bool>{true, false, true});
    pairings[1].carrier = overlay::Carrier::shared;  // it has it already
    CHECK(may() == std::vector<bool>{false, true, true});
}
