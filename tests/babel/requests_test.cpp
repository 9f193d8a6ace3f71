// Requests: answered, forwarded, and sent when no feasible route is left.

#include "babel/constants.hpp"
#include "babel/desk.hpp"

using namespace aronet;
using namespace aronet::babel;

namespace {
const Address kA = ip("fe80::a");
const Address kB = ip("fe80::b");
const Address kC = ip("fe80::c");
const Destination kD = to("fd00::/64");
const Destination kOwn = to("fd05::/64");

struct Router : Desk {
    Router() {
        plug(1, link("fe80::1"));
        plug(2, link("fe80::2"));
        plug(3, link("fe80::3"));
        befriend(1, kA);
        befriend(2, kB);
        befriend(3, kC);
        speaker.announce(kOwn, 0, now, actions);
        pass(2s);
        forget();
    }
    void ask_seqno(
        InterfaceId on,
        const Address& from,
        const Destination& d,
        SeqNo seqno,
        RouterId id,
        std::uint8_t hops = 64
    ) {
        say(on, from, {SeqnoRequest{d, seqno, hops, id}});
    }
};
}  // namespace

TEST_CASE("a Route Request is answered at once with an update, or with a retraction") {  // T03, T04
    Router desk;
    desk.say(1, kA, {RouteRequest{kOwn}, RouteRequest{to("fd99::/64")}});
    REQUIRE(desk.sent.size() == 1);
    CHECK(desk.sent[0].to == kA);
    CHECK(desk.announced(1, kOwn)->metric == 0);
    CHECK(desk.announced(1, to("fd99::/64"))->metric == kInfinity);
}

TEST_CASE("IPv4 is answered alike whichever of its two encodings asks") {
    Router desk;
    desk.say(2, kB, Announce{"10.0.0.0/8"});
    desk.pass(1s);
    desk.forget();
    desk.say_raw(1, kA, {42, 2, 0, 5, 9, 3, 4, 8, 10});
    CHECK(desk.announced(1, to("10.0.0.0/8"))->metric == 196);
    desk.pass(1s);
    desk.forget();
    desk.say_raw(1, kA, {42, 2, 0, 5, 9, 3, 1, 8, 10});
    CHECK(desk.announced(1, to("10.0.0.0/8"))->metric == 196);
}

TEST_CASE("a wildcard request brings everything, to the asker alone, at most once a second") {  // T05, D9
    Router desk;
    desk.say(2, kB, Announce{"fd00::/64"});
    desk.pass(2s);
    desk.forget();
    for (int i = 0; i < 10; ++i) desk.say(1, kA, {RouteRequest{}});
    CHECK(desk.announced(1, kOwn));
    CHECK(desk.announced(1, kD));
    CHECK(desk.sent.size() == 1);
    CHECK(desk.sent[0].to == kA);
    for (int i = 0; i < 10; ++i) desk.say(1, kA, {RouteRequest{}});
    CHECK(desk.sent.size() == 1);
    desk.forget();
    desk.pass(1s);
    std::size_t dumps = 0;
    for (const Sent& s : desk.sent) dumps += s.to == kA && !s.all<Announcement>().empty();
    CHECK(dumps == 1);
}

TEST_CASE("a seqno request for our own prefix raises the seqno by exactly one, whatever is asked"
) {  // T06, T07, D12
    Router desk;
    desk.ask_seqno(1, kA, kOwn, 11, kUs);
    CHECK(desk.announced(1, kOwn)->seqno == 11);
    desk.pass(1s);
    desk.ask_seqno(1, kA, kOwn, 211, kUs);
    CHECK(desk.announced(1, kOwn)->seqno == 12);
    CHECK(desk.speaker.seqno() == 12);
    desk.pass(1s);
    desk.forget();
    desk.ask_seqno(1, kA, kOwn, 12, kUs);  // no more than it has
    CHECK(desk.announced(1, kOwn)->seqno == 12);
}

TEST_CASE("a seqno request with no hops left or with a bad router-id is ignored") {  // T08
    Router desk;
    desk.ask_seqno(1, kA, kOwn, 11, kUs, 0);
    desk.ask_seqno(1, kA, kOwn, 11, 0);
    desk.ask_seqno(1, kA, kOwn, 11, ~RouterId(0));
    CHECK(desk.sent.empty());
    CHECK(desk.speaker.seqno() == 10);
}

TEST_CASE("a seqno request with another router-id is answered with what there is") {  // T08b
    Router desk;
    desk.ask_seqno(1, kA, kOwn, 500, 0xbb);
    CHECK(desk.announced(1, kOwn)->seqno == 10);
    CHECK(desk.speaker.seqno() == 10);
}

TEST_CASE("a seqno request is forwarded at once, to one neighbour, once, one hop less") {  // T62
    Router desk;
    desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 5});
    desk.say(3, kC, Announce{"fd00::/64", 150, 0xaa, 5});
    desk.pass(2s);
    desk.forget();
    desk.ask_seqno(2, kB, kD, 6, 0xaa, 7);
    REQUIRE(desk.said<SeqnoRequest>().size() == 1);
    const SeqnoRequest onward = desk.said<SeqnoRequest>(1, kA).at(0);
    CHECK(onward.hop_count == 6);
    CHECK(onward.seqno == 6);
    CHECK(onward.router_id == 0xaa);
    desk.ask_seqno(2, kB, kD, 6, 0xaa, 7);
    desk.ask_seqno(3, kC, kD, 6, 0xaa, 7);
    CHECK(desk.said<SeqnoRequest>().size() == 1);
    desk.ask_seqno(2, kB, kD, 7, 0xaa, 1);  // its last hop was to us
    CHECK(desk.said<SeqnoRequest>().size() == 1);
    desk.ask_seqno(2, kB, kD, 7, 0xaa, 7);  // more than before: forwarded though so soon
    CHECK(desk.said<SeqnoRequest>().size() == 2);
}

TEST_CASE("a forwarded request goes not back to the one who asks, but another way") {
    Router desk;
    desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 5});
    desk.say(3, kC, Announce{"fd00::/64", 600, 0xaa, 5});  // unfeasible, but a way
    desk.pass(2s);
    desk.forget();
    desk.ask_seqno(1, kA, kD, 6, 0xaa);
    REQUIRE(desk.said<SeqnoRequest>().size() == 1);
    CHECK(desk.said<SeqnoRequest>(3, kC).size() == 1);
}

TEST_CASE("of several equal ways a request goes to the selected one, whose seqno is what we announce") {
    for (const bool first_by_a : {true, false}) {
        CAPTURE(first_by_a);
        Router desk;
        const auto tell = [&](bool a) { desk.say(a ? 1 : 2, a ? kA : kB, Announce{"fd00::/64"}); };
        tell(first_by_a);
        desk.pass(5s);
        tell(!first_by_a);
        desk.pass(5s);
        desk.forget();
        desk.ask_seqno(3, kC, kD, 2, 0xaa);
        desk.pass(100ms);
        CHECK(desk.said<SeqnoRequest>(first_by_a ? 1 : 2).size() == 1);
        CHECK(desk.said<SeqnoRequest>(first_by_a ? 2 : 1).empty());
    }
}

TEST_CASE("the answer to a forwarded request is passed to the one who asked at once") {
    Router desk;
    desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 5});
    desk.pass(2s);
    desk.ask_seqno(2, kB, kD, 6, 0xaa);
    desk.forget();
    desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 5});
    CHECK(desk.said<Announcement>(2, kB).empty());
    desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 6});
    REQUIRE(desk.said<Announcement>(2, kB).size() == 1);
    CHECK(desk.said<Announcement>(2, kB)[0].seqno == 6);
    desk.forget();
    desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 7});
    CHECK(desk.said<Announcement>(2, kB).empty());
}

TEST_CASE("the answer to a request is passed to everybody who asked, also whose request went no further") {
    for (const Duration later : {500ms, 1500ms}) {  // suppressed; forwarded, too
        Router desk;
        desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 5});
        desk.pass(2s);
        desk.ask_seqno(2, kB, kD, 6, 0xaa);
        desk.pass(later);
        desk.ask_seqno(3, kC, kD, 6, 0xaa);
        desk.forget();
        desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 6});
        REQUIRE(desk.said<Announcement>(2, kB).size() == 1);
        REQUIRE(desk.said<Announcement>(3, kC).size() == 1);
        CHECK(desk.said<Announcement>(3, kC)[0].seqno == 6);
    }
}

TEST_CASE("a neighbour that was away is asked for its route when we have none that is feasible") {
    Router desk;
    desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 5});
    desk.say(2, kB, Announce{"fd00::/64", 300, 0xaa, 5, 60s});  // unfeasible
    desk.pass(2s);
    desk.speaker.suspect(2, kInfinity, desk.now, desk.actions);
    desk.pass(1s);
    desk.retract(1, kA, "fd00::/64");
    desk.pass(20s);
    desk.forget();
    desk.speaker.suspect(2, 0, desk.now, desk.actions);
    desk.pass(100ms);
    REQUIRE(desk.said<SeqnoRequest>(2, kB).size() == 1);
    CHECK(desk.said<SeqnoRequest>(2, kB)[0].seqno == 6);
}

TEST_CASE("who takes back a prefix of its own asks for the unfeasible routes that others have to it") {
    Router desk;
    desk.say(2, kB, Announce{"fd00::/64", 10, 0xbb, 5, 60s});
    desk.pass(2s);
    desk.speaker.announce(kD, 0, desk.now, desk.actions);
    desk.pass(2s);
    desk.say(2, kB, Announce{"fd00::/64", 500, 0xbb, 5, 60s});
    desk.pass(2s);
    desk.forget();
    desk.speaker.withdraw(kD, desk.now, desk.actions);
    desk.pass(100ms);
    REQUIRE(desk.said<SeqnoRequest>(2, kB).size() == 1);
    CHECK(desk.said<SeqnoRequest>(2, kB)[0].router_id == 0xbb);
    CHECK(desk.said<SeqnoRequest>().size() == 1);
}

TEST_CASE("a request for what we have no route to is ignored") {
    Router desk;
    desk.ask_seqno(1, kA, to("fd99::/64"), 1, 0xaa);
    desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 5});
    desk.retract(1, kA, "fd00::/64");
    desk.pass(3s);
    desk.forget();
    desk.ask_seqno(2, kB, kD, 9, 0xaa);
    CHECK(desk.sent.empty());
}

TEST_CASE("starved of routes we ask everybody, again after 2, 4 and 8 seconds, then no more") {
    Router desk;
    desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 5, 60s});
    desk.pass(2s);
    desk.forget();
    desk.retract(1, kA, "fd00::/64");
    for (const InterfaceId on : {1u, 2u, 3u}) {
        REQUIRE(desk.said<SeqnoRequest>(on, multicast_group()).size() == 1);
        CHECK(desk.said<SeqnoRequest>(on)[0] == SeqnoRequest{kD, 6, 64, 0xaa});
    }
    const auto asked = [&] { return desk.said<SeqnoRequest>(2).size(); };
    desk.pass(1900ms);
    CHECK(asked() == 1);
    desk.pass(200ms);
    CHECK(asked() == 2);
    desk.pass(4s);
    CHECK(asked() == 3);
    desk.pass(8s);
    CHECK(asked() == 4);
    desk.pass(60s);
    CHECK(asked() == 4);
}

TEST_CASE("who is starved asks again with every update that is still unfeasible") {  // D6
    Router desk;
    desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 5, 60s});
    desk.pass(2s);
    desk.retract(1, kA, "fd00::/64");
    desk.pass(60s);
    for (int i = 0; i < 3; ++i) {  // it says the same as before, and has heard nobody
        desk.forget();
        desk.say(2, kB, Announce{"fd00::/64", 900, 0xaa, 5, 60s});
        desk.pass(10s);
        CHECK_FALSE(desk.forwarding.reaches(kD, kB));
        CHECK_FALSE(desk.said<SeqnoRequest>(2).empty());
        desk.pass(20s);
    }
    desk.say(2, kB, Announce{"fd00::/64", 900, 0xaa, 6, 60s});
    CHECK(desk.forwarding.reaches(kD, kB));
}

TEST_CASE("asked again for a seqno, a neighbour is asked for the route as well"
) {  // or it may keep it to itself
    Router desk;
    desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 5, 60s});
    desk.pass(2s);
    desk.retract(1, kA, "fd00::/64");
    desk.forget();
    desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 3, 60s});  // restarted, it has forgotten its seqno
    CHECK(desk.said<SeqnoRequest>(1, kA) == std::vector{SeqnoRequest{kD, 6, 64, 0xaa}});
    CHECK(desk.said<RouteRequest>(1, kA).empty());
    desk.pass(2s);
    CHECK(desk.said<SeqnoRequest>(1, kA).size() == 2);
    CHECK(desk.said<RouteRequest>(1, kA) == std::vector{RouteRequest{kD}});
    desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 6, 60s});
    CHECK(desk.forwarding.reaches(kD, kA));
    desk.forget();
    desk.pass(20s);
    CHECK(desk.said<RouteRequest>().empty());
}

TEST_CASE("a seqno somewhat behind is chased answer by answer, one far behind is not") {
    for (const bool far : {false, true}) {
        Router desk;
        desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 1000, 60s});
        desk.pass(2s);
        desk.retract(1, kA, "fd00::/64");
        desk.forget();
        const auto seqno = static_cast<SeqNo>(far ? 500 : 980);
        for (unsigned i = 0; i < 10; ++i)  // as a router says that raises its seqno by one for each request
            desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, static_cast<SeqNo>(seqno + i), 60s});
        CAPTURE(far);
        CHECK(desk.said<SeqnoRequest>(1, kA).size() == (far ? 0 : 10));
        desk.pass(20s);  // asked for at leisure
        CHECK(desk.said<SeqnoRequest>(1, kA).size() == (far ? 3 : 13));
    }
}

TEST_CASE("a request of one router does not displace that of another for the same prefix") {
    Router desk;
    desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 5});
    desk.pass(2s);
    desk.ask_seqno(2, kB, kD, 6, 0xaa);
    desk.say(1, kA, Announce{"fd00::/64", 50, 0xbb, 5});
    desk.pass(2s);
    desk.forget();
    desk.ask_seqno(3, kC, kD, 6, 0xbb);
    desk.say(1, kA, Announce{"fd00::/64", 50, 0xbb, 6});
    CHECK(desk.said<Announcement>(3, kC).size() == 1);
}

TEST_CASE("many requests in a packet are bounded work") {  // section 7
    Router desk;
    for (int round = 0; round < 20; ++round) {
        std::vector<Tlv> tlvs;
        for (unsigned i = 0; i < 100; ++i) tlvs.push_back(AckRequest{static_cast<std::uint16_t>(i), {10}});
        desk.say(1, kA, tlvs);
    }
    CHECK(desk.said<Ack>().size() == 2000);
    CHECK(desk.sent.size() <= 40);
}
