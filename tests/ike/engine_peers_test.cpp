#include "dialogue.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace aronet;
using namespace aronet::ike;
using namespace aronet::ike::test;
using namespace std::chrono_literals;

TEST_CASE("a side that does not initiate first leaves the other the time for it, not more than 0.2 s") {
    Dialogue d;
    d.b_connects().advance(90ms);
    CHECK(d.sent.empty());
    d.advance(110ms);
    CHECK(d.count(kInit, false) > 0);
}

TEST_CASE("of two IKE_SA_INIT that cross one is answered") {
    Dialogue d;
    d.delay = 250ms;
    d.both_connect().advance(2s).expect_tunnel();
    CHECK(d.a.drops("IKE_SA_INIT that crossed ours") > 0);
    CHECK(d.a.ups + d.b.ups == 2);
    CHECK(d.count(kAuth, false) == 1);  // its answer
}

TEST_CASE("a new peer that is on its way to us is left two seconds") {
    Dialogue d;
    d.fate = [](const Passing& message) { return message.exchange() == kAuth ? Fate::lost : Fate::arrives; };
    d.both_connect().advance(1900ms);
    CHECK(d.count(kInit, false) == 1);  // its answer
    d.advance(700ms);
    CHECK(d.count(kInit, false) > 1);
}

TEST_CASE("a peer that comes up late is reached within four seconds") {
    for (const Duration absent : {1s, 5s, 12s, 25s}) {
        Dialogue d;
        d.cut = true;
        d.a_connects().advance(absent);
        CHECK(d.a.view().state != PeerState::established);
        d.cut = false;
        d.b_connects().advance(4s).expect_tunnel();
    }
}

TEST_CASE("attempts go on for ever with new SPIs, at most thirty seconds apart") {
    Dialogue d;
    d.cut = true;
    d.a_connects().advance(10min);
    const auto first = d.sent.size();
    CHECK(d.a.view().attempts > 12);
    CHECK(d.a.view().reason.find("no answer from 192.0.2.2:12025") != std::string::npos);
    d.advance(45s);
    CHECK(d.sent.size() > first);
    CHECK(d.sent.front().bytes != d.sent.back().bytes);
    CHECK(
        Bytes(d.sent.front().bytes.begin() + 4, d.sent.front().bytes.begin() + 12) !=
        Bytes(d.sent.back().bytes.begin() + 4, d.sent.back().bytes.begin() + 12)
    );
}

TEST_CASE("a peer without a known address is waited for") {
    Dialogue d;
    Peer peer = d.peer_of_b();
    peer.remote_endpoint.reset();
    d.call(d.b, [&](Engine& engine, Actions& out) { engine.connect(peer, d.now, out); }).advance(60s);
    CHECK(d.sent.empty());
    CHECK(d.b.view().state == PeerState::idle);
    CHECK_FALSE(d.b.view().reason.empty());
    d.a_connects().advance(1s).expect_tunnel();
    d.call(d.a, [&](Engine& engine, Actions& out) { engine.drop(1, d.now, out); }).advance(60s);
    CHECK(d.b.children.empty());
    CHECK(d.b.view().state == PeerState::idle);
}

TEST_CASE("an address that was resolved starts the attempt, another address restarts it") {
    Dialogue d;
    Peer peer = d.peer_of_a();
    peer.remote_endpoint.reset();
    d.call(d.a, [&](Engine& engine, Actions& out) { engine.connect(peer, d.now, out); });
    const Endpoint wrong{*Address::parse("192.0.2.77"), 12025};
    d.call(d.a, [&](Engine& engine, Actions& out) { engine.resolved(1, {wrong}, d.now, out); }).advance(10ms);
    REQUIRE(d.sent.size() == 1);
    CHECK(d.sent[0].to == wrong);
    d.b_connects();
    d.call(d.a, [&](Engine& engine, Actions& out) { engine.resolved(1, {d.b.endpoint}, d.now, out); });
    d.advance(500ms).expect_tunnel();
}

TEST_CASE("of several addresses each gets its turn within seconds, and what works is kept") {
    Dialogue d;
    Peer peer = d.peer_of_a();
    peer.remote_endpoint.reset();
    d.b_connects();
    d.call(d.a, [&](Engine& engine, Actions& out) { engine.connect(peer, d.now, out); });
    const Endpoint dead{*Address::parse("192.0.2.77"), 12025}, other{*Address::parse("192.0.2.78"), 12025};
    const auto resolved = [&](const std::vector<Endpoint>& where) {
        d.call(d.a, [&](Engine& engine, Actions& out) { engine.resolved(1, where, d.now, out); });
    };
    d.cut = true;  // b initiates as well
    resolved({dead, other, d.b.endpoint});
    CHECK(d.sent.back().to == dead);
    d.advance(1s);
    resolved({other, d.b.endpoint, dead});  // another order is no news
    CHECK(d.a.view().attempts == 1);
    d.cut = false;
    d.fate = [](const Passing& message) {
        return message.by_a || message.response() ? Fate::arrives : Fate::lost;
    };
    d.advance(8s).expect_tunnel();
    d.fate = nullptr;
    CHECK(d.a.view().attempts == 3);
    CHECK(d.a.unreached == 2);
    CHECK(d.a.view().remote == d.b.endpoint);
    resolved({dead, other});  // the tunnel does not care; the next attempt will
    d.advance(60s).expect_tunnel();
    CHECK(d.a.ups == 1);
    CHECK(d.a.view().attempts == 3);
}

TEST_CASE("no more than three attempts at once go to one address, and all get their turn") {
    Dialogue d;
    const auto peers = [&](Side& side, const char* local, const char* remote, const Peer& like) {
        for (PeerId id = 1; id <= 12; ++id) {
            Peer peer = like;
            peer.id = id;
            peer.local = {"acme", local, std::to_string(id), false};
            peer.remote = {"acme", remote, std::to_string(id), false};
            d.call(side, [&](Engine& engine, Actions& out) { engine.connect(peer, d.now, out); });
        }
    };
    Peer passive = d.peer_of_b();
    passive.remote_endpoint.reset();
    peers(d.b, "bravo", "alpha", passive);
    peers(d.a, "alpha", "bravo", d.peer_of_a());
    CHECK(d.sent.size() == 3);
    d.advance(5s);
    CHECK(d.a.children.size() == 12);
    CHECK(d.b.children.size() == 12);
    // It forgets everything: beside what it does not know any more all are made anew, by turns, too.
    d.restart(d.b, 77);
    peers(d.b, "bravo", "alpha", passive);
    const auto begun = d.count(kInit, true);
    for (PeerId id = 1; id <= 12; ++id)
        d.call(d.a, [&](Engine& engine, Actions& out) { engine.suspect(id, d.now, out); });
    d.advance(25ms);
    CHECK(d.count(kInit, true) == begun + 3);
    d.advance(150ms);  // nobody has been told a second time yet
    CHECK(d.b.children.size() == 12);
}

TEST_CASE("both sides may initiate at once and one tunnel stays") {
    for (const bool slow : {false, true}) {
        Dialogue d;
        if (slow) d.delay = 400ms;
        Peer eager = d.peer_of_b();
        eager.initiate_first = true;
        d.call(d.b, [&](Engine& engine, Actions& out) { engine.connect(eager, d.now, out); });
        d.a_connects().advance(100ms + 6 * d.delay);
        CHECK(d.tunnel());
        d.advance(12s).expect_tunnel();
        CHECK(d.a.view().initiator);  // alpha < bravo
    }
}

TEST_CASE(
    "C17, row 41: simultaneous initiation converges whichever message is lost, doubled or late, near and far"
) {
    for (const Duration delay : {1ms, 10ms, 400ms}) {
        for (std::uint64_t seed = 1; seed <= 4; ++seed) {
            INFO("a delay of " << delay / 1ms << " ms, seed " << seed);
            const auto story = [delay](Dialogue& d) {
                d.delay = delay;
                Peer eager = d.peer_of_b();
                eager.initiate_first = true;
                d.call(d.b, [&](Engine& engine, Actions& out) { engine.connect(eager, d.now, out); });
                d.a_connects().advance(45s).expect_tunnel();
                CHECK(d.a.view().spi_i == d.b.view().spi_i);
            };
            for_each_fault(story, seed);
        }
    }
}

TEST_CASE("C17, row 41: a thousand pairs begin at once, in bad weather, and each has one IKE SA and one child"
) {
    unsigned crossed = 0;
    for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
        INFO("seed " << seed);
        base::Random draw = base::Random::from_number(seed);
        Dialogue d(seed);
        d.delay = draw.between(1ms, 400ms);
        d.fate = [&](const Passing&) {
            const std::uint64_t drawn = draw.below(20);
            const bool bad = d.now < base::Instant(3s) && drawn < 6;
            return !bad ? Fate::arrives : drawn < 2 ? Fate::lost : drawn < 4 ? Fate::doubled : Fate::late;
        };
        Peer eager = d.peer_of_b();
        eager.initiate_first = true;
        const Duration later = draw.between(0ms, d.delay);
        const bool a_begins = draw.below(2) == 0;
        if (a_begins) d.a_connects().advance(later);
        d.call(d.b, [&](Engine& engine, Actions& out) { engine.connect(eager, d.now, out); });
        if (!a_begins) d.advance(later).a_connects();
        d.advance(50s).expect_tunnel();
        CHECK(d.a.view().spi_i == d.b.view().spi_i);
        const auto asks = [&](bool a) {
            return std::ranges::any_of(d.sent, [&](const Passing& message) {
                return message.by_a == a && message.exchange() == kInit && !message.response();
            });
        };
        crossed += asks(true) && asks(false) ? 1 : 0;
    }
    CAPTURE(crossed);
    CHECK(crossed > 900);  // where the one was quick enough the other does not ask
}

TEST_CASE("C17, row 41: of two IKE_AUTH that cross one is given up") {
    const auto story = [](Dialogue& d) {
        d.fate = [fault = d.fate, first = true](const Passing& message) mutable {
            const bool late = !message.by_a && message.exchange() == kAuth && std::exchange(first, false);
            return late ? Fate::late : fault ? fault(message) : Fate::arrives;
        };
        Peer eager = d.peer_of_b();
        eager.initiate_first = true;
        d.call(d.b, [&](Engine& engine, Actions& out) { engine.connect(eager, d.now, out); });
        d.advance(22ms);  // its IKE_SA_INIT has its answer, its IKE_AUTH is under way
        d.a_connects().advance(3s);
        CHECK(d.tunnel());
        d.advance(42s).expect_tunnel();
    };
    for_each_fault(story);
    Dialogue d;
    story(d);
    CHECK(d.b.ups == 1);
    CHECK(d.a.view().initiator);
}

TEST_CASE("C17, row 43: a peer that restarted is recognised at once, by either side's initiative") {
    for (const bool initiator_restarts : {true, false}) {
        Dialogue d;
        d.both_connect().advance(30s).expect_tunnel();
        d.restart(initiator_restarts ? d.a : d.b, 99);
        d.advance(4s).expect_tunnel();
    }
}

TEST_CASE(
    "C17, row 43: a peer that restarted right after the tunnel came up is served at once; one tunnel stays"
) {
    for (const bool initiator_restarts : {true, false}) {
        Dialogue d;
        d.both_connect().advance(3s).expect_tunnel();
        d.restart(initiator_restarts ? d.a : d.b, 99);
        d.advance(4s);
        CHECK(d.tunnel());
        d.advance(30s).expect_tunnel();
    }
}

TEST_CASE("C17, row 43: a peer whose address is not known comes back after its restart") {
    Dialogue d;
    d.a_unknown = true;
    d.both_connect().advance(20s).expect_tunnel();
    d.restart(d.a, 99);
    d.advance(1s).expect_tunnel();
    d.restart(d.b, 98);  // now the side that can only answer: the other has to find out
    d.advance(40s).expect_tunnel();
}

TEST_CASE("who is stopped, or drops the peer, while IKE_AUTH is under way leaves no SA with the other side") {
    for (const bool stops : {true, false}) {
        for (const bool slow : {false, true}) {
            CAPTURE(stops, slow);
            for_each_fault([&](Dialogue& d) {
                d.a_unknown = true;
                d.b.obedient = !slow;
                d.both_connect().advance_until(5s, [&] { return d.count(35, true) == 1; });
                d.call(d.a, [&](Engine& engine, Actions& out) {
                    stops ? engine.stop(d.now, out) : engine.drop(1, d.now, out);
                });
                d.advance(300ms);
                std::vector<ChildId> children;
                for (const auto& child : d.b.children) children.push_back(child.first);
                for (const ChildId child : children)
                    d.call(d.b, [&](Engine& engine, Actions& out) { engine.installed(child, d.now, out); });
                d.b.obedient = true;
                d.advance(8s);
                CHECK(d.b.children.empty());
                CHECK(d.a.engine->sessions() == 0);
                CHECK(d.a.children.empty());
            });
        }
    }
}

TEST_CASE("B6: INITIAL_CONTACT concerns one pair of identities alone") {
    Dialogue d;
    const auto connect = [&](Side& side, PeerId id, Peer peer, bool passive) {
        peer.id = id;
        peer.local.qualifier = peer.remote.qualifier = std::to_string(id);
        if (passive) peer.remote_endpoint.reset();
        d.call(side, [&](Engine& engine, Actions& out) { engine.connect(peer, d.now, out); });
    };
    for (const PeerId id : {1u, 2u}) connect(d.b, id, d.peer_of_b(), true);
    connect(d.a, 1, d.peer_of_a(), false);
    d.advance(1s);
    connect(d.a, 2, d.peer_of_a(), false);
    d.advance(1s);
    CHECK(d.b.children.size() == 2);
    CHECK(d.b.downs == 0);
}

TEST_CASE("other terms of the child change its keys, on one side or on both, and close nothing") {
    for (const bool both : {false, true}) {
        Dialogue d;
        d.both_connect().advance(2s).expect_tunnel();
        const auto before = d.a.view();
        const auto change = [&](Side& side, Peer peer) {
            peer.child.replay_window = 4096;
            peer.child.esn = both ? Esn::preferred : Esn::no;
            d.call(side, [&](Engine& engine, Actions& out) { engine.connect(peer, d.now, out); });
        };
        change(d.a, d.peer_of_a());
        if (both) change(d.b, d.peer_of_b());
        d.advance(10s).expect_tunnel();
        CHECK(d.a.view().spi_i == before.spi_i);
        CHECK(d.a.view().spi_in != before.spi_in);
        CHECK(d.a.view().since == before.since);
        REQUIRE(d.a.sending);
        CHECK(d.a.children.at(*d.a.sending).first.replay_window == 4096);
        CHECK(d.a.children.at(*d.a.sending).first.esn == both);
    }
}

TEST_CASE("other terms of the child reach one that is on its way, too") {
    enum class When { authenticates, installs, rekeys };
    for (const When when : {When::authenticates, When::installs, When::rekeys}) {
        CAPTURE(int(when));
        Dialogue d;
        d.a.obedient = when != When::installs;
        const int last = when == When::rekeys ? 36 : 35;
        d.both_connect();
        if (when == When::rekeys) {
            d.advance(2s).expect_tunnel();
            d.call(d.a, [&](Engine& engine, Actions& out) { engine.rekey(*d.a.sending, d.now, out); });
        } else if (when == When::authenticates) {
            d.advance_until(5s, [&] { return d.count(last, true) > 0; });
        } else {
            d.advance_until(5s, [&] { return !d.a.children.empty(); });
        }
        Peer peer = d.peer_of_a();
        peer.child.replay_window = 4096;
        peer.child.esn = Esn::no;
        d.call(d.a, [&](Engine& engine, Actions& out) { engine.connect(peer, d.now, out); });
        if (when == When::installs) {
            d.a.obedient = true;
            std::vector<ChildId> children;
            for (const auto& child : d.a.children) children.push_back(child.first);
            for (const ChildId child : children)
                d.call(d.a, [&](Engine& engine, Actions& out) { engine.installed(child, d.now, out); });
        }
        d.advance(20s).expect_tunnel();
        REQUIRE(d.a.sending);
        CHECK(d.a.children.at(*d.a.sending).first.replay_window == 4096);
        CHECK_FALSE(d.a.children.at(*d.a.sending).first.esn);
    }
}

TEST_CASE("whoever names a peer's addresses anew does not interrupt the one that is being tried") {
    Dialogue d;
    const Endpoint first{*Address::parse("192.0.2.77"), 12025}, second{*Address::parse("192.0.2.78"), 12025};
    Peer peer = d.peer_of_a();
    peer.remote_endpoint = first;
    peer.other_endpoints = {second};
    const auto connect = [&] {
        d.call(d.a, [&](Engine& engine, Actions& out) { engine.connect(peer, d.now, out); });
    };
    connect();
    for (int i = 0; i < 100 && d.a.view().attempts < 2; ++i) d.advance(100ms);
    REQUIRE(d.a.view().remote == second);
    const auto attempts = d.a.view().attempts;
    peer.remote_keys.push_back(PublicKey{9});
    connect();
    CHECK(d.a.view().remote == second);
    CHECK(d.a.view().attempts == attempts);
    CHECK(d.a.view().state == PeerState::connecting);
}
