// Addresses that move (RFC 7296 2.23, RFC 3948): the children go along with their keys, nothing is made anew.

#include "rekeying.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::ike;
using namespace aronet::ike::test;
using namespace std::chrono_literals;

namespace {

const Endpoint kElsewhere{*Address::parse("198.51.100.7"), 40777};

void expect_endpoints(const Side& side, const Endpoint& local, const Endpoint& remote) {
    for (const auto& [id, sas] : side.children) {
        const auto& [in, out] = sas;
        CHECK(in.source == remote);
        CHECK(in.destination == local);
        CHECK(out.source == local);
        CHECK(out.destination == remote);
    }
}

void packet_from(Dialogue& d, const Endpoint& remote) {
    d.call(d.b, [&](Engine& engine, Actions& out) { engine.mapping(1, remote, d.now, out); });
}

// a is elsewhere from now on, and b at the latest after a's next question.
void move(Dialogue& d, const Endpoint& to) {
    d.a.endpoint = to;
    d.advance(12s);
}

}  // namespace

TEST_CASE("a peer that moves takes its SAs along: no other keys, no other IKE SA, both ends at the new place"
) {
    Dialogue d;
    d.both_connect().advance(1s).expect_tunnel();
    const PeerView before = d.b.view();
    move(d, kElsewhere);
    for (const Side* side : {&d.a, &d.b}) {
        CHECK(side->ups == 1);
        CHECK(side->downs == 0);
        CHECK(side->moves == 1);
    }
    CHECK(d.b.view().spi_i == before.spi_i);
    CHECK(d.b.view().remote == kElsewhere);
    CHECK(d.a.view().local == kElsewhere);
    expect_endpoints(d.a, kElsewhere, d.b.endpoint);
    expect_endpoints(d.b, d.b.endpoint, kElsewhere);
    d.advance(60s).expect_tunnel();
}

TEST_CASE(
    "packets that overtake each other move a tunnel once: where the peer was last is asked, not believed"
) {
    Dialogue d;
    d.both_connect().advance(5s).expect_tunnel();
    const Endpoint home = d.a.endpoint;
    d.a.endpoint = kElsewhere;
    packet_from(d, kElsewhere);
    CHECK(d.b.moves == 1);
    const std::size_t before = d.count(kInformational, false);
    for (int i = 0; i < 10; ++i) {  // those that were under way, and the next ones among them
        packet_from(d, home);
        packet_from(d, kElsewhere);
    }
    CHECK(d.count(kInformational, false) <= before + 2);
    d.advance(1s);
    CHECK(d.b.moves == 1);
    expect_endpoints(d.b, d.b.endpoint, kElsewhere);
    d.advance(30s).expect_tunnel();
    CHECK(d.b.moves == 1);
}

TEST_CASE("a peer that is back at once is believed with its answer, though the first question there is lost"
) {
    for (const bool lost : {false, true}) {
        CAPTURE(lost);
        Dialogue d;
        d.both_connect().advance(5s).expect_tunnel();
        const Endpoint home = d.a.endpoint;
        packet_from(d, kElsewhere);
        unsigned there = 0;
        d.fate = [&](const Passing& message) {
            return lost && message.to == home && ++there == 1 ? Fate::lost : Fate::arrives;
        };
        packet_from(d, home);  // told once, as our own ESP does
        CHECK(d.b.moves == 1);
        d.advance(lost ? Duration(1500ms) : 2 * d.delay + 1ms);
        CHECK(d.b.moves == 2);
        expect_endpoints(d.b, d.b.endpoint, home);
        d.advance(30s).expect_tunnel();
    }
}

TEST_CASE("a claim outlives what the peer had said before it went back") {
    Dialogue d;
    d.both_connect().advance(5s).expect_tunnel();
    const Endpoint home = d.a.endpoint;
    d.a.endpoint = kElsewhere;
    packet_from(d, kElsewhere);
    rekey(d, d.a);
    d.advance(d.delay / 2);  // a's request is on its way from elsewhere
    d.a.endpoint = home;
    unsigned there = 0;
    d.fate = [&](const Passing& message) {
        return message.to == home && ++there == 1 ? Fate::lost
                                                  : Fate::arrives;  // the question with the claim
    };
    packet_from(d, home);
    d.advance(1500ms);
    CHECK(d.b.moves >= 2);
    CHECK(d.b.view().remote == home);
    d.fate = nullptr;
    d.advance(30s).expect_tunnel();
}

TEST_CASE("a child that is made where the peer was before moves with the others") {
    Dialogue d;
    d.both_connect().advance(1s).expect_tunnel();
    d.b.obedient = false;
    rekey(d, d.a);
    d.advance(30ms);  // b is asked to install the second child
    REQUIRE(d.b.children.size() == 2);
    packet_from(d, kElsewhere);
    CHECK(d.b.moves == 2);
    expect_endpoints(d.b, d.b.endpoint, kElsewhere);
}

TEST_CASE("children go where the rekeyed IKE SA is") {
    Dialogue d;
    d.both_connect().advance(1s).expect_tunnel();
    renew(d, d.a);
    d.advance_until(1s, [&] { return d.b.engine->sessions() == 2; });
    d.a.endpoint = kElsewhere;  // what follows comes from elsewhere
    d.advance(40s).expect_tunnel();
    CHECK(d.a.view().rekeyings == 1);
    CHECK(d.b.ups == 1);
    expect_endpoints(d.b, d.b.endpoint, kElsewhere);
    expect_endpoints(d.a, kElsewhere, d.b.endpoint);
}

TEST_CASE("moving there and back a hundred times, with a rekeying now and then, makes nothing anew") {
    Dialogue d;
    d.both_connect().advance(1s).expect_tunnel();
    const Endpoint home = d.a.endpoint;
    for (int i = 0; i < 100; ++i) {
        move(d, i % 2 == 0 ? kElsewhere : home);
        if (i % 10 == 5) rekey(d, i % 20 == 5 ? d.a : d.b);
        INFO("move " << i);
        d.expect_tunnel();
        expect_endpoints(d.b, d.b.endpoint, d.a.endpoint);
    }
    CHECK(d.a.view().attempts == 1);
    CHECK(d.a.ups == 11);
    CHECK(d.a.downs == 10);
}

TEST_CASE("who roams tells its peer at once, from wherever the route leads, and takes the children along") {
    Dialogue d;
    d.both_connect().advance(1s).expect_tunnel();
    d.a.endpoint = kElsewhere;
    d.call(d.a, [&](Engine& engine, Actions& out) { engine.roam(1, d.now, out); });
    d.advance(3 * d.delay);
    CHECK(d.a.moves == 1);
    CHECK(d.b.moves == 1);
    expect_endpoints(d.a, kElsewhere, d.b.endpoint);
    expect_endpoints(d.b, d.b.endpoint, kElsewhere);
    d.advance(30s).expect_tunnel();
    CHECK(d.a.ups + d.b.ups == 2);
}

TEST_CASE("a silent peer is given up however often addresses of ours come and go") {
    Dialogue d;
    d.both_connect().advance(1s).expect_tunnel();
    d.cut = true;
    for (int i = 0; i < 400 && d.a.downs == 0; ++i) {
        d.call(d.a, [&](Engine& engine, Actions& out) { engine.roam(1, d.now, out); });
        d.advance(100ms);
    }
    CHECK(d.a.downs == 1);
    CHECK(d.a.view().state != PeerState::established);
}

TEST_CASE("nobody roams from an address that the configuration gives") {
    Dialogue d;
    d.connect([&](Peer& peer) { peer.local_address = d.a.endpoint.address; }, [](Peer&) {});
    d.advance(1s).expect_tunnel();
    const std::size_t before = d.sent.size();
    d.call(d.a, [&](Engine& engine, Actions& out) { engine.roam(1, d.now, out); });
    CHECK(d.sent.size() == before);
}

TEST_CASE("a move is followed whichever message is lost, doubled or late") {
    for_each_fault([](Dialogue& d) {
        d.both_connect().advance(15s);
        move(d, kElsewhere);
        d.advance(20s).expect_tunnel("after the move");
        expect_endpoints(d.a, kElsewhere, d.b.endpoint);
        expect_endpoints(d.b, d.b.endpoint, kElsewhere);
    });
}
