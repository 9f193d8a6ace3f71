// What a router is to others: transit or not; and how much one neighbour may say.

#include "desk.hpp"

using namespace aronet;
using namespace aronet::babel;
using namespace std::chrono_literals;

namespace {

const Address kA = ip("fe80::a"), kB = ip("fe80::b");

// A router between two neighbours, with a prefix of its own.
struct Between : Desk {
    explicit Between(bool transit) : Desk({.router_id = kUs, .seqno = 10, .transit = transit}) {
        plug(1, link("fe80::1"));
        plug(2, link("fe80::2"));
        befriend(1, kA);
        befriend(2, kB);
        speaker.announce(to("10.1.0.0/16"), 0, now, actions);
        say(1, kA, Announce{.prefix = "10.2.0.0/16", .interval = 600s});
        pass(20s);
    }
    Metric told(InterfaceId on, const char* prefix) const {
        const auto update = announced(on, to(prefix));
        return update ? update->metric : kInfinity;
    }
};

std::vector<Announcement> many(std::size_t first, std::size_t count, unsigned length) {
    std::vector<Announcement> list;
    for (std::size_t n = first; n < first + count; ++n) {
        Announcement update = Announce{"fd00::/64"}();
        update.about = Destination::of(Prefix(ip("fd00::").plus(std::uint64_t(n) << 32), length));
        list.push_back(update);
    }
    return list;
}

}  // namespace

TEST_CASE("a router that is transit tells what it has learned, one that is not keeps it to itself") {
    const Between transit(true), leaf(false);
    for (const Between* router : {&transit, &leaf}) {
        CHECK(router->forwarding.reaches(to("10.2.0.0/16"), kA));
        CHECK(router->told(2, "10.1.0.0/16") == 0);
    }
    CHECK(transit.told(2, "10.2.0.0/16") != kInfinity);
    CHECK(leaf.told(2, "10.2.0.0/16") == kInfinity);
}

TEST_CASE("who is no transit says nothing of what others have, when it comes, changes and goes either") {
    Between leaf(false);
    leaf.forget();
    leaf.say(1, kA, Announce{.prefix = "10.3.0.0/16", .metric = 10});
    leaf.say(1, kA, Announce{.prefix = "10.3.0.0/16", .metric = 5000, .seqno = 2});
    leaf.retract(1, kA, "10.3.0.0/16");
    leaf.pass(3s);
    for (const Announcement& update : leaf.said<Announcement>(2)) CHECK(update.about == to("10.1.0.0/16"));
    // Who asks is told that there is no way here.
    leaf.say(2, kB, std::vector<Tlv>{RouteRequest{to("10.2.0.0/16")}});
    leaf.pass(1s);
    REQUIRE(leaf.announced(2, to("10.2.0.0/16")));
    CHECK(leaf.announced(2, to("10.2.0.0/16"))->metric == kInfinity);
}

TEST_CASE("who is no transit passes no requests on") {
    for (const bool transit : {true, false}) {
        Between router(transit);
        router.forget();
        router.say(2, kB, std::vector<Tlv>{SeqnoRequest{to("10.2.0.0/16"), 7, 64, 0xaa}});
        router.pass(1s);
        CHECK(router.said<SeqnoRequest>(1).size() == (transit ? 1 : 0));
    }
}

TEST_CASE("what becomes its own a router without transit announces, whoever announced it before") {
    Between leaf(false);
    leaf.speaker.announce(to("10.2.0.0/16"), 7, leaf.now, leaf.actions);
    leaf.pass(1s);
    CHECK(leaf.told(2, "10.2.0.0/16") == 7);
    leaf.speaker.withdraw(to("10.2.0.0/16"), leaf.now, leaf.actions);
    leaf.pass(1s);
    CHECK(leaf.told(2, "10.2.0.0/16") == kInfinity);
    CHECK(leaf.forwarding.reaches(to("10.2.0.0/16"), kA));
}

TEST_CASE("a neighbour that says too much is heard up to its limit, and the registry's prefixes beyond it") {
    Desk desk;
    InterfaceConfig config = Desk::link();
    config.routes_max = 100;
    desk.plug(1, config);
    desk.befriend(1, kA);
    Holders holders = given({"fd00::/16", "fd00:0:0:ffff::/64", "10.1.0.0/16"});
    desk.speaker.accept_only(holders, desk.now, desk.actions);
    desk.announce(1, kA, many(0, 150, 96));
    CHECK(desk.speaker.routes().size() == 100);
    CHECK(desk.dropped("too many routes") == 50);
    CHECK(desk.neighbour(kA)->routes == 100);
    CHECK(desk.neighbour(kA)->routes_max == 100);
    CHECK(desk.neighbour(kA)->refused == 50);
    desk.say(1, kA, Announce{"10.1.0.0/16"});
    desk.say(1, kA, Announce{"fd00:0:0:ffff::/64"});
    CHECK(desk.speaker.routes().size() == 102);
    // What it has said already it may say anew.
    desk.announce(1, kA, many(0, 100, 96));
    CHECK(desk.dropped("too many routes") == 50);
}

TEST_CASE("row 56: a hundred thousand prefixes within the registry's are not all taken") {
    Desk desk;
    desk.plug(1, Desk::link());
    desk.befriend(1, kA);
    desk.speaker.accept_only(given({"fd00::/16"}), desk.now, desk.actions);
    desk.announce(1, kA, many(0, 100'000, 96));
    CHECK(desk.speaker.routes().size() == 10'000);
    // In a larger registry there is more to say.
    Holders large;
    for (std::size_t n = 0; n < 3'000; ++n)
        large.add(Prefix(ip("fd00::").plus(std::uint64_t(n) << 32), 96), {"acme", "node"});
    large.add(net("fd00::/16"), {"acme", "node"});
    desk.speaker.accept_only(large, desk.now, desk.actions);
    CHECK(desk.neighbour(kA)->routes_max == 4 * 3'001);
}

TEST_CASE("claims name the router that each announcement of a destination begins at") {
    Between router(true);
    router.say(2, kB, Announce{.prefix = "10.2.0.0/16", .metric = 0, .router_id = 0xbb});
    router.say(2, kB, Announce{.prefix = "10.1.0.0/16", .metric = 9, .router_id = 0xbb});
    std::set<std::tuple<std::string, RouterId, InterfaceId, Metric>> claims;
    router.speaker.for_each_claim([&](const Claim& claim) {
        claims.emplace(claim.about.prefix.to_string(), claim.router_id, claim.on.value_or(0), claim.received);
    });
    CHECK(
        claims == decltype(claims
                  ){{"10.1.0.0/16", kUs, 0, 0},
                    {"10.1.0.0/16", 0xbb, 2, 9},
                    {"10.2.0.0/16", 0xaa, 1, 100},
                    {"10.2.0.0/16", 0xbb, 2, 0}}
    );
}
