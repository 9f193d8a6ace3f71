// Who has proven who it is and means harm, and what goes wrong around an established SA (docs/ike.md,
// catalogue C).

#include "answerer.hpp"
#include "ike/session.hpp"
#include "rekeying.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace aronet;
using namespace aronet::ike;
using namespace aronet::ike::test;
using namespace std::chrono_literals;

namespace {

std::uint64_t rekeyings(const Dialogue& d) { return d.b.view().rekeyings; }

// A member that comes again and again from the same place, each time as somebody who forgot the time before.
struct Crowd : Awaiting {
    std::unique_ptr<Stranger> comes(std::uint64_t seed) {
        auto member = std::make_unique<Stranger>(d, seed);
        REQUIRE(member->establish());
        most = std::max(most, d.b.engine->sessions());
        return member;
    }
    std::size_t most = 0;
};

}  // namespace

TEST_CASE("IKE SAs that a newer one of their peer has outrun leave a few memories and no more") {
    EngineConfig config = without_dpd();
    config.cookie_threshold_per_source = 64;
    Awaiting t(std::move(config));
    std::vector<std::unique_ptr<Stranger>> older;
    for (std::uint64_t i = 0; i < 30; ++i) {
        older.push_back(std::make_unique<Stranger>(t.d, 1000 + i));
        REQUIRE(older.back()->init());
        t.d.advance(1ms);
    }
    const auto newest = std::move(older.back());
    older.pop_back();
    const auto answer = newest->request(ExchangeType::ike_auth, newest->auth_payloads());
    REQUIRE(answer.has_value());
    REQUIRE(answer->find<AuthPayload>() != nullptr);
    for (const auto& each : older) {
        auto childless = each->auth_payloads();
        childless.resize(3);  // IDi, IDr, AUTH
        CHECK(each->request(ExchangeType::ike_auth, childless).has_value());
    }
    CHECK(t.d.b.engine->sessions() == 1 + 8);  // eight wait for the answer to their DELETE
    CHECK(t.d.b.children.size() == 1);
    CHECK(t.d.b.downs == 0);
    CHECK(newest->request(ExchangeType::informational, {}).has_value());
    t.d.advance(60s);
    CHECK(t.d.b.engine->sessions() == 1);
}

TEST_CASE("C3: a rekeying with a nonce too short or too long is malformed") {
    for (const std::size_t size : {0, 1, 7, 15, 257, 300}) {
        Pair p;
        auto payloads = p.rekey_payloads(p.s.esp_spi, 0x22222222, 1);
        std::get<NoncePayload>(payloads[2]).data.resize(size);
        CHECK(error_in(p.s.request(ExchangeType::create_child_sa, payloads)) == notify::invalid_syntax);
        CHECK(p.d.b.ups == 1);
        CHECK(p.d.b.children.empty());  // RFC 7296 2.21.3: the IKE SA is over
    }
}

TEST_CASE("C7: twenty rekeyings a second, of the child and of the IKE SA, are served and pile up nothing") {
    Pair p;
    std::uint32_t spi = p.s.esp_spi;
    for (int i = 0; i < 100; ++i) {
        const auto answer = p.s.request(
            ExchangeType::create_child_sa, p.rekey_payloads(spi, spi + 1, static_cast<base::Byte>(i + 1))
        );
        if (answer && answer->find<SaPayload>() != nullptr) {
            p.deletes(spi);
            ++spi;
        }
        p.d.advance(50ms);
        REQUIRE(p.d.b.children.size() <= 9);
    }
    CHECK(spi >= 0x11111111 + 7);
    CHECK(p.d.b.sending.has_value());

    Pair whole;
    Stranger* now = &whole.s;
    std::vector<std::unique_ptr<Half>> halves;
    for (int i = 0; i < 100; ++i) {  // and never deletes the one before
        halves.push_back(std::make_unique<Half>(*now, static_cast<base::Byte>(i + 1)));
        REQUIRE(halves.back()->asks() == 0);
        now = &halves.back()->next();
        whole.d.advance(50ms);
        REQUIRE(whole.d.b.engine->sessions() <= 12);
    }
    CHECK(rekeyings(whole.d) == 100);
    CHECK(halves.back()->alive());
    CHECK(whole.d.b.children.size() == 1);
    CHECK(whole.d.b.downs == 0);
}

TEST_CASE("C8: a peer that refuses to rekey the IKE SA, by whatever error, keeps the old one") {
    for (const std::uint16_t error :
         {notify::no_proposal_chosen,
          notify::no_additional_sas,
          notify::invalid_ke_payload,
          notify::temporary_failure,
          notify::invalid_syntax,
          std::uint16_t{8191}}) {
        CAPTURE(error);
        Pair p;
        p.d.call(p.d.b, [&](Engine& engine, Actions& out) { engine.renew(1, p.d.now, out); });
        const auto asked = p.s.asked();
        REQUIRE(asked.has_value());
        REQUIRE(asked->header.exchange == ExchangeType::create_child_sa);
        p.s.answer({make_notify(error, error == notify::invalid_ke_payload ? Bytes{0, 19} : Bytes())});
        CHECK(p.s.request(ExchangeType::informational, {}).has_value());
        CHECK(p.d.b.children.size() == 1);
        CHECK(p.d.b.downs == 0);
    }
}

TEST_CASE("C8: a peer that takes our SPI for its own in a rekeying takes nothing from us") {
    Pair p;
    Bytes own;
    base::Writer(own).u64(p.s.spi_r);  // what b is known by
    const KeyPair ke = generate(DhGroup::curve25519, p.s.random);
    const auto answer = p.s.request(
        ExchangeType::create_child_sa,
        {offer_ike_again(p.s.suite, own), NoncePayload{Bytes(32, 1)}, KePayload{31, ke.public_value}}
    );
    REQUIRE(answer.has_value());
    CHECK(p.d.b.children.size() == 1);
    CHECK(p.d.b.engine->sessions() == 2);
    p.d.advance(120s);
    CHECK(p.d.b.engine->sessions() <= 2);
}

TEST_CASE("IKE SAs of one member, proven each time, are kept few however fast it comes") {
    Crowd crowd;
    std::vector<std::unique_ptr<Stranger>> members;
    for (std::uint64_t i = 0; i < 200; ++i) {
        members.push_back(crowd.comes(1000 + i));
        crowd.d.advance(5ms);
    }
    CHECK(crowd.most <= 14);
    CHECK(crowd.d.b.children.size() <= 5);
    CHECK(crowd.d.b.ups == 200);
    CHECK(members.back()->request(ExchangeType::informational, {}).has_value());  // the newest lives
    crowd.d.advance(60s);
    CHECK(crowd.d.b.engine->sessions() <= 1);
    CHECK(crowd.d.b.children.size() <= 1);
    CHECK(crowd.d.b.downs + crowd.d.b.children.size() == 200);
}

TEST_CASE("IKE SAs that a member opens and deletes leave a few memories and no more") {
    Crowd crowd;
    for (std::uint64_t i = 0; i < 200; ++i) {
        const auto member = crowd.comes(1000 + i);
        REQUIRE(member->request(ExchangeType::informational, {DeletePayload{Protocol::ike, {}}}).has_value());
    }
    CHECK(crowd.most <= 14);
    CHECK(crowd.d.b.children.empty());
    CHECK(crowd.d.b.downs == 200);
}

TEST_CASE("a member that piles up SAs of its own does not touch those of another peer") {
    Dialogue d;
    d.both_connect().advance(1s).expect_tunnel();
    Peer other = d.peer_of_b();
    other.id = 2;
    other.remote = {"acme", "mallory", "0", false};
    other.remote_endpoint.reset();
    base::Secret key(32);
    key.mutable_view()[0] = 5;
    other.remote_keys = {public_key_of(key)};
    d.call(d.b, [&](Engine& engine, Actions& out) { engine.connect(other, d.now, out); });
    const Endpoint from{*Address::parse("198.51.100.9"), 12025};
    const ChildId first = *d.b.sending;
    for (std::uint64_t i = 0; i < 50; ++i) {
        Stranger mallory(d, 1000 + i);
        mallory.place = from;
        REQUIRE(mallory.init());
        auto payloads = mallory.auth_payloads(other.remote, other.local);
        payloads[2] = mallory.auth_over(id_body(other.remote), key);
        payloads.push_back(make_notify(notify::initial_contact));
        const auto answer = mallory.request(ExchangeType::ike_auth, payloads);
        REQUIRE(answer.has_value());
        REQUIRE(answer->find<AuthPayload>() != nullptr);
        CHECK(d.b.children.contains(first));
        d.advance(20ms);
    }
    CHECK(d.b.engine->sessions() <= 15);
    CHECK(d.a.downs == 0);
    d.call(d.b, [&](Engine& engine, Actions& out) { engine.drop(2, d.now, out); });
    d.advance(30s);
    CHECK(d.b.engine->sessions() == 1);
    CHECK(d.b.children.size() == 1);
    CHECK(d.b.children.contains(first));
    CHECK(d.a.downs == 0);
    CHECK(d.a.children.size() == 1);
}

TEST_CASE("C14: a child that is said to expire early, twice, or is not known at all costs no tunnel") {
    Dialogue d(1, without_dpd(), without_dpd());
    d.both_connect().advance(1s).expect_tunnel();
    const ChildId child = *d.a.sending;
    d.call(d.a, [&](Engine& engine, Actions& out) {
        engine.rekey(child + 1000, d.now, out);
        engine.rekey(0, d.now, out);
        engine.rekey(child, d.now, out);
        engine.rekey(child, d.now, out);
    });
    d.advance(10s).expect_tunnel();
    CHECK(d.a.ups == 2);
    d.call(d.a, [&](Engine& engine, Actions& out) { engine.rekey(child, d.now, out); });  // it is gone
    d.advance(10s).expect_tunnel();
    CHECK(d.a.ups == 2);
    CHECK_FALSE(*d.a.sending == child);
}

TEST_CASE("C15, row 52: no two SAs of a node have one SPI, though chance gives the same number twice") {
    const auto ground = [](base::Random& random) {
        EngineConfig config;
        config.private_key = base::Secret(32);
        return std::make_unique<Ground>(std::move(config), random);
    };
    base::Random random = base::Random::from_number(3), same = base::Random::from_number(3);
    const auto first = ground(random), second = ground(same);
    const std::uint32_t esp = first->new_esp_spi();
    const SessionKey ike = first->new_ike_spi();
    second->esp_spis.insert(esp);
    second->ike_spis.insert(ike);
    CHECK_FALSE(second->new_esp_spi() == esp);
    base::Random once_more = base::Random::from_number(3);
    const auto third = ground(once_more);
    third->ike_spis.insert(ike);
    CHECK(third->new_esp_spi() == esp);
    CHECK_FALSE(third->new_ike_spi() == ike);
    for (int i = 0; i < 10000; ++i) REQUIRE(third->new_esp_spi() >= 256);
    CHECK(third->esp_spis.size() == 10001);
}

TEST_CASE(
    "C15, row 52: a peer that gives one SPI to two children of its own gets neither mixed up nor another's"
) {
    Pair p;
    const auto answer = p.crosses(p.s.esp_spi, 9);  // the SPI that it has already
    REQUIRE(answer.has_value());
    p.d.advance(40s);
    std::set<std::uint32_t> ours;
    for (const auto& [id, sas] : p.d.b.children) CHECK(ours.insert(sas.first.spi).second);
    CHECK(p.s.request(ExchangeType::informational, {}).has_value());
}

TEST_CASE("C18: a day's rekeyings every five minutes leave one tunnel, one IKE SA and no gap") {
    EngineConfig config;
    config.child_lifetime = 5min;
    config.ike_lifetime = 1h;
    Dialogue d(4, copy(config), copy(config));
    d.both_connect().advance(1s).expect_tunnel();
    for (int hour = 0; hour < 24; ++hour) {
        advance_without_a_gap(d, 1h);
        d.sent.clear();
        CHECK(d.a.engine->sessions() <= 2);
    }
    CHECK(d.a.ups > 24 * 10);
    CHECK(d.a.view().rekeyings > 20);
    CHECK(d.a.view().attempts == 1);
    d.advance_until(10s, [&] { return d.single(); }).expect_tunnel();
}

TEST_CASE("C18, row 25: a host that slept finds its tunnel again, or makes another at once") {
    for (const Duration slept : {Duration(5s), Duration(40s), Duration(1h), Duration(24h)}) {
        for (const bool both : {true, false}) {
            CAPTURE(slept.count(), both);
            Dialogue d;
            d.both_connect().advance(1s).expect_tunnel();
            if (both) {
                d.now += slept;  // the clock counts on in suspend: nobody was awake
            } else {
                d.fate = [](const Passing&) { return Fate::lost; };
                const Instant until = d.now + slept;
                // b alone is awake; a hears and says nothing.
                d.sleeping = &d.a;
                d.advance(until - d.now);
                d.sleeping = nullptr;
                d.fate = nullptr;
            }
            d.advance(40s).expect_tunnel();
            CHECK(d.a.engine->sessions() == 1);
            CHECK(d.b.engine->sessions() == 1);
        }
    }
}
