// Starting, stopping, packets refused, what a Speaker promises about time.

#include "babel/constants.hpp"
#include "babel/desk.hpp"

using namespace aronet;
using namespace aronet::babel;

namespace {
const Address kA = ip("fe80::a");
const Address kB = ip("fe80::b");
}  // namespace

TEST_CASE("an interface starts with a Hello, a wildcard retraction and a wildcard request") {
    Desk desk;
    desk.plug(1, Desk::link());
    REQUIRE(desk.sent.size() == 1);
    CHECK(desk.sent[0].to == multicast_group());
    REQUIRE(desk.sent[0].events.size() == 3);
    CHECK(std::get<Hello>(desk.sent[0].events[0]).interval == Interval{400});
    CHECK(std::get<Announcement>(desk.sent[0].events[1]) == Announcement{});
    CHECK(std::get<RouteRequest>(desk.sent[0].events[2]) == RouteRequest{});
}

TEST_CASE("three Hellos leave within the first 200 ms, each promising the true interval") {
    Desk desk;
    desk.plug(1, Desk::link());
    desk.pass(200ms);
    const auto hellos = desk.said<Hello>(1);
    REQUIRE(hellos.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
        CHECK(hellos[i].interval == Interval{400});
        CHECK(hellos[i].seqno == SeqNo(hellos[0].seqno + i));
        CHECK_FALSE(hellos[i].unicast);
    }
    desk.forget();
    desk.pass(40s);
    CHECK(desk.said<Hello>(1).size() >= 10);
    CHECK(desk.said<Hello>(1).size() <= 16);
}

TEST_CASE("no two scheduled Hellos are further apart than the interval they promise") {
    Desk desk;
    desk.plug(1, Desk::link());
    desk.befriend(1, kA);
    desk.pass(200s);
    Instant last = desk.sent.front().at;
    for (const Sent& s : desk.sent) {
        if (s.all<Hello>().empty()) continue;
        CHECK(s.at - last <= 4s);
        last = s.at;
    }
}

TEST_CASE("with the intervals of the original a new neighbour is reachable within a quarter of a second") {
    InterfaceConfig config;  // the defaults: hello 20 s
    config.link_local = ip("fe80::1");
    Desk desk;
    desk.plug(1, config);
    desk.pass(5s);
    desk.forget();
    const Instant start = desk.now;
    desk.say(1, kA, {Hello{.seqno = 5, .interval = {2000}}});
    REQUIRE(desk.said<Ihu>(1).size() == 1);  // at once, and with a Hello before it
    CHECK(desk.sent.back().all<Hello>().size() == 1);
    CHECK(desk.said<Ihu>(1)[0].address == kA);
    CHECK(desk.said<Ihu>(1)[0].rxcost == 32);
    desk.pass(20ms);
    desk.say(1, kA, {Hello{.seqno = 6, .interval = {2000}}, Ihu{.rxcost = 32, .interval = {6000}}});
    CHECK(desk.said<Ihu>(1).back().rxcost == 32);
    CHECK(desk.neighbour(kA)->reachable);
    CHECK(desk.now - start <= 250ms);
}

TEST_CASE("a stop retracts everything, says a last Hello and leaves no route behind") {
    Desk desk;
    desk.plug(1, Desk::link());
    desk.plug(2, Desk::link("fe80::2"));
    desk.befriend(1, kA);
    desk.say(1, kA, Announce{"fd00::/64"});
    desk.say(1, kA, Announce{"fd01::/64"});
    desk.retract(1, kA, "fd01::/64");
    CHECK(desk.forwarding.ways.size() == 2);
    desk.forget();
    desk.speaker.stop(desk.now, desk.actions);
    desk.pass(0s);
    REQUIRE(desk.sent.size() == 4);  // two copies
    for (const Sent& s : desk.sent) {
        CHECK(s.all<Hello>().at(0).interval == Interval{10});
        CHECK(s.all<Announcement>().at(0) == Announcement{});
    }
    CHECK(desk.forwarding.ways.empty());
    CHECK_FALSE(desk.speaker.deadline());
    desk.say(1, kA, Announce{"fd00::/64"});
    desk.speaker.announce(to("fd05::/64"), 0, desk.now, desk.actions);
    desk.speaker.stop(desk.now, desk.actions);
    desk.plug(3, Desk::link("fe80::3"));
    desk.pass(10s);
    CHECK(desk.sent.size() == 4);
    CHECK(desk.forwarding.ways.empty());
}

TEST_CASE("a tick before the deadline does nothing") {
    Desk desk;
    desk.plug(1, Desk::link());
    desk.befriend(1, kA);
    desk.say(1, kA, Announce{"fd00::/64"});
    desk.pass(1s);
    for (int i = 0; i < 200; ++i) {
        const auto due = desk.speaker.deadline();
        REQUIRE(due);
        Actions out;
        desk.speaker.tick(due->at - 1ns, out);
        CHECK(out.empty());
        CHECK(desk.speaker.deadline()->at == due->at);
        desk.pass(due->at - desk.now);
    }
}

TEST_CASE("row 53: a packet from another port, another scope or to another address is refused") {  // T39, T40
    Desk desk;
    desk.plug(1, Desk::link());
    desk.befriend(1, kA);
    PacketWriter writer(1000);
    writer.add(Announce{"fd00::/64"}(), Encoding::v4);
    const base::Bytes bytes = writer.finish();
    Packet good{.bytes = bytes, .from = kA, .to = multicast_group(), .in = 1, .received_at = desk.now};
    Packet p = good;
    p.from_port = 40000;
    desk.deliver(p);
    CHECK(desk.dropped("wrong source port") == 1);
    p = good;
    p.from = ip("2001:db8::1");
    desk.deliver(p);
    p.from = ip("192.0.2.1");
    desk.deliver(p);
    p.from = ip("169.254.0.1");
    desk.deliver(p);
    CHECK(desk.dropped("source is not link-local") == 3);
    p = good;
    p.to = ip("fe80::77");
    desk.deliver(p);
    CHECK(desk.dropped("not sent to us") == 1);
    p = good;
    p.in = 9;
    desk.deliver(p);
    CHECK(desk.dropped("no such interface") == 1);
    CHECK(desk.speaker.routes().empty());
    CHECK(desk.notes.size() == 4);  // one line per reason and minute
    desk.deliver(good);
    CHECK(desk.speaker.routes().size() == 1);
    p = good;
    p.to = ip("fe80::1");  // our own address
    desk.deliver(p);
    CHECK(desk.speaker.routes().size() == 1);
}

TEST_CASE("our own multicast heard again makes no neighbour") {
    Desk desk;
    desk.plug(1, Desk::link());
    desk.say(1, ip("fe80::1"), {Hello{.seqno = 1, .interval = {400}}});
    CHECK(desk.speaker.neighbours().empty());
}

TEST_CASE("an Ack Request is answered at once, to the asker alone") {  // T02
    Desk desk;
    desk.plug(1, Desk::link());
    desk.befriend(1, kA);
    desk.forget();
    desk.say(1, kA, {AckRequest{0x1234, {20}}, AckRequest{0x1234, {20}}, AckRequest{0x1235, {20}}});
    REQUIRE(desk.sent.size() == 1);
    CHECK(desk.sent[0].to == kA);
    CHECK(desk.said<Ack>() == std::vector<Ack>{{0x1234}, {0x1235}});
}

TEST_CASE("an interface that goes takes its neighbours and routes with it, whatever is pending"
) {  // D29, D30
    Desk desk;
    desk.plug(1, Desk::link());
    desk.plug(2, Desk::link("fe80::2"));
    desk.befriend(1, kA);
    desk.befriend(2, kB);
    desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 1});
    desk.pass(2s);
    desk.say(
        2, kB, {SeqnoRequest{to("fd00::/64"), 2, 64, 0xaa}}
    );  // forwarded to kA, kB waits for the answer
    desk.forget();
    desk.unplug(2);
    desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 2});
    desk.unplug(1);
    CHECK(desk.speaker.neighbours().empty());
    CHECK(desk.speaker.routes().empty());
    CHECK(desk.forwarding.unreachable(to("fd00::/64")));
    desk.plug(1, Desk::link());
    desk.befriend(1, kA);
    desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 3});
    CHECK(desk.forwarding.reaches(to("fd00::/64"), kA));
    desk.pass(100s);
}

TEST_CASE("equal inputs give equal actions") {
    const auto run = [] {
        Desk desk;
        desk.plug(1, Desk::link());
        desk.plug(2, Desk::link("fe80::2", LinkType::tunnel));
        desk.befriend(1, kA);
        desk.befriend(2, kB);
        desk.say(1, kA, Announce{"fd00::/64"});
        desk.say(2, kB, Announce{"fd00::/64", 50});
        desk.pass(100s);
        std::vector<std::pair<Instant, std::size_t>> trace;
        for (const Sent& s : desk.sent) trace.emplace_back(s.at, s.events.size());
        return trace;
    };
    CHECK(run() == run());
}

TEST_CASE("whatever changes about an interface, it goes on, with its neighbours and their routes") {  // D31
    Desk desk;
    desk.plug(1, Desk::link());
    desk.befriend(1, kA);
    desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 1, 600s});
    desk.pass(10s);
    desk.speaker.change_interface(1, 1280, ip("192.0.2.1"), desk.now, desk.actions);
    desk.speaker.accept_only(given({"fd00::/8"}), desk.now, desk.actions);
    desk.speaker.suspect(1, 50, desk.now, desk.actions);
    MacConfig permissive;
    permissive.permissive = true;
    desk.speaker.set_mac(1, permissive, desk.now, desk.actions);
    desk.plug(2, Desk::link("fe80::2"));
    desk.unplug(2);
    desk.forget();
    desk.pass(60s);
    CHECK(desk.said<Hello>(1).size() >= 15);
    CHECK(desk.neighbour(kA)->reachable);
    CHECK(desk.forwarding.reaches(to("fd00::/64"), kA));
}
