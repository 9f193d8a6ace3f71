// Packets made to break parsers: those that broke others, every corner of every field, and mutants by the
// thousand.

#include "babel/router.hpp"

using namespace aronet;
using namespace aronet::babel;

namespace {

base::Bytes with_header(const base::Bytes& body) {
    base::Bytes packet;
    base::Writer out(packet);
    out.u8(42);
    out.u8(2);
    out.u16(static_cast<std::uint16_t>(body.size()));
    out.put(body);
    return packet;
}

void hear_both_ways(Desk& desk, const base::Bytes& bytes) {
    Packet packet{.bytes = bytes, .from = kA, .to = ip("ff02::1:6"), .in = 1, .received_at = desk.now};
    desk.deliver(packet);
    packet.to = ip("fe80::1");
    desk.deliver(packet);
}

// A well-formed packet with one of everything.
base::Bytes everything() {
    PacketWriter writer(1400);
    writer.add(Tlv(Hello{.seqno = 9, .interval = {400}, .timestamp = 77}));
    writer.add(Tlv(Ihu{.address = ip("fe80::1"), .rxcost = 96, .interval = {1200}, .echo = Ihu::Echo{1, 2}}));
    writer.add(Tlv(AckRequest{1, {10}}));
    writer.add(Tlv(Ack{1}));
    for (const char* text : {"fd00::/64", "fd00:0:0:1::/64", "10.0.0.0/8", "10.1.0.0/16", "::/0"}) {
        writer.add(Announce{text}(), Encoding::v4_via_v6);
    }
    Announcement specific = Announce{"fd02::/64"}();
    specific.about->source = net("fd03::/64");
    writer.add(specific, Encoding::v4_via_v6);
    writer.add(Tlv(RouteRequest{}));
    writer.add(Tlv(RouteRequest{kD}));
    writer.add(Tlv(SeqnoRequest{kD, 7, 64, 0xaa}));
    writer.add(Tlv(Update{.interval = {400}}));
    return writer.finish();
}

void still_works(Desk& desk) {
    desk.pass(600s);
    desk.befriend(3, kC);
    desk.say(3, kC, Announce{"fdcc::/64", 1, 0xcc, 77});
    CHECK(desk.forwarding.reaches(to("fdcc::/64"), kC));
}

}  // namespace

// Each of them is heard on both ways from a neighbour; nothing of it is believed, the neighbour stays, and so
// does what it said before.
void survives(std::initializer_list<const char*> packets) {
    Router desk;
    desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 5, 600s});
    const auto history = desk.neighbour(kA)->hello_history;
    for (const char* packet : packets) {
        CAPTURE(packet);
        hear_both_ways(desk, base::from_hex(packet).value());
        CHECK(desk.speaker.routes().size() == 1);
        CHECK(desk.forwarding.reaches(kD, kA));
        CHECK(desk.neighbour(kA)->reachable);
        CHECK(desk.neighbour(kA)->hello_history == history);
    }
    still_works(desk);
}

TEST_CASE("CVE-2022-26127: a packet whose body is longer than the datagram is survived") {
    survives({"2a02ffff", "2a02ffff0000", "2a02ffff04060000000101900404", "2a020001", "2a02", "2a", ""});
}

TEST_CASE("CVE-2022-26128: a TLV without its length, or longer than what is left, is survived") {
    survives({"2a02002a02", "2a02000108", "2a020002080a", "2a0200020800", "2a02001008", "2a02000104"});
}

TEST_CASE("CVE-2022-26129: sub-TLVs without their length, or longer than what is left, are survived") {
    survives(
        {"2a02000904070000ffff019005",  // a Hello far off, and not the next
         "2a02000b04090000ffff019005ff00",
         "2a02000a04080000ffff01900505",
         "2a020011050f0200ffff04b0fe8000000000000005",
         "2a02000d080b02004000000001900001ff"}
    );
}

// FRR went on with the next TLV without having left this one, for ever. Well-formed they are all the same:
// what stands behind them in the packet is heard, once. Cut they are an error, counted, which is the end of
// the packet.
TEST_CASE("CVE-2023-3748: Hellos by unicast, without an interval or with flags of no meaning, end") {
    Router desk;
    std::uint16_t opaque = 0x1000;
    for (const std::string flags_and_rest :
         {"800000010190", "800000010000", "000000010000", "7fff00010190", "ffff00010190"}) {
        CAPTURE(flags_and_rest);
        desk.forget();
        const std::string hello = "0406" + flags_and_rest;
        base::Bytes question;
        base::Writer(question).u16(++opaque);
        const base::Bytes whole =
            with_header(base::from_hex(hello + "02060000" + base::to_hex(question) + "0064").value());
        PacketReader reader(whole, kA);
        std::size_t events = 0;
        while (reader.next() && events < 10) ++events;
        CHECK(events == 2);
        hear_both_ways(desk, whole);
        desk.pass(1ms);
        CHECK(desk.said<Ack>(1, kA) == std::vector<Ack>{{opaque}, {opaque}});
        CHECK(desk.speaker.drops().totals().empty());
    }
    const std::string reason(to_string(Malformed::tlv_beyond_end));
    std::uint64_t count = 0;
    for (const char* cut : {"040680000001", "04060000000100", "0406", "04"}) {
        desk.say_raw(1, kA, with_header(base::from_hex(cut).value()));
        CHECK(desk.dropped(reason) == ++count);
    }
    desk.say(1, kA, Announce{"fdaa::/64"});
    CHECK(desk.forwarding.reaches(to("fdaa::/64"), kA));
    still_works(desk);
}

TEST_CASE("CVE-2018-14470: an update shorter than its prefix is survived") {
    survives(
        {"2a02000a08080200400001900001",
         "2a02000c080a02004000019000010064",
         "2a02000c080a02008000019000010064",
         "2a02000e080c02008002019000010064fd00",
         "2a02000c080a01002000019000010064"}
    );
}

TEST_CASE("a hundred and eighty Hellos in a packet are one neighbour and one answer") {
    Router desk;
    base::Bytes body;
    for (unsigned i = 0; i < 180; ++i) {
        const auto high = static_cast<base::Byte>(i >> 8), low = static_cast<base::Byte>(i);
        body.insert(body.end(), {4, 6, 0, 0, high, low, 1, 0x90});
    }
    const Address stranger = ip("fe80::d");
    desk.say_raw(1, stranger, with_header(body));
    CHECK(desk.neighbour(stranger)->hello_history == 0xffff);
    desk.pass(5ms);
    CHECK(desk.said<Hello>(1).size() <= 2);
    std::size_t answers = 0;
    for (const Ihu& ihu : desk.said<Ihu>(1)) answers += ihu.address == stranger ? 1 : 0;
    CHECK(answers == 1);
    desk.say_raw(1, kA, with_header(body));  // of one whose numbers were others: a restart, no more
    CHECK(desk.neighbour(kA)->hello_history == 0xffff);
    still_works(desk);
}

TEST_CASE("row 58: every TLV of every short length, every encoding, prefix length and omission is survived") {
    Router desk;
    for (unsigned type = 0; type < 24; ++type) {
        for (unsigned length = 0; length <= 24; ++length) {
            for (const unsigned fill : {0x00u, 0x01u, 0x40u, 0x80u, 0xffu}) {
                base::Bytes body = {static_cast<base::Byte>(type), static_cast<base::Byte>(length)};
                body.insert(body.end(), length, static_cast<base::Byte>(fill));
                hear_both_ways(desk, with_header(body));
            }
        }
    }
    desk.pass(1s);
    for (unsigned encoding = 0; encoding < 6; ++encoding) {
        for (unsigned length = 0; length < 256; length += 3) {
            for (unsigned omitted = 0; omitted < 20; ++omitted) {
                base::Bytes body = {
                    8,
                    26,
                    static_cast<base::Byte>(encoding),
                    0xc0,
                    static_cast<base::Byte>(length),
                    static_cast<base::Byte>(omitted),
                    1,
                    0x90,
                    0,
                    1,
                    0,
                    100};
                body.insert(body.end(), 16, 0xfd);
                desk.say_raw(1, kA, with_header(body));
            }
        }
    }
    still_works(desk);
}

TEST_CASE("twenty thousand mutants of a packet with everything in it are survived") {  // T90, T91
    Router desk;
    base::Random random = base::Random::from_number(1);
    const base::Bytes whole = everything();
    for (int i = 0; i < 20000; ++i) {
        base::Bytes mutant = whole;
        for (std::uint64_t edits = 1 + random.below(6); edits > 0; --edits) {
            const std::size_t at = random.below(mutant.size());
            switch (random.below(4)) {
                case 0:
                    mutant[at] = static_cast<base::Byte>(random.u32());
                    break;
                case 1:
                    mutant[at] = static_cast<base::Byte>(mutant[at] ^ (1u << random.below(8)));
                    break;
                case 2:
                    mutant.erase(mutant.begin() + std::ptrdiff_t(at));
                    break;
                default:
                    mutant.insert(mutant.begin() + std::ptrdiff_t(at), static_cast<base::Byte>(random.u32()));
            }
        }
        if (random.below(4) != 0) mutant = with_header({mutant.begin() + 4, mutant.end()});
        desk.speaker.handle(
            {.bytes = mutant,
             .from = random.below(2) == 0 ? kA : kB,
             .to = ip("ff02::1:6"),
             .in = 1,
             .received_at = desk.now},
            desk.now,
            desk.actions
        );
        if (i % 50 == 0) desk.pass(100ms);
        desk.forget();
    }
    CHECK(desk.notes.size() < 1000);
    still_works(desk);
}

TEST_CASE("a TLV that is ignored changes nothing but the state of its packet") {
    Router desk;
    desk.say(1, kA, Announce{"fd00::/64", 100, 0xaa, 5, 600s});
    desk.pass(2s);
    const auto before = desk.speaker.routes();
    const std::size_t changes = desk.forwarding.changes;
    for (const char* tlv :
         {"081004c0200001900001006 40a0b0c0d8100",
          "0812020040000190000100 64fe80000000000000",
          "080c0000000001900001ffff8100",
          "05080000ffff04b08100"}) {
        std::string digits;
        for (const char c : std::string(tlv)) digits += c == ' ' ? "" : std::string(1, c);
        hear_both_ways(desk, with_header(base::from_hex(digits).value()));
    }
    CHECK(desk.speaker.routes().size() == before.size());
    CHECK(desk.route(kD, kA)->received_metric == 100);
    CHECK(desk.forwarding.changes == changes);
    CHECK(desk.neighbour(kA)->reachable);
}
