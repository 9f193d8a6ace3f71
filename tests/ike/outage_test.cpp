// However long the underlay or a side was gone, and whatever each of them remembers: where one side can
// initiate, the tunnel is there again within five seconds. INVALID_IKE_SPI (RFC 7296 2.21.4) only ever makes
// somebody ask.

#include "rekeying.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace aronet;
using namespace aronet::ike;
using namespace aronet::ike::test;
using namespace std::chrono_literals;

namespace {

constexpr Duration kDownMax = 5s;

void expect_soon(Dialogue& d) {
    d.advance_until(kDownMax, [&] { return d.tunnel(); });
    INFO("a: " << d.a.view().reason << "; b: " << d.b.view().reason);
    REQUIRE(d.tunnel());
}

// A tunnel whose probes are anywhere; `a_unknown`: only a can initiate.
void settle(Dialogue& d, bool a_unknown) {
    d.a_unknown = a_unknown;
    d.both_connect().advance(4s).expect_tunnel();
    d.advance(std::chrono::milliseconds(d.a.random->below(15000)));
}

// Runs a story where both sides can initiate, and where only a can, with some seeds each.
void each_way(const std::function<void(Dialogue&)>& story) {
    for (const bool a_unknown : {false, true}) {
        for (std::uint64_t seed = 1; seed <= 8; ++seed) {
            INFO("seed " << seed << (a_unknown ? ", only a can initiate" : ""));
            Dialogue d(seed);
            settle(d, a_unknown);
            story(d);
            d.advance(40s).expect_tunnel("after a while");
        }
    }
}

// The unprotected answer to a message that says INVALID_IKE_SPI, from its destination.
Passing disowning(const Passing& request) {
    const RawMessage raw = *parse(base::ByteView(request.bytes).subspan(4));
    Header header = raw.header;
    header.flags = flag::response | (header.from_initiator() ? 0 : flag::initiator);
    const std::vector<Payload> payloads{make_notify(notify::invalid_ike_spi)};
    const Bytes message = encode(header, payloads);
    Passing answer = request;
    std::swap(answer.from, answer.to);
    answer.bytes.assign(4, 0);
    answer.bytes.insert(answer.bytes.end(), message.begin(), message.end());
    return answer;
}

}  // namespace

TEST_CASE("after an outage of any length the tunnel is there within five seconds") {
    for (const Duration outage : std::initializer_list<Duration>{
             1s, 5s, 9s, 13s, 18s, 22s, 26s, 28s, 31s, 37s, 45s, 60s, 100s, 333s, 10min, 1h}) {
        INFO("an outage of " << outage / 1s << " s");
        each_way([&](Dialogue& d) {
            d.cut = true;
            d.advance(outage);
            d.cut = false;
            expect_soon(d);
        });
    }
}

// What an earlier process left carries traffic both ways until both know that both have the new SAs; unless
// the peer says that it has nothing (INITIAL_CONTACT).
TEST_CASE(
    "row 14: SAs of an earlier process are sent on until the initiator has shown that it has the new ones"
) {
    for (const bool a_has_them : {true, false}) {
        Dialogue d;
        d.b.engine->carried(1, 0x1234);
        if (a_has_them) d.a.engine->carried(1, 0x4321);
        d.a_unknown = true;
        d.both_connect();
        d.advance_until(1s, [&] { return d.b.switches == 1; });
        REQUIRE(d.b.switches == 1);
        CHECK((d.a.ups == 1) == a_has_them);
        d.advance(1s).expect_tunnel();
    }
}

TEST_CASE("row 14: where the answer is lost SAs of an earlier process are sent on until it has been repeated"
) {
    Dialogue d;
    d.b.engine->carried(1, 0x1234);
    d.a.engine->carried(1, 0x4321);
    d.fate = [&](const Passing& message) {
        const bool answer = message.response() && message.exchange() == kAuth;
        return answer && d.b.ups == 1 && d.now < Instant(4s) ? Fate::lost : Fate::arrives;
    };
    d.a_unknown = true;
    d.both_connect();
    d.advance_until(8s, [&] { return d.b.switches == 1; });
    CHECK(d.a.ups == 1);
    d.advance(1s).expect_tunnel();
}

TEST_CASE("row 14: so they are by the side that was not restarted, whose own SAs they are") {
    Dialogue d;
    d.both_connect().advance(2s).expect_tunnel();
    const unsigned before = d.b.switches;
    d.restart(d.a, 90);
    d.call(d.a, [&](Engine& engine, Actions& out) {
        engine.drop(1, d.now, out);
        engine.carried(1, 0x4321);
        engine.connect(d.peer_of_a(), d.now, out);
    });
    const Instant cut = d.now + 4s;
    d.fate = [&](const Passing& message) {
        const bool answer = message.response() && message.exchange() == kAuth;
        return answer && d.now < cut ? Fate::lost : Fate::arrives;
    };
    d.advance_until(20s, [&] { return d.b.switches > before; });
    INFO("after " << (d.now - (cut - 4s)) / 1ms << " ms");
    CHECK(d.now >= cut);
    d.advance(1s).expect_tunnel();
}

TEST_CASE("after a restart of either side or of both the tunnel is there within five seconds") {
    for (const int who : {1, 2, 3}) {
        INFO((who == 1 ? "a" : who == 2 ? "b" : "both"));
        each_way([&](Dialogue& d) {
            if ((who & 1) != 0) d.restart(d.a, 90);
            if ((who & 2) != 0) d.restart(d.b, 91);
            expect_soon(d);
        });
    }
}

TEST_CASE("a side that restarts while the other cannot be reached is found when it can") {
    for (const Duration before : std::initializer_list<Duration>{1s, 15s, 40s}) {
        for (const Duration after : std::initializer_list<Duration>{100ms, 3s, 20s, 60s}) {
            for (const bool a_restarts : {true, false}) {
                INFO(
                    (a_restarts ? "a" : "b")
                    << " after " << before / 1s << " s, the rest " << after / 1ms << " ms"
                );
                each_way([&](Dialogue& d) {
                    d.cut = true;
                    d.advance(before);
                    d.restart(a_restarts ? d.a : d.b, 92);
                    d.advance(after);
                    d.cut = false;
                    expect_soon(d);
                });
            }
        }
    }
}

TEST_CASE("an address that changes during an outage is found after it") {
    for (const Duration outage : std::initializer_list<Duration>{2s, 20s, 60s}) {
        each_way([&](Dialogue& d) {
            d.cut = true;
            d.advance(outage / 2);
            d.a.endpoint = {*Address::parse("198.51.100.7"), 40777};
            d.advance(outage / 2);
            d.cut = false;
            expect_soon(d);
            if (!d.a_unknown) d.a.endpoint = {*Address::parse("192.0.2.1"), 12025};  // where b looks for it
        });
    }
}

TEST_CASE("a responder that restarts in the middle of the handshake is not waited for") {
    for (std::size_t messages = 1; messages <= 4; ++messages) {
        INFO("after message " << messages);
        Dialogue d;
        d.a_unknown = true;
        d.both_connect().advance_until(5s, [&] { return d.sent.size() == messages; });
        d.restart(d.b, 93);
        expect_soon(d);
        d.advance(40s).expect_tunnel();
    }
}

TEST_CASE("forged INVALID_IKE_SPI costs one handshake and no packet") {
    Dialogue d;
    d.both_connect().advance(4s).expect_tunnel();
    const auto attempts = d.a.view().attempts;
    for (int round = 0; round < 5; ++round) {
        d.fate = [&](const Passing& message) { return message.by_a ? Fate::late : Fate::arrives; };
        const std::size_t before = d.sent.size();
        d.advance_until(30s, [&] {
            return d.sent.size() > before && d.sent.back().by_a && !d.sent.back().response();
        });
        for (int i = 0; i < 20; ++i) d.deliver(disowning(d.sent.back()));
        d.fate = nullptr;
        Instant whole = d.now;
        d.advance_until(15s, [&] {
            if (d.tunnel()) whole = d.now;
            CHECK(d.now <= whole + d.delay);  // what b sends on the new SA arrives behind its answer
            return false;
        });
        d.expect_tunnel();
    }
    CHECK(d.a.view().attempts > attempts);
    CHECK(d.a.view().attempts <= attempts + 5);
}

TEST_CASE("an attempt beside a session does not take it along when it ends for another address of the peer") {
    Dialogue d;
    d.both_connect().advance(4s).expect_tunnel();
    const auto spi = d.a.view().spi_i;
    const std::size_t before = d.sent.size();
    d.advance_until(30s, [&] {
        return d.sent.size() > before && d.sent.back().by_a && !d.sent.back().response();
    });
    d.cut = true;
    d.deliver(disowning(d.sent.back()));
    REQUIRE(d.a.view().attempts == 2);
    Peer peer = d.peer_of_a();
    peer.remote_endpoint = Endpoint{*Address::parse("192.0.2.77"), 12025};
    d.call(d.a, [&](Engine& engine, Actions& out) { engine.connect(peer, d.now, out); });
    CHECK(d.a.downs == 0);
    CHECK(d.a.engine->sessions() == 1);
    CHECK(d.a.view().spi_i == spi);
    d.cut = false;
    d.advance(40s).expect_tunnel();
    CHECK(d.a.ups == 1);
}

TEST_CASE("only a protected request on an unknown IKE SA is answered, by less, and not too often") {
    Dialogue d;
    d.both_connect().advance(20s).expect_tunnel();
    const auto request = std::find_if(d.sent.begin(), d.sent.end(), [](const Passing& message) {
        return message.exchange() == kInformational && !message.response();
    });
    REQUIRE(request != d.sent.end());
    const Passing original = *request;
    Passing stranger = original;
    stranger.bytes[4 + 11] ^= 0xff;
    const std::size_t before = d.sent.size();
    for (unsigned i = 0; i < 42000; ++i) {
        stranger.bytes[4] ^= 0xa5;  // both SPIs are others
        stranger.bytes[4 + 8] = static_cast<base::Byte>(i >> 8);
        stranger.bytes[4 + 9] = static_cast<base::Byte>(i);
        stranger.bytes[4 + 10] ^= 0x5a;
        d.deliver(stranger);
    }
    CHECK(d.sent.size() - before == 20000);
    CHECK(d.sent.back().bytes.size() < stranger.bytes.size());
    CHECK(d.sent.back().to == stranger.from);
    d.advance(2s);
    const std::size_t then = d.sent.size();
    stranger.bytes[4 + 19] |= 0x20;  // a response
    d.deliver(stranger);
    stranger.bytes[4 + 19] = original.bytes[4 + 19];
    stranger.bytes[4 + 16] = 41;  // starts with a notify payload
    d.deliver(stranger);
    CHECK(d.sent.size() == then);
    d.expect_tunnel();
}

TEST_CASE("INVALID_IKE_SPI is never said to a request that is not larger") {
    Awaiting t;
    const auto asks = [&](std::size_t size) {
        const OpaquePayload sealed{static_cast<std::uint8_t>(PayloadType::sk), false, Bytes(size - 32)};
        Header header;
        header.spi_i = header.spi_r = size;
        header.exchange = ExchangeType::informational;
        header.flags = flag::initiator;
        return t.stranger.deliver(encode(header, std::vector<Payload>{sealed}));
    };
    for (std::size_t size = 32; size <= 36; ++size) CHECK(asks(size).empty());
    const auto answers = asks(37);
    REQUIRE(disowned(answers));
    CHECK(answers.front().size() == 36);
}

// Its INITIAL_CONTACT (RFC 7296 2.4) was true when it was written.
TEST_CASE("an IKE_AUTH that comes long after the other side has made a tunnel does not end it") {
    Dialogue d;
    d.fate = [](const Passing& message) {
        return message.by_a || message.exchange() != kAuth || message.response() ? Fate::arrives : Fate::lost;
    };
    d.b_connects().advance(3s);
    REQUIRE(d.count(kAuth, false) > 0);
    d.a_connects().advance(12s).expect_tunnel();
    d.fate = {};
    d.advance(20s).expect_tunnel();
    CHECK(d.a.ups == 1);
    CHECK(d.b.ups == 1);
}

TEST_CASE("a peer that loses everything right after it rekeyed the IKE SA is believed when it says so") {
    Dialogue d(1, without_dpd(), without_dpd());
    d.both_connect().advance(4s).expect_tunnel();
    renew(d, d.a);
    d.advance(6s);
    d.restart(d.a, 77);
    d.call(d.a, [&](Engine& engine, Actions& out) {  // and cannot initiate
        Peer peer = d.peer_of_a();
        peer.remote_endpoint.reset();
        engine.drop(peer.id, d.now, out);
        engine.connect(peer, d.now, out);
    });
    d.call(d.b, [&](Engine& engine, Actions& out) { engine.suspect(1, d.now, out); });
    expect_soon(d);
}

// The new SA is ours and would lose against the one that the peer began and forgot.
TEST_CASE("an SA that the peer no longer knows goes soon when there is another, though it would win") {
    Dialogue d(1, without_dpd(), without_dpd());
    d.a_connects();
    Peer waits = d.peer_of_b();
    waits.remote_endpoint.reset();
    d.call(d.b, [&](Engine& engine, Actions& out) { engine.connect(waits, d.now, out); });
    d.advance(1s).expect_tunnel();
    d.restart(d.a, 77);
    d.call(d.a, [&](Engine& engine, Actions& out) {  // and cannot initiate
        Peer peer = d.peer_of_a();
        peer.remote_endpoint.reset();
        engine.drop(peer.id, d.now, out);
        engine.connect(peer, d.now, out);
    });
    d.b_connects();
    d.call(d.b, [&](Engine& engine, Actions& out) { engine.suspect(1, d.now, out); });
    d.advance(5s);
    REQUIRE(d.tunnel());
    d.advance(8s);
    CHECK(d.single());
}

TEST_CASE("a peer that is started anew twice, the second time in the midst of IKE_AUTH, is there soon") {
    for (std::uint64_t seed = 1; seed <= 8; ++seed) {
        INFO("seed " << seed);
        Dialogue d(seed);
        settle(d, true);
        d.restart(d.b, 90);
        const auto asked = d.count(kAuth, true);
        d.advance_until(kDownMax, [&] { return d.count(kAuth, true) > asked; });
        d.restart(d.b, 91);
        expect_soon(d);
        d.advance(40s).expect_tunnel("after a while");
    }
}

// Whoever needs no answer could use up those that others need.
TEST_CASE("a peer that is started anew is found again soon while strangers ask for SAs that never were") {
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
        INFO("seed " << seed);
        Dialogue d(seed);
        settle(d, true);
        Stranger stranger(d);
        d.restart(d.b, 90);
        const OpaquePayload sealed{static_cast<std::uint8_t>(PayloadType::sk), false, Bytes(60)};
        for (unsigned i = 0; i < 5000 && !d.tunnel(); ++i) {
            Header header;
            header.spi_i = header.spi_r = 1000 + i;
            header.exchange = ExchangeType::informational;
            header.flags = flag::initiator;
            const Endpoint from{*Address::parse("198.51.100." + std::to_string(i % 250)), 500};
            stranger.deliver_from(from, encode(header, std::vector<Payload>{sealed}));
            d.advance(1ms);
        }
        CHECK(d.tunnel());
    }
}

TEST_CASE("C17: an IKE_AUTH that was held back does not end what its initiator has made since") {
    Dialogue d(1, without_dpd(), without_dpd());
    d.a_unknown = true;
    std::optional<Passing> held;
    d.fate = [&](const Passing& message) {
        if (!message.by_a || message.exchange() != kAuth) return Fate::arrives;
        if (!held) held = message;
        const bool same = std::ranges::equal(message.message().first(8), held->message().first(8));
        return same ? Fate::lost : Fate::arrives;
    };
    d.both_connect().advance_until(40s, [&] { return d.tunnel(); });
    REQUIRE(held.has_value());
    REQUIRE(d.tunnel());
    d.fate = {};
    const ChildId before = *d.b.sending;
    d.deliver(*held);
    d.advance(20ms);
    CHECK(d.b.sending == before);
    CHECK(d.single());
    d.advance(10s);
    CHECK(d.b.sending == before);
    CHECK(d.single());
}

// strongSwan has been seen to write INITIAL_CONTACT while another of its threads answered our IKE_AUTH; it
// keeps both SAs, and may send on either.
TEST_CASE("a peer whose INITIAL_CONTACT crossed the SA that we began is told of its end") {
    Dialogue d(1, without_dpd(), without_dpd());
    Peer to_b = d.peer_of_a();
    to_b.remote_endpoint.reset();
    d.call(d.a, [&](Engine& engine, Actions& out) { engine.connect(to_b, d.now, out); });
    d.b_connects().advance(1s).expect_tunnel();
    Stranger same(d);  // a in its other thread
    REQUIRE(same.init());
    auto payloads = same.auth_payloads();
    payloads.push_back(make_notify(notify::initial_contact));
    const auto said = same.deliver(same.seal_request(ExchangeType::ike_auth, payloads, same.next_id++));
    REQUIRE(said.size() == 2);  // DELETE, and the answer
    REQUIRE(same.open_answer({said.back()}).has_value());
    d.advance(1s);
    CHECK(d.a.children.empty());
    CHECK(d.b.children.size() == 1);
    CHECK(d.b.downs == 1);
    CHECK(same.request(ExchangeType::informational, {}).has_value());
}
