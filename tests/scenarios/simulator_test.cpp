// The simulator itself: a check that cannot fail would make every story fine.

#include "sim/story.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::sim;
using namespace std::chrono_literals;

namespace {

const netlink::Route* babel_route_to(World& world, std::size_t host, const char* destination) {
    for (const auto& [key, route] : world.kernel(host).routes()) {
        const bool from_babel = key.metric == overlay::kBabelMetric;
        if (from_babel && key.destination == base::Prefix::parse(destination)) return &route;
    }
    return nullptr;
}

bool violated(const World& world, const std::string& words) {
    for (const Violation& violation : world.violations()) {
        if (violation.text.find(words) != std::string::npos) return true;
    }
    return false;
}

// Three converged nodes.
struct Settled : World {
    Settled() : World(1, plans(3)) {
        start_all();
        REQUIRE(converge(10s));
        run_for(60s);
        REQUIRE(violations().empty());
    }
};

}  // namespace

TEST_CASE("a forwarding loop is found") {
    Settled world;
    for (const std::size_t host : {0u, 1u}) {
        // Each sends what is for the third node to the other.
        netlink::Route wrong = *babel_route_to(world, host, host == 0 ? "10.10.2.0/24" : "10.10.1.0/24");
        wrong.key.destination = *base::Prefix::parse("10.10.3.0/25");
        world.kernel(host).perform({1, netlink::AddRoute{wrong}});
    }
    CHECK_FALSE(world.unreached().empty());
    world.run_for(3s);
    CHECK(violated(world, "a loop: towards 10.10.3.1"));
}

TEST_CASE("an SA whose other half is missing is found once it is no longer young") {
    Settled world;
    const auto& sas = world.kernel(0).sas();
    const auto outbound = std::find_if(sas.begin(), sas.end(), [](const auto& entry) {
        return entry.second.direction == base::Direction::out;
    });
    REQUIRE(outbound != sas.end());
    world.kernel(0).perform({1, netlink::RemoveSa{outbound->first, outbound->second.source.address}});
    world.run_for(1s);
    CHECK(world.violations().empty());
    world.run_for(65s);
    CHECK(violated(world, "an SA without its other half"));
}

TEST_CASE("what a node leaves behind is found") {
    Settled world;
    netlink::Rule forgotten;
    forgotten.priority = 7;
    world.kernel(0).perform({1, netlink::AddRule{forgotten}});
    world.stop(0);
    world.run_for(10s);
    CHECK(violated(world, "something is left behind"));
}

TEST_CASE("the simulated kernel finds the route that a search through all of them finds") {
    base::Random random = base::Random::from_number(1);
    Fib fib;
    const auto somewhere = [&] { return base::Address::v4({10, base::Byte(random.below(4)), 0, 0}); };
    const auto matches = [](const netlink::RouteKey& key, std::uint32_t table, const base::Address& to) {
        return key.table == table && key.space == netlink::Space::underlay && key.destination.contains(to);
    };
    for (int turn = 0; turn < 2000; ++turn) {
        netlink::Route route;
        route.key.table = 1 + unsigned(random.below(2));
        route.key.destination = {somewhere().plus(random.below(256)), unsigned(random.below(33))};
        route.key.metric = unsigned(random.below(3));
        if (random.below(3) != 0) {
            fib.put(route);
        } else if (!fib.all().empty()) {
            fib.remove(
                netlink::RouteKey(std::next(fib.all().begin(), long(random.below(fib.all().size())))->first)
            );
        }
        const base::Address to = somewhere().plus(random.below(256));
        const netlink::Route* best = nullptr;
        for (const auto& [key, candidate] : fib.all()) {
            const auto rank = [](const netlink::RouteKey& k) {
                return std::pair(-int(k.destination.length()), k.metric);
            };
            if (matches(key, 1, to) && (best == nullptr || rank(key) < rank(best->key))) best = &candidate;
        }
        REQUIRE(fib.lookup(netlink::Space::underlay, 1, to) == best);
    }
}
