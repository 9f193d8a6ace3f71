// Packets: framing, and the state that TLVs leave behind for those after them.

#include "babel/constants.hpp"
#include "babel/desk.hpp"

using namespace aronet;
using namespace aronet::babel;

namespace {

const Address kFrom = ip("fe80::a");

base::Bytes packet(const std::string& body) {
    const base::Bytes tlvs = base::from_hex(body).value();
    base::Bytes out = {
        42, 2, static_cast<base::Byte>(tlvs.size() >> 8), static_cast<base::Byte>(tlvs.size())};
    out.insert(out.end(), tlvs.begin(), tlvs.end());
    return out;
}

std::vector<Event> read(const base::Bytes& bytes) {
    PacketReader reader(bytes, kFrom);
    std::vector<Event> events;
    while (auto event = reader.next()) events.push_back(std::move(*event));
    return events;
}

std::vector<Announcement> announcements(const std::string& body) {
    std::vector<Announcement> found;
    for (const Event& e : read(packet(body))) {
        if (const auto* a = std::get_if<Announcement>(&e)) found.push_back(*a);
    }
    return found;
}

const std::string kRouterId =
    "060a0000"
    "00000000000000aa";
const std::string kHello = "0406000000010190";
// An Update: encoding, flags, length, omitted, then interval 4 s, seqno 1, metric 100, and the rest.
std::string update(const std::string& head, const std::string& tail, const std::string& metric = "0064") {
    const std::string body = head + "01900001" + metric + tail;
    const base::Byte length = static_cast<base::Byte>(body.size() / 2);
    return "08" + base::to_hex(base::ByteView(&length, 1)) + body;
}

}  // namespace

TEST_CASE("what is not a whole Babel 2 packet is refused whole") {  // T38, D25, CVE-2022-26127
    CHECK(read({}) == std::vector<Event>{Malformed::not_babel});
    CHECK(read({42, 2, 0}) == std::vector<Event>{Malformed::not_babel});
    CHECK(read({43, 2, 0, 0}) == std::vector<Event>{Malformed::not_babel});
    CHECK(read({42, 3, 0, 0}) == std::vector<Event>{Malformed::not_babel});
    CHECK(read({42, 2, 0xff, 0xff, 0, 0}) == std::vector<Event>{Malformed::bad_packet_length});
    base::Bytes shorter = packet(kHello + kHello);
    shorter.pop_back();
    CHECK(read(shorter) == std::vector<Event>{Malformed::bad_packet_length});
    CHECK(read({42, 2, 0, 0}).empty());
}

TEST_CASE("TLVs in the trailer do not count") {  // T37
    base::Bytes bytes = packet(kHello);
    const base::Bytes more = base::from_hex(kRouterId + kHello).value();
    bytes.insert(bytes.end(), more.begin(), more.end());
    CHECK(read(bytes).size() == 1);
}

TEST_CASE("a TLV beyond the end stops the packet, what stood before it counts") {  // CVE-2022-26128
    for (const char* rest : {"08", "04", "04ff00", "0407000000010190"}) {
        const auto events = read(packet(kHello + rest));
        REQUIRE(events.size() == 2);
        CHECK(std::holds_alternative<Hello>(events[0]));
        CHECK(std::get<Malformed>(events[1]) == Malformed::tlv_beyond_end);
    }
    CHECK(read({42, 2, 0, 1, 42}).size() == 1);
}

TEST_CASE("padding of any kind passes") {
    CHECK(
        read(packet(
                 "000000" + kHello +
                 "0100"
                 "0103aabbcc"
                 "00" +
                 kHello
             ))
            .size() == 2
    );
    CHECK(read(packet(std::string(120000, '0'))).empty());  // 60 kB of Pad1
}

TEST_CASE("an error in one TLV does not lose those after it") {  // T25, T54, T55, D3
    for (const std::string& bad : {
             update("02004004", "00000001"),           // omitted without a default
             std::string("07060400c0000201"),          // next hop with AE 4
             std::string("050a0400006004b0c0000201"),  // IHU with AE 4
             std::string("0702c800"),
             std::string("0202"
                         "0000"),
             update("c8004000", "fd00000000000000"),
             update("01001800", "0a0000"),
             update("02008100", "fd00000000000000000000000000000000"),
         }) {
        CAPTURE(bad);
        const auto found = announcements(kRouterId + bad + update("02004000", "fd00000000000001"));
        REQUIRE(found.size() == 1);
        CHECK(found[0].about == to("fd00:0:0:1::/64"));
    }
}

TEST_CASE("a finite update needs a router-id, a retraction does not") {  // T28, T32
    CHECK(announcements(update("02004000", "fd00000000000000")).empty());
    const auto gone = announcements(update("02004000", "fd00000000000000", "ffff"));
    REQUIRE(gone.size() == 1);
    CHECK(gone[0].metric == kInfinity);
    const auto there = announcements(kRouterId + update("02004000", "fd00000000000000"));
    REQUIRE(there.size() == 1);
    CHECK(there[0] == Announcement{to("fd00::/64"), 0xaa, kFrom, 1, {400}, 100});
}

TEST_CASE("an invalid router-id unsets the one before") {  // T29, D17
    for (const char* id :
         {"060a0000"
          "0000000000000000",
          "060a0000"
          "ffffffffffffffff"}) {
        CHECK(announcements(kRouterId + id + update("02004000", "fd00000000000000")).empty());
    }
}

TEST_CASE("compressed prefixes are completed from the last default of their own encoding") {
    const std::string v6 = update("02804000", "fd00000100020003"), v6_more = update("02004006", "0009");
    const auto six = announcements(kRouterId + v6 + v6_more);
    REQUIRE(six.size() == 2);
    CHECK(six[1].about == to("fd00:1:2:9::/64"));

    // AE 4 has a state of its own (T52): no default yet after AE 1 set one.
    const std::string hop = "07060100c0000201";
    const std::string v4 = update("01801800", "0a0100"), v4_more = update("01001802", "07"),
                      via = update("04001802", "07");
    const auto four = announcements(kRouterId + hop + v4 + v4_more + via);
    REQUIRE(four.size() == 2);
    CHECK(four[1].about == to("10.1.7.0/24"));
    CHECK(four[1].next_hop == ip("192.0.2.1"));
    const auto separate = announcements(kRouterId + hop + v4 + update("04801800", "0b0b00") + via + v4_more);
    REQUIRE(separate.size() == 4);
    CHECK(separate[2].about == to("11.11.7.0/24"));
    CHECK(separate[2].next_hop == kFrom);
    CHECK(separate[3].about == to("10.1.7.0/24"));
}

TEST_CASE("bits beyond the length of a prefix are cleared") {  // T26, D4
    const auto found = announcements(kRouterId + update("02002d00", "fd0000000fff"));
    REQUIRE(found.size() == 1);
    CHECK(found[0].about == to("fd00:0:ff8::/45"));
}

TEST_CASE("flag R takes the router-id from the prefix") {  // T27
    const auto six = announcements(update("02408000", "fd000000000000000000000000000b0b"));
    REQUIRE(six.size() == 1);
    CHECK(six[0].router_id == 0xb0b);
    const auto four = announcements("07060100c0000201" + update("01402000", "0a010203"));
    REQUIRE(four.size() == 1);
    CHECK(four[0].router_id == 0x0a010203);
}

TEST_CASE("a TLV ignored for a mandatory sub-TLV still leaves its state behind") {  // T20, T21, T22
    const std::string ignored = "8100";
    // Update: prefix and router-id.
    const auto a = announcements(
        update("02c08000", "fd000000000000000000000000000b0b" + ignored) + update("0200800f", "0c")
    );
    REQUIRE(a.size() == 1);
    CHECK(a[0].about == to("fd00::b0c/128"));
    CHECK(a[0].router_id == 0xb0b);
    // Router-Id.
    const auto b = announcements(
        "060c0000"
        "00000000000000aa" +
        ignored + update("02004000", "fd00000000000000")
    );
    REQUIRE(b.size() == 1);
    CHECK(b[0].router_id == 0xaa);
    // Next Hop.
    const auto c = announcements(kRouterId + "07080100c0000201" + ignored + update("01001800", "0a0100"));
    REQUIRE(c.size() == 1);
    CHECK(c[0].next_hop == ip("192.0.2.1"));
    // A source prefix is no reason to lose state either.
    const auto d = announcements(
        kRouterId +
        update(
            "02804000",
            "fd00000000000000"
            "800320"
            "2001"
        ) +
        update("02004007", "05")
    );
    REQUIRE(d.size() == 1);
    CHECK(d[0].about == to("fd00:0:0:5::/64"));
}

TEST_CASE("a Hello or IHU with an unknown mandatory sub-TLV is ignored") {  // T11, T12
    CHECK(
        read(packet("0408000000010190"
                    "8100")) == std::vector<Event>{Malformed::unknown_mandatory_sub_tlv}
    );
    CHECK(
        read(packet("0508"
                    "0000006004b0"
                    "8100")) == std::vector<Event>{Malformed::unknown_mandatory_sub_tlv}
    );
}

TEST_CASE("a link-local prefix has eight octets and no compression") {
    const auto found = announcements(kRouterId + update("03008000", "0000000000000001"));
    REQUIRE(found.size() == 1);
    CHECK(found[0].about == to("fe80::1/128"));
    CHECK(
        announcements(
            kRouterId + update("03808000", "0000000000000001") + update("03008001", "00000000000002")
        )
            .size() == 1
    );
}

TEST_CASE("a finite update that promises no repetition time is ignored, a retraction is not") {
    const std::string zero =
        "0812"
        "02004000"
        "0000"
        "0001"
        "0064"
        "fd00000000000000";
    CHECK(announcements(kRouterId + zero).empty());
    const std::string gone =
        "0812"
        "02004000"
        "0000"
        "0001"
        "ffff"
        "fd00000000000000";
    CHECK(announcements(gone).size() == 1);
}

TEST_CASE("what the writer compresses the reader completes") {
    base::Random random = base::Random::from_number(5);
    for (int round = 0; round < 300; ++round) {
        PacketWriter writer(1200);
        const Encoding v4 = round % 2 == 0 ? Encoding::v4 : Encoding::v4_via_v6;
        std::vector<Announcement> written;
        for (;;) {
            Announcement a;
            std::array<base::Byte, 16> octets{0xfd, 0, 1};
            for (auto& o : octets) o = random.below(3) == 0 ? static_cast<base::Byte>(random.u32()) : o;
            const Address six = Address::v6(octets),
                          four = *Address::from_bytes(base::ByteView(octets).first(4));
            const bool is_v4 = random.below(3) == 0;
            a.about = Destination::of(
                is_v4 ? Prefix(four, static_cast<unsigned>(random.below(33)))
                      : Prefix(six, static_cast<unsigned>(random.below(129)))
            );
            if (random.below(5) == 0)
                a.about->source = Prefix(is_v4 ? four : six, 1 + static_cast<unsigned>(random.below(32)));
            if (random.below(4) != 0) {
                a.metric = static_cast<Metric>(random.below(kInfinity));
                a.router_id = 1 + random.below(3);
                a.next_hop = is_v4 && v4 == Encoding::v4 ? ip("192.0.2.1") : kFrom;
                a.seqno = static_cast<SeqNo>(random.u32());
                a.interval = {7};
            }
            Announcement sent = a;
            if (sent.metric == kInfinity) sent.interval = {7};
            if (!writer.add(sent, v4)) break;
            written.push_back(a);
        }
        const base::Bytes bytes = writer.finish();
        CHECK(bytes.size() <= 1200);
        std::vector<Announcement> back;
        for (const Event& e : read(bytes)) back.push_back(std::get<Announcement>(e));
        CHECK(back == written);
    }
}

TEST_CASE("neighbouring prefixes of one router take few octets each") {
    PacketWriter writer(1432);
    std::size_t count = 0;
    for (;; ++count) {
        std::array<base::Byte, 16> octets{0xfd, 0x12};
        octets[6] = static_cast<base::Byte>(count >> 8), octets[7] = static_cast<base::Byte>(count);
        if (!writer.add(
                Announcement{Destination::of(Prefix(Address::v6(octets), 64)), 0xaa, kFrom, 1, {400}, 96},
                Encoding::v4
            ))
            break;
    }
    CHECK(count > 100);
}
