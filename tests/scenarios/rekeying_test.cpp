// What a rekeying is to a data plane: which wishes, in which order; and that a data plane can ask for one.

#include "sim/story.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace aronet;
using namespace aronet::sim;
using namespace std::chrono_literals;

namespace {

struct Seen {
    std::string what;
    Instant at;
    std::uint32_t spi = 0;
};

// Two nodes with a tunnel, and what they ask their kernels about SAs and policies from then on.
struct Watched {
    Watched() : world(12, plans(2)) {
        world.start_all();
        REQUIRE(world.converge(10s));
        world.run_for(10s);
        world.watch = [this](std::size_t host, const netlink::Wish& wish) { see(seen.at(host), wish); };
    }
    void see(std::vector<Seen>& list, const netlink::Wish& wish) const {
        if (const auto* add = std::get_if<netlink::AddSa>(&wish)) {
            const bool in = add->sa.direction == base::Direction::in;
            list.push_back({in ? "add inbound" : "add outbound", world.now(), add->sa.spi});
        }
        if (const auto* set = std::get_if<netlink::SetPolicies>(&wish))
            list.push_back({"policies", world.now(), set->policies.spi_out});
        if (const auto* remove = std::get_if<netlink::RemoveSa>(&wish))
            list.push_back({"remove", world.now(), remove->id.spi});
        if (std::holds_alternative<netlink::RemovePolicies>(wish))
            list.push_back({"no policies", world.now()});
    }
    nlohmann::json tunnel(std::size_t host) {
        return nlohmann::json::parse(world.ask(host, "tunnels")).at("tunnels").at(0);
    }
    base::SaId sa(std::size_t host, base::Direction direction) {
        for (const auto& [id, known] : world.kernel(host).sas()) {
            if (known.direction == direction) return id;
        }
        FAIL("there is no such SA");
        return {};
    }

    World world;
    std::array<std::vector<Seen>, 2> seen;
};

}  // namespace

TEST_CASE(
    "a rekeying is an inbound SA, an outbound one, one update of the policies, and both old ones gone later"
) {
    for (const std::size_t asks : {0u, 1u}) {
        Watched t;
        const std::uint32_t old_in[] = {t.sa(0, base::Direction::in).spi, t.sa(1, base::Direction::in).spi};
        const nlohmann::json body{{"peer", t.tunnel(asks).at("peer")}};
        t.world.ask(asks, "rekey", body.dump());
        t.world.run_for(10s);
        for (const std::size_t host : {0u, 1u}) {
            CAPTURE(asks, host);
            const auto& seen = t.seen.at(host);
            std::vector<std::string> words;
            for (const Seen& one : seen) words.push_back(one.what);
            REQUIRE(
                words ==
                std::vector<std::string>{"add inbound", "add outbound", "policies", "remove", "remove"}
            );
            CHECK(seen[2].spi == seen[1].spi);
            CHECK(seen[3].spi == old_in[host]);
            CHECK(seen[4].spi == old_in[1 - host]);
            CHECK(seen[3].at - seen[2].at >= 5s);
            CHECK(seen[3].at - seen[2].at < 5500ms);
        }
        // Who sends on the new one does so when the other side can hear it.
        CHECK(t.seen[asks][2].at >= t.seen[1 - asks][0].at);
        CHECK(t.seen[1 - asks][2].at >= t.seen[asks][0].at);
    }
}

TEST_CASE(
    "C14: a data plane that says that an SA nears its end, of either direction, gets another one at once"
) {
    for (const auto direction : {base::Direction::in, base::Direction::out}) {
        for (const std::size_t host : {0u, 1u}) {
            Watched t;
            const base::SaId old = t.sa(host, direction);
            t.world.tell(host, netlink::SaExpiring{old, false});
            t.world.run_for(1s);
            CHECK(t.tunnel(host).at("rekeyings").at("child") == 1);
            t.world.tell(host, netlink::SaExpiring{old, false});  // of the old one, which is there still
            t.world.run_for(10s);
            for (const std::size_t each : {0u, 1u}) {
                CHECK(t.tunnel(each).at("rekeyings") == nlohmann::json{{"child", 1}, {"ike", 0}});
                CHECK(t.tunnel(each).at("came_up") == 1);
            }
            CHECK_FALSE(t.world.kernel(host).sas().contains(old));
            INFO(report(t.world));
            CHECK(t.world.violations().empty());
        }
    }
}
