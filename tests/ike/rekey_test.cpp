// Rekeying of children by us (RFC 7296 1.3.3, 2.8, 2.25): make before break, and every way in which it can
// cross with what the peer does.

#include "rekeying.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace aronet;
using namespace aronet::ike;
using namespace aronet::ike::test;
using namespace std::chrono_literals;

namespace {

EngineConfig rekeying(Duration lifetime) {
    EngineConfig config;
    config.child_lifetime = lifetime;
    return config;
}

}  // namespace

TEST_CASE("children are rekeyed by both sides for ever, without a moment's gap, and none piles up") {
    Dialogue d(4, rekeying(60s), rekeying(60s));
    d.both_connect().advance(1s).expect_tunnel();
    const base::Sa& before = d.a.children.begin()->second.first;
    const std::uint32_t spi = before.spi;
    const base::Secret key = before.key.copy();
    advance_without_a_gap(d, 20min);
    CHECK(d.a.ups >= 20);
    CHECK(d.a.ups <= 30);
    CHECK(d.a.ups == d.b.ups);
    CHECK(d.count(kInit, true) == 1);  // on one IKE SA
    CHECK(d.a.children.size() <= 2);
    d.advance_until(10s, [&] { return d.single(); }).expect_tunnel();
    CHECK_FALSE(d.a.children.begin()->second.first.spi == spi);
    CHECK_FALSE(d.a.children.begin()->second.first.key == key);
}

TEST_CASE("a child is rekeyed in the last tenth of its lifetime") {
    Dialogue d(1, rekeying(100s), rekeying(0s));
    d.both_connect().advance(1s).expect_tunnel();
    d.advance_until(200s, [&] { return d.a.ups == 2; });
    CHECK(d.now.time_since_epoch() > 89s);
    CHECK(d.now.time_since_epoch() < 102s);
}

TEST_CASE("the data plane is told to say when a child has carried as much as it should, less up to a tenth") {
    EngineConfig config;
    config.child_bytes = 1'000'000;
    config.child_packets = 5000;
    Dialogue d(1, std::move(config));
    d.both_connect().advance(1s).expect_tunnel();
    const auto& [in, out] = d.a.children.begin()->second;
    for (const base::Sa* sa : {&in, &out}) {
        CHECK(sa->soft_bytes >= 900'000);
        CHECK(sa->soft_bytes <= 1'000'000);
        CHECK(sa->soft_packets >= 4500);
        CHECK(sa->soft_packets <= 5000);
    }
    CHECK(in.soft_bytes != out.soft_bytes);
    CHECK(d.b.children.begin()->second.first.soft_bytes == 0);
}

TEST_CASE("limits so small that they are always reached do not pile up children") {
    Dialogue d;
    d.both_connect().advance(1s).expect_tunnel();
    d.advance_until(60s, [&] {
        for (Side* side : {&d.a, &d.b}) {
            if (side->sending) rekey(d, *side);
        }
        CHECK(d.tunnel());
        CHECK(d.a.children.size() <= 5);
        CHECK(d.b.children.size() <= 5);
        return false;
    });
    CHECK(d.a.ups >= 10);
    d.advance(40s);
    d.advance_until(10s, [&] { return d.single(); }).expect_tunnel();
    CHECK(d.a.view().attempts == 1);
}

TEST_CASE("a rekeyed child has keys of a key exchange of its own, and the old one stays five seconds") {
    Dialogue d;
    d.both_connect().advance(1s).expect_tunnel();
    rekey(d, d.a);
    d.advance(1s);
    CHECK(d.tunnel());
    CHECK(d.a.replacing.at(*d.a.sending));
    CHECK(d.b.replacing.at(*d.b.sending));
    CHECK(d.a.children.size() == 2);
    CHECK(d.b.children.size() == 2);
    d.advance(6s).expect_tunnel();
    CHECK(d.a.switches == 2);
    CHECK(d.b.switches == 2);
}

TEST_CASE("the old inbound SA is there for five seconds after its DELETE, with either side, and not longer") {
    Dialogue d;
    d.both_connect().advance(1s).expect_tunnel();
    rekey(d, d.a);
    d.advance_until(1s, [&] { return d.count(kInformational, false) == 1; });
    REQUIRE(d.count(kInformational, false) == 1);  // b has answered the DELETE, a hears it a path later
    d.advance(4900ms);
    CHECK(d.a.children.size() == 2);
    CHECK(d.b.children.size() == 2);
    d.advance(100ms + d.delay / 2);
    CHECK(d.a.children.size() == 2);
    CHECK(d.b.children.size() == 1);
    d.advance(d.delay);
    CHECK(d.a.children.size() == 1);
    d.expect_tunnel();
}

TEST_CASE("when a child is rekeyed is drawn anew each time, over the whole last tenth of its lifetime") {
    std::set<Duration> times;
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
        Dialogue d(seed, rekeying(1000s), rekeying(0s));
        d.both_connect().advance_until(1s, [&] { return d.tunnel(); });
        const Instant up = d.now;
        d.advance_until(1100s, [&] { return d.count(kCreateChild, true) == 1; });
        times.insert(d.now - up);
    }
    CHECK(times.size() == 40);
    CHECK(*times.begin() >= 900s);
    CHECK(*times.begin() < 920s);
    CHECK(*times.rbegin() > 980s);
    CHECK(*times.rbegin() <= 1001s);
}

TEST_CASE("a rekeying succeeds without a gap whichever message is lost, doubled or late") {
    for (const bool by_a : {true, false}) {
        for_each_fault([&](Dialogue& d) {
            d.both_connect().advance(30s).expect_tunnel();
            rekey(d, by_a ? d.a : d.b);
            advance_without_a_gap(d, 20s);
            d.expect_tunnel();
            CHECK(d.a.ups == 2);
            CHECK(d.b.ups == 2);
        });
    }
}

TEST_CASE(
    "C6, row 42: both sides rekeying at once end with one child, without a gap, whatever happens to a message"
) {
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {  // either side has the lowest nonce
        for_each_fault(
            [&](Dialogue& d) {
                d.both_connect().advance(30s).expect_tunnel();
                rekey(d, d.a);
                rekey(d, d.b);
                advance_without_a_gap(d, 60s);
                d.expect_tunnel();
                CHECK(d.a.view().attempts == 1);  // on the IKE SA that there is
            },
            seed
        );
    }
}

TEST_CASE("C6: with the lowest nonce in its own exchange a side deletes what it made, or wins") {
    for (const bool b_wins : {true, false}) {
        Pair t;
        t.rekeys();
        const auto crossed = t.crosses(0x22222222, b_wins ? 0 : 0xff);
        REQUIRE(crossed.has_value());
        REQUIRE(crossed->find<SaPayload>() != nullptr);
        const std::size_t ups = t.d.b.ups;
        t.agrees(0x33333333, b_wins ? 0xff : 0);
        if (b_wins) {
            CHECK(t.d.b.ups == ups + 1);
            CHECK(t.sends_on() == 0x33333333);
            CHECK(t.deleted_by_b() == t.d.b.children.at(t.first).first.spi);
            CHECK(t.deletes(0x22222222).size() == 1);
        } else {
            CHECK(t.d.b.ups == ups);  // what is too many is not even installed
            CHECK(t.sends_on() == t.s.esp_spi);
            CHECK(t.deleted_by_b() != t.d.b.children.at(t.first).first.spi);
            CHECK(t.deletes(t.s.esp_spi).size() == 1);
            CHECK(t.sends_on() == 0x22222222);
        }
        t.ends_with_one_child();
    }
}

TEST_CASE("C6: of two nonces of which one is the other's beginning the shorter is the lower one") {
    for (const bool b_wins : {true, false}) {
        Pair t;
        t.rekeys();
        REQUIRE(t.crosses(0x22222222, 0, b_wins ? 16 : 32).has_value());
        t.agrees(0x33333333, 0, b_wins ? 32 : 16);
        CHECK(t.deletes(b_wins ? 0x22222222 : t.s.esp_spi).size() == 1);
        CHECK(t.sends_on() == (b_wins ? 0x33333333 : 0x22222222));
        t.ends_with_one_child();
    }
}

TEST_CASE("2.25: the peer's DELETE of the old child before the answer to our rekeying loses nothing") {
    Pair t;
    t.rekeys();
    REQUIRE(t.crosses(0x22222222, 0xff).has_value());
    CHECK(t.deletes(t.s.esp_spi).size() == 1);
    CHECK(t.sends_on() == 0x22222222);
    t.agrees(0x33333333, 0);
    CHECK(t.sends_on() == 0x22222222);
    t.ends_with_one_child();
}

TEST_CASE("2.25: a child that the peer only closes while we rekey it lives on in the new one") {
    Pair t;
    t.rekeys();
    CHECK(t.deletes(t.s.esp_spi).size() == 1);
    t.agrees(0x33333333, 7);
    CHECK(t.sends_on() == 0x33333333);
    CHECK(t.d.b.children.size() == 1);
}

TEST_CASE("2.25: a rekeying of what the peer closed meanwhile ends quietly, and another child is asked for") {
    Pair t;
    t.rekeys();
    CHECK(t.deletes(t.s.esp_spi).size() == 1);
    const std::size_t asked = t.d.count(kCreateChild, false), said = t.d.count(kInformational, false);
    t.s.answer({NotifyPayload{notify::child_sa_not_found, Protocol::esp, spi_bytes(1), {}}});
    CHECK(t.d.b.children.empty());
    t.d.advance_until(6s, [&] { return t.d.count(kCreateChild, false) > asked; });
    REQUIRE(t.d.count(kCreateChild, false) == asked + 1);
    CHECK(t.d.count(kInformational, false) == said);  // nothing is deleted, nothing begun anew
    CHECK(t.s.asked()->find_notify(notify::rekey_sa) == nullptr);
    t.agrees(0x33333333, 7);
    CHECK(t.sends_on() == 0x33333333);
}

TEST_CASE("2.25: while we delete a child its rekeying is refused for now, and its DELETE crosses in peace") {
    Pair t;
    t.rekeys();
    t.agrees(0x33333333, 7);
    REQUIRE(t.deleted_by_b() == t.d.b.children.at(t.first).first.spi);
    const auto refused = t.crosses(0x22222222, 0);
    REQUIRE(refused.has_value());
    REQUIRE(refused->find_error() != nullptr);
    CHECK(refused->find_error()->type == notify::temporary_failure);
    CHECK(t.deletes(t.s.esp_spi).empty());
    CHECK(t.sends_on() == 0x33333333);
    CHECK(t.d.b.children.size() == 2);  // packets may be under way
    t.d.advance(6s);
    CHECK(t.d.b.children.size() == 1);
}

TEST_CASE("2.25: what the peer cannot do now is asked for again after six to fifteen seconds") {
    for (const std::uint16_t error :
         {notify::temporary_failure, notify::no_proposal_chosen, notify::ts_unacceptable}) {
        Pair t;
        t.rekeys();
        t.s.answer({make_notify(error)});
        if (error == notify::no_proposal_chosen) t.s.answer({make_notify(error)});  // the other group
        CHECK(t.sends_on() == t.s.esp_spi);
        const std::size_t before = t.d.count(kCreateChild, false);
        t.d.advance(5s);
        CHECK(t.d.count(kCreateChild, false) == before);
        t.d.advance_until(11s, [&] { return t.d.count(kCreateChild, false) > before; });
        REQUIRE(t.d.count(kCreateChild, false) > before);
        t.agrees(0x33333333, 7);
        CHECK(t.sends_on() == 0x33333333);
    }
}

TEST_CASE("2.25: a child that the peer does not know is replaced by another at once") {
    Pair t;
    t.rekeys();
    t.s.answer({NotifyPayload{notify::child_sa_not_found, Protocol::esp, spi_bytes(1), {}}});
    CHECK(t.d.b.children.empty());
    const auto asked = t.s.asked();
    REQUIRE(asked.has_value());
    CHECK(asked->header.exchange == ExchangeType::create_child_sa);
    CHECK(asked->find_notify(notify::rekey_sa) == nullptr);
    t.agrees(0x33333333, 7);
    CHECK(t.sends_on() == 0x33333333);
}

TEST_CASE("a rekeying that fails again and again makes the IKE SA anew") {
    Pair t;
    t.rekeys();
    for (int i = 0; i < 9; ++i) {
        const std::size_t before = t.d.count(kCreateChild, false);
        t.s.answer({make_notify(notify::temporary_failure)});
        t.d.advance_until(16s, [&] { return t.d.count(kCreateChild, false) > before; });
    }
    CHECK(t.d.b.children.empty());
    CHECK(t.s.asked()->find<DeletePayload>()->protocol == Protocol::ike);
}

TEST_CASE("a rekeyed child that our data plane refuses is deleted, and the old one goes on for a while") {
    Pair t;
    t.d.b.refuses = true;
    t.rekeys();
    t.agrees(0x33333333, 7);
    CHECK(t.sends_on() == t.s.esp_spi);
    const std::uint32_t refused = t.deleted_by_b();
    CHECK(refused != 0);
    CHECK(refused != t.d.b.children.at(t.first).first.spi);
    t.s.answer({});
    const std::size_t before = t.d.count(kCreateChild, false);
    t.d.advance(5s);
    CHECK(t.d.count(kCreateChild, false) == before);
    t.d.b.refuses = false;
    t.d.advance(11s);
    REQUIRE(t.d.count(kCreateChild, false) > before);
    t.agrees(0x44444444, 7);
    CHECK(t.sends_on() == 0x44444444);
}

TEST_CASE("a peer that takes its rekeying back leaves the old child to be rekeyed by us") {
    Pair t;
    REQUIRE(t.crosses(0x22222222, 7).has_value());
    CHECK(t.deletes(0x22222222).size() == 1);
    CHECK(t.sends_on() == t.s.esp_spi);
    t.rekeys();
    t.agrees(0x33333333, 7);
    CHECK(t.sends_on() == 0x33333333);
}
