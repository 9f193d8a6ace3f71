// Round trip times (RFC 9616).

#include "babel/desk.hpp"
#include "babel/neighbour.hpp"

using namespace aronet;
using namespace aronet::babel;

namespace {
const Address kA = ip("fe80::a");

Hello hello(SeqNo seqno) { return {.seqno = seqno, .interval = {400}}; }
Ihu ihu() { return {.address = ip("fe80::1"), .rxcost = 96, .interval = {1200}}; }

struct Tunnel : Desk {
    Tunnel() {
        now = Instant(std::chrono::seconds(4294));  // the microseconds wrap soon
        plug(1, link("fe80::1", LinkType::tunnel));
        say(1, kA, {hello(1), ihu()});
        say(1, kA, {hello(2)});
    }
    // A Hello and an IHU that come `rtt` after our last Hello, of which the peer kept it for `kept`.
    void echo(Duration rtt, Duration kept, bool with_hello_stamp = true) {
        pass(5s);
        const Hello last = said<Hello>(1).back();
        const Instant sent_at = sent_hello_at();
        const Instant received = sent_at + rtt + kept;
        if (received > now) pass(received - now);
        const std::uint32_t origin = *last.timestamp;
        Hello h = hello(seqno_++);
        const std::uint32_t their_receive = 4294967000u;  // of a clock of its own that wraps too
        if (with_hello_stamp)
            h.timestamp = their_receive + static_cast<std::uint32_t>(base::microseconds(kept));
        Ihu i = ihu();
        i.echo = Ihu::Echo{origin, their_receive};
        PacketWriter writer(1000);
        writer.add(Tlv(h));
        writer.add(Tlv(i));
        const base::Bytes bytes = writer.finish();
        deliver({.bytes = bytes, .from = kA, .to = multicast_group(), .in = 1, .received_at = received});
    }
    Instant sent_hello_at() const {
        Instant at;
        for (const Sent& s : sent) {
            if (!s.all<Hello>().empty()) at = s.at;
        }
        return at;
    }
    SeqNo seqno_ = 3;
};
}  // namespace

TEST_CASE("on a tunnel Hellos carry a time stamp, and IHUs the echo of the neighbour's, behind a Hello"
) {  // T70
    Tunnel desk;
    Hello stamped = hello(3);
    stamped.timestamp = 77;
    desk.say(1, kA, {stamped});
    desk.forget();
    desk.pass(5s);
    REQUIRE_FALSE(desk.said<Ihu>(1).empty());
    for (const Sent& s : desk.sent) {
        for (const Hello& h : s.all<Hello>()) CHECK(h.timestamp);
        if (s.all<Ihu>().empty()) continue;
        CHECK(std::holds_alternative<Hello>(s.events.front()));
        REQUIRE(s.all<Ihu>()[0].echo);
        CHECK(s.all<Ihu>()[0].echo->origin == 77);
    }
}

TEST_CASE("the round trip time is what is left of the way there and back, whatever the clocks") {
    Tunnel desk;
    desk.echo(65ms, 1s);
    REQUIRE(desk.neighbour(kA)->rtt);
    CHECK(base::milliseconds(*desk.neighbour(kA)->rtt) == 65);
    CHECK(desk.neighbour(kA)->cost == 96 + 75);  // half way between 10 and 120 ms, of 150
    desk.echo(165ms, 2s);
    CHECK(base::milliseconds(*desk.neighbour(kA)->rtt) == 81);  // 65 + 0.164 * 100
    for (int i = 0; i < 40; ++i) desk.echo(500ms, 1s);
    CHECK(desk.neighbour(kA)->cost == 96 + 150);
    for (int i = 0; i < 60; ++i) desk.echo(1ms, 1s);
    CHECK(desk.neighbour(kA)->cost == 96);
}

TEST_CASE("an echo without the stamp of a Hello in the same packet is no sample") {
    Tunnel desk;
    desk.echo(65ms, 1s, false);
    CHECK_FALSE(desk.neighbour(kA)->rtt);
}

TEST_CASE("an IHU that echoes a stamp from before a restart is not believed, nor is what comes beside it") {
    Desk desk;
    desk.plug(1, Desk::link("fe80::1", LinkType::tunnel));
    desk.pass(1s);
    SeqNo seqno = 1;
    const auto say = [&](Duration ago) {
        Hello h = hello(seqno++);
        h.timestamp = 5000;
        Ihu i = ihu();
        i.echo = Ihu::Echo{
            static_cast<std::uint32_t>(base::microseconds((desk.now - ago).time_since_epoch())), 4000};
        desk.say(1, kA, {h, i});
        desk.say(1, kA, Announce{"fdaa::/64"});
    };
    say(2s);
    say(2s);
    CHECK_FALSE(desk.neighbour(kA)->reachable);
    CHECK_FALSE(desk.forwarding.reaches(to("fdaa::/64"), kA));
    say(10ms);
    CHECK(desk.forwarding.reaches(to("fdaa::/64"), kA));
}

TEST_CASE("an IHU that echoes the very first stamp is believed, whatever part of a microsecond it was") {
    for (const Duration part : {0ns, 100ns, 900ns}) {
        Desk desk;
        desk.now += part;
        desk.plug(1, Desk::link("fe80::1", LinkType::tunnel));
        const std::uint32_t first = timestamp(desk.now);
        REQUIRE(desk.said<Hello>(1).front().timestamp == first);
        desk.pass(5ms + 500ns);
        Hello h = hello(1);
        h.timestamp = 5000;
        Ihu i = ihu();
        i.echo = Ihu::Echo{first, 4000};
        desk.say(1, kA, {h, i});
        h.seqno = 2;
        desk.say(1, kA, {h});
        CHECK(desk.neighbour(kA)->reachable);
    }
}

TEST_CASE("an echo of a stamp from the future or from long ago is no sample") {
    Tunnel desk;
    desk.pass(10s);
    for (const std::uint32_t shift : {1'000'000u, std::uint32_t(-200'000'000)}) {
        Hello h = hello(desk.seqno_++);
        h.timestamp = 5000;
        Ihu i = ihu();
        const auto micros = static_cast<std::uint32_t>(base::microseconds(desk.now.time_since_epoch()));
        i.echo = Ihu::Echo{micros + shift, 4000};
        desk.say(1, kA, {h, i});
    }
    CHECK_FALSE(desk.neighbour(kA)->rtt);
    CHECK(desk.dropped("implausible time stamp") == 2);
    CHECK(desk.neighbour(kA)->reachable);
}

TEST_CASE("an echo that the neighbour received before its last, or kept for too long, is no sample") {
    Tunnel desk;
    desk.pass(10s);
    constexpr std::uint32_t kReceived = 300'000'000, kBefore = kReceived - 1, kLongAgo = 180'000'001;
    const auto dropped_of = [&](std::uint32_t received, std::uint32_t kept) {
        const std::uint64_t before = desk.dropped("implausible time stamp");
        Hello h = hello(desk.seqno_++);
        h.timestamp = received + kept;
        Ihu i = ihu();
        i.echo = Ihu::Echo{timestamp(desk.now - 50ms), received};
        desk.say(1, kA, {h, i});
        return desk.dropped("implausible time stamp") - before;
    };
    CHECK(dropped_of(kReceived, 40'000) == 0);
    REQUIRE(desk.neighbour(kA)->rtt);
    CHECK(base::milliseconds(*desk.neighbour(kA)->rtt) == 10);
    CHECK(dropped_of(kBefore, 10'000) == 1);
    CHECK(dropped_of(kReceived + 5, kLongAgo) == 1);
    CHECK(base::milliseconds(*desk.neighbour(kA)->rtt) == 10);
    CHECK(dropped_of(kReceived + 10, 40'000) == 0);
}

TEST_CASE("no stamp of ours is 0, which peers take for none, where the microseconds wrap") {
    const Instant wrap{std::chrono::microseconds(std::int64_t(1) << 32)};
    CHECK(timestamp(wrap - 1us) == 0xffff'ffff);
    CHECK(timestamp(wrap) == 1);
    CHECK(timestamp(wrap + 1us) == 1);
    CHECK(timestamp(wrap + 2us) == 2);
}
