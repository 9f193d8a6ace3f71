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

void roam(Dialogue& d, Side& side) {
    d.call(side, [&](Engine& engine, Actions& out) { engine.roam(1, d.now, out); });
}

void lose_first_to(Dialogue& d, const Endpoint& to) {
    d.fate = [to, there = 0u](const Passing& message) mutable {
        return message.to == to && ++there == 1 ? Fate::lost : Fate::arrives;
    };
}

// a is elsewhere for a moment. Of the exchange that `asks` begins then, a's message is on its way after
// `halfway`, when a is back; the first question to a at home is lost.
void goes_back_while_a_message_is_under_way(Side Dialogue::*asks, Duration halfway, Duration believed) {
    Dialogue d;
    d.both_connect().advance(5s).expect_tunnel();
    const Endpoint home = d.a.endpoint;
    d.a.endpoint = kElsewhere;
    packet_from(d, kElsewhere);
    roam(d, d.*asks);
    d.advance(halfway);
    d.a.endpoint = home;
    lose_first_to(d, home);
    packet_from(d, home);
    d.advance(believed);
    CHECK(d.b.view().remote == home);
    d.advance(30s).expect_tunnel();
}

// Both rekey the IKE SA: what the stranger made of it waits until it has answered b.
struct Heir : Pair {
    Heir() {
        renew(d, d.b);
        REQUIRE(half.asks() == 0);
    }
    // b's rekeying is refused, so the stranger's is the one.
    void takes_over() {
        s.answer({make_notify(notify::temporary_failure)});
        REQUIRE(d.b.view().rekeyings == 1);
        REQUIRE(d.b.view().spi_i == half.next().spi_i);
    }
    Half half{s, 7};
};

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
    CHECK(d.count(kInformational, false) <= before + 4);  // and once more, after the first answer
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

TEST_CASE("of many places that packets come from right after a move one is asked about") {
    Dialogue d;
    d.both_connect().advance(5s).expect_tunnel();
    d.a.endpoint = kElsewhere;
    packet_from(d, kElsewhere);
    const std::size_t before = d.sent.size();
    for (std::uint16_t port = 1; port <= 100; ++port) packet_from(d, {kElsewhere.address, port});
    CHECK(d.sent.size() == before + 2);  // there, and where the peer is
    d.advance(30s).expect_tunnel();
    expect_endpoints(d.b, d.b.endpoint, kElsewhere);
}

TEST_CASE("a claim outlives a request that the peer had sent before it went back") {
    // Once that is answered the peer has nothing more to say.
    goes_back_while_a_message_is_under_way(&Dialogue::a, 5ms, 1500ms);
}

TEST_CASE("a claim outlives an answer that the peer had sent before it went back: it is asked once more") {
    goes_back_while_a_message_is_under_way(&Dialogue::b, 11ms, 40ms);
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

TEST_CASE("an heir knows that the old IKE SA moved while it waited: a packet from there is asked about") {
    Heir t;
    packet_from(t.d, kElsewhere);
    t.s.place = kElsewhere;
    t.takes_over();
    CHECK(t.d.b.view().remote == kElsewhere);
    packet_from(t.d, t.d.a.endpoint);
    CHECK(t.d.b.moves == 1);
    expect_endpoints(t.d.b, t.d.b.endpoint, kElsewhere);
}

TEST_CASE("an heir goes on with the claim of the old IKE SA, and asks at both places") {
    Heir t;
    packet_from(t.d, kElsewhere);
    packet_from(t.d, t.d.a.endpoint);
    t.s.place = kElsewhere;
    const std::size_t before = t.d.sent.size();
    t.takes_over();
    REQUIRE(t.d.sent.size() == before + 2);
    CHECK(t.d.sent[before].to == kElsewhere);
    CHECK(t.d.sent[before + 1].to == t.d.a.endpoint);
    CHECK(t.half.next().asked().has_value());
}

TEST_CASE("an heir marks its messages as the old IKE SA did last") {
    Heir t;
    t.s.place = {kElsewhere.address, 500};
    t.s.marked = false;
    t.takes_over();
    rekey(t.d, t.d.b);
    CHECK(t.half.next().asked()->find_notify(notify::rekey_sa) != nullptr);
    CHECK(t.d.sent.back().to == t.s.place);
    CHECK_FALSE(t.d.sent.back().marked());
}

TEST_CASE("an heir that the peer speaks on first knows of moves from before it was made") {
    Pair t;
    packet_from(t.d, kElsewhere);
    t.s.place = kElsewhere;
    renew(t.d, t.d.b);
    Half half(t.s, 7);
    REQUIRE(half.asks() == 0);
    half.next().place = kElsewhere;
    CHECK(half.alive());
    packet_from(t.d, t.d.a.endpoint);
    CHECK(t.d.b.moves == 1);
}

TEST_CASE(
    "an IKE SA that is one too many is deleted where the old one is, and marked as the old one's messages"
) {
    Heir t;
    t.s.place = {kElsewhere.address, 500};
    t.s.marked = false;
    const std::size_t before = t.d.sent.size();
    Half ours(t.s, 0);  // the lowest nonce
    ours.answers();
    CHECK(session_deleted_by_b(ours.next()));
    REQUIRE(t.d.sent.size() > before);
    for (std::size_t i = before; i < t.d.sent.size(); ++i) {
        CHECK(t.d.sent[i].to == t.s.place);
        CHECK_FALSE(t.d.sent[i].marked());
    }
}

TEST_CASE("an heir of an IKE SA whose own address went speaks from wherever the route leads") {
    Heir t;
    t.d.cut = true;
    roam(t.d, t.d.b);
    t.d.advance_until(60s, [&] { return t.d.b.view().rekeyings == 1; });
    REQUIRE(t.d.b.view().rekeyings == 1);
    rekey(t.d, t.d.b);
    CHECK(t.half.next().asked()->find_notify(notify::rekey_sa) != nullptr);
    CHECK(t.d.sent.back().source.address.is_any());
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
    roam(d, d.a);
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
        roam(d, d.a);
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
    roam(d, d.a);
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
