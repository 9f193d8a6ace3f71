// Feasibility, expiry, selection, our own prefixes.

#include "babel/router.hpp"

using namespace aronet;
using namespace aronet::babel;

// ---- feasibility ----

TEST_CASE("an unfeasible update for the selected route is ignored, and the neighbour asked for a newer one") {
    Router desk;  // T60, T60b, D11
    desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 5});
    desk.pass(1s);
    REQUIRE(desk.announced(2, kD)->metric == 196);
    desk.forget();
    desk.say(1, kA, Announce{"fd00::/64", 900, 0xaa, 5});
    REQUIRE(desk.said<SeqnoRequest>(1, kA).size() == 1);
    const SeqnoRequest asked = desk.said<SeqnoRequest>(1, kA)[0];
    CHECK(asked.about == kD);
    CHECK(asked.seqno == 6);
    CHECK(asked.router_id == 0xaa);
    CHECK(asked.hop_count == 64);
    CHECK(desk.route(kD, kA)->received_metric == 100);
    CHECK_FALSE(desk.announced(2, kD));
    desk.say(1, kA, Announce{"fd00::/64", 900, 0xaa, 6});
    CHECK(desk.route(kD, kA)->received_metric == 900);
    CHECK(desk.announced(2, kD)->metric == 996);  // so much worse is told at once
}

TEST_CASE("a selected route that becomes unfeasible with another router-id is unselected at once") {
    Router desk;
    desk.say(1, kA, Announce{"fd00::/64", 10, 0xbb, 5});
    desk.pass(1s);
    desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 5});
    desk.pass(1s);
    CHECK(desk.forwarding.reaches(kD, kA));
    desk.forget();
    desk.say(1, kA, Announce{"fd00::/64", 500, 0xbb, 5});
    CHECK(desk.forwarding.unreachable(kD));
    CHECK(desk.announced(2, kD)->metric == kInfinity);
    CHECK(desk.said<SeqnoRequest>(1, kA).at(0).router_id == 0xbb);
}

TEST_CASE("an unfeasible route of a second neighbour is not selected, but asked for it becomes so and is"
) {  // T61
    Router desk;
    desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 5});
    desk.say(2, kB, Announce{"fd00::/64", 300, 0xaa, 5});
    desk.pass(1s);
    desk.forget();
    desk.retract(1, kA, "fd00::/64");
    CHECK(desk.forwarding.unreachable(kD));
    REQUIRE(desk.said<SeqnoRequest>(2, kB).size() == 1);
    CHECK(desk.said<SeqnoRequest>(2, kB)[0].seqno == 6);
    CHECK(desk.said<SeqnoRequest>(3).empty());
    desk.pass(30ms);
    desk.say(2, kB, Announce{"fd00::/64", 300, 0xaa, 6, 60s});
    CHECK(desk.forwarding.reaches(kD, kB));
    CHECK(desk.announced(3, kD)->metric == 396);
    desk.forget();
    desk.pass(20s);
    CHECK(desk.said<SeqnoRequest>().empty());
}

TEST_CASE("feasibility is judged when a route is selected, not when its update came") {  // T66, D2
    Router desk;
    desk.say(2, kB, Announce{"fd00::/64", 300, 0xaa, 5});
    desk.pass(1s);                                         // announced with 396
    desk.say(1, kA, Announce{"fd00::/64", 350, 0xaa, 5});  // feasible now, a fallback
    CHECK(desk.route(kD, kA)->feasible);
    desk.say(2, kB, Announce{"fd00::/64", 50, 0xaa, 5});
    desk.pass(2s);  // announced with 146
    CHECK_FALSE(desk.route(kD, kA)->feasible);
    desk.forget();
    desk.retract(2, kB, "fd00::/64");
    CHECK(desk.forwarding.unreachable(kD));
    CHECK(desk.said<SeqnoRequest>(1, kA).size() == 1);
}

TEST_CASE("an unfeasible offer better than what is selected is asked for") {
    Router desk;
    desk.say(1, kA, Announce{"fd00::/64", 10, 0xaa, 5});
    desk.pass(1s);
    desk.say(1, kA, Announce{"fd00::/64", 700, 0xaa, 6});
    desk.pass(1s);
    desk.forget();
    desk.say(2, kB, Announce{"fd00::/64", 200, 0xaa, 5});  // older than what we announced
    CHECK(desk.forwarding.reaches(kD, kA));
    REQUIRE(desk.said<SeqnoRequest>(2, kB).size() == 1);
    CHECK(desk.said<SeqnoRequest>(2, kB)[0].seqno == 7);
    desk.forget();
    desk.say(2, kB, Announce{"fd00::/64", 800, 0xaa, 5});  // not better: no concern of ours
    CHECK(desk.said<SeqnoRequest>().empty());
}

TEST_CASE("sequence numbers are compared around their wrap") {  // D28
    CHECK(newer(0, 65535));
    CHECK_FALSE(newer(65535, 0));
    CHECK(newer(32767, 0));
    CHECK_FALSE(newer(32768, 0));
    CHECK_FALSE(newer(0, 32768));
    CHECK_FALSE(newer(32769, 0));
    CHECK(newer(0, 32769));
    CHECK_FALSE(newer(7, 7));
    Router desk;
    desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 65535});
    desk.pass(1s);
    desk.say(1, kA, Announce{"fd00::/64", 800, 0xaa, 0});
    CHECK(desk.route(kD, kA)->received_metric == 800);
    desk.pass(1s);
    desk.say(1, kA, Announce{"fd00::/64", 300, 0xaa, 65535});
    CHECK(desk.route(kD, kA)->received_metric == 800);
}

TEST_CASE("feasibility distances are forgotten three minutes after the last announcement") {
    Router desk;
    desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 5});
    desk.pass(1s);
    desk.retract(1, kA, "fd00::/64");
    desk.pass(170s);
    desk.say(1, kA, Announce{"fd00::/64", 300, 0xaa, 5, 600s});
    CHECK(desk.forwarding.absent(kD));
    desk.pass(20s);
    desk.say(1, kA, Announce{"fd00::/64", 300, 0xaa, 5});
    CHECK(desk.forwarding.reaches(kD, kA));
}

// ---- expiry ----

TEST_CASE("a selected route is asked for before it expires, then is unreachable, then forgotten"
) {  // T65, D13
    Router desk;
    desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 5, 4s});
    desk.say(1, kA, Announce{"fd01::/64", 100, 0xaa, 5, 4s});
    desk.say(2, kB, Announce{"fd01::/64", 90, 0xaa, 6, 600s});
    desk.pass(1s);
    desk.forget();
    desk.pass(8s);
    CHECK(desk.said<RouteRequest>(1, kA).empty());
    desk.pass(1500ms);
    REQUIRE(desk.said<RouteRequest>(1, kA).size() == 1);
    CHECK(desk.said<RouteRequest>(1, kA)[0].about == kD);
    CHECK(desk.forwarding.reaches(kD, kA));
    desk.pass(3600ms);
    CHECK(desk.forwarding.unreachable(kD));  // until all have acknowledged that
    CHECK(desk.route(kD, kA)->received_metric == kInfinity);
    desk.pass(15s);
    CHECK(desk.forwarding.absent(kD));
    CHECK_FALSE(desk.route(kD, kA));
    CHECK(desk.said<RouteRequest>(1, kA).size() == 1);
}

TEST_CASE("a route refreshed in time lives on") {
    Router desk;
    for (int i = 0; i < 20; ++i) {
        desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 5, 4s});
        desk.pass(10s);
        CHECK(desk.forwarding.reaches(kD, kA));
    }
    CHECK(desk.forwarding.changes == 1);
}

TEST_CASE("an update that is never repeated lasts as long as the longest interval") {
    Router desk;
    Announcement once = Announce{"fd00::/64"}();
    once.interval = {0xffff};
    desk.announce(1, kA, {once});
    desk.pass(655s * 3);
    CHECK(desk.forwarding.reaches(kD, kA));
    desk.pass(655s);
    CHECK(desk.forwarding.absent(kD));
}

// ---- selection ----

TEST_CASE("the better of two routes is taken, and the other at once when it is lost") {
    Router desk;
    desk.say(1, kA, Announce{"fd00::/64", 200, 0xaa, 5});
    desk.say(2, kB, Announce{"fd00::/64", 100, 0xaa, 5});
    CHECK(desk.forwarding.reaches(kD, kB));
    desk.say(1, kA, Announce{"fd00::/64", 90, 0xaa, 6});
    CHECK(desk.forwarding.reaches(kD, kB));  // its metric has only just become better
    desk.retract(2, kB, "fd00::/64");
    CHECK(desk.forwarding.reaches(kD, kA));
    CHECK_FALSE(desk.forwarding.unreachable(kD));
}

TEST_CASE("a metric that goes up and down does not make routes flap") {
    Router desk;
    desk.say(1, kA, Announce{"fd00::/64", 150, 0xaa, 1, 60s});
    desk.say(2, kB, Announce{"fd00::/64", 100, 0xaa, 1, 60s});
    const std::size_t changes = desk.forwarding.changes;
    for (SeqNo i = 2; i < 20; ++i) {
        desk.say(2, kB, Announce{"fd00::/64", static_cast<Metric>(i % 2 == 0 ? 170 : 100), 0xaa, i, 60s});
        desk.say(1, kA, Announce{"fd00::/64", 150, 0xaa, i, 60s});
        desk.pass(1s);
    }
    CHECK(desk.forwarding.changes == changes);
    desk.say(2, kB, Announce{"fd00::/64", 400, 0xaa, 20, 60s});
    desk.say(1, kA, Announce{"fd00::/64", 150, 0xaa, 20, 60s});
    desk.pass(30s);  // without any further event
    CHECK(desk.forwarding.reaches(kD, kA));
}

TEST_CASE("while a better route waits to be trusted, another that is better by every measure is taken at once"
) {
    Router desk;
    desk.say(1, kA, Announce{"fd00::/64", 200, 0xaa, 1, 600s});
    desk.say(2, kB, Announce{"fd00::/64", 800, 0xbb, 1, 600s});
    desk.say(3, kC, Announce{"fd00::/64", 300, 0xcc, 1, 600s});
    desk.say(2, kB, Announce{"fd00::/64", 100, 0xbb, 1, 600s});  // it has only just become better
    CHECK(desk.forwarding.reaches(kD, kA));
    desk.say(3, kC, Announce{"fd00::/64", 250, 0xcc, 1, 600s});  // not better: nothing changes
    CHECK(desk.forwarding.reaches(kD, kA));
    desk.retract(3, kC, "fd00::/64");
    desk.say(3, kC, Announce{"fd00::/64", 150, 0xcc, 1, 600s});  // it appears, so its metric is its own
    CHECK(desk.forwarding.reaches(kD, kC));
    desk.pass(90s);
    CHECK(desk.forwarding.reaches(kD, kB));
}

TEST_CASE("a better route is trusted after its time, however often others change meanwhile") {
    Router desk;
    desk.say(1, kA, Announce{"fd00::/64", 200, 0xaa, 1, 600s});
    desk.say(2, kB, Announce{"fd00::/64", 400, 0xbb, 1, 600s});
    desk.say(2, kB, Announce{"fd00::/64", 100, 0xbb, 1, 600s});
    CHECK(desk.forwarding.reaches(kD, kA));
    for (Metric i = 0; i < 300; ++i) {
        desk.say(3, kC, Announce{"fd00::/64", static_cast<Metric>(700 + i % 7), 0xcc, 1, 600s});
        desk.pass(100ms);
    }
    CHECK(desk.forwarding.reaches(kD, kB));
}

TEST_CASE("a repaired link is used again at once") {  // D22
    Router desk;
    desk.say(1, kA, Announce{"fd00::/64", 10, 0xaa, 1, 600s});
    desk.say(2, kB, Announce{"fd00::/64", 9, 0xaa, 1, 600s});
    desk.say(3, kC, Announce{"fd00::/64", 80, 0xaa, 1, 600s});
    desk.unplug(2);
    CHECK(desk.forwarding.reaches(kD, kA));
    desk.plug(2, Desk::link("fe80::2"));
    desk.befriend(2, kB);
    desk.say(2, kB, Announce{"fd00::/64", 5, 0xaa, 2, 600s});
    CHECK(desk.forwarding.reaches(kD, kB));
}

// ---- our own ----

TEST_CASE("an own prefix is told at once to everybody, and retracted when withdrawn") {
    Router desk;
    desk.speaker.announce(to("fd05::/64"), 0, desk.now, desk.actions);
    desk.pass(0s);
    for (const InterfaceId on : {1u, 2u, 3u}) {
        const auto told = desk.announced(on, to("fd05::/64"));
        REQUIRE(told);
        CHECK(told->metric == 0);
        CHECK(told->router_id == kUs);
        CHECK(told->seqno == 10);
    }
    desk.forget();
    desk.pass(100ms);
    desk.speaker.withdraw(to("fd05::/64"), desk.now, desk.actions);
    desk.pass(0s);
    CHECK(desk.announced(3, to("fd05::/64"))->metric == kInfinity);
    desk.pass(3s);
    CHECK(desk.retractions(3, to("fd05::/64")) == 1);  // acknowledged
    CHECK(desk.forwarding.changes == 0);
}

TEST_CASE("an own prefix whose metric grows gets a new seqno, that neighbours find it feasible") {
    Router desk;
    desk.speaker.announce(to("fd05::/64"), 10, desk.now, desk.actions);
    desk.pass(1s);
    desk.speaker.announce(to("fd05::/64"), 20, desk.now, desk.actions);
    desk.pass(0s);
    CHECK(desk.announced(1, to("fd05::/64"))->metric == 20);
    CHECK(desk.announced(1, to("fd05::/64"))->seqno == 11);
}

TEST_CASE("an own prefix is never routed elsewhere, and is again once withdrawn") {
    Router desk;
    desk.speaker.announce(kD, 0, desk.now, desk.actions);
    desk.say(1, kA, Announce{"fd00::/64", 10});
    CHECK(desk.forwarding.absent(kD));
    desk.speaker.withdraw(kD, desk.now, desk.actions);
    desk.pass(0s);
    CHECK(desk.forwarding.reaches(kD, kA));
    desk.speaker.announce(kD, 0, desk.now, desk.actions);
    desk.pass(0s);
    CHECK(desk.forwarding.absent(kD));
}

// ---- source-specific (RFC 9079) ----

TEST_CASE("a source-specific route is another than the ordinary one, passed on as such") {
    Router desk;
    Announcement a = Announce{"::/0"}();
    a.about->source = net("2001:db8::/48");
    desk.announce(1, kA, {a});
    CHECK(desk.forwarding.reaches(*a.about, kA));
    CHECK(desk.forwarding.absent(to("::/0")));
    CHECK(desk.announced(2, *a.about));
    desk.say(2, kB, Announce{"::/0"});
    CHECK(desk.forwarding.reaches(to("::/0"), kB));
    desk.say(1, kA, {Update{.interval = {400}}});  // the wildcard means these too
    CHECK(desk.forwarding.unreachable(*a.about) == false);
    CHECK(desk.forwarding.absent(*a.about));  // a default route, if only for some
    CHECK(desk.forwarding.reaches(to("::/0"), kB));
}
