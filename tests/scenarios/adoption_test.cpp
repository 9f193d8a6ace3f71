// A daemon that ends without a word, and another one that goes on in its place: what their kernel carries it
// carries all the while.

#include "sim/story.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace aronet;
using namespace aronet::sim;
using namespace std::chrono_literals;

namespace {

enum class End { killed, asked_to_keep };

nlohmann::json tunnels(World& world, std::size_t host) {
    return nlohmann::json::parse(world.ask(host, "tunnels")).at("tunnels");
}

// The three are in a line, and the second is in the midst of it: what passes through it counts, too.
struct Line {
    explicit Line(std::uint64_t seed) : world(seed, plans(3)) {
        world.cut(0, 2);
        world.start_all();
        REQUIRE(world.converge(30s));
        world.run_for(20s);
    }

    // Everybody sends to everybody.
    void flow(Duration duration) {
        for (const Instant end = world.now() + duration; world.now() < end; world.run_for(20ms)) {
            for (std::size_t from = 0; from < 3; ++from) {
                for (const auto& [id, sa] : std::map(world.kernel(from).sas())) {
                    if (sa.direction == base::Direction::out) world.kernel(from).count_outbound(id, 1000);
                }
                for (std::size_t to = 0; to < 3; ++to) {
                    if (from == to || world.reaches(from, to)) continue;
                    if (lost++ == 0) first_lost = report(world);
                }
            }
        }
    }
    void end(std::size_t host, End how) {
        if (how == End::killed) world.kill(host);
        if (how == End::asked_to_keep) world.stop(host, true);
    }
    std::set<base::SaId> sas(std::size_t host) {
        std::set<base::SaId> all;
        for (const auto& [id, sa] : world.kernel(host).sas()) all.insert(id);
        return all;
    }

    World world;
    std::size_t lost = 0;
    std::string first_lost;  // what was said until then
};

void goes_on(std::uint64_t seed, std::size_t host, End how, Duration away) {
    INFO("seed " << seed << ", host " << host << ", away for " << away / 1ms << " ms");
    Line line(seed);
    World& world = line.world;
    const std::set<base::SaId> before = line.sas(host);
    const std::string audit = world.kernel(host).audit();
    line.flow(2s);
    line.end(host, how);
    line.flow(away);
    CHECK(line.sas(host) == before);
    world.start(host);
    line.flow(90s);
    INFO(line.first_lost);
    CHECK(line.lost == 0);
    CHECK(world.violations().empty());
    CHECK(world.kernel(host).audit() == audit);
    for (const base::SaId& id : line.sas(host)) CHECK_FALSE(before.contains(id));  // others, and no more
    for (std::size_t other = 0; other < 3; ++other) {
        for (const auto& tunnel : tunnels(world, other)) {
            if (tunnel.at("state") == "routed") CHECK(tunnel.at("came_up") == 1);
        }
    }
    world.stop(host);
    world.run_for(10s);
    CHECK(world.kernel(host).is_empty());
}

}  // namespace

TEST_CASE("row 14: who is killed and started again loses no packet, on the path and in transit") {
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
        for (const Duration away : std::initializer_list<Duration>{0ms, 700ms, 5s, 30s})
            goes_on(seed, seed % 3, End::killed, away);
    }
}

namespace {

// What a node that goes on asks of its kernel for the SAs of each tunnel that it has taken over.
struct Replacing {
    Replacing(Line& line, std::size_t host) : before(line.sas(host)) {
        line.world.watch = [this, &line, host](std::size_t asked, const netlink::Wish& wish) {
            if (asked != host) return;
            if (const auto* remove = std::get_if<netlink::RemoveSa>(&wish)) {
                const auto& sas = line.world.kernel(host).sas();
                const auto sa = sas.find(remove->id);
                if (sa != sas.end() && before.contains(remove->id))
                    removed.try_emplace(sa->second.if_id, line.world.now());
            } else if (const auto* set = std::get_if<netlink::SetPolicies>(&wish)) {
                replaced.try_emplace(set->policies.if_id, line.world.now());
            } else if (std::holds_alternative<netlink::RemovePolicies>(wish)) {
                ++downs;
            }
        };
    }
    std::set<base::SaId> before;
    std::map<std::uint32_t, Instant> replaced, removed;  // by if_id
    unsigned downs = 0;
};

std::size_t routed(World& world, std::size_t host) {
    const auto all = tunnels(world, host);
    return std::size_t(std::ranges::count_if(all, [](const auto& each) {
        return each.at("state") == "routed";
    }));
}

}  // namespace

TEST_CASE("row 14: each tunnel that was taken over gets other SAs on its own, and is never down meanwhile") {
    for (const bool one_is_late : {false, true}) {
        Line line(12);
        World& world = line.world;
        Replacing seen(line, 1);
        line.end(1, End::killed);
        line.flow(1s);
        if (one_is_late) world.cut(1, 2);  // it hears no IKE
        world.start(1);
        world.run_for(10ms);
        for (const Instant end = world.now() + 6s; world.now() < end; world.run_for(10ms)) {
            if (!one_is_late) CHECK(routed(world, 1) == 2);
            CHECK(world.reaches(0, 1));
            CHECK(world.reaches(1, 0));
        }
        CHECK(seen.replaced.size() == (one_is_late ? 1 : 2));
        if (one_is_late) world.mend(1, 2);
        line.flow(60s);
        CHECK(seen.replaced.size() == 2);
        CHECK(seen.removed.size() == 2);
        for (const auto& [if_id, at] : seen.removed) {
            REQUIRE(seen.replaced.contains(if_id));
            CHECK(at - seen.replaced.at(if_id) >= 3s);  // what is on its way still arrives
        }
        CHECK(seen.downs == 0);
        CHECK(line.sas(1).size() == 4);
        if (!one_is_late) CHECK(line.lost == 0);
        CHECK(world.violations().empty());
    }
}

TEST_CASE("row 17: who crashes every two seconds loses no packet, and nothing piles up") {
    Line line(5);
    const std::string audit = line.world.kernel(1).audit();
    std::size_t most = 0;
    for (int i = 0; i < 30; ++i) {
        line.world.kill(1);
        line.flow(200ms);
        line.world.start(1);
        line.flow(1800ms);
        most = std::max(most, line.sas(1).size());
    }
    CHECK(most <= 2 * 8);  // of either neighbour four pairs at most
    INFO(line.first_lost);
    CHECK(line.lost == 0);
    line.flow(90s);
    CHECK(line.lost == 0);
    CHECK(line.world.kernel(1).audit() == audit);
    CHECK(line.world.violations().empty());
}

TEST_CASE("row 15: who is told to leave everything and started again loses no packet") {
    for (std::uint64_t seed = 1; seed <= 3; ++seed) goes_on(seed, seed % 3, End::asked_to_keep, 3s);
}

TEST_CASE("row 15: who has no registry at first leaves all as it is until one is loaded, for a minute") {
    Line line(8);
    World& world = line.world;
    const std::set<base::SaId> before = line.sas(1);
    line.end(1, End::killed);
    line.flow(1s);
    world.start(1, false);
    line.flow(40s);
    CHECK(line.sas(1) == before);
    world.load_registry(1, {0, 1, 2});
    line.flow(60s);
    INFO(line.first_lost);
    CHECK(line.lost == 0);
    line.end(1, End::killed);
    world.start(1, false);
    world.run_for(49s);
    CHECK_FALSE(line.sas(1).empty());
    world.run_for(2s);
    CHECK(line.sas(1).empty());
    CHECK(world.violations().empty());
}

TEST_CASE("who is told to stop before it has begun leaves nothing of an earlier run") {
    for (const bool has_registry : {true, false}) {
        for (const Duration later : std::initializer_list<Duration>{0ms, 10s}) {
            Line line(9);
            World& world = line.world;
            line.end(1, End::killed);
            world.start(1, has_registry);
            if (!has_registry) world.run_for(later);
            world.stop(1);
            world.run_for(6s);
            CHECK(world.is_stopped(1));
            CHECK(world.kernel(1).is_empty());
            CHECK(world.violations().empty());
        }
    }
}

TEST_CASE("SAs that were made with a key which was taken back since are not taken over") {
    Line line(10);
    World& world = line.world;
    world.kill(1);
    world.change_key(0);
    world.start(1);
    world.run_for(10ms);
    CHECK(line.sas(1).size() == 2);  // with the third
}

TEST_CASE("SAs that were taken over go when their key is taken back") {
    Line line(11);
    World& world = line.world;
    world.kill(1);
    world.start(1);
    world.run_for(10ms);
    const std::set<base::SaId> before = line.sas(1);
    CHECK(before.size() == 4);
    world.change_key(0);
    world.load_registry(1, {0, 1, 2});
    world.run_for(1ms);
    std::size_t left = 0;
    for (const base::SaId& id : line.sas(1)) left += before.count(id);
    CHECK(left == 2);  // with the third
}

TEST_CASE("who does not come back is waited for, but not for long") {
    Line line(6);
    line.world.kill(1);
    line.flow(50s);
    INFO(line.first_lost);
    CHECK(line.lost == 0);
    line.flow(25s);
    CHECK_FALSE(line.world.reaches(0, 2));
}

TEST_CASE("what was left of a tunnel that nobody wants any more goes, and a route that leads nowhere") {
    Line line(7);
    World& world = line.world;
    const std::string to_third = "10.10.3.0/24";
    const auto knows = [&](std::size_t host) {
        return std::ranges::any_of(world.kernel(host).routes(), [&](const auto& each) {
            return each.first.destination.to_string() == to_third && each.second.link.starts_with("aronet-");
        });
    };
    REQUIRE(knows(1));
    world.kill(1);
    world.load_registry(1, {1, 2});
    world.stop(2);
    world.run_for(6s);
    REQUIRE(world.is_stopped(2));
    world.start(1);
    world.run_for(1s);
    CHECK(knows(1));
    CHECK(world.kernel(1).sas().size() == 2);  // of the third, until it does not answer
    world.run_for(60s);
    CHECK_FALSE(knows(1));
    CHECK(world.kernel(1).sas().empty());
    world.stop(1);
    world.run_for(6s);
    CHECK(world.kernel(1).is_empty());
    CHECK(world.violations().empty());
}
