// Babel's routes on their way to the kernel.

#include "babel/packet.hpp"
#include "overlay/router.hpp"

#include <catch2/catch.hpp>

#include <malloc.h>

#include <array>

using namespace aronet;
using namespace aronet::overlay;

namespace {

constexpr std::size_t kMany = 10'000;
constexpr std::array<babel::SeqNo, 2> kHellos{1, 2};
const Address kOwn = *Address::parse("fe80::1"), kNeighbour = *Address::parse("fe80::2");

babel::Destination nth(std::size_t n) {
    return babel::Destination::of(Prefix(Address::parse("2001:db8::")->plus(std::uint64_t(n) << 32), 96));
}

base::Bytes greeting(babel::SeqNo seqno) {
    babel::PacketWriter writer(1400);
    writer.add(babel::Hello{.seqno = seqno, .interval = babel::Interval::of(4s)});
    writer.add(babel::Ihu{.address = kOwn, .rxcost = 96, .interval = babel::Interval::of(12s)});
    return writer.finish();
}

// Updates of the destinations in packets as they come over a wire.
std::vector<base::Bytes> updates(std::size_t first, std::size_t count, babel::Metric metric) {
    std::vector<base::Bytes> packets;
    babel::PacketWriter writer(1400);
    for (std::size_t n = first; n < first + count; ++n) {
        babel::Announcement update{.about = nth(n), .router_id = 0xaa, .next_hop = kNeighbour, .seqno = 1};
        update.interval = babel::Interval::of(400s);
        update.metric = metric;
        if (writer.add(update, babel::Encoding::v4_via_v6)) continue;
        packets.push_back(writer.finish());
        writer.add(update, babel::Encoding::v4_via_v6);
    }
    packets.push_back(writer.finish());
    return packets;
}

struct Neighbourhood {
    explicit Neighbourhood(const std::string& more = "")
        : router(R"("interfaces": ["eth0"], "only_registered_prefixes": false)" + more) {
        router.up("eth0");
        router.add("eth0", "fe80::1");
        for (const babel::SeqNo seqno : kHellos) router.hear("eth0", kNeighbour, greeting(seqno));
    }
    void say(std::size_t first, std::size_t count, babel::Metric metric = 100) {
        for (const base::Bytes& packet : updates(first, count, metric))
            router.hear("eth0", kNeighbour, packet);
    }
    netlink::RouteKind kind(std::size_t n) const {
        for (const auto& [key, route] : router.routes) {
            if (key.destination == nth(n).prefix) return route.kind;
        }
        FAIL("the kernel has no such route");
        return {};
    }

    Router router;
};

std::size_t in_use() { return mallinfo2().uordblks; }

std::size_t cost_in_a_speaker(const std::vector<base::Bytes>& packets) {
    base::Random random = base::Random::from_number(7);
    babel::Speaker speaker({.router_id = 1, .seqno = 1}, random);
    babel::Actions actions;
    babel::InterfaceConfig config;
    config.link_local = kOwn;
    config.bounded = false;
    const base::Instant now{1000s};
    const auto hear = [&](const base::Bytes& packet) {
        speaker.handle({packet, kNeighbour, kOwn, 6696, 1, now}, now, actions);
        actions.clear();
    };
    speaker.add_interface(1, config, now, actions);
    for (const babel::SeqNo seqno : kHellos) hear(greeting(seqno));
    const std::size_t before = in_use();
    for (const base::Bytes& packet : packets) hear(packet);
    actions.shrink_to_fit();
    REQUIRE(speaker.installed_count() == kMany);
    return in_use() - before;
}

}  // namespace

TEST_CASE("what flaps while the kernel is busy is told once, as it is in the end") {
    Neighbourhood n;
    n.say(0, 1);
    n.router.busy = true;
    n.say(1, 1);
    REQUIRE(n.router.kept() == 1);
    const std::size_t before = n.router.route_changes;
    n.say(2, 3);
    n.say(2, 1, babel::kInfinity);
    n.say(2, 1);
    n.say(3, 1, babel::kInfinity);
    CHECK(n.router.kept() == 1);
    n.router.release();
    CHECK(n.router.route_changes == before + 4);
    CHECK(n.router.routes.size() == 5);
    CHECK(n.kind(2) == netlink::RouteKind::unicast);
    CHECK(n.kind(3) == netlink::RouteKind::unreachable);
}

TEST_CASE("a route that becomes unreachable and comes back is replaced") {
    Neighbourhood n;
    n.say(0, 2);
    n.say(0, 1, babel::kInfinity);
    CHECK(n.kind(0) == netlink::RouteKind::unreachable);
    CHECK(n.kind(1) == netlink::RouteKind::unicast);
    n.say(0, 1);
    CHECK(n.kind(0) == netlink::RouteKind::unicast);
}

TEST_CASE("a route that somebody else took away is put back, one that is not ours is not") {
    Neighbourhood n;
    n.say(0, 2);
    netlink::RouteKey key = n.router.routes.begin()->first;
    n.router.routes.erase(key);
    n.router.tell(netlink::RouteLost{key});
    CHECK(n.router.routes.size() == 1);
    n.router.wait(100ms);
    CHECK(n.router.routes.size() == 2);
    key.table = 1000;
    n.router.tell(netlink::RouteLost{key});
    n.router.wait(100ms);
    CHECK(n.router.routes.size() == 2);
}

TEST_CASE("a route that the kernel refuses is asked for ever more seldom, and does not hold up a stop") {
    for (const char* rules : {"", R"(, "install": [{"pref_src": "2001:db8::1"}])"}) {
        CAPTURE(rules);
        Neighbourhood n(rules);
        n.router.refuses = true;
        n.say(0, 1);
        for (int i = 0; i < 100; ++i) n.router.wait(20ms);
        CHECK(n.router.route_changes >= 4);
        CHECK(n.router.route_changes < 15);
        n.router.refuses = false;
        for (int i = 0; i < 150; ++i) n.router.wait(20ms);
        CHECK(n.router.routes.size() == 1);
        n.router.refuses = true;
        n.say(1, 1);
        n.router.refuses = false;
        n.router.stop();
        CHECK(n.router.routes.empty());
        CHECK(n.router.stopped);
    }
}

TEST_CASE("routes from a source address are looked at when that goes, whatever its family") {
    for (const char* source : {"2001:db8::1", "10.1.1.1"}) {
        CAPTURE(source);
        Neighbourhood n(R"(, "install": [{"pref_src": ")" + std::string(source) + "\"}]");
        n.say(0, 1);
        n.router.neighbourhood = {
            netlink::LinkUp{Space::underlay, "eth0", 2, 1500},
            netlink::AddressAppeared{Space::underlay, "eth0", kOwn}};
        n.router.add("dummy0", source);
        n.router.add("dummy0", "2001:db8::2");
        const unsigned before = n.router.snapshots;
        n.router.remove("dummy0", "2001:db8::2");
        CHECK(n.router.snapshots == before);
        n.router.remove("dummy0", source);
        CHECK(n.router.snapshots == before + 1);
        CHECK(n.router.routes.size() == 1);
        n.router.refuses = true;  // as the kernel does while it is away
        n.router.routes.clear();
        n.router.tell(netlink::Lost{});
        for (int i = 0; i < 50; ++i) n.router.wait(20ms);
        REQUIRE(n.router.routes.empty());
        n.router.refuses = false;
        n.router.add("dummy0", source);
        CHECK(n.router.routes.size() == 1);
    }
}

TEST_CASE("a route that somebody takes away again and again comes back ever later") {
    Neighbourhood n;
    n.say(0, 2);
    const netlink::RouteKey key = n.router.routes.begin()->first;
    std::size_t before = n.router.route_changes;
    for (int i = 0; i < 500; ++i) {
        n.router.tell(netlink::RouteLost{key});
        n.router.wait(20ms);
    }
    CHECK(n.router.route_changes - before >= 4);
    CHECK(n.router.route_changes - before < 15);
}

TEST_CASE("after lost notices the kernel is told all routes again, and on a stop that they are gone") {
    Neighbourhood n;
    n.say(0, 1000);
    CHECK(n.router.routes.size() == 1000);
    n.router.routes.clear();
    n.router.tell(netlink::Lost{});
    CHECK(n.router.routes.size() == 1000);
    CHECK(n.router.ask("status").at("routes").at("installed") == 1000);
    n.router.stop();
    CHECK(n.router.routes.empty());
}

TEST_CASE("ten thousand routes wait in little room for a kernel that is busy, and in none for one that is not"
) {
    const auto packets = updates(0, kMany, 100);
    const std::size_t speaker_alone = cost_in_a_speaker(packets);
    if (in_use() == 0) {  // under a sanitizer
        WARN("left out: this allocator does not count");
        return;
    }
    Neighbourhood n;
    n.router.count_only = true;
    n.router.busy = true;
    const std::size_t before = in_use();
    for (const base::Bytes& packet : packets) n.router.hear("eth0", kNeighbour, packet);
    const std::size_t waiting = in_use() - before - speaker_alone;
    CHECK(n.router.kept() <= netlink::kBurst);
    CHECK(waiting < kMany * 100);
    n.router.release();
    CHECK(n.router.route_changes == kMany);
    CHECK(in_use() - before < speaker_alone + kMany * 2);
}
