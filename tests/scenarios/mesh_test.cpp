// Complete nodes in a simulated network: engine, speaker, node and a Linux of values, in virtual time.

#include "sim/story.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <cerrno>
#include <functional>

using namespace aronet;
using namespace aronet::sim;
using namespace std::chrono_literals;

namespace {

#define CHECK_CONVERGES(world, limit)                   \
    do {                                                \
        const bool converged = (world).converge(limit); \
        INFO(report(world));                            \
        REQUIRE(converged);                             \
        REQUIRE((world).violations().empty());          \
    } while (false)

std::set<std::size_t> all_but(std::size_t count, std::size_t left_out) {
    std::set<std::size_t> members;
    for (std::size_t i = 0; i < count; ++i) {
        if (i != left_out) members.insert(i);
    }
    return members;
}

// What makes host 0's tunnels these tunnels.
std::vector<std::tuple<std::string, std::string, int>> facts(World& world) {
    std::vector<std::tuple<std::string, std::string, int>> all;
    const auto answer = nlohmann::json::parse(world.ask(0, "tunnels"));
    for (const auto& tunnel : answer.at("tunnels"))
        all.emplace_back(tunnel.at("interface"), tunnel.at("spi_in"), tunnel.at("came_up"));
    return all;
}

// Four nodes, the third of them behind a NAT; `move` is done so many times.
void moves_keeping_its_tunnels(std::uint64_t seed, int times, const std::function<void(World&)>& move) {
    auto hosts = plans(4);
    hosts[2].behind_nat = true;
    World world(seed, hosts);
    world.start_all();
    CHECK_CONVERGES(world, 10s);
    world.run_for(5s);
    const auto before = facts(world);
    for (int i = 0; i < times; ++i) {
        INFO("move " << i);
        move(world);
    }
    CHECK(facts(world) == before);
    INFO(report(world));
    CHECK(world.violations().empty());
}

}  // namespace

TEST_CASE("two nodes find each other within two seconds and leave nothing when they stop") {
    World world(1, plans(2));
    world.start_all();
    CHECK_CONVERGES(world, 2s);
    const auto status = nlohmann::json::parse(world.ask(0, "status"));
    CHECK(status.at("state") == "ready");
    CHECK(status.at("tunnels").at("up") == 1);
    for (const char* verb : {"info", "tunnels", "neighbours", "routes"}) {
        CHECK(nlohmann::json::parse(world.ask(0, verb)).at("schema") == std::string("aronet.") + verb + "/1");
    }
    world.stop(0);
    world.stop(1);
    world.run_for(6s);
    CHECK(world.is_stopped(0));
    CHECK(world.is_stopped(1));
    CHECK(world.kernel(0).is_empty());
    CHECK(world.kernel(1).is_empty());
    INFO(report(world));
    CHECK(world.violations().empty());
}

TEST_CASE("a full mesh of ten converges, and traffic finds a way round when a direct path is cut") {
    World world(2, plans(10));
    world.start_all();
    CHECK_CONVERGES(world, 10s);
    world.cut(0, 1);
    CHECK_FALSE(world.unreached().empty());
    CHECK_CONVERGES(world, 20s);
    world.mend(0, 1);
    world.run_for(60s);
    CHECK(world.unreached().empty());
}

TEST_CASE("a ring heals after a cut and closes again") {
    World world(3, plans(8));
    for (std::size_t a = 0; a < 8; ++a) {
        for (std::size_t b = a + 1; b < 8; ++b) {
            if (b != a + 1 && !(a == 0 && b == 7)) world.cut(a, b);
        }
    }
    world.start_all();
    CHECK_CONVERGES(world, 30s);
    world.cut(2, 3);
    world.run_for(1s);
    CHECK_CONVERGES(world, 60s);
    world.mend(2, 3);
    world.run_for(60s);
    CHECK_CONVERGES(world, 60s);
}

TEST_CASE("a node without a known address comes from behind its NAT, also with a new mapping") {
    auto hosts = plans(4);
    hosts[2].behind_nat = true;
    World world(4, hosts);
    world.start_all();
    CHECK_CONVERGES(world, 10s);
    world.rebind(2);
    world.run_for(1s);
    CHECK_CONVERGES(world, 60s);
}

TEST_CASE("a hundred new NAT mappings cost no tunnel: SAs, interfaces and Babel's neighbours stay") {
    moves_keeping_its_tunnels(12, 100, [](World& world) {
        world.rebind(2);
        world.run_for(5s);
        REQUIRE(world.unreached().empty());
    });
}

TEST_CASE("a node that roams from network to network keeps its tunnels, and is found within a second") {
    moves_keeping_its_tunnels(13, 20, [](World& world) {
        world.roam(2);
        world.run_for(1s);
        REQUIRE(world.unreached().empty());
        for (const std::size_t host : {0u, 1u, 3u}) {
            const auto tunnels = nlohmann::json::parse(world.ask(host, "tunnels")).at("tunnels");
            CHECK(std::count_if(tunnels.begin(), tunnels.end(), [](const auto& tunnel) {
                      return tunnel.at("remote").template get<std::string>().starts_with("198.51.1");
                  }) == 1);
        }
        world.run_for(3s);
    });
}

TEST_CASE("row 10: an address that went while notices overflowed is missed at once") {
    auto hosts = plans(2);
    hosts[0].configure = [](overlay::Config& config) { config.endpoints[0].address.reset(); };
    World world(7, hosts);
    world.start_all();
    CHECK_CONVERGES(world, 10s);
    world.run_for(30s);
    const std::uint64_t before = world.ike_sent();
    world.lose_notices(0);  // that is still there
    world.run_for(100ms);
    CHECK(world.ike_sent() == before);
    world.lose_address_untold(0);
    world.run_for(100ms);
    CHECK(world.ike_sent() > before);
}

TEST_CASE("a node that was killed comes back over what it left, a node that stopped comes back clean") {
    World world(5, plans(5));
    world.start_all();
    CHECK_CONVERGES(world, 10s);
    world.kill(1);
    world.run_for(3s);
    world.start(1);
    CHECK_CONVERGES(world, 60s);
    world.stop(2);
    world.run_for(6s);
    CHECK(world.is_stopped(2));
    CHECK(world.kernel(2).is_empty());
    world.start(2);
    CHECK_CONVERGES(world, 60s);
}

TEST_CASE("a registry that loses a node and gets it back changes nothing else") {
    World world(6, plans(4));
    world.start_all();
    CHECK_CONVERGES(world, 10s);
    const auto before = nlohmann::json::parse(world.ask(0, "tunnels")).at("tunnels");
    for (std::size_t i = 0; i < 4; ++i) world.load_registry(i, all_but(4, 3));
    world.run_for(5s);
    const auto during = nlohmann::json::parse(world.ask(0, "tunnels")).at("tunnels");
    REQUIRE(during.size() == 2);
    for (const auto& tunnel : during) {
        bool same = false;
        for (const auto& old : before) same |= old.at("spi_in") == tunnel.at("spi_in");
        CHECK(same);
    }
    for (const auto& [key, route] : world.kernel(0).routes())
        CHECK(key.destination.to_string() != "10.10.4.0/24");
    for (std::size_t i = 0; i < 4; ++i) world.load_registry(i, all_but(4, 99));
    CHECK_CONVERGES(world, 60s);
}

TEST_CASE("C13: whichever SA the kernel refuses, by whatever error, a whole tunnel comes up afterwards") {
    for (const int error : {EEXIST, ENOMEM, EPROTONOSUPPORT, ENOBUFS}) {
        for (const unsigned before : {0u, 1u, 2u, 3u}) {  // the inbound one, the outbound one beside it ..
            CAPTURE(error, before);
            World world(7, plans(2));
            world.errors_allowed = true;
            world.kernel(before % 2).refuse_sa(error, before);
            world.start_all();
            CHECK_CONVERGES(world, 60s);
            world.run_for(40s);  // nothing half is left of what was refused
            CHECK_CONVERGES(world, 1s);
        }
    }
}

TEST_CASE("C13: notices that overflow while the kernel refuses lead to a resync") {
    World world(7, plans(3));
    world.errors_allowed = true;
    world.kernel(0).refuse_sa(ENOMEM);
    world.start_all();
    CHECK_CONVERGES(world, 60s);
    world.lose_notices(1);
    world.run_for(5s);
    CHECK_CONVERGES(world, 10s);
}

TEST_CASE("a tunnel that Babel speaks through is not probed, and its counters are read rarely") {
    World world(9, plans(3));
    world.start_all();
    CHECK_CONVERGES(world, 10s);
    world.run_for(10s);
    const std::uint64_t ike = world.ike_sent(), readings = world.kernel(0).counters_read();
    world.run_for(100s);
    CHECK(world.ike_sent() == ike);
    CHECK(world.kernel(0).counters_read() - readings > 10);
    CHECK(world.kernel(0).counters_read() - readings <= 100);
}

TEST_CASE("what passes through a tunnel is shown, and is kept when its SAs are replaced") {
    World world(10, plans(2));
    world.start_all();
    CHECK_CONVERGES(world, 10s);
    world.run_for(60s);
    const auto shown = [&] { return nlohmann::json::parse(world.ask(0, "tunnels")).at("tunnels").at(0); };
    const auto before = shown();
    CHECK(before.at("packets_in") >= 30);
    CHECK(before.at("bytes_in") > before.at("packets_in"));
    CHECK(before.at("packets_out") >= 30);
    world.kill(1);
    world.run_for(2s);
    world.start(1);
    CHECK_CONVERGES(world, 60s);
    world.run_for(10s);
    const auto after = shown();
    CHECK(after.at("spi_in") != before.at("spi_in"));
    CHECK(after.at("packets_in") > before.at("packets_in"));
    CHECK(after.at("bytes_out") > before.at("bytes_out"));
}

TEST_CASE("keys are changed on request, those of the data and those of IKE, and the tunnel stays") {
    World world(12, plans(2));
    world.start_all();
    CHECK_CONVERGES(world, 10s);
    const auto shown = [&] { return nlohmann::json::parse(world.ask(0, "tunnels")).at("tunnels").at(0); };
    const auto before = shown();
    const auto wish = [&](const std::string& peer, bool ike) {
        const nlohmann::json body{{"peer", peer}, {"ike", ike}};
        return nlohmann::json::parse(world.ask(0, "rekey", body.dump()));
    };
    CHECK(wish(before.at("peer"), false).at("tunnels") == 1);
    world.run_for(1s);
    CHECK(shown().at("rekeyings") == nlohmann::json{{"child", 1}, {"ike", 0}});
    CHECK(wish(before.at("interface"), true).at("tunnels") == 1);
    world.run_for(1s);
    const auto after = shown();
    CHECK(after.at("rekeyings") == nlohmann::json{{"child", 1}, {"ike", 1}});
    CHECK(after.at("spi_in") != before.at("spi_in"));
    CHECK(after.at("came_up") == 1);

    CHECK(wish("sim/nobody", false).contains("error"));
    CHECK(nlohmann::json::parse(world.ask(0, "rekey", "[]")).contains("error"));
    CHECK(nlohmann::json::parse(world.ask(0, "rekey", R"({"peer": 1})")).contains("error"));
    world.kill(1);
    world.run_for(120s);
    CHECK(wish(before.at("peer"), true).contains("error"));
}

TEST_CASE("however often the tunnels are asked for, counters are read at most once a second") {
    World world(11, plans(2));
    world.start_all();
    CHECK_CONVERGES(world, 10s);
    const std::uint64_t before = world.kernel(0).counters_read();
    for (int i = 0; i < 100; ++i) {
        CHECK_FALSE(world.ask(0, "tunnels").empty());
        world.run_for(50ms);
    }
    CHECK(world.kernel(0).counters_read() - before >= 4);
    CHECK(world.kernel(0).counters_read() - before <= 6);
}

TEST_CASE("equal seeds give equal runs") {
    const auto run = [] {
        World world(8, plans(4));
        world.weather = {3ms, 10ms, 5, 2};
        world.start_all();
        world.converge(30s);
        return std::pair(world.now(), world.last_messages());
    };
    CHECK(run() == run());
}

TEST_CASE("fifty nodes in a random graph converge under loss") {
    World world(50, plans(50));
    world.weather = {10ms, 10ms, 2, 0};
    base::Random random = base::Random::from_number(50);
    for (std::size_t a = 0; a < 50; ++a) {
        for (std::size_t b = a + 2; b < 50; ++b) {
            if (random.below(100) < 88 && !(a == 0 && b == 49)) world.cut(a, b);
        }
    }
    world.start_all();
    CHECK_CONVERGES(world, 120s);
}
