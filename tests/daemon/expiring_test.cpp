// An SA of our own ESP that has carried what it may asks for another one, and gets it in time: two engines
// and their data planes, as the worker (daemon/datapath_worker.cpp) and the node (overlay/node_kernel.cpp)
// put them together, with traffic both ways all the time.

#include "esp/fixtures.hpp"
#include "ike/rekeying.hpp"

#include <catch2/catch.hpp>

#include <deque>

using namespace aronet;
using namespace aronet::ike;
using namespace aronet::ike::test;
using namespace std::chrono_literals;

namespace {

// What one side's engine has agreed on, as SAs that seal and open.
class Plane {
public:
    Plane(Dialogue& dialogue, Side& owner, std::uint64_t seed)
        : d(dialogue), side(owner), random_(base::Random::from_number(seed)) {}

    void follow() {
        for (const auto& [child, sas] : side.children) {
            if (!held_.emplace(child, std::pair(sas.first.id(), sas.second.id())).second) continue;
            REQUIRE(registry_.add(sas.first) == std::errc{});
            REQUIRE(registry_.add(sas.second) == std::errc{});
        }
        std::erase_if(held_, [&](const auto& held) {
            if (side.children.contains(held.first)) return false;
            registry_.remove(held.second.first);
            registry_.remove(held.second.second);
            return true;
        });
        if (side.sending) {
            const base::Sa& out = side.children.at(*side.sending).second;
            REQUIRE(registry_.set_outbound(out.if_id, out.id()) == std::errc{});
            if_id_ = out.if_id;
        }
        table_ = registry_.table();
        registry_.take_ended();
    }
    esp::OutboundSa& outbound() const { return *table_.outbound(if_id_)->sa; }

    Bytes seal(ByteView inner) {
        esp::test::Boxed box(inner);
        const auto* way = table_.seal(if_id_, std::span(&box.packet, 1), d.now, drops);
        REQUIRE(way != nullptr);
        CHECK(box.packet.drop == esp::Drop::none);
        if (way->sa->take_expiring()) expiring(way->id);
        return box.bytes();
    }
    Bytes open(ByteView wire, const Endpoint& from) {
        esp::test::Boxed box(wire);
        box.packet.peer = from;
        table_.open(std::span(&box.packet, 1), d.now, drops);
        CHECK(box.packet.drop == esp::Drop::none);
        if (box.packet.expiring) expiring(box.packet.id);
        return box.packet.drop == esp::Drop::none ? box.bytes() : Bytes{};
    }

    Dialogue& d;
    Side& side;
    esp::DropCounters drops;
    unsigned told = 0;

private:
    void expiring(const base::SaId& id) {
        ++told;
        for (const auto& [child, ids] : held_) {
            if (ids.first != id && ids.second != id) continue;
            d.call(side, [&](Engine& engine, Actions& out) { engine.rekey(child, d.now, out); });
            return;
        }
        FAIL("an SA of no child");
    }

    base::Random random_;
    esp::Registry registry_{random_};
    std::map<ChildId, std::pair<base::SaId, base::SaId>> held_;
    esp::Table table_;
    std::uint32_t if_id_ = 0;
};

struct Traffic {
    explicit Traffic(EngineConfig config = {}) : d(1, copy(config), copy(config)) {
        d.both_connect().advance(1s).expect_tunnel();
        follow();
    }
    void follow() {
        a.follow();
        b.follow();
    }
    // A packet each way every millisecond: each arrives, a path later.
    void pass(Duration time) {
        const Instant end = d.now + time;
        while (d.now < end) {
            for (Plane* from : {&a, &b}) {
                const Bytes inner = esp::test::ipv4(sent++ % 64);
                wire.push_back({d.now + d.delay, from, from->seal(inner), inner});
            }
            d.advance(1ms);
            follow();
            for (; !wire.empty() && wire.front().at <= d.now; wire.pop_front()) {
                Plane& to = wire.front().from == &a ? b : a;
                CHECK(to.open(wire.front().bytes, wire.front().from->side.endpoint) == wire.front().inner);
            }
        }
    }

    struct Flight {
        Instant at;
        Plane* from;
        Bytes bytes, inner;
    };
    Dialogue d;
    Plane a{d, d.a, 1}, b{d, d.b, 2};
    std::deque<Flight> wire;
    std::size_t sent = 0;
};

}  // namespace

TEST_CASE("C19: before 32-bit sequence numbers end there is another child, and not a packet is lost") {
    for (const unsigned whose : {1u, 2u, 3u}) {
        CAPTURE(whose);
        Traffic t;
        t.pass(20ms);
        for (Plane* plane : {&t.a, &t.b}) {
            const unsigned bit = plane == &t.a ? 1 : 2;
            if ((whose & bit) != 0) plane->outbound().skip_to(esp::OutboundSa::kSoftLimit - 50);
        }
        const ChildId before = *t.d.a.sending;
        t.pass(40ms);
        CHECK(t.d.a.ups == 1);
        t.pass(200ms);
        CHECK(t.a.told == (whose & 1));
        CHECK(t.b.told == whose >> 1);
        CHECK(t.d.a.sending != before);
        for (Plane* plane : {&t.a, &t.b}) {
            const auto header = esp::decode_header(plane->seal(esp::test::ipv4(1)));
            REQUIRE(header.has_value());
            CHECK(header->sequence < 1000);  // they began anew
        }
        t.pass(15s);
        CHECK(t.a.told + t.b.told <= 2);
        t.d.expect_tunnel();
    }
}

TEST_CASE("children that carry only so many packets or bytes follow each other, and not a packet is lost") {
    for (const bool by_packets : {true, false}) {
        CAPTURE(by_packets);
        EngineConfig config;
        (by_packets ? config.child_packets : config.child_bytes) = by_packets ? 8000 : 400'000;
        Traffic t(std::move(config));
        t.pass(60s);
        CHECK(t.a.told + t.b.told >= 7);
        CHECK(t.d.a.ups >= 7);
        CHECK(t.d.a.ups <= 12);
        CHECK(t.d.count(kInit, true) == 1);
        t.pass(1s);
        CHECK(t.d.tunnel());
    }
}
