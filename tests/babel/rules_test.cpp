// Rules of the RFCs that the other files do not show on their way.

#include "babel/desk.hpp"
#include "babel/mesh.hpp"
#include "babel/router.hpp"

using namespace aronet;
using namespace aronet::babel;

namespace {

Address numbered_address(unsigned i) {
    return Address::v6(
        {0xfe,
         0x80,
         0,
         0,
         0,
         0,
         0,
         0,
         0,
         0,
         0,
         0,
         0,
         7,
         static_cast<base::Byte>(i >> 8),
         static_cast<base::Byte>(i)}
    );
}

}  // namespace

TEST_CASE("our seqno grows only when it is asked for, or when an own metric does") {
    Router desk;
    desk.speaker.announce(to("fd05::/64"), 10, desk.now, desk.actions);
    desk.speaker.announce(to("fd06::/64"), 10, desk.now, desk.actions);
    desk.say(1, kA, Announce{"fd00::/64"});
    desk.pass(300s);
    desk.speaker.withdraw(to("fd06::/64"), desk.now, desk.actions);
    desk.speaker.announce(to("fd05::/64"), 5, desk.now, desk.actions);
    desk.pass(10s);
    CHECK(desk.speaker.seqno() == 10);
    desk.speaker.announce(to("fd05::/64"), 6, desk.now, desk.actions);
    CHECK(desk.speaker.seqno() == 11);
}

TEST_CASE("on a wired link every third Hello brings an IHU, where Hellos are missed every one") {
    Router desk;
    desk.pass(60s);
    desk.forget();
    desk.pass(48s);
    const auto ihus = [&] { return desk.said<Ihu>(1).size(); };
    CHECK(desk.said<Hello>(1).size() >= 12);
    CHECK(ihus() >= 3);
    CHECK(ihus() <= 6);
    desk.silence(kA);
    for (SeqNo i = 0; i < 12; ++i) {
        if (i % 2 == 0) desk.forget();
        desk.say(1, kA, {Hello{.seqno = static_cast<SeqNo>(100 + 2 * i), .interval = {800}}});
        desk.pass(8s);
    }
    CHECK(ihus() >= desk.said<Hello>(1).size());
}

TEST_CASE("a newer seqno is no reason to prefer a route") {
    Router desk;
    desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 5, 60s});
    desk.say(2, kB, Announce{"fd00::/64", 120, 0xaa, 9, 60s});
    CHECK(desk.forwarding.reaches(kD, kA));
    desk.pass(20s);
    CHECK(desk.forwarding.reaches(kD, kA));
}

TEST_CASE(
    "neither a new seqno nor another next hop of nearly the same metric is told to those it does not concern"
) {
    Router desk;
    desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 5, 600s});
    desk.say(2, kB, Announce{"fd00::/64", 101, 0xaa, 5, 600s});
    desk.pass(2s);
    desk.forget();
    desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 6, 600s});
    CHECK(desk.sent.empty());
    desk.say(2, kB, Announce{"fd00::/64", 90, 0xaa, 6, 600s});
    desk.retract(1, kA, "fd00::/64");
    CHECK(desk.forwarding.reaches(kD, kB));
    CHECK(desk.announced(1, kD)->metric == 186);
    CHECK(desk.announced(2, kD)->metric == kInfinity);
    CHECK_FALSE(desk.announced(3, kD));
}

TEST_CASE("no packet has more than one Hello") {
    Router desk(LinkType::tunnel);
    for (unsigned i = 0; i < 50; ++i) desk.say(1, kA, {Hello{.seqno = SeqNo(i * 100), .interval = {400}}});
    desk.pass(20s);
    for (const Sent& s : desk.sent) CHECK(s.all<Hello>().size() <= 1);
}

TEST_CASE(
    "intervals of our own choice grow with the number of neighbours, and are promised before they are used"
) {
    Desk desk({.router_id = kUs, .neighbours_per_interface_max = 3000});
    InterfaceConfig c = Desk::link();
    c.hello_interval.reset();
    c.update_interval.reset();
    desk.plug(1, c);
    desk.befriend(1, kA);
    desk.speaker.announce(kD, 0, desk.now, desk.actions);
    desk.pass(200s);
    CHECK(desk.said<Hello>(1).back().interval == Interval{2000});
    CHECK(desk.announced(1, kD)->interval == Interval{16000});
    for (unsigned i = 0; i < 2000; ++i)
        desk.say(1, numbered_address(i), {Hello{.seqno = 1, .interval = {60000}}});
    desk.forget();
    Instant last = desk.now;
    Duration promised = 20s;
    for (int i = 0; i < 600; ++i) {
        desk.pass(1s);
        for (const Sent& s : desk.sent) {
            if (s.all<Hello>().empty()) continue;
            CHECK(s.at - last <= promised);
            last = s.at;
            promised = s.all<Hello>()[0].interval.duration();
        }
        if (i < 599) desk.forget();
    }
    CHECK(promised > 39s);
    CHECK(promised <= 60s);
}

TEST_CASE("a wildcard retraction or request with a source prefix is ignored") {
    Router desk;
    desk.say(1, kA, Announce{"fd00::/64"});
    desk.pass(2s);
    desk.forget();
    desk.say_raw(1, kA, {42, 2, 0, 15, 8, 13, 0, 0, 0, 0, 1, 0x90, 0, 0, 0xff, 0xff, 128, 1, 8});
    desk.say_raw(1, kA, {42, 2, 0, 8, 9, 6, 0, 0, 128, 2, 8, 0xfd});
    CHECK(desk.forwarding.reaches(kD, kA));
    CHECK(desk.sent.empty());
}

TEST_CASE("a wildcard request brings source-specific routes as well") {
    Router desk;
    Announcement specific = Announce{"::/0"}();
    specific.about->source = net("2001:db8::/48");
    desk.announce(1, kA, {specific});
    desk.pass(2s);
    desk.forget();
    desk.say(2, kB, {RouteRequest{}});
    CHECK(desk.announced(2, *specific.about)->metric == 196);
}

TEST_CASE("IPv4 is asked for in its ordinary encoding") {
    for (const Tlv& tlv :
         {Tlv(RouteRequest{to("10.0.0.0/8")}), Tlv(SeqnoRequest{to("10.0.0.0/8"), 1, 64, 0xaa})}) {
        base::Bytes bytes;
        base::Writer out(bytes, 100);
        encode(tlv, out);
        CHECK(bytes.at(2) == 1);
    }
}

TEST_CASE("a node starved of feasible routes is cured within 300 ms") {
    Mesh mesh(3);
    mesh.config.type = LinkType::wired;
    line(mesh, 3);
    mesh.connect(0, 2, 2000);  // of no use to 1: dearer than what 1 itself announced
    mesh.run(10s);
    REQUIRE(mesh.whole());
    mesh.cut(0, 1);
    CHECK_FALSE(mesh.reaches(1, 0));
    CHECK(mesh.run_until_whole(10s) <= 300ms);
}
