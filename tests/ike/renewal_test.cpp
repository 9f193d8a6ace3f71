// Rekeying of the IKE SA by us (RFC 7296 1.3.2, 2.8, 2.18): the children and all that waits go over to the
// new SA, and the old one is deleted by whoever rekeyed it.

#include "rekeying.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::ike;
using namespace aronet::ike::test;
using namespace std::chrono_literals;

namespace {

EngineConfig renewing(Duration lifetime) {
    EngineConfig config;
    config.ike_lifetime = lifetime;
    return config;
}

// Both sides speak of the same IKE SA, and it is the only one.
void expect_one_session(Dialogue& d) {
    const PeerView a = d.a.view(), b = d.b.view();
    CHECK(a.spi_i == b.spi_i);
    CHECK(a.spi_r == b.spi_r);
    CHECK(a.initiator != b.initiator);
    CHECK(d.a.engine->sessions() == 1);
    CHECK(d.b.engine->sessions() == 1);
}

}  // namespace

TEST_CASE("the IKE SA is rekeyed in the last tenth of its lifetime, and its child notices nothing") {
    Dialogue d(1, renewing(100s), renewing(0s));
    d.both_connect().advance(1s).expect_tunnel();
    const PeerView before = d.a.view();
    d.advance_until(200s, [&] { return d.a.view().rekeyings == 1; });
    CHECK(d.now.time_since_epoch() > 89s);
    CHECK(d.now.time_since_epoch() < 102s);
    d.advance(12s).expect_tunnel();  // the old one is kept for ten seconds: DELETE may be repeated
    expect_one_session(d);
    CHECK(d.a.view().spi_i != before.spi_i);
    CHECK(d.a.view().initiator);
    CHECK(d.a.view().ike_suite == before.ike_suite);
    CHECK(d.a.view().peer_behind_nat == before.peer_behind_nat);
    CHECK(d.b.view().rekeyings == 1);
    CHECK(d.count(kInit, true) == 1);
    for (const Side* side : {&d.a, &d.b}) {
        CHECK(side->ups == 1);
        CHECK(side->downs == 0);
        CHECK(side->switches == 1);
    }
}

TEST_CASE("IKE SA and children are rekeyed by both sides for ever, without a gap, and nothing piles up") {
    EngineConfig config = renewing(60s);
    config.child_lifetime = 45s;
    Dialogue d(3, copy(config), copy(config));
    d.both_connect().advance(1s).expect_tunnel();
    advance_without_a_gap(d, 20min);
    CHECK(d.a.view().rekeyings >= 18);
    CHECK(d.a.view().rekeyings == d.b.view().rekeyings);
    CHECK(d.count(kInit, true) == 1);
    for (const Side* side : {&d.a, &d.b}) {
        CHECK(side->engine->sessions() <= 3);
        CHECK(side->ups - side->downs == side->children.size());
        CHECK(side->children.size() <= 2);
    }
}

TEST_CASE("the IKE SA is rekeyed without a gap whichever message is lost, doubled or late") {
    for (const bool by_a : {true, false}) {
        for_each_fault([&](Dialogue& d) {
            d.both_connect().advance(30s).expect_tunnel();
            renew(d, by_a ? d.a : d.b);
            advance_without_a_gap(d, 20s);
            d.expect_tunnel();
            CHECK(d.a.view().rekeyings == 1);
            CHECK(d.b.view().rekeyings == 1);
            CHECK(d.a.ups == 1);
            expect_one_session(d);
        });
    }
}

TEST_CASE("the IKE SA is rekeyed before its message IDs are used up") {
    EngineConfig config = renewing(0s);
    config.ike_requests = 6;
    Dialogue d(1, std::move(config), renewing(0s));
    d.both_connect().advance(5min).expect_tunnel();
    CHECK(d.a.view().rekeyings >= 2);
    CHECK(d.count(kInit, true) == 1);
    expect_one_session(d);
}

TEST_CASE("a rekeyed IKE SA watches over its peer as the old one did") {
    Dialogue d;
    d.both_connect().advance(1s);
    renew(d, d.b);
    d.advance(1s).expect_tunnel();
    CHECK(d.a.view().rekeyings == 1);
    d.cut = true;
    d.advance(40s);
    CHECK(d.a.view().state != PeerState::established);
    CHECK(d.b.view().state != PeerState::established);
    CHECK(d.a.children.empty());
    d.cut = false;
    d.advance(60s).expect_tunnel();
}

TEST_CASE("the peer's answer makes a new IKE SA of the same suite, and the old one is deleted by us") {
    Pair t;
    renew(t.d, t.d.b);
    Half half(t.s, 7);
    half.answers();
    CHECK(session_deleted_by_b(t.s));
    t.s.answer({});
    CHECK(t.d.b.engine->sessions() == 1);
    CHECK(half.alive());
    CHECK(t.d.b.view().spi_i == half.next().spi_i);
    CHECK(t.d.b.view().initiator);
    CHECK(t.d.b.downs == 0);
    CHECK(t.sends_on() == t.s.esp_spi);
}

TEST_CASE("what waits while the IKE SA is rekeyed is asked for on the new one") {
    Pair t;
    renew(t.d, t.d.b);
    rekey(t.d, t.d.b);
    Half half(t.s, 7);
    half.answers();
    const auto asked = half.next().asked();
    REQUIRE(asked.has_value());
    CHECK(asked->header.exchange == ExchangeType::create_child_sa);
    CHECK(asked->header.message_id == 0);
    CHECK(asked->find_notify(notify::rekey_sa) != nullptr);
}

TEST_CASE("a child that the peer deletes while we rekey the IKE SA is asked for on the new one") {
    Pair t;
    renew(t.d, t.d.b);
    CHECK(t.deletes(t.s.esp_spi).size() == 1);
    Half half(t.s, 7);
    half.answers();
    t.s.answer({});
    t.d.advance_until(10s, [&] { return half.next().asked().has_value(); });
    REQUIRE(half.next().asked().has_value());
    CHECK(half.next().asked()->header.exchange == ExchangeType::create_child_sa);
}

TEST_CASE("2.25: an IKE rekeying that the peer cannot do now is asked for again after six to fifteen seconds"
) {
    for (const std::uint16_t error :
         {notify::temporary_failure, notify::no_proposal_chosen, notify::no_additional_sas}) {
        Pair t;
        renew(t.d, t.d.b);
        t.s.answer({make_notify(error)});
        const std::size_t before = t.d.count(kCreateChild, false);
        t.d.advance(5s);
        CHECK(t.d.count(kCreateChild, false) == before);
        t.d.advance_until(11s, [&] { return t.d.count(kCreateChild, false) > before; });
        REQUIRE(t.d.count(kCreateChild, false) > before);
        Half half(t.s, 7);
        half.answers();
        CHECK(half.alive());
        CHECK(t.d.b.downs == 0);
    }
}

TEST_CASE("an IKE rekeying that fails for minutes makes the IKE SA anew") {
    Pair t;
    renew(t.d, t.d.b);
    const Instant began = t.d.now;
    for (int i = 0; i < 9; ++i) {
        const std::size_t before = t.d.count(kCreateChild, false);
        CHECK(t.d.b.children.size() == 1);
        t.s.answer({make_notify(notify::temporary_failure)});
        t.d.advance_until(3min, [&] { return t.d.count(kCreateChild, false) > before; });
    }
    CHECK(t.d.now - began > 3min);
    CHECK(t.d.b.children.empty());
    CHECK(t.d.b.engine->sessions() <= 1);
}

TEST_CASE("what the peer made while our rekeying failed for the last time takes the place of the old one") {
    Pair t;
    renew(t.d, t.d.b);
    Half half(t.s, 7);
    for (int i = 0; i < 9; ++i) {
        const std::size_t before = t.d.count(kCreateChild, false);
        if (i == 8) {
            REQUIRE(half.asks() == 0);
        }
        t.s.answer({make_notify(notify::temporary_failure)});
        t.d.advance_until(3min, [&] { return i == 8 || t.d.count(kCreateChild, false) > before; });
    }
    CHECK(half.alive());
    CHECK(t.d.b.children.size() == 1);
    CHECK(t.d.b.downs == 0);
}

TEST_CASE("an answer to the rekeying of the IKE SA that makes no sense ends it, with DELETE") {
    using Change = void (*)(std::vector<Payload>&);
    const std::vector<Change> changes{
        [](auto& payloads) { payloads.pop_back(); },
        [](auto& payloads) { payloads.erase(payloads.begin() + 1); },
        [](auto& payloads) { std::get<SaPayload>(payloads[0]).proposals[0].spi = Bytes(8, 0); },
        [](auto& payloads) { std::get<SaPayload>(payloads[0]).proposals[0].number = 2; },
        [](auto& payloads) {
            std::get<SaPayload>(payloads[0]).proposals[0].transforms[0].id = encr::aes_cbc;
        },
        [](auto& payloads) { std::get<KePayload>(payloads[2]).data = Bytes(32, 0); },
        [](auto& payloads) { std::get<KePayload>(payloads[2]).group = 19; },
    };
    for (const Change change : changes) {
        Pair t;
        renew(t.d, t.d.b);
        std::vector<Payload> payloads = Half(t.s, 7).payloads();
        change(payloads);
        t.s.answer(payloads);
        CHECK(session_deleted_by_b(t.s));
        CHECK(t.d.b.children.empty());
        t.s.answer({});
        CHECK(t.d.b.engine->sessions() == 0);
    }
}

TEST_CASE("a peer that is dropped while its IKE SA is rekeyed keeps neither the old SA nor the new") {
    Pair t;
    renew(t.d, t.d.b);
    t.d.call(t.d.b, [&](Engine& engine, Actions& out) { engine.drop(1, t.d.now, out); });
    CHECK(t.d.b.children.empty());
    Half half(t.s, 7);
    half.answers();
    CHECK(half.deleted_by_b());
    CHECK(session_deleted_by_b(t.s));
    t.s.answer({});
    CHECK(t.d.b.engine->sessions() == 0);
}

TEST_CASE("a stop while the IKE SA is rekeyed by both sides leaves nothing behind") {
    for (const bool told : {true, false}) {
        Dialogue d;
        d.both_connect().advance(1s).expect_tunnel();
        renew(d, d.a);
        renew(d, d.b);
        if (told) d.advance(11ms);
        d.call(d.a, [&](Engine& engine, Actions& out) { engine.stop(d.now, out); });
        d.advance(3s);
        CHECK(d.a.engine->stopped());
        CHECK(d.a.engine->sessions() == 0);
        CHECK(d.a.children.empty());
        CHECK(d.b.children.empty());
    }
}
