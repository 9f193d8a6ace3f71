#include "rekeying.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::ike;
using namespace aronet::ike::test;
using namespace std::chrono_literals;

namespace {

// a is behind a NAT that shows it there, and b knows no address of it.
void behind_nat(Dialogue& d, const Endpoint& outside) {
    d.middle = [&d, &outside](Passing& message) {
        if (message.from == d.a.endpoint) message.from = outside;
        if (message.to == outside) message.to = d.a.endpoint;
        return true;
    };
    Peer peer = d.peer_of_b();
    peer.remote_endpoint.reset();
    d.call(d.b, [&](Engine& engine, Actions& out) { engine.connect(peer, d.now, out); });
}

}  // namespace

TEST_CASE("two engines agree on one tunnel with the same keys in four messages") {
    Dialogue d;
    d.both_connect().advance(1s).expect_tunnel();
    CHECK(d.a.view().initiator);
    CHECK_FALSE(d.b.view().initiator);
    CHECK(d.sent.size() == 4);
    CHECK(d.a.view().esp_suite == "aes256gcm16");
    CHECK(d.a.view().spi_in == d.b.view().spi_out);
    CHECK(d.a.children.begin()->second.first.if_id == 7);
    CHECK(d.b.children.begin()->second.first.if_id == 9);
    CHECK(d.a.view().reason.empty());
}

TEST_CASE("a tunnel comes up whichever message is lost, doubled or late") {
    for_each_fault([](Dialogue& d) { d.both_connect().advance(12s).expect_tunnel(); });
}

TEST_CASE("equal seeds give equal dialogues, other seeds others") {
    const auto run = [](std::uint64_t seed) {
        Dialogue d(seed);
        d.both_connect().advance(60s);
        std::vector<Bytes> bytes;
        for (const Passing& message : d.sent) bytes.push_back(message.bytes);
        return bytes;
    };
    CHECK(run(3) == run(3));
    CHECK(run(3) != run(4));
}

TEST_CASE("a repeated request gets the same bytes again") {
    Dialogue d;
    d.both_connect().advance(1s).expect_tunnel();
    const Passing auth = d.sent[2], answer = d.sent[3];
    d.deliver(auth);
    REQUIRE(d.sent.size() == 5);
    CHECK(d.sent[4].bytes == answer.bytes);
    CHECK(d.b.ups == 1);
}

TEST_CASE("the responder answers only when its child is installed") {
    Dialogue d;
    d.b.obedient = false;
    d.both_connect().advance(300ms);
    CHECK(d.sent.size() == 3);
    CHECK(d.b.ups == 1);
    CHECK(d.a.ups == 0);
    const ChildId child = d.b.children.begin()->first;
    d.call(d.b, [&](Engine& engine, Actions& out) { engine.installed(child, d.now, out); });
    d.advance(100ms).expect_tunnel();
}

TEST_CASE("a child that is never installed does not hold the half-open SA for ever") {
    Dialogue d;
    d.b.obedient = false;
    d.both_connect().advance(5s);
    CHECK(d.b.ups >= 1);
    d.cut = true;
    d.advance(40s);
    CHECK(d.b.children.empty());
    CHECK(d.b.downs == d.b.ups);
}

TEST_CASE("a refused child leaves the IKE SA, and is tried again") {
    for (const bool responder_refuses : {true, false}) {
        Dialogue d(5, without_dpd(), without_dpd());
        Side& refusing = responder_refuses ? d.b : d.a;
        refusing.refuses = true;
        d.both_connect().advance(1s);
        CHECK_FALSE(d.tunnel());
        CHECK(d.a.children.empty());
        CHECK(d.b.children.empty());
        CHECK(d.a.view().state == PeerState::connecting);
        CHECK(
            d.a.view().reason.find(responder_refuses ? "NO_PROPOSAL_CHOSEN" : "refused") != std::string::npos
        );
        refusing.refuses = false;
        d.advance(10s).expect_tunnel();
        CHECK(d.count(kInit, true) == 1);  // on the same IKE SA
    }
}

TEST_CASE("a child that is refused for ever makes the IKE SA anew now and then, and nothing piles up") {
    Dialogue d;
    d.b.refuses = true;
    d.both_connect().advance(10min);
    CHECK(d.a.children.empty());
    CHECK(d.b.children.empty());
    CHECK(d.sent.size() < 600);
    d.b.refuses = false;
    d.advance(6s).expect_tunnel();
}

TEST_CASE("an idle tunnel is probed, one with traffic is not") {
    Dialogue d;
    d.both_connect().advance(1s).expect_tunnel();
    d.advance(29s);
    CHECK(d.count(kInformational, true) + d.count(kInformational, false) >= 4);
    const std::size_t before = d.sent.size();
    for (int i = 0; i < 60; ++i) {
        d.a.engine->traffic_seen(1, d.now);
        d.b.engine->traffic_seen(1, d.now);
        d.advance(1s);
    }
    CHECK(d.sent.size() <= before + 2);
    d.expect_tunnel();
}

TEST_CASE("C12: a silent peer is given up after some twenty seconds, and sought again") {
    Dialogue d;
    d.both_connect().advance(1s).expect_tunnel();
    d.cut = true;
    d.advance(40s);
    CHECK(d.a.children.empty());
    CHECK(d.b.children.empty());
    CHECK(d.a.view().state != PeerState::established);
    d.cut = false;
    d.advance(6s).expect_tunnel();
}

TEST_CASE("C12: loss in one direction only ends the session on both sides") {
    Dialogue d;
    d.both_connect().advance(1s).expect_tunnel();
    d.fate = [](const Passing& message) { return message.by_a ? Fate::lost : Fate::arrives; };
    d.advance(60s);
    CHECK(d.a.children.empty());
    CHECK(d.b.children.empty());
}

TEST_CASE("thirty percent of loss kill no session") {
    Dialogue d;
    d.both_connect().advance(1s).expect_tunnel();
    auto dice = base::Random::from_number(4);
    d.fate = [&](const Passing&) { return dice.below(10) < 3 ? Fate::lost : Fate::arrives; };
    d.advance(10min);
    CHECK(d.a.downs + d.b.downs == 0);
}

TEST_CASE("dropping a peer deletes the SA on both sides, and the other side seeks it again") {
    Dialogue d;
    d.both_connect().advance(1s).expect_tunnel();
    d.call(d.a, [&](Engine& engine, Actions& out) { engine.drop(1, d.now, out); });
    CHECK(d.a.children.empty());
    d.advance(500ms);
    CHECK(d.b.children.empty());
    CHECK(d.b.view().reason == "the peer closed the IKE SA");
    CHECK(d.a.engine->peers().empty());
    const std::size_t before = d.sent.size();
    d.advance(20s);
    CHECK(d.count(kInit, false) > 0);
    CHECK(d.sent.size() > before);
    d.a_connects().advance(6s).expect_tunnel();
}

TEST_CASE("stop() says goodbye and is done when the answers came, or after two seconds") {
    for (const bool silent : {false, true}) {
        Dialogue d;
        d.both_connect().advance(1s).expect_tunnel();
        d.cut = silent;
        d.call(d.a, [&](Engine& engine, Actions& out) { engine.stop(d.now, out); });
        CHECK_FALSE(d.a.engine->stopped());
        CHECK(d.a.children.empty());
        d.advance(silent ? 1900ms : 100ms);
        CHECK(d.a.engine->stopped() != silent);
        CHECK(d.b.children.empty() != silent);
        d.advance(200ms);
        CHECK(d.a.engine->stopped());
        d.cut = false;
        const std::size_t before = d.count(kInit, true);
        d.advance(20s);
        CHECK(d.count(kInit, true) == before);
    }
}

TEST_CASE("both sides may stop at once") {
    Dialogue d;
    d.both_connect().advance(1s).expect_tunnel();
    d.call(d.a, [&](Engine& engine, Actions& out) { engine.stop(d.now, out); });
    d.call(d.b, [&](Engine& engine, Actions& out) { engine.stop(d.now, out); });
    d.advance(2500ms);
    CHECK(d.a.engine->stopped());
    CHECK(d.b.engine->stopped());
    CHECK(d.a.children.empty());
    CHECK(d.b.children.empty());
}

TEST_CASE("stop() without sessions is stopped at once") {
    Dialogue d;
    d.call(d.a, [&](Engine& engine, Actions& out) { engine.stop(d.now, out); });
    CHECK(d.a.engine->stopped());
}

TEST_CASE("B5: a key that is no longer listed ends the session, one more key does not") {
    Dialogue d;
    d.both_connect().advance(1s).expect_tunnel();
    Peer more = d.peer_of_a();
    more.remote_keys.push_back(PublicKey{});
    d.call(d.a, [&](Engine& engine, Actions& out) { engine.connect(more, d.now, out); })
        .advance(1s)
        .expect_tunnel();
    CHECK(d.a.downs == 0);
    Peer rotated = d.peer_of_a();
    rotated.remote_keys = {PublicKey{}};
    d.call(d.a, [&](Engine& engine, Actions& out) { engine.connect(rotated, d.now, out); });
    CHECK(d.a.children.empty());
    d.advance(20s);
    CHECK(d.a.children.empty());
    CHECK(d.b.children.empty());
    CHECK(d.a.view().reason.find("authenticate") != std::string::npos);
}

TEST_CASE("a peer that moved is followed after its next authenticated request, not before") {
    Dialogue d;
    d.both_connect().advance(1s).expect_tunnel();
    const Endpoint moved{d.a.endpoint.address, 40777};
    d.a.endpoint = moved;
    d.advance(25s);
    CHECK(d.b.moves == 1);
    CHECK(d.b.view().remote == moved);
    d.expect_tunnel();
}

TEST_CASE("mapping() moves the session and says so once") {
    Dialogue d;
    d.both_connect().advance(1s).expect_tunnel();
    const Endpoint moved{d.a.endpoint.address, 40777};
    d.call(d.b, [&](Engine& engine, Actions& out) { engine.mapping(1, moved, d.now, out); });
    d.call(d.b, [&](Engine& engine, Actions& out) { engine.mapping(1, moved, d.now, out); });
    CHECK(d.b.moves == 1);
    CHECK(d.b.view().remote == moved);
}

TEST_CASE("the source hash lies, so that both sides encapsulate; without a NAT nobody sends keepalives") {
    Dialogue d;
    d.both_connect().advance(100s).expect_tunnel();
    CHECK(d.a.view().peer_behind_nat);
    CHECK(d.b.view().peer_behind_nat);
    CHECK_FALSE(d.a.view().behind_nat);
    CHECK_FALSE(d.b.view().behind_nat);
    CHECK(d.a.keepalives + d.b.keepalives == 0);
    CHECK(d.a.children.begin()->second.first.udp_encapsulation);
}

TEST_CASE("who is behind a NAT sends keepalives every twenty seconds, the other side does not") {
    EngineConfig quiet = without_dpd();
    Dialogue d(1, copy(quiet), copy(quiet));
    const Endpoint outside{*Address::parse("198.51.100.9"), 40001};
    behind_nat(d, outside);
    d.a_connects().advance(1s).expect_tunnel();
    CHECK(d.a.view().behind_nat);
    CHECK(d.b.view().remote == outside);
    d.advance(60s);
    CHECK(d.a.keepalives >= 2);
    CHECK(d.a.keepalives <= 4);
    CHECK(d.b.keepalives == 0);
    for (const Passing& message : d.sent) {
        if (message.bytes.size() == 1) CHECK(message.bytes[0] == 0xff);
    }
}

TEST_CASE("a NAT may give a peer any port, also 500 and those of others, and another one later") {
    const Address nat = *Address::parse("198.51.100.9");
    for (const std::uint16_t first : std::initializer_list<std::uint16_t>{500, 4500, 12025, 40001}) {
        for (const std::uint16_t then : std::initializer_list<std::uint16_t>{500, 4500, 12025, 40001}) {
            INFO("from port " << first << ", then " << then);
            Dialogue d;
            Endpoint outside{nat, first};
            behind_nat(d, outside);
            d.a_connects().advance(1s).expect_tunnel();
            CHECK(d.b.view().remote == outside);
            CHECK(d.count(kInit, true) == 1);  // the first answer was understood
            outside.port = then;
            d.advance(25s).expect_tunnel();
            CHECK(d.b.view().remote == outside);
            renew(d, d.b);
            d.advance(25s).expect_tunnel();
            CHECK(d.b.view().rekeyings == 1);
            CHECK(d.a.ups == 1);
        }
    }
}

TEST_CASE("2.23: of several hashes of one address any may be the right one") {
    for (const unsigned right : {0u, 1u, 2u, 3u}) {
        Awaiting t;
        std::vector<Payload> payloads = t.stranger.init_payloads();
        std::erase_if(payloads, [](const Payload& payload) {
            const auto* notify = std::get_if<NotifyPayload>(&payload);
            return notify != nullptr && (notify->type == notify::nat_detection_source_ip ||
                                         notify->type == notify::nat_detection_destination_ip);
        });
        const auto say = [&](std::uint16_t type, const Endpoint& about) {
            for (unsigned i = 0; i < 3; ++i) {
                Bytes spis, port;
                base::Writer(spis).u64(t.stranger.spi_i);
                spis.resize(16);
                base::Writer(port).u16(about.port);
                const auto hash = sha1({spis, about.address.bytes(), port});
                payloads.emplace_back(
                    make_notify(type, i == right ? Bytes(hash.begin(), hash.end()) : Bytes(20, 7))
                );
            }
        };
        say(notify::nat_detection_source_ip, t.d.a.endpoint);
        say(notify::nat_detection_destination_ip, t.d.b.endpoint);
        REQUIRE(t.stranger.init(payloads));
        REQUIRE(t.stranger.request(ExchangeType::ike_auth, t.stranger.auth_payloads()));
        CHECK(t.d.b.view().behind_nat == (right == 3));
        CHECK(t.d.b.view().peer_behind_nat == (right == 3));
    }
}

TEST_CASE("every datagram carries the non-ESP marker, unless a port is 500") {
    Dialogue d;
    d.both_connect().advance(1s);
    for (const Passing& message : d.sent)
        CHECK(Bytes(message.bytes.begin(), message.bytes.begin() + 4) == Bytes(4, 0));
    Dialogue e;
    e.b.endpoint.port = 500;
    Peer peer = e.peer_of_b();
    peer.local_port = 500;
    e.call(e.b, [&](Engine& engine, Actions& out) { engine.connect(peer, e.now, out); });
    e.a_connects().advance(1s).expect_tunnel();
    renew(e, e.b);
    e.advance(25s).expect_tunnel();
    CHECK(e.b.view().rekeyings == 1);
    for (const Passing& message : e.sent)
        CHECK(Bytes(message.bytes.begin(), message.bytes.begin() + 4) != Bytes(4, 0));
}

TEST_CASE("a child lost on both sides of one IKE SA comes back whatever is lost, doubled or late") {
    for_each_fault([](Dialogue& d) {
        d.b.refuses = true;
        d.both_connect().advance(500ms);
        d.b.refuses = false;
        d.advance(60s).expect_tunnel();
    });
}

TEST_CASE("both sides asking for a child at once end with one") {
    for (std::uint64_t seed = 1; seed < 40; ++seed) {
        Dialogue d(seed, without_dpd(), without_dpd());
        d.delay = 2s;  // the requests cross
        d.a.refuses = seed % 2 == 0;
        d.b.refuses = seed % 2 == 1;
        d.both_connect().advance(20s);
        d.a.refuses = d.b.refuses = false;
        d.advance(90s).expect_tunnel();
    }
}

TEST_CASE("whether ESP came in is asked before a silent peer is probed, and answered it is not probed") {
    Dialogue d;
    d.both_connect().advance(1s).expect_tunnel();
    const std::size_t before = d.sent.size();
    d.advance(6s);
    CHECK(d.a.silences == 0);
    for (unsigned i = 1; i <= 5; ++i) {
        d.advance(3s);
        CHECK(d.a.silences == i);
        CHECK(d.b.silences == i);
        d.call(d.a, [&](Engine& engine, Actions&) { engine.traffic_seen(1, d.now); });
        d.call(d.b, [&](Engine& engine, Actions&) { engine.traffic_seen(1, d.now); });
        d.advance(5s);
    }
    CHECK(d.sent.size() == before);
    d.advance(6s);
    CHECK(d.sent.size() > before);  // nobody said anything
}

TEST_CASE("ESP from before the last message puts no probe off") {
    Dialogue d;
    d.both_connect().advance(1s).expect_tunnel();
    const std::size_t before = d.sent.size();
    d.call(d.a, [&](Engine& engine, Actions&) { engine.traffic_seen(1, Instant{}); });
    d.advance(10s);
    CHECK(d.sent.size() > before);
}

// strongSwan's DPD of the original: an empty INFORMATIONAL and its answer every five seconds, AES-CBC and
// HMAC. The headers are UDP's and IPv4's or IPv6's.
TEST_CASE("in an hour of idleness a pair says no more than the original's, whoever can initiate") {
    for (const bool a_unknown : {false, true}) {
        EngineConfig config;
        config.child_lifetime = config.ike_lifetime = 0s;
        Dialogue d(1, copy(config), copy(config));
        d.a_unknown = a_unknown;
        d.both_connect().advance(10s).expect_tunnel();
        const std::size_t before = d.sent.size();
        d.advance(1h);
        std::size_t octets = 0;
        for (std::size_t i = before; i < d.sent.size(); ++i) octets += d.sent[i].bytes.size();
        const std::size_t count = d.sent.size() - before;
        CHECK(count >= 3600 / 10 * 2 - 2);  // it is watched
        for (const std::size_t header : {28u, 48u}) {
            CAPTURE(a_unknown, header);
            const std::size_t original = 3600 / 5 * 2 * (header + 4 + 80);
            CHECK(octets + count * header <= original);
        }
        if (!a_unknown) CHECK(count <= 3600 / 10 * 2);
        d.expect_tunnel();
    }
}

TEST_CASE("while ESP comes in a peer that does not answer is given more time") {
    const auto ends_after = [](bool esp) {
        Dialogue d;
        d.both_connect().advance(1s).expect_tunnel();
        d.cut = true;
        const Instant start = d.now;
        unsigned told = 0;
        while (d.a.downs == 0 && d.now < start + 300s) {
            d.advance(100ms);
            if (esp && d.a.silences > told) d.a.engine->traffic_seen(1, d.now);
            if (d.count(kInformational, true) == 0) told = d.a.silences;  // until the first probe is out
        }
        return d.now - start;
    };
    CHECK(ends_after(false) < 40s);
    CHECK(ends_after(true) > ends_after(false) + 10s);
}

TEST_CASE("an engine that never probes never asks for ESP") {
    Dialogue d(1, without_dpd(), without_dpd());
    d.both_connect().advance(600s).expect_tunnel();
    CHECK(d.a.silences == 0);
}
