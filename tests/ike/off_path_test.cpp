// Who knows addresses, ports and SPIs costs an attempt at most one retry with a fresh SPI, and never an SA
// that is established; who stands on the path and swallows what it likes only delays.

#include "off_path.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::ike;
using namespace aronet::ike::test;
using namespace std::chrono_literals;

namespace {

// Each way takes 50 ms, which leaves the attacker time to be faster.
struct Path : Dialogue {
    explicit Path(std::uint64_t seed = 1, const EngineConfig& config = {})
        : Dialogue(seed, copy(config), copy(config)) {
        delay = 50ms;
    }
    // b waits for a, so that nothing but a's attempts can make the tunnel.
    Dialogue& begin() {
        return connect([](Peer&) {}, [](Peer& peer) { peer.remote_endpoint.reset(); });
    }
    std::uint64_t attempts() const { return a.view().attempts; }
};

const auto kNothing = [](const Passing&) {};

// The complete answers of an attacker: before the peer's own, and all of them for one SPI of a's.
void check_false_answers(unsigned count, Duration at_most, std::uint64_t attempts) {
    CAPTURE(count);
    Path d;
    OffPath attacker(d);
    bool told = false;
    d.begin();
    attacker.play(at_most, [&](const Passing& request) {
        for (unsigned i = 0; i < count && !told; ++i)
            attacker.say_to_a(attacker.whole_answer(request, 7 + i));
        told = true;
    });
    d.expect_tunnel();
    CHECK(d.attempts() == attempts);
}

EngineConfig demanding() {
    EngineConfig config;
    config.cookie_threshold = 0;
    return config;
}

}  // namespace

TEST_CASE("A15: of up to four answers to one IKE_SA_INIT the peer's own is found, and no time is lost") {
    for (const unsigned count : {1u, 2u, 3u}) check_false_answers(count, 250ms, 1);
}

TEST_CASE("A15: more false answers than are followed cost one retry with a fresh SPI, within four seconds") {
    for (const unsigned count : {4u, 5u, 40u}) check_false_answers(count, 4s, 2);
}

TEST_CASE("A15: a false answer with the responder SPI of the real one, before or after it, costs nothing") {
    for (const bool before : {true, false}) {
        Path d;
        OffPath attacker(d);
        d.begin().advance_until(1s, [&] { return d.count(kInit, false) == 1; });
        const std::uint64_t spi_r = base::Reader(base::ByteView(d.sent.back().bytes).subspan(12)).u64();
        if (!before) d.advance(51ms);
        attacker.say_to_a(attacker.whole_answer(d.sent.front(), spi_r));
        d.advance(250ms).expect_tunnel();
        CHECK(d.attempts() == 1);
    }
}

TEST_CASE("A15: a copy of the real answer with a word more costs nothing, and no IV comes twice") {
    for (const bool before : {true, false}) {
        CAPTURE(before);
        Path d;
        OffPath attacker(d);
        d.begin().advance_until(1s, [&] { return d.count(kInit, false) == 1; });
        auto twin = *decode(*parse(base::ByteView(d.sent.back().bytes).subspan(4)));
        twin.payloads.push_back(make_notify(40000));
        if (!before) d.advance(51ms);
        attacker.say_to_a(encode(twin.header, twin.payloads));
        d.advance(15s).expect_tunnel();
        CHECK(d.attempts() == 1);
        std::map<Bytes, Bytes> by_iv;
        for (const Passing& message : d.sent) {
            if (!message.by_a || message.exchange() == kInit || message.bytes.size() < 44) continue;
            const Bytes iv(message.bytes.begin() + 36, message.bytes.begin() + 44);
            CHECK(by_iv.try_emplace(iv, message.bytes).first->second == message.bytes);
        }
        CHECK(by_iv.size() >= 3);
    }
}

TEST_CASE("A15: where the real answer was lost beside a false one it is asked for again") {
    Path d;
    OffPath attacker(d);
    d.fate = [&](const Passing& message) {
        return message.response() && d.now < Instant(500ms) ? Fate::lost : Fate::arrives;
    };
    d.begin();
    attacker.play(4s, [&](const Passing& request) { attacker.say_to_a(attacker.whole_answer(request, 7)); });
    d.expect_tunnel();
    CHECK(d.attempts() == 1);
}

TEST_CASE("A15: a false answer beside a peer that asks for cookies costs one retry, within five seconds") {
    Path d(1, demanding());
    OffPath attacker(d);
    bool told = false;
    d.begin();
    attacker.play(5s, [&](const Passing& request) {
        if (!std::exchange(told, true)) attacker.say_to_a(attacker.whole_answer(request, 7));
    });
    d.expect_tunnel();
    CHECK(d.attempts() == 2);
}

TEST_CASE("A15: who takes part in a false IKE_AUTH spoils its own SA and not the peer's") {
    // This one reads the path, too: it needs our KE value. Its answer comes second, its IKE_AUTH first.
    for (int kind = 0; kind < 4; ++kind) {
        CAPTURE(kind);
        Path d;
        OffPath attacker(d);
        d.begin().advance_until(1s, [&] { return d.count(kAuth, true) == 1; });
        const auto request = decode(*parse(base::ByteView(d.sent.front().bytes).subspan(4)));
        REQUIRE(request.has_value());
        const Bytes answer = attacker.whole_answer(d.sent.front(), 7);
        const KeyPair ke = generate(DhGroup::curve25519, attacker.random);
        auto said = *decode(*parse(answer));
        for (Payload& payload : said.payloads) {
            if (auto* value = std::get_if<KePayload>(&payload)) value->data = ke.public_value;
        }
        attacker.say_to_a(encode(said.header, said.payloads));
        REQUIRE(d.count(kAuth, true) == 2);

        const IkeCipherSuite suite = accept_ike(offer_ike(false), *said.find<SaPayload>())->suite;
        const Nonces nonces{request->find<NoncePayload>()->data, said.find<NoncePayload>()->data};
        const auto secret = shared_secret(ke, request->find<KePayload>()->data);
        const IkeKeys keys = derive_ike_keys(suite, nonces, *secret, said.header.spi_i, 7);
        Header header = said.header;
        header.exchange = ExchangeType::ike_auth;
        header.message_id = 1;
        const std::vector<std::vector<Payload>> kinds{
            {make_notify(notify::authentication_failed)},
            {OpaquePayload{41, false, {1}}},
            {IdPayload{true, id_body(d.peer_of_a().remote)},
             AuthPayload{auth_method::digital_signature, make_auth_data(key_of(d.a), Bytes(9, 9))}},
            {}};
        std::uint64_t iv = 0;
        const Sealer sealer{&suite, keys.er.view(), keys.ar.view(), &iv, &attacker.random};
        attacker.say_to_a(seal(header, kinds[static_cast<std::size_t>(kind)], sealer));
        d.advance(200ms).expect_tunnel();
        CHECK(d.attempts() == 1);
    }
}

TEST_CASE("A15: whoever gives up while several answers are followed tells the peer, whichever is its own") {
    for (const unsigned before : {0u, 1u, 2u, 3u}) {  // of three false ones
        for (const bool lost : {false, true}) {
            CAPTURE(before, lost);
            Path d;
            OffPath attacker(d);
            d.begin().advance_until(1s, [&] { return d.count(kInit, false) == 1; });
            const Passing request = d.sent.front();
            const auto lie = [&](unsigned count) {
                for (unsigned i = 0; i < count; ++i)
                    attacker.say_to_a(attacker.whole_answer(request, attacker.random.u64()));
            };
            lie(before);
            d.advance_until(1s, [&] { return d.count(kAuth, true) == before + 1; });
            lie(3 - before);
            REQUIRE(d.count(kAuth, true) == 4);
            d.fate = [&, until = d.now](const Passing& message) {
                return lost && message.by_a && d.now <= until ? Fate::lost : Fate::arrives;
            };
            d.call(d.a, [&](Engine& engine, Actions& out) { engine.drop(1, d.now, out); });
            d.advance(lost ? 650ms : 101ms);  // its first DELETE, or the second
            CHECK(d.b.ups == 1);
            CHECK(d.b.children.empty());
            d.advance(10s);  // the others may be said to somebody who is still busy: they are repeated
            CHECK(d.a.engine->sessions() == 0);
        }
    }
}

// A NAT maps anew between IKE_SA_INIT and a repetition of it: the peer takes that for another attempt,
// answers both, and gives up the SA of the first one, which has just proved itself here.
TEST_CASE("of two answers of the peer itself the one that was passed over tells that the peer holds it") {
    Path d;
    std::uint16_t port = 30000;
    unsigned answered = 0;
    d.middle = [&](Passing& message) {
        (message.by_a ? message.from : message.to).port = message.by_a ? port : d.a.endpoint.port;
        return true;
    };
    d.fate = [&](const Passing& message) {
        if (message.by_a && message.exchange() == kAuth) port = 30001;
        if (message.by_a) return Fate::arrives;
        if (message.exchange() == kInit) ++answered;
        return message.exchange() == kAuth && answered < 2 ? Fate::lost : Fate::arrives;
    };
    d.begin().advance_until(30s, [&] { return d.a.ups == 1; });
    REQUIRE(d.b.ups == 1);
    d.advance_until(100ms, [&] { return d.b.ups == 2; });
    REQUIRE(d.b.downs == 1);  // what a sends on
    d.advance(400ms);
    CHECK(d.tunnel());
    CHECK(d.attempts() == 2);
    d.advance(5s).expect_tunnel();
}

TEST_CASE("A15: unprotected notifications of every type cost nothing, before and during IKE_AUTH") {
    for (const Duration after : {0ms, 60ms, 120ms}) {
        Path d;
        OffPath attacker(d);
        d.begin().advance(after);
        for (std::uint16_t type = 1; type < 48; ++type)
            attacker.say_to_a(attacker.answer(d.sent.front(), {make_notify(type, Bytes(2, 0))}));
        for (std::uint16_t type = 16384; type < 16445; ++type) {
            if (type == notify::cookie) continue;  // below
            attacker.say_to_a(attacker.answer(d.sent.front(), {make_notify(type, Bytes(20, 1))}));
        }
        attacker.play(1s, kNothing);
        d.expect_tunnel();
        CHECK(d.attempts() == 1);
    }
}

TEST_CASE("A15: false cookies cost at most one retry with a fresh SPI, within five seconds") {
    for (const EngineConfig& config : {EngineConfig(), demanding()}) {
        for (const Duration after : {0ms, 60ms, 110ms, 160ms}) {
            for (const base::Byte count : {base::Byte{1}, base::Byte{5}, base::Byte{50}}) {
                CAPTURE(after.count(), int(count), config.cookie_threshold);
                Path d(1, config);
                OffPath attacker(d);
                d.begin().advance(after);
                const Passing request = d.sent.front();
                for (base::Byte i = 0; i < count; ++i)
                    attacker.say_to_a(attacker.answer(request, {make_notify(notify::cookie, Bytes(8, i))}));
                attacker.play(5s, kNothing);
                d.expect_tunnel();
                CHECK(d.attempts() <= 2);
            }
        }
    }
}

TEST_CASE("A6: forged fragments of IKE_AUTH, the first one too, keep neither side from the real ones") {
    EngineConfig config;
    config.fragment_size = 300;
    Path d(1, config);
    OffPath attacker(d);
    const auto forge = [&](Side& side, std::uint8_t flags) {
        for (const std::uint16_t total : std::initializer_list<std::uint16_t>{2, 3, 64}) {
            for (const std::uint16_t number : std::initializer_list<std::uint16_t>{1, 2})
                attacker.say_to(
                    side, attacker.rubbish_fragment(ExchangeType::ike_auth, flags, 1, number, total)
                );
        }
    };
    d.begin();
    std::size_t seen = 0;
    d.advance_until(1s, [&] {
        if (d.count(kAuth, true) + d.count(kAuth, false) !=
            std::exchange(seen, d.count(kAuth, true) + d.count(kAuth, false))) {
            forge(d.b, flag::initiator);
            forge(d.a, flag::response);
        }
        return d.tunnel();
    });
    d.expect_tunnel();
    CHECK(seen >= 4);
    CHECK(d.attempts() == 1);
    CHECK(d.a.drops("integrity check failed") + d.b.drops("integrity check failed") > 0);
}

TEST_CASE("A11: who asks in a peer's name keeps it from nothing") {
    Path d;
    d.b_connects();
    for (std::uint64_t i = 0; i < 300; ++i) {
        Stranger spoofed(d, 1000 + i);
        spoofed.deliver(encode(spoofed.init_header(), spoofed.init_payloads()));
    }
    CHECK(d.b.engine->sessions() == EngineConfig().cookie_threshold_per_source);
    d.a_connects().advance(1s).expect_tunnel();
    CHECK(d.attempts() == 1);
}

TEST_CASE("C11: with all four SPIs and without the keys nobody touches an established SA") {
    EngineConfig config = without_dpd();
    Path d(1, config);
    d.begin().advance(1s).expect_tunnel();
    OffPath attacker(d);
    const auto forge = [&](ExchangeType exchange, std::uint8_t flags, std::uint32_t id) {
        for (Side* side : {&d.a, &d.b}) {
            attacker.say_to(*side, attacker.rubbish(exchange, flags, id));
            attacker.say_to(*side, attacker.rubbish_fragment(exchange, flags, id, 1, 2));
        }
    };
    const std::size_t before = d.sent.size();
    for (const ExchangeType exchange :
         {ExchangeType::ike_sa_init,
          ExchangeType::ike_auth,
          ExchangeType::create_child_sa,
          ExchangeType::informational}) {
        for (const std::uint8_t flags :
             {std::uint8_t{0},
              flag::initiator,
              flag::response,
              std::uint8_t(flag::initiator | flag::response)}) {
            for (std::uint32_t id = 0; id < 4; ++id) forge(exchange, flags, id);
        }
    }
    CHECK(d.sent.size() == before);
    CHECK(d.a.downs + d.b.downs + d.a.moves + d.b.moves == 0);
    d.advance(60s).expect_tunnel();
    CHECK(d.attempts() == 1);
}

// --- On the path ---

TEST_CASE(
    "whoever swallows one kind of message for a while delays the tunnel until then, and no longer than a "
    "pause"
) {
    for (const std::uint8_t exchange : {std::uint8_t{34}, std::uint8_t{35}}) {
        for (const bool by_a : {true, false}) {
            for (const Duration how_long : {3s, 20s, 60s}) {
                CAPTURE(int(exchange), by_a, how_long.count());
                Path d;
                d.fate = [&](const Passing& message) {
                    const bool victim = message.exchange() == exchange && message.by_a == by_a;
                    return victim && d.now < Instant(how_long) ? Fate::lost : Fate::arrives;
                };
                d.begin().advance(how_long + EngineConfig().retry_cap + 2s).expect_tunnel();
            }
        }
    }
}

TEST_CASE("whoever swallows rekeyings and DELETEs keeps the old SA alive, and is forgotten when it stops") {
    for (const std::uint8_t exchange : {std::uint8_t{36}, std::uint8_t{37}}) {
        for (const bool by_a : {true, false}) {
            for (const bool whole : {true, false}) {  // the IKE SA, or its child
                CAPTURE(int(exchange), by_a, whole);
                Path d(1, without_dpd());
                d.begin().advance(1s).expect_tunnel();
                const Instant until = d.now + 10s;
                d.fate = [&](const Passing& message) {
                    const bool victim = message.exchange() == exchange && message.by_a == by_a;
                    return victim && d.now < until ? Fate::lost : Fate::arrives;
                };
                d.call(d.a, [&](Engine& engine, Actions& out) {
                    if (whole) {
                        engine.renew(1, d.now, out);
                    } else {
                        engine.rekey(*d.a.sending, d.now, out);
                    }
                });
                bool gap = false;
                d.advance_until(60s, [&] {
                    gap = gap || !d.tunnel();
                    return false;
                });
                CHECK_FALSE(gap);
                d.expect_tunnel();
                CHECK(d.single());
            }
        }
    }
}
