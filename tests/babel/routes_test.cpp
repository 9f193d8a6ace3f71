// Updates in, what is installed, what is announced for it.

#include "babel/router.hpp"

using namespace aronet;
using namespace aronet::babel;

TEST_CASE("an update installs a route by the sender's link-local address") {  // T01
    Router desk;
    desk.say(1, kA, Announce{"fd00::/64", 100});
    CHECK(desk.forwarding.reaches(kD, kA));
    CHECK(desk.forwarding.ways.at(kD).on == 1);
    CHECK(desk.route(kD, kA)->metric == 196);
    CHECK(desk.route(kD, kA)->selected);
}

TEST_CASE("nothing is installed, not even unreachable, while the neighbour is not reachable") {  // D23
    Desk desk;
    desk.plug(1, Desk::link());
    desk.say(1, kA, {Hello{.seqno = 1, .interval = {400}}});
    desk.say(1, kA, Announce{"fd00::/64"});
    CHECK(desk.speaker.routes().size() == 1);
    CHECK(desk.forwarding.changes == 0);
    desk.say(1, kA, {Hello{.seqno = 2, .interval = {400}}, Ihu{.rxcost = 96, .interval = {1200}}});
    CHECK(desk.forwarding.reaches(kD, kA));
    CHECK(desk.forwarding.changes == 1);
}

TEST_CASE("a metric never wraps: 65500 and a cost is infinite") {  // T31
    Router desk;
    desk.say(1, kA, Announce{"fd00::/64", 65500});
    CHECK(desk.forwarding.absent(kD));
    CHECK_FALSE(desk.announced(2, kD));
}

TEST_CASE("a retraction is passed on at once, and the prefix held unreachable until all know") {
    Router desk;  // T32, T33, T63
    desk.say(1, kA, Announce{"fd00::/64", 100});
    desk.pass(2s);
    desk.forget();
    const Instant start = desk.now;
    desk.retract(1, kA, "fd00::/64");
    CHECK(desk.forwarding.unreachable(kD));
    REQUIRE(desk.announced(2, kD));
    CHECK(desk.announced(2, kD)->metric == kInfinity);
    CHECK(desk.sent.front().at == start);
    desk.pass(200ms);
    CHECK(desk.forwarding.unreachable(kD));
    desk.pass(100ms);
    CHECK(desk.forwarding.absent(kD));
    CHECK(desk.retractions(2, kD) == 1);  // acknowledged
    CHECK(desk.retractions(3, kD) == 1);
    desk.pass(200s);
    CHECK(desk.speaker.routes().empty());
}

TEST_CASE("a default route is never made unreachable") {
    Router desk;
    for (const char* any : {"::/0", "0.0.0.0/0"}) {
        desk.say(1, kA, Announce{any, 100});
        CHECK(desk.forwarding.reaches(to(any), kA));
        desk.retract(1, kA, any);
        CHECK(desk.forwarding.absent(to(any)));
    }
}

TEST_CASE("the hold ends as soon as a route is selected again") {
    Router desk;
    desk.say(1, kA, Announce{"fd00::/64", 100});
    desk.retract(1, kA, "fd00::/64");
    CHECK(desk.forwarding.unreachable(kD));
    desk.say(2, kB, Announce{"fd00::/64", 10, 0xaa, 2});
    CHECK(desk.forwarding.reaches(kD, kB));
    desk.pass(10s);
    CHECK(desk.forwarding.reaches(kD, kB));
}

TEST_CASE("a wildcard retraction drops the routes of that neighbour and no others") {  // T34
    Router desk;
    desk.say(1, kA, Announce{"fd00::/64"});
    desk.say(1, kA, Announce{"10.0.0.0/8"});
    desk.say(2, kB, Announce{"fd01::/64"});
    desk.say(1, kA, {Update{.interval = {400}}});
    CHECK(desk.forwarding.unreachable(kD));
    CHECK(desk.forwarding.unreachable(to("10.0.0.0/8")));
    CHECK(desk.forwarding.reaches(to("fd01::/64"), kB));
}

TEST_CASE("a wildcard update with a metric or a length is ignored") {  // T35, D15
    Router desk;
    desk.say(1, kA, Announce{"fd00::/64"});
    desk.say(1, kA, {Update{.interval = {400}, .metric = 5}});
    desk.say(1, kA, {Update{.length = 8, .interval = {400}}});
    CHECK(desk.forwarding.reaches(kD, kA));
    CHECK(desk.dropped("wildcard update that is no retraction") == 2);
}

TEST_CASE("a changed next hop reaches the forwarding table as one replacement") {  // T36
    Router desk;
    desk.say(1, kA, Announce{"fd00::/64", 100});
    const std::size_t changes = desk.forwarding.changes;
    PacketWriter writer(1000);
    writer.add(Tlv(NextHop{ip("fe80::a:a")}));
    writer.add(Announce{"fd00::/64", 100}(), Encoding::v4);
    desk.say_raw(1, kA, writer.finish());
    CHECK(desk.forwarding.reaches(kD, ip("fe80::a:a")));
    CHECK(desk.forwarding.changes == changes + 1);
}

TEST_CASE("an update that changes nothing changes nothing in the forwarding table") {
    Router desk;
    desk.say(1, kA, Announce{"fd00::/64", 100});
    for (SeqNo i = 2; i < 10; ++i) {
        desk.say(1, kA, Announce{"fd00::/64", static_cast<Metric>(100 + i), 0xaa, i});
        desk.pass(2s);
    }
    CHECK(desk.forwarding.changes == 1);
}

TEST_CASE("our own router-id in an update is no route, and ends one the neighbour had") {  // T41, D8
    Router desk;
    desk.say(1, kA, Announce{"fd00::/64", 100, kUs});
    CHECK(desk.forwarding.absent(kD));
    desk.say(1, kA, Announce{"fd00::/64", 100});
    CHECK(desk.forwarding.reaches(kD, kA));
    desk.say(1, kA, Announce{"fd00::/64", 100, kUs});
    CHECK(desk.forwarding.unreachable(kD));
}

TEST_CASE("a source-specific route of IPv4 is refused, since nobody could carry it") {
    Router desk;
    Announcement update = Announce{"10.0.0.0/8"}();
    desk.announce(1, kA, {update});
    update.about->source = *Prefix::parse("10.1.0.0/16");
    desk.announce(1, kA, {update});
    CHECK(desk.speaker.routes().size() == 1);
    CHECK(desk.dropped("source-specific update for IPv4") == 1);
}

TEST_CASE("martians are refused") {  // T42, D19
    Router desk;
    for (const char* text :
         {"fe80::/64",
          "fe80::1/128",
          "ff00::/8",
          "ff02::1/128",
          "127.0.0.1/32",
          "127.0.0.0/8",
          "0.0.0.0/32",
          "224.0.0.0/8",
          "255.255.255.255/32",
          "::1/128",
          "::/128"}) {
        desk.say(1, kA, Announce{text});
    }
    CHECK(desk.speaker.routes().empty());
    CHECK(desk.dropped("update for an unroutable prefix") == 11);
    desk.say(1, kA, Announce{"::/0"});
    desk.say(1, kA, Announce{"0.0.0.0/0"});
    CHECK(desk.speaker.routes().size() == 2);
}

TEST_CASE("only prefixes within those allowed are learned, and a narrower choice drops the others at once") {
    Router desk;
    desk.speaker.accept_only(given({"fd00::/48", "10.0.0.0/8"}), desk.now, desk.actions);
    for (const char* text :
         {"fd00::/64", "fd00::/48", "fd00::/32", "fd01::/64", "10.1.0.0/16", "11.0.0.0/8", "::/0"}) {
        desk.say(1, kA, Announce{text});
    }
    CHECK(desk.speaker.routes().size() == 3);
    CHECK(desk.dropped("update for a prefix that is not allowed") == 4);
    CHECK(desk.notes.size() == 1);
    desk.pass(1s);
    desk.speaker.accept_only(given({"10.1.0.0/16"}), desk.now, desk.actions);
    desk.pass(0s);
    CHECK(desk.forwarding.ways.size() == 1);
    CHECK(desk.announced(2, kD)->metric == kInfinity);
    desk.forget();
    desk.speaker.accept_only(std::nullopt, desk.now, desk.actions);  // and asks for what it refused
    desk.pass(0s);
    CHECK(desk.said<RouteRequest>(1, kA).size() == 1);
    desk.say(1, kA, Announce{"::/0"});
    CHECK(desk.speaker.routes().size() == 2);
}

TEST_CASE("the seven hundred updates of full packets are all taken") {  // T43
    Router desk;
    std::vector<Announcement> many;
    for (unsigned i = 0; i < 700; ++i) {
        Announcement a = Announce{"fd00::/64"}();
        std::array<base::Byte, 16> octets{
            0xfd, 7, 0, 0, 0, 0, static_cast<base::Byte>(i >> 8), static_cast<base::Byte>(i)};
        a.about = Destination::of(Prefix(Address::v6(octets), 64));
        many.push_back(a);
    }
    desk.announce(1, kA, many);
    CHECK(desk.forwarding.ways.size() == 700);
}

TEST_CASE("an update that promises 10 ms expires once and costs no loop of timers") {
    Router desk;
    desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 1, 10ms});
    REQUIRE(desk.forwarding.reaches(kD, kA));
    unsigned turns = 0;
    for (const Instant end = desk.now + 1s; desk.now < end; ++turns) {
        const auto due = desk.speaker.deadline();
        desk.pass((due ? std::min(due->at, end) : end) - desk.now);
    }
    CHECK(turns < 30);
    CHECK(desk.said<RouteRequest>(1, kA).size() == 1);
    CHECK(desk.retractions(2, kD) == 1);
    CHECK(desk.forwarding.changes == 3);  // there, unreachable, gone
    CHECK(desk.forwarding.absent(kD));
    CHECK_FALSE(desk.route(kD, kA));
}

// ---- IPv4 ----

TEST_CASE("IPv4 needs an IPv4 next hop, IPv4 via IPv6 does not, and both are one route") {  // T50, T51, T53
    Router desk;
    const Destination v4 = to("192.0.2.0/24");
    PacketWriter writer(1000);
    Update bare{.encoding = Encoding::v4, .length = 24, .interval = {400}, .seqno = 1, .metric = 100};
    bare.octets = {192, 0, 2};
    writer.add(Tlv(RouterIdTlv{0xaa}));
    writer.add(Tlv(bare));
    desk.say_raw(1, kA, writer.finish());
    CHECK(desk.speaker.routes().empty());
    CHECK(desk.dropped("update without a next hop") == 1);

    desk.say(1, kA, Announce{"192.0.2.0/24"});  // AE 4
    CHECK(desk.forwarding.reaches(v4, kA));
    writer.add(Tlv(RouterIdTlv{0xaa}));
    writer.add(Tlv(NextHop{ip("192.0.2.77")}));
    writer.add(Tlv(bare));
    desk.say_raw(1, kA, writer.finish());
    CHECK(desk.forwarding.reaches(v4, ip("192.0.2.77")));
    CHECK(desk.speaker.routes().size() == 1);
    desk.retract(1, kA, "192.0.2.0/24");  // AE 4
    CHECK(desk.forwarding.unreachable(v4));
    desk.say(1, kA, Announce{"192.0.2.0/24"});
    bare.metric = kInfinity;
    writer.add(Tlv(bare));
    desk.say_raw(1, kA, writer.finish());  // AE 1, with nothing else
    CHECK(desk.forwarding.unreachable(v4));
}

TEST_CASE("IPv4 is announced with a next hop where the interface has an address, else via IPv6, never both") {
    Desk desk;
    InterfaceConfig with = Desk::link("fe80::2");
    with.v4 = ip("192.0.2.1");
    desk.plug(1, Desk::link());
    desk.plug(2, with);
    desk.befriend(1, kA);
    desk.befriend(2, kB);
    desk.forget();
    desk.speaker.announce(to("10.9.0.0/16"), 0, desk.now, desk.actions);
    std::map<InterfaceId, std::vector<Encoding>> encodings;
    std::map<InterfaceId, std::size_t> next_hops;
    for (const Action& action : desk.actions) {
        const auto* send = std::get_if<Send>(&action);
        if (send == nullptr) continue;
        TlvWalker walker(send->bytes);
        while (const auto item = walker.next()) {
            const Decoded d = decode(item->type, item->body);
            if (d.tlv && std::holds_alternative<Update>(*d.tlv)) encodings[send->on].push_back(d.encoding);
            if (d.tlv && std::holds_alternative<NextHop>(*d.tlv)) ++next_hops[send->on];
        }
    }
    CHECK(encodings[1] == std::vector{Encoding::v4_via_v6});
    CHECK(encodings[2] == std::vector{Encoding::v4});
    CHECK(next_hops[1] == 0);
    CHECK(next_hops[2] == 1);
}
