// What is sent, when, and in how many packets.

#include "babel/constants.hpp"
#include "babel/desk.hpp"

using namespace aronet;
using namespace aronet::babel;

namespace {
const Address kA = ip("fe80::a");
const Address kB = ip("fe80::b");
const Destination kD = to("fd00::/64");

Destination numbered(unsigned i) {
    return Destination::of(Prefix(
        Address::v6({0xfd, 9, 0, 0, 0, 0, static_cast<base::Byte>(i >> 8), static_cast<base::Byte>(i)}), 64
    ));
}

struct Pair : Desk {
    Pair() {
        plug(1, link("fe80::1"));
        plug(2, link("fe80::2"));
        befriend(1, kA);
        befriend(2, kB);
        pass(2s);
        forget();
    }
    std::size_t packets_with_updates() const {
        std::size_t count = 0;
        for (const Sent& s : sent) count += s.all<Announcement>().empty() ? 0 : 1;
        return count;
    }
};
}  // namespace

TEST_CASE("a route is not announced where it was learned") {  // T64
    Pair desk;
    desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 1, 60s});
    desk.pass(40s);
    CHECK(desk.announced(2, kD));
    CHECK_FALSE(desk.announced(1, kD));
}

TEST_CASE("without split horizon it is announced everywhere") {
    Desk desk;
    InterfaceConfig open = Desk::link();
    open.split_horizon = false;
    desk.plug(1, open);
    desk.befriend(1, kA);
    desk.forget();
    desk.say(1, kA, Announce{"fd00::/64", 100});
    desk.pass(1s);
    CHECK(desk.announced(1, kD)->metric == 196);
}

TEST_CASE("a route that moves to another interface is retracted there and announced where it was") {
    Pair desk;
    desk.say(1, kA, Announce{"fd00::/64", 100});
    desk.pass(1s);
    CHECK(desk.announced(2, kD)->metric == 196);
    desk.forget();
    desk.say(2, kB, Announce{"fd00::/64", 10, 0xaa, 2});
    desk.pass(1s);
    CHECK(desk.forwarding.reaches(kD, kB));
    CHECK(desk.announced(2, kD)->metric == kInfinity);
    CHECK(desk.announced(1, kD)->metric == 106);
}

TEST_CASE("the first way to a prefix is told within the same turn") {
    Pair desk;
    const Instant start = desk.now;
    desk.say(1, kA, Announce{"fd00::/64"});
    REQUIRE(desk.announced(2, kD));
    CHECK(desk.sent.front().at == start);
}

TEST_CASE("urgent news in quick succession share packets, and none is later than 200 ms") {
    Pair desk;
    for (unsigned i = 0; i < 100; ++i) {
        desk.speaker.announce(numbered(i), 0, desk.now, desk.actions);
        desk.pass(1ms);
    }
    desk.pass(100ms);
    CHECK(desk.said<Announcement>(1).size() == 100);
    CHECK(desk.packets_with_updates() <= 2 * 7);
}

TEST_CASE("a loss or another router-id leaves in the same turn, whatever was told just before") {
    constexpr unsigned kPeers = 500;
    Desk desk;
    const auto peer = [](unsigned i) { return ip(("fe80::1:" + std::to_string(i)).c_str()); };
    for (unsigned i = 1; i <= kPeers; ++i) desk.plug(i, Desk::link());
    for (unsigned i = 1; i <= kPeers; ++i) desk.befriend(i, peer(i));
    const auto told_at_once = [&](const Destination& about, RouterId origin) {
        desk.pass(1us);  // several turns: there are many packets
        std::set<InterfaceId> told;
        for (const Sent& s : desk.sent) {
            for (const Announcement& update : s.all<Announcement>()) {
                const bool gone = update.metric == kInfinity;
                if (update.about == about && gone == (origin == 0) && (gone || update.router_id == origin))
                    told.insert(s.on);
            }
        }
        return told.size();
    };
    const auto news = [&](unsigned number) {
        desk.pass(2s);
        desk.speaker.announce(numbered(number), 0, desk.now, desk.actions);
        desk.pass(5ms);
        desk.forget();
    };
    desk.say(1, peer(1), Announce{"fd00::/64", 100, 0xaa, 1, 600s});
    news(1);
    desk.say(1, peer(1), Announce{"fd00::/64", 100, 0xbb, 1, 600s});
    CHECK(told_at_once(kD, 0xbb) == kPeers - 1);
    desk.say(2, peer(2), Announce{"fd00::/64", 500, 0xbb, 1, 600s});  // not feasible: only it is asked then
    news(2);
    desk.retract(1, peer(1), "fd00::/64");
    CHECK(told_at_once(kD, 0) >= kPeers - 1);
    news(3);
    desk.speaker.withdraw(numbered(1), desk.now, desk.actions);
    CHECK(told_at_once(numbered(1), 0) == kPeers);
}

TEST_CASE("losses in quick succession share packets, with other news among them, too") {
    for (const bool mixed : {false, true}) {
        CAPTURE(mixed);
        Pair desk;
        for (unsigned i = 0; i < 100; ++i) desk.speaker.announce(numbered(i), 0, desk.now, desk.actions);
        desk.pass(2s);
        desk.forget();
        for (unsigned i = 0; i < 100; ++i) {
            desk.speaker.withdraw(numbered(i), desk.now, desk.actions);
            if (mixed) desk.speaker.announce(numbered(1000 + i), 0, desk.now, desk.actions);
            desk.pass(1ms);
        }
        desk.pass(100ms);
        CHECK(desk.said<Announcement>(1).size() == (mixed ? 200 : 100));
        CHECK(desk.packets_with_updates() <= 2 * 7);
    }
}

TEST_CASE("a small change of a metric waits for the periodic update, a larger one is told soon") {
    Pair desk;
    desk.say(1, kA, Announce{"fd00::/64", 400, 0xaa, 1, 600s});
    desk.pass(1s);
    desk.forget();
    desk.say(1, kA, Announce{"fd00::/64", 390, 0xaa, 1, 600s});
    desk.say(1, kA, Announce{"fd00::/64", 300, 0xaa, 1, 600s});
    CHECK_FALSE(desk.announced(2, kD));
    desk.pass(1s);
    CHECK(desk.announced(2, kD)->metric == 396);
    desk.forget();
    desk.say(1, kA, Announce{"fd00::/64", 290, 0xaa, 1, 600s});
    desk.pass(20s);
    CHECK(desk.announced(2, kD)->metric == 386);
}

TEST_CASE("everything is repeated within the update interval") {
    Pair desk;
    desk.speaker.announce(kD, 0, desk.now, desk.actions);
    desk.pass(20s);
    Instant last = desk.now;
    desk.forget();
    desk.pass(200s);
    for (const Sent& s : desk.sent) {
        if (s.on != 1 || s.all<Announcement>().empty()) continue;
        CHECK(s.at - last <= 16s);
        CHECK(s.all<Announcement>()[0].interval == Interval{1600});
        last = s.at;
    }
    CHECK(desk.now - last <= 16s);
}

TEST_CASE("a periodic dump that fits goes along with a Hello, in a packet of both") {
    Pair desk;
    desk.speaker.announce(kD, 0, desk.now, desk.actions);
    desk.pass(30s);
    desk.forget();
    desk.pass(100s);
    std::size_t dumps = 0;
    for (const Sent& s : desk.sent) {
        if (s.on != 1 || s.all<Announcement>().empty()) continue;
        ++dumps;
        CHECK(s.all<Hello>().size() == 1);
    }
    CHECK(dumps >= 5);
}

TEST_CASE("a new neighbour is told everything as soon as it is reachable, at the pace of its answers") {
    Desk desk;
    desk.plug(1, Desk::link());
    for (unsigned i = 0; i < 10000; ++i) desk.speaker.announce(numbered(i), 0, desk.now, desk.actions);
    desk.pass(2s);
    desk.forget();
    const Instant start = desk.now;
    desk.befriend(1, kA);
    desk.pass(500ms);
    CHECK(desk.said<Announcement>(1, kA).size() == 10000);
    std::map<Instant, std::size_t> burst;
    for (const Sent& s : desk.sent) burst[s.at] += s.all<Announcement>().empty() ? 0 : 1;
    CHECK(burst.begin()->second <= 20);  // what any socket takes; then as many as it answered, and some more
    for (const auto& [at, packets] : burst) {
        CHECK(packets <= 64);
        if (packets > 0) CHECK(at - start <= 20ms);
    }
}

TEST_CASE("nothing is said before everything that has arrived was heard") {
    Desk desk;
    desk.plug(1, Desk::link());
    desk.plug(2, Desk::link("fe80::2"));
    desk.befriend(1, kA);
    desk.befriend(2, kB);
    desk.pass(1s);
    Actions out;
    for (unsigned i = 0; i < 100; ++i) {
        PacketWriter writer(1400);
        REQUIRE(writer.add(Announcement{numbered(i), 0xaa, kA, 1, {1600}, 0}, Encoding::v4));
        const base::Bytes bytes = writer.finish();
        desk.speaker.handle(
            {.bytes = bytes, .from = kA, .to = multicast_group(), .in = 1, .received_at = desk.now},
            desk.now,
            out
        );
    }
    CHECK(out.size() == 100);
    for (const Action& action : out) CHECK(std::holds_alternative<InstallRoute>(action));
    REQUIRE(desk.speaker.deadline());
    CHECK(desk.speaker.deadline()->at <= desk.now + 1ns);
}

TEST_CASE("a hub whose neighbours come all at once tells each of them everything, and hardly anything twice"
) {
    constexpr unsigned kPeers = 300;
    Desk desk;
    const auto peer = [](unsigned i) { return ip(("fe80::1:" + std::to_string(i)).c_str()); };
    for (unsigned i = 1; i <= kPeers; ++i) desk.plug(i, Desk::link());
    for (unsigned i = 1; i <= kPeers; ++i) {
        desk.befriend(i, peer(i));
        desk.announce(i, peer(i), {{numbered(i), 0x100 + i, peer(i), 1, {1600}, 0}});
    }
    desk.pass(3s);
    std::map<std::pair<InterfaceId, Destination>, int> told;
    int said = 0;
    for (const Sent& s : desk.sent) {
        for (const Announcement& update : s.all<Announcement>()) {
            if (update.metric == kInfinity || !update.about) continue;
            ++told[{s.on, *update.about}];
            ++said;
        }
    }
    CHECK(told.size() == kPeers * (kPeers - 1));
    CHECK(said <= int(told.size()) * 11 / 10);
}

TEST_CASE("no packet is larger than the interface carries, down to 512 octets") {
    for (const std::size_t mtu : {100u, 576u, 1280u, 1400u, 9000u}) {
        Desk desk;
        InterfaceConfig c = Desk::link();
        c.mtu = mtu;
        desk.plug(1, c);
        Actions out;
        for (unsigned i = 0; i < 2000; ++i) desk.speaker.announce(numbered(i), 0, desk.now, out);
        const auto hear = [&](const std::vector<Tlv>& tlvs) {
            PacketWriter writer(500);
            for (const Tlv& tlv : tlvs) writer.add(tlv);
            const base::Bytes bytes = writer.finish();
            desk.speaker.handle(
                {.bytes = bytes, .from = kA, .to = multicast_group(), .in = 1, .received_at = desk.now},
                desk.now,
                out
            );
        };
        for (SeqNo i = 0; i < 2; ++i)
            hear({Hello{.seqno = i, .interval = {400}}, Ihu{.rxcost = 96, .interval = {1200}}});
        std::size_t largest = 0, updates = 0;
        for (int i = 0; i < 20; ++i) {
            const Actions sent = std::exchange(out, {});
            for (const Action& a : sent) {
                const auto* send = std::get_if<Send>(&a);
                if (send == nullptr) continue;
                largest = std::max(largest, send->bytes.size());
                PacketReader reader(send->bytes, ip("fe80::1"));
                while (const auto e = reader.next()) {
                    updates += std::holds_alternative<Announcement>(*e) ? 1 : 0;
                    if (const auto* asked = std::get_if<AckRequest>(&*e)) hear({Ack{asked->opaque}});
                }
            }
            desk.speaker.tick(desk.now += 10ms, out);
        }
        CHECK(updates >= 2000);
        CHECK(largest <= std::max<std::size_t>(mtu - 48, 512));
        if (mtu < 9000)
            CHECK(largest > std::max<std::size_t>(mtu - 48, 512) * 9 / 10);  // else a portion is less
    }
}

TEST_CASE("no packet is a jumbogram, however much the interface carries") {
    Desk desk;
    InterfaceConfig c = Desk::link();
    c.mtu = 200'000;
    desk.plug(1, c);
    for (unsigned i = 0; i < 20'000; ++i) {
        const Destination each =
            Destination::of(Prefix::host(ip("fd09::").plus(std::uint64_t(i) * 0x1000'0001)));
        desk.speaker.announce(each, 0, desk.now, desk.actions);
    }
    desk.befriend(1, kA);
    desk.pass(20s);
    std::size_t updates = 0;
    for (const Sent& s : desk.sent) {
        CHECK(s.bytes.size() <= 65527);
        updates += s.all<Announcement>().size();
    }
    CHECK(updates >= 20'000);
}

TEST_CASE("many neighbours' IHUs that fill a packet each stand behind a Hello") {
    Desk desk({.router_id = kUs, .neighbours_per_interface_max = 100});
    InterfaceConfig c = Desk::link("fe80::1", LinkType::tunnel);
    c.mtu = 560;
    desk.plug(1, c);
    for (unsigned i = 0; i < 60; ++i) {
        const Address a =
            Address::v6({0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, static_cast<base::Byte>(i)});
        desk.say(1, a, {Hello{.seqno = 1, .interval = {400}, .timestamp = 5}});
    }
    desk.forget();
    desk.pass(4s);
    std::set<SeqNo> seqnos;
    for (const Sent& s : desk.sent) {
        if (s.all<Ihu>().empty()) continue;
        REQUIRE(std::holds_alternative<Hello>(s.events[0]));
        CHECK(s.all<Hello>().size() == 1);
        CHECK(seqnos.insert(s.all<Hello>()[0].seqno).second);
    }
    CHECK(seqnos.size() >= 4);
}
