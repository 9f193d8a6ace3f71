// A peer to which traffic goes and from which nothing comes: asked at once, dead for routing after two
// seconds, back with its first sign of life.

#include "rekeying.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace aronet;
using namespace aronet::ike;
using namespace aronet::ike::test;
using namespace std::chrono_literals;

namespace {

using Story = std::vector<Trust>;

void suspect(Dialogue& d, Side& side) {
    d.call(side, [&](Engine& engine, Actions& out) { engine.suspect(1, d.now, out); });
}
void suspect(Dialogue& d) { suspect(d, d.a); }

Dialogue established(EngineConfig config = without_dpd()) {
    Dialogue d(1, std::move(config), without_dpd());
    d.b_connects().a_connects().advance(1s).expect_tunnel();
    return d;
}

}  // namespace

TEST_CASE("a suspected peer that lives is asked once and trusted again after a round trip") {
    Dialogue d = established();
    const auto before = d.count(kInformational, true);
    suspect(d);
    CHECK(d.a.trust == Story{Trust::suspected});
    suspect(d);
    d.advance(19ms);
    CHECK(d.a.trust.size() == 1);
    d.advance(2ms);
    CHECK(d.a.trust == Story{Trust::suspected, Trust::full});
    d.advance(30s);
    CHECK(d.count(kInformational, true) == before + 1);
    CHECK(d.single());
}

TEST_CASE("a suspected peer is dead after two seconds and eight questions; its SAs stay, and it comes back") {
    Dialogue d = established();
    d.cut = true;
    const auto before = d.count(kInformational, true);
    const Instant cut_at = d.now;
    suspect(d);
    d.advance_until(10s, [&] { return d.a.trust.size() == 2; });
    CHECK(d.a.trust == Story{Trust::suspected, Trust::none});
    CHECK(d.now - cut_at >= 2s);
    CHECK(d.now - cut_at <= 2500ms);
    CHECK(d.count(kInformational, true) - before >= 9);
    CHECK(d.count(kInformational, true) - before <= 14);
    d.advance(5s);
    CHECK(d.a.children.size() == 1);
    CHECK(d.a.downs == 0);
    d.cut = false;
    d.advance(3s);
    CHECK(d.a.trust == Story{Trust::suspected, Trust::none, Trust::full});
    CHECK(d.single());
}

TEST_CASE("over a slow path a suspected peer has four round trips") {
    Dialogue d(1, without_dpd(), without_dpd());
    d.delay = 300ms;
    d.b_connects().a_connects().advance(3s).expect_tunnel();
    d.cut = true;
    const Instant cut_at = d.now;
    suspect(d);
    d.advance_until(10s, [&] { return d.a.trust.size() == 2; });
    CHECK(d.now - cut_at >= 2400ms);
    CHECK(d.now - cut_at <= 3s);
}

TEST_CASE("ESP that comes in acquits as well") {
    Dialogue d = established();
    d.cut = true;
    suspect(d);
    d.advance(1s);
    d.a.engine->traffic_seen(1, d.now);
    d.advance(1ms);
    CHECK(d.a.trust == Story{Trust::suspected, Trust::full});
    d.cut = false;
    d.advance(5s);
    CHECK(d.single());
}

TEST_CASE("a request that is under way is the question, and is answered once") {
    Dialogue d = established();
    d.cut = true;
    d.call(d.a, [&](Engine& engine, Actions& out) { engine.rekey(*d.a.sending, d.now, out); });
    const auto asked = d.count(kCreateChild, true);
    suspect(d);
    CHECK(d.count(kCreateChild, true) == asked + 1);
    d.advance(1s);
    CHECK(d.count(kCreateChild, true) >= asked + 5);
    d.cut = false;
    d.advance(1s);
    CHECK(d.a.trust == Story{Trust::suspected, Trust::full});
    d.advance(10s);
    CHECK(d.single());
}

TEST_CASE("a peer that stays dead is given up as by dead peer detection, and reached again") {
    Dialogue d = established();
    d.cut = true;
    suspect(d);
    d.advance(30s);
    CHECK(d.a.children.empty());
    d.cut = false;
    d.advance_until(60s, [&] { return d.single(); });
    d.expect_tunnel();
}

TEST_CASE("nobody is taken for dead where three of ten packets are lost each way") {
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
        Dialogue d = established();
        base::Random random = base::Random::from_number(seed);
        d.fate = [&](const Passing&) { return random.below(100) < 30 ? Fate::lost : Fate::arrives; };
        suspect(d);
        for (int i = 0; i < 50; ++i) {  // echoes of traffic, both ways
            d.advance(100ms);
            if (random.below(100) < 49) d.a.engine->traffic_seen(1, d.now);
        }
        CAPTURE(seed);
        CHECK(std::find(d.a.trust.begin(), d.a.trust.end(), Trust::none) == d.a.trust.end());
    }
}

// A flow in one direction: only the answers to questions say that the peer lives, and each is followed by
// another suspicion.
TEST_CASE("nor is a peer that sends nothing itself, however often it is suspected") {
    Dialogue d = established();
    base::Random random = base::Random::from_number(7);
    d.fate = [&](const Passing&) { return random.below(100) < 30 ? Fate::lost : Fate::arrives; };
    for (int i = 0; i < 5000; ++i) {
        suspect(d);
        d.advance_until(60s, [&] { return d.a.trust.back() == Trust::full; });
    }
    CHECK(std::ranges::count(d.a.trust, Trust::none) == 0);
    d.fate = {};
    for (int i = 0; i < 100; ++i) {
        suspect(d);
        d.advance(1s);
    }
    d.cut = true;
    const Instant cut_at = d.now;
    suspect(d);
    d.advance_until(10s, [&] { return d.a.trust.back() == Trust::none; });
    CHECK(d.now - cut_at <= 2500ms);  // the loss is forgotten
}

TEST_CASE("suspicion goes over to a rekeyed IKE SA: its sign of life there ends it, its silence confirms it"
) {
    for (const bool alive : {true, false}) {
        CAPTURE(alive);
        Pair t;
        renew(t.d, t.d.b);
        suspect(t.d, t.d.b);
        const Instant since = t.d.now;
        Half half(t.s, 7);
        half.answers();
        REQUIRE(half.next().asked().has_value());
        CHECK(half.next().asked()->header.exchange == ExchangeType::informational);
        if (alive) {
            t.d.advance(50ms);
            half.next().answer({});
            t.d.advance(1ms);
            CHECK(t.d.b.trust == Story{Trust::suspected, Trust::full});
        } else {
            t.d.advance_until(10s, [&] { return t.d.b.trust.size() > 1; });
            CHECK(t.d.b.trust == Story{Trust::suspected, Trust::none});
            CHECK(t.d.now - since <= 2500ms);
        }
    }
}

TEST_CASE("what was suspected and is closed has no say over the tunnel that follows") {
    for (const Duration until : std::initializer_list<Duration>{500ms, 3s}) {  // suspected; dead
        CAPTURE(until / 1ms);
        Dialogue d = established();
        d.cut = true;
        suspect(d);
        d.advance(until);
        d.call(d.a, [&](Engine& engine, Actions& out) { engine.drop(1, d.now, out); });
        const Story then = d.a.trust;
        d.advance(3s);
        CHECK(d.a.trust == then);
        d.cut = false;
        d.a_connects().advance(5s).expect_tunnel();
        CHECK(d.a.trust == then);
    }
}

TEST_CASE("suspicion of a peer without an SA is nothing") {
    Dialogue d(1, without_dpd(), without_dpd());
    suspect(d);
    d.call(d.a, [&](Engine& engine, Actions& out) { engine.suspect(77, d.now, out); });
    CHECK(d.a.trust.empty());
}
