#include "dialogue.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::ike;
using namespace aronet::ike::test;
using namespace std::chrono_literals;

TEST_CASE("two engines agree on one tunnel with the same keys") {
    Dialogue d;
    d.both_connect().advance(1s).expect_tunnel();
    CHECK(d.a.view().initiator);
    CHECK_FALSE(d.b.view().initiator);
    CHECK(d.sent.size() == 4);
    CHECK(d.a.view().esp_suite == "aes256gcm16");
}

TEST_CASE("a tunnel comes up whichever message is lost, doubled or late") {
    for_each_fault([](Dialogue& d) { d.both_connect().advance(12s).expect_tunnel(); });
}

TEST_CASE("both sides may initiate at once and one tunnel stays") {
    Dialogue d;
    Peer eager = d.peer_of_b();
    eager.initiate_first = true;
    d.call(d.b, [&](Engine& engine, Actions& out) { engine.connect(eager, d.now, out); });
    d.a_connects().advance(100ms);
    CHECK(d.tunnel());
    d.advance(10s).expect_tunnel();
    CHECK(d.a.view().initiator);  // alpha < bravo
}
