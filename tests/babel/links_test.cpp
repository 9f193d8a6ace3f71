// Hellos, IHUs, costs and round trip times.

#include "babel/constants.hpp"
#include "babel/desk.hpp"

using namespace aronet;
using namespace aronet::babel;

namespace {
const Address kA = ip("fe80::a");
const Address kUsLocal = ip("fe80::1");

Hello hello(SeqNo seqno, unsigned centiseconds = 400, bool unicast = false) {
    return {.unicast = unicast, .seqno = seqno, .interval = {static_cast<std::uint16_t>(centiseconds)}};
}
Ihu ihu(std::uint16_t rxcost = 96, unsigned centiseconds = 1200) {
    return {.address = kUsLocal, .rxcost = rxcost, .interval = {static_cast<std::uint16_t>(centiseconds)}};
}
struct Wired : Desk {
    Wired() { plug(1, link()); }
    bool reachable() const { return neighbour(kA) && neighbour(kA)->reachable; }
};
}  // namespace

TEST_CASE("a Hello and an IHU make a neighbour reachable, neither alone does") {
    Wired desk;
    desk.say(1, kA, {hello(1)});
    CHECK_FALSE(desk.reachable());
    desk.say(1, kA, {ihu()});
    CHECK(desk.reachable());
    CHECK(desk.neighbour(kA)->cost == 96);
    desk.say(1, ip("fe80::b"), {ihu()});
    CHECK_FALSE(desk.neighbour(ip("fe80::b"))->reachable);
}

TEST_CASE("when the second Hello is missed, one of two is not enough") {
    Wired desk;
    desk.say(1, kA, {hello(1), ihu()});
    desk.pass(7s);
    CHECK_FALSE(desk.reachable());
    desk.say(1, kA, {hello(3), ihu()});
    CHECK(desk.reachable());
}

TEST_CASE("updates before the first Hello are kept until it comes, but not for ever") {
    Wired desk;
    desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 1, 600s});
    CHECK_FALSE(desk.reachable());
    CHECK(desk.forwarding.changes == 0);
    desk.pass(20ms);
    desk.say(1, kA, {ihu()});
    REQUIRE(desk.said<Ihu>(1).size() == 1);
    CHECK(desk.said<Ihu>(1)[0].rxcost == kInfinity);
    desk.say(1, kA, {hello(1)});
    CHECK(desk.forwarding.reaches(to("fd00::/64"), kA));

    desk.say(1, ip("fe80::b"), Announce{"fd01::/64", 100, 0xaa, 1, 600s});
    desk.pass(61s);
    CHECK_FALSE(desk.neighbour(ip("fe80::b")));
    CHECK_FALSE(desk.route(to("fd01::/64"), ip("fe80::b")));
}

TEST_CASE("an unscheduled Hello does not shorten the promise before it") {  // T09, D1
    Wired desk;
    desk.say(1, kA, {hello(1), ihu()});
    desk.say(1, kA, {hello(2)});
    desk.say(1, kA, {hello(3, 0)});
    desk.pass(5s);
    CHECK(desk.reachable());
    CHECK(desk.neighbour(kA)->hello_history == 0xe000);
}

TEST_CASE("a neighbour that never promises a Hello is forgotten after a while") {
    Wired desk;
    desk.say(1, kA, {hello(1, 0)});
    desk.say(1, kA, {hello(2, 0)});
    desk.pass(50s);
    CHECK(desk.neighbour(kA));
    desk.pass(20 * 60s);
    CHECK_FALSE(desk.neighbour(kA));
}

TEST_CASE("a neighbour that sends unicast Hellos only comes up and stays up") {  // T10, T10b
    Wired desk;
    SeqNo seqno = 40;
    for (int i = 0; i < 30; ++i) {
        desk.say(1, kA, {hello(seqno++, 100, true), ihu()});
        if (i > 0) CHECK(desk.reachable());
        desk.pass(1s);
    }
    desk.pass(10s);
    CHECK_FALSE(desk.reachable());
}

TEST_CASE("multicast and unicast Hellos are counted apart, and either kind is enough") {
    Wired desk;
    desk.say(1, kA, {hello(1), ihu()});
    desk.say(1, kA, {hello(4)});
    CHECK_FALSE(desk.reachable());
    desk.say(1, kA, {hello(2000, 400, true)});
    CHECK(desk.reachable());
    CHECK(desk.neighbour(kA)->hello_history == 0x9000);
}

TEST_CASE("an IHU without an address counts, one for somebody else does not") {  // T14, T15
    Wired desk;
    desk.say(1, kA, {hello(1)});
    Ihu other = ihu();
    other.address = ip("fe80::77");
    desk.say(1, kA, {hello(2), other});
    CHECK_FALSE(desk.reachable());
    Ihu any = ihu();
    any.address.reset();
    desk.say(1, kA, {any});
    CHECK(desk.reachable());
}

TEST_CASE(
    "a neighbour whose Hello numbers jump is reachable again within three Hellos, without its old routes"
) {
    Wired desk;  // T16
    desk.befriend(1, kA);
    desk.say(1, kA, Announce{"fd00::/64"});
    CHECK(desk.forwarding.reaches(to("fd00::/64"), kA));
    desk.silence(kA);
    desk.pass(1s);
    desk.forget();
    desk.say(1, kA, {hello(1009)});
    CHECK_FALSE(desk.reachable());
    CHECK(desk.forwarding.unreachable(to("fd00::/64")));
    CHECK(desk.said<Ihu>(1).size() == 1);
    desk.say(1, kA, {hello(1010), ihu()});
    CHECK(desk.reachable());
    desk.say(1, kA, Announce{"fd00::/64"});
    CHECK(desk.forwarding.reaches(to("fd00::/64"), kA));
}

TEST_CASE("one Hello lost does not take the link down, two of three do") {  // T17
    Wired desk;
    SeqNo seqno = 65530;  // and the numbers wrap
    for (int i = 0; i < 6; ++i) {
        desk.say(1, kA, {hello(seqno++), ihu()});
        desk.pass(4s);
    }
    ++seqno;
    desk.pass(4s);
    CHECK(desk.reachable());
    desk.say(1, kA, {hello(seqno++), ihu()});
    CHECK(desk.reachable());
    CHECK((desk.neighbour(kA)->hello_history & 0xf000) == 0xb000);
    desk.pass(6s);
    CHECK_FALSE(desk.reachable());  // the newest three: missed, heard, missed
}

TEST_CASE("a silent neighbour is lost after six seconds of one missed Hello and four of the next") {
    Wired desk;
    desk.befriend(1, kA);
    desk.pass(40s);
    desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 1, 600s});
    desk.silence(kA);
    desk.pass(5s);
    CHECK(desk.reachable());
    desk.pass(5s);
    CHECK_FALSE(desk.reachable());
    CHECK(desk.forwarding.unreachable(to("fd00::/64")));
    desk.pass(14 * 4s);
    CHECK_FALSE(desk.neighbour(kA));  // its history is empty
    CHECK(desk.speaker.routes().empty());
}

TEST_CASE("a Hello that promises the next one soon is taken at its word"
) {  // the last words of a neighbour that stops
    Wired desk;
    desk.befriend(1, kA);
    desk.silence(kA);
    desk.say(1, kA, {hello(9, 10)});
    desk.pass(300ms);
    CHECK_FALSE(desk.reachable());
    desk.pass(2s);
    CHECK_FALSE(desk.neighbour(kA));
}

TEST_CASE("the shortest interval there is costs no more than the history has bits") {
    Wired desk;
    desk.say(1, kA, {hello(1, 1), ihu()});
    std::size_t ticks = 0;
    while (desk.neighbour(kA) && ticks < 1000) {
        desk.pass(desk.speaker.deadline()->at - desk.now);
        ++ticks;
    }
    CHECK(ticks < 40);
}

TEST_CASE("an Rxcost of zero gives no free link") {  // T18
    Wired desk;
    desk.plug(2, Desk::link("fe80::2"));
    desk.befriend(2, ip("fe80::b"));
    desk.befriend(1, kA, 0);
    CHECK(desk.neighbour(kA)->cost == 1);
    desk.say(1, kA, Announce{"fd00::/64", 100});
    desk.pass(1s);
    CHECK(desk.announced(2, to("fd00::/64"))->metric == 101);
}

TEST_CASE("an Rxcost of infinity, or no IHU for three and a half intervals, makes the link unusable") {
    Wired desk;
    for (SeqNo i = 0; i < 20; ++i) {
        if (i == 0)
            desk.say(1, kA, {ihu(), hello(i), ihu(96, 400)});
        else
            desk.say(1, kA, {hello(i)});
        if (i == 1 || i == 3) CHECK(desk.reachable());
        if (i == 4) CHECK_FALSE(desk.reachable());
        desk.pass(4s);
    }
    desk.say(1, kA, {ihu()});
    CHECK(desk.reachable());
    desk.say(1, kA, {ihu(kInfinity)});
    CHECK_FALSE(desk.reachable());
}

TEST_CASE("an IHU or Ack Request with an interval of zero is ignored") {
    Wired desk;
    desk.befriend(1, kA);
    desk.forget();
    desk.say(1, kA, {ihu(kInfinity, 0), AckRequest{1, {0}}});
    CHECK(desk.reachable());
    CHECK(desk.said<Ack>().empty());
    CHECK(desk.dropped("interval of zero") == 2);
}

TEST_CASE("reserved flags of a Hello do not matter") {  // T13
    Wired desk;
    desk.say(1, kA, {hello(1), ihu()});
    desk.say_raw(1, kA, {42, 2, 0, 8, 4, 6, 0x7f, 0xff, 0, 2, 1, 0x90});
    CHECK(desk.reachable());
}

TEST_CASE("a change of the Hello numbers backwards is forgiven up to sixteen") {
    Wired desk;
    for (SeqNo i = 100; i < 116; ++i) desk.say(1, kA, {hello(i), ihu()});
    desk.say(1, kA, {hello(110)});
    CHECK(desk.reachable());
    CHECK(desk.neighbour(kA)->hello_history == 0xffe0);
    desk.say(1, kA, {hello(90)});
    CHECK_FALSE(desk.reachable());
    CHECK(desk.neighbour(kA)->hello_history == 0x8000);
}

TEST_CASE("neighbours beyond the limit are refused, but an unreachable one makes room") {  // T92
    Desk desk({.router_id = kUs, .neighbours_per_interface_max = 3});
    desk.plug(1, Desk::link());
    desk.befriend(1, kA);
    for (unsigned i = 0; i < 5000; ++i) {
        std::array<base::Byte, 16> octets{0xfe, 0x80};
        octets[10] = 1, octets[14] = static_cast<base::Byte>(i >> 8), octets[15] = static_cast<base::Byte>(i);
        desk.say(1, Address::v6(octets), {hello(static_cast<SeqNo>(i))});
    }
    CHECK(desk.speaker.neighbours().size() == 3);
    CHECK(desk.neighbour(kA)->reachable);
    desk.befriend(1, ip("fe80::b"));
    CHECK(desk.neighbour(ip("fe80::b"))->reachable);
    CHECK(desk.dropped("too many neighbours") > 4000);
    CHECK(desk.notes.size() < 10);
}

TEST_CASE("two hundred and fifty-six routers of a LAN are all neighbours and next hops, one more is none") {
    Desk desk;
    desk.plug(1, Desk::link());
    const auto router = [](unsigned i) { return kA.plus(1000 + i); };
    const auto prefix = [](unsigned i) { return "fd00:0:0:" + std::to_string(i) + "::/64"; };
    for (unsigned i = 0; i < 257; ++i) {
        desk.befriend(1, router(i));
        desk.say(1, router(i), Announce{prefix(i).c_str()});
    }
    desk.pass(10s);
    for (unsigned i = 0; i < 256; ++i) CHECK(desk.forwarding.reaches(to(prefix(i).c_str()), router(i)));
    CHECK(desk.speaker.neighbours().size() == 256);
    CHECK_FALSE(desk.neighbour(router(256)));
    CHECK(desk.dropped("too many neighbours") > 0);
}

TEST_CASE("what a neighbour said shortly before its restart was noticed is asked for again") {
    Wired desk;
    desk.befriend(1, kA);
    desk.pass(10s);
    desk.say(1, kA, Announce{"fd00::/64"});
    desk.silence(kA);
    desk.forget();
    desk.say(1, kA, {hello(5000)});
    CHECK_FALSE(desk.forwarding.reaches(to("fd00::/64"), kA));
    desk.say(1, kA, {ihu()});
    desk.pass(20ms);
    CHECK(desk.said<RouteRequest>(1, kA) == std::vector{RouteRequest{}});
}

TEST_CASE("unicast Hellos with time stamps make a neighbour, and a round trip time"
) {  // babeld 1.9.1 fell over it
    Desk desk;
    desk.plug(1, Desk::link("fe80::1", LinkType::tunnel));
    const auto say = [&](std::uint16_t seqno, std::optional<Ihu::Echo> echo) {
        const auto stamp = static_cast<std::uint32_t>(5'000'000 + seqno * 1'000'000u);
        Ihu answer = ihu();
        answer.echo = echo;
        desk.say(
            1, kA, {Hello{.unicast = true, .seqno = seqno, .interval = {400}, .timestamp = stamp}, answer}
        );
        return stamp;
    };
    std::uint32_t stamp = say(1, std::nullopt);
    for (std::uint16_t seqno = 2; seqno < 6; ++seqno) {
        desk.forget();
        desk.pass(4s);
        const auto hellos = desk.said<Hello>(1);
        const auto ihus = desk.said<Ihu>(1);
        REQUIRE_FALSE(hellos.empty());
        REQUIRE_FALSE(ihus.empty());
        REQUIRE(ihus.back().echo);
        CHECK(ihus.back().echo->origin == stamp);
        desk.pass(30ms);
        stamp = say(seqno, Ihu::Echo{*hellos.back().timestamp, 7});
    }
    CHECK(desk.neighbour(kA)->reachable);
    CHECK(desk.neighbour(kA)->rtt);
}

TEST_CASE("Hellos several times a second are as punctual, and as soon missed") {  // D35
    Desk desk;
    InterfaceConfig config = Desk::link();
    config.hello_interval = 200ms;
    desk.plug(1, config);
    desk.befriend(1, kA);
    desk.pass(5s);
    desk.forget();
    desk.pass(20s);
    CHECK(desk.said<Hello>(1).size() >= 100);
    Instant last = desk.sent.front().at;
    for (const Sent& s : desk.sent) {
        if (s.all<Hello>().empty()) continue;
        CHECK(s.at - last <= 200ms);
        last = s.at;
    }
    for (SeqNo i = 0; i < 20; ++i, desk.pass(30ms)) desk.say(1, ip("fe80::b"), {hello(i, 3), ihu()});
    CHECK(desk.neighbour(ip("fe80::b"))->reachable);
    desk.pass(60ms);
    CHECK_FALSE(desk.neighbour(ip("fe80::b"))->reachable);
}

TEST_CASE("a lossy link costs what it loses") {  // ETX
    for (const std::uint16_t perfect : std::vector<std::uint16_t>{256, 512, 64}) {
        CAPTURE(perfect);
        Desk desk;
        InterfaceConfig lossy = Desk::link("fe80::1", LinkType::lossy);
        lossy.rxcost = perfect;
        desk.plug(1, lossy);
        SeqNo seqno = 0;
        for (int i = 0; i < 16; ++i) {
            desk.say(1, kA, {hello(seqno), ihu(perfect)});
            seqno = static_cast<SeqNo>(seqno + 2);  // every other Hello is lost
        }
        CHECK(desk.neighbour(kA)->rxcost == perfect * 2);
        CHECK(desk.neighbour(kA)->cost == perfect * 2u);
        desk.say(1, kA, {ihu(static_cast<std::uint16_t>(perfect * 4))});  // and three of four of ours
        CHECK(desk.neighbour(kA)->cost == perfect * 8u);
    }
}

TEST_CASE("a suspected link costs more until the suspicion is withdrawn") {
    Wired desk;
    desk.befriend(1, kA);
    desk.speaker.suspect(1, 500, desk.now, desk.actions);
    CHECK(desk.neighbour(kA)->cost == 596);
    desk.speaker.suspect(1, kInfinity, desk.now, desk.actions);
    CHECK_FALSE(desk.reachable());
    desk.speaker.suspect(1, 0, desk.now, desk.actions);
    CHECK(desk.neighbour(kA)->cost == 96);
}
