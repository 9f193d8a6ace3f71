// Complete nodes that lose each other for a second to an hour, are killed or get another address meanwhile:
// no tunnel stays down longer than five seconds once the underlay is back.

#include "sim/story.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace aronet;
using namespace aronet::sim;
using namespace std::chrono_literals;

namespace {

constexpr Duration kDownMax = 5s;
const base::Address kAnyone = *base::Address::parse("fe80::1");  // beyond a link that is one tunnel's

// What host 0 sends comes out of the tunnel at host 1, and the other way round.
bool carries(World& world) {
    const auto one_way = [&](std::size_t from, std::size_t to) {
        const auto tunnels = nlohmann::json::parse(world.ask(from, "tunnels")).at("tunnels");
        if (tunnels.empty()) return false;
        const auto sa = world.kernel(from).outbound(tunnels.at(0).at("interface"), kAnyone);
        return sa && world.kernel(to).inbound(sa->id.spi, sa->key).has_value();
    };
    return one_way(0, 1) && one_way(1, 0);
}

void expect_soon(World& world) {
    const Instant end = world.now() + kDownMax;
    while (world.now() < end && !carries(world)) world.run_for(50ms);
    INFO(report(world));
    REQUIRE(carries(world));
    REQUIRE(world.violations().empty());
    REQUIRE(world.converge(60s));
}

// Two nodes that have long found each other; the second has no known address where it says so.
void each_way(const std::function<void(World&)>& story) {
    for (const bool behind_nat : {false, true}) {
        for (std::uint64_t seed = 1; seed <= 3; ++seed) {
            INFO("seed " << seed << (behind_nat ? ", behind a NAT" : ""));
            auto hosts = plans(2);
            hosts[1].behind_nat = behind_nat;
            World world(seed, hosts);
            world.start_all();
            REQUIRE(world.converge(10s));
            world.run_for(7s + std::chrono::milliseconds(1300 * seed));
            story(world);
            expect_soon(world);
        }
    }
}

void restart(World& world, std::size_t host) {
    world.kill(host);
    world.start(host);
}

}  // namespace

TEST_CASE("an outage of a second to an hour leaves no tunnel down for five seconds more") {
    for (const Duration outage :
         std::initializer_list<Duration>{1s, 8s, 19s, 24s, 30s, 44s, 90s, 10min, 1h}) {
        INFO("an outage of " << outage / 1s << " s");
        each_way([&](World& world) {
            world.cut(0, 1);
            world.run_for(outage);
            world.mend(0, 1);
        });
    }
}

// At whatever moment of their looks at the counters.
TEST_CASE("who is killed and started again is back within five seconds, one or both") {
    for (const int who : {1, 2, 3}) {
        for (int i = 0; i < 10; ++i) {
            INFO("nodes " << who << ", " << i);
            each_way([&](World& world) {
                world.run_for(std::chrono::milliseconds(431 * i));
                if ((who & 1) != 0) restart(world, 0);
                if ((who & 2) != 0) restart(world, 1);
            });
        }
    }
}

TEST_CASE("who is killed and started again during an outage is back within five seconds of its end") {
    for (const std::size_t host : {0u, 1u}) {
        for (const Duration rest : std::initializer_list<Duration>{1s, 25s, 10min}) {
            INFO("node " << host << ", " << rest / 1s << " s before the end");
            each_way([&](World& world) {
                world.cut(0, 1);
                world.run_for(12s);
                restart(world, host);
                world.run_for(rest);
                world.mend(0, 1);
            });
        }
    }
}

TEST_CASE("a NAT that maps anew during an outage costs no more than the outage") {
    for (const Duration outage : std::initializer_list<Duration>{1s, 12s, 25s, 10min}) {
        INFO("an outage of " << outage / 1s << " s");
        each_way([&](World& world) {
            world.cut(0, 1);
            world.run_for(outage);
            if (world.is_behind_nat(1)) world.rebind(1);
            world.mend(0, 1);
        });
    }
}

// The SA by which what one host sends comes out at the other.
base::SaId way(World& world, std::size_t from, std::size_t to) {
    const auto answer = nlohmann::json::parse(world.ask(from, "tunnels"));
    for (const auto& tunnel : answer.at("tunnels")) {
        const auto sa = world.kernel(from).outbound(tunnel.at("interface"), kAnyone);
        if (sa && world.kernel(to).inbound(sa->id.spi, sa->key)) return sa->id;
    }
    throw std::logic_error("no tunnel leads there");
}

// Three nodes that carry nothing but Babel's own for a minute; then the underlay between two of them is cut
// and, at whatever moment of their looks, both begin to send to each other.
TEST_CASE("a flow that begins after a long quiet, on a link cut that moment, is led around within two seconds"
) {
    for (int moment = 0; moment < 10; ++moment) {
        World world(20, plans(3));
        world.start_all();
        REQUIRE(world.converge(10s));
        world.run_for(60s + 100ms * moment);
        const base::SaId there = way(world, 0, 1), back = way(world, 1, 0);
        world.cut(0, 1);
        const Instant start = world.now();
        do {
            world.kernel(0).count_outbound(there, 1000);
            world.kernel(1).count_outbound(back, 1000);
            world.run_for(20ms);
        } while (!world.unreached().empty() && world.now() - start < 60s);
        INFO("cut at moment " << moment << ", led around after " << (world.now() - start) / 1ms << " ms");
        CHECK(world.now() - start <= 2s);
        CHECK(world.violations().empty());
    }
}

// Two nodes with no other way between them, cut while both send: since then, when host 0 suspects host 1,
// when it trusts it no more, and when its route leaves the tunnel.
struct Doubts {
    std::optional<Duration> suspected, dead, rerouted;
};

Doubts cut_under_traffic(Duration suspicion_time) {
    auto hosts = plans(2);
    for (HostPlan& plan : hosts) plan.suspicion_time = suspicion_time;
    World world(30, hosts);
    world.start_all();
    REQUIRE(world.converge(10s));
    const base::SaId there = way(world, 0, 1), back = way(world, 1, 0);
    const auto tunnel = [&] { return nlohmann::json::parse(world.ask(0, "tunnels")).at("tunnels").at(0); };
    const std::string link = tunnel().at("interface");
    const auto routed = [&] {
        return std::ranges::any_of(world.kernel(0).routes(), [&](const auto& each) {
            return each.second.link == link && each.first.destination.to_string() == "10.10.2.0/24";
        });
    };
    const auto send = [&] {
        world.kernel(0).count_outbound(there, 1000);
        world.kernel(1).count_outbound(back, 1000);
        world.run_for(20ms);
    };
    for (int i = 0; i < 250; ++i) send();
    REQUIRE(routed());
    world.cut(0, 1);
    Doubts doubts;
    const auto note = [&](std::optional<Duration>& what, bool now, Duration after) {
        if (now && !what) what = after;
    };
    for (const Instant start = world.now(); world.now() < start + 10s; send()) {
        const Duration after = world.now() - start;
        const std::string trust = tunnel().at("trust");
        note(doubts.suspected, trust == "suspected", after);
        note(doubts.dead, trust == "none", after);
        note(doubts.rerouted, !routed(), after);
    }
    CHECK(world.violations().empty());
    return doubts;
}

// Babel's own questions find the cut, too, some 0.7 s after it: only what is shorter has its turn before.
TEST_CASE("who is suspected keeps the only route there is; how soon that is says suspicion_time, 0 never") {
    constexpr Duration look = 250ms;
    for (const Duration suspicion_time : {50ms, 400ms}) {
        INFO("a suspicion_time of " << suspicion_time / 1ms << " ms");
        const Doubts doubts = cut_under_traffic(suspicion_time);
        REQUIRE(doubts.suspected);
        REQUIRE(doubts.dead);
        REQUIRE(doubts.rerouted);
        INFO(
            "suspected after " << *doubts.suspected / 1ms << " ms, dead after " << *doubts.dead / 1ms
                               << " ms, rerouted after " << *doubts.rerouted / 1ms << " ms"
        );
        CHECK(*doubts.suspected >= suspicion_time);
        // The kernel may be at the sysctls just then.
        CHECK(*doubts.suspected <= suspicion_time + 2 * look + 100ms);
        CHECK(*doubts.rerouted >= *doubts.suspected + 60ms);
        CHECK(*doubts.dead >= *doubts.suspected + 2s - 20ms);
        CHECK(*doubts.dead <= *doubts.suspected + 2500ms);
    }
    const Doubts never = cut_under_traffic(0ms);
    CHECK_FALSE(never.suspected);
    CHECK_FALSE(never.dead);
    CHECK(never.rerouted);
}
