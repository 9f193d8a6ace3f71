// Every TLV: to bytes and back, cut at every length, against bytes written by hand.

#include "babel/desk.hpp"

using namespace aronet;
using namespace aronet::babel;

namespace {

base::Bytes bytes_of(const Tlv& tlv) {
    base::Bytes out;
    base::Writer writer(out);
    encode(tlv, writer);
    REQUIRE_FALSE(writer.failed());
    return out;
}

base::Bytes hex(const char* text) { return base::from_hex(text).value(); }

Update update_v6() {
    Update u{
        .encoding = Encoding::v6,
        .sets_default_prefix = true,
        .length = 64,
        .interval = {1600},
        .seqno = 0x1234,
        .metric = 96};
    u.octets = {0xfd, 0, 0, 1, 0, 2, 0, 3};
    return u;
}

Update update_v4() {
    Update u{
        .encoding = Encoding::v4,
        .sets_router_id = true,
        .length = 24,
        .omitted = 1,
        .interval = {1},
        .metric = 7};
    u.octets = {0, 2};
    u.source = Prefix::parse("10.0.0.0/8");
    return u;
}

struct Sample {
    Tlv tlv;
    const char* bytes;
};

const std::vector<Sample>& samples() {
    static const Destination about{net("2001:db8::/32"), net("2001:db8:1::/48")};
    static const std::vector<Sample> list = {
        {PadN{3}, "0103000000"},
        {AckRequest{0x1234, {20}}, "0206000012340014"},
        {Ack{0xbeef}, "0302beef"},
        {Hello{.seqno = 513, .interval = {400}}, "0406000002010190"},
        {Hello{.unicast = true, .seqno = 1}, "0406800000010000"},
        {Hello{.seqno = 1, .interval = {400}, .timestamp = 0xdeadbeef}, "040c0000000101900304deadbeef"},
        {Ihu{.rxcost = 96, .interval = {1200}}, "05060000006004b0"},
        {Ihu{.address = ip("192.0.2.1"), .rxcost = 96, .interval = {1200}}, "050a0100006004b0c0000201"},
        {Ihu{.address = ip("fe80::5"), .rxcost = 96, .interval = {1200}}, "050e0300006004b00000000000000005"},
        {Ihu{.address = ip("2001:db8::1"), .interval = {1200}, .echo = Ihu::Echo{1, 2}},
         "05200200ffff04b020010db800000000000000000000000103080000000100000002"},
        {RouterIdTlv{0x0102030405060708}, "060a00000102030405060708"},
        {NextHop{ip("192.0.2.1")}, "07060100c0000201"},
        {NextHop{ip("fe80::5")}, "070a03000000000000000005"},
        {NextHop{ip("2001:db8::1")}, "0712020020010db8000000000000000000000001"},
        {Update{.interval = {400}},
         "080a00000000019000"
         "00ffff"},
        {update_v6(),
         "08120280400006401234"
         "0060fd00000100020003"},
        {update_v4(), "08100140180100010000000700028002080a"},
        {RouteRequest{}, "09020000"},
        {RouteRequest{to("10.0.0.0/8")}, "090301080a"},
        {RouteRequest{about},
         "090f022020010db880"
         "073020010db80001"},
        {SeqnoRequest{to("10.0.0.0/9"), 9, 64, 0x0102030405060708},
         "0a10010900094000010203040506070"
         "80a00"},
        {SeqnoRequest{about, 9, 64, 0x0102030405060708},
         "0a1b022000094000010203040506070820010db88007"
         "3020010db80001"},
        {MacTlv{hex("010203")}, "1003010203"},
        {PacketCounter{0x01020304, hex("090807")}, "110701020304090807"},
        {ChallengeRequest{hex("aabb")}, "1202aabb"},
        {ChallengeReply{hex("cc")}, "1301cc"},
    };
    return list;
}

// Opaque to their end, so that nothing behind them could be a sub-TLV.
bool is_opaque(const Tlv& tlv) {
    return std::holds_alternative<PadN>(tlv) || tlv.index() >= Tlv(MacTlv{}).index();
}

}  // namespace

TEST_CASE("every TLV is written as these bytes") {
    for (const Sample& s : samples()) {
        CAPTURE(s.bytes);
        CHECK(base::to_hex(bytes_of(s.tlv)) == s.bytes);
    }
}

TEST_CASE("what was written is read back the same, and every TLV has a sample") {
    std::set<std::size_t> seen;
    for (const Sample& s : samples()) {
        const base::Bytes bytes = hex(s.bytes);
        CAPTURE(s.bytes);
        REQUIRE(bytes[1] == bytes.size() - 2);
        const Decoded read = decode(bytes[0], base::ByteView(bytes).subspan(2));
        CHECK_FALSE(read.ignore);
        REQUIRE(read.tlv);
        CHECK(*read.tlv == s.tlv);
        seen.insert(s.tlv.index());
    }
    CHECK(seen.size() == tlv_table().size());
    CHECK(seen.size() == std::variant_size_v<Tlv>);
}

TEST_CASE("a TLV cut at any length is refused, or read as what is still whole") {
    for (const Sample& s : samples()) {
        const base::Bytes bytes = hex(s.bytes);
        for (std::size_t length = 0; length < bytes.size() - 2; ++length) {
            CAPTURE(s.bytes, length);
            const Decoded read = decode(bytes[0], base::ByteView(bytes).subspan(2, length));
            if (read.tlv && !read.ignore) CHECK_FALSE(*read.tlv == s.tlv);
            if (!read.tlv) CHECK(read.ignore);
        }
    }
}

TEST_CASE("a TLV that does not fit is not written by half") {
    for (const Sample& s : samples()) {
        const std::size_t size = bytes_of(s.tlv).size();
        for (std::size_t space = 0; space < size; ++space) {
            PacketWriter writer(4 + space);
            CHECK_FALSE(writer.add(s.tlv));
            CHECK(writer.empty());
        }
        PacketWriter writer(4 + size);
        CHECK(writer.add(s.tlv));
    }
}

TEST_CASE("every TLV survives every sub-TLV we do not know, and is ignored for a mandatory or a cut one") {
    for (const Sample& s : samples()) {
        const base::Bytes whole = hex(s.bytes);
        if (is_opaque(s.tlv)) continue;
        const auto with = [&](const char* more) {
            base::Bytes body(whole.begin() + 2, whole.end());
            const base::Bytes tail = hex(more);
            body.insert(body.end(), tail.begin(), tail.end());
            return decode(whole[0], body);
        };
        CAPTURE(s.bytes);
        for (const char* harmless :
             {"00", "0100", "0103aabbcc", "7f00", "7f02abcd", "0000", "0203010203", "0500"}) {
            CHECK_FALSE(with(harmless).ignore);
            CHECK(with(harmless).tlv == s.tlv);
        }
        for (const char* mandatory :
             {"8100", "ff0100", "fe00", "00ff00", "0500ff00", "7f01aafe00"}) {  // T24, D33
            CHECK(with(mandatory).ignore == Malformed::unknown_mandatory_sub_tlv);
        }
        for (const char* cut : {"05", "05ff00", "0505", "7f03aabb", "80", "8005"}) {  // CVE-2022-26129
            CHECK(with(cut).ignore == Malformed::cut_sub_tlv);
        }
    }
}

TEST_CASE("a short time stamp is ignored, a long one is read") {  // RFC 9616
    const auto hello = [](const char* sub) {
        base::Bytes body = hex("000000010190");
        const base::Bytes tail = hex(sub);
        body.insert(body.end(), tail.begin(), tail.end());
        return std::get<Hello>(decode(4, body).tlv.value());
    };
    CHECK_FALSE(hello("0300").timestamp);
    CHECK_FALSE(hello("0303aabbcc").timestamp);
    CHECK(hello("0304aabbccdd").timestamp == 0xaabbccdd);
    CHECK(hello("0306aabbccddeeff").timestamp == 0xaabbccdd);
}

TEST_CASE("a source prefix twice, empty, too long or cut makes the TLV be ignored") {  // RFC 9079 7.1
    for (const char* sub :
         {"80020801"
          "80020801",
          "800100",
          "80020a01",
          "8000",
          "80022101",
          "800301"}) {
        base::Bytes body = hex("01080a");
        const base::Bytes tail = hex(sub);
        body.insert(body.end(), tail.begin(), tail.end());
        CAPTURE(sub);
        CHECK(decode(9, body).ignore);
    }
    CHECK_FALSE(decode(9, hex("01080a80020801")).ignore);
    CHECK_FALSE(decode(9, hex("01080a8004080a0b0c")).ignore);  // more than needed does no harm
    CHECK(decode(9, hex("000080020801")).ignore);              // on a wildcard
}

TEST_CASE("impossible encodings, lengths and values are refused") {
    const struct {
        std::uint8_t type;
        const char* body;
        Malformed reason;
    } list[] = {
        {2, "000012340000", Malformed::bad_interval},
        {5, "040000600190c0000201", Malformed::bad_encoding},  // T54
        {5, "c80000600190c0000201", Malformed::bad_encoding},  // T55
        {5, "010000600000c0000201", Malformed::bad_interval},
        {5, "010000600190c00002", Malformed::too_short},
        {7, "0000", Malformed::bad_encoding},
        {7, "0400c0000201", Malformed::bad_encoding},
        {7, "0100c00002", Malformed::too_short},
        {8, "c8000000000100000000", Malformed::bad_encoding},
        {8, "02008100000100000000", Malformed::bad_prefix_length},  // T30
        {8, "01002100000100000000", Malformed::bad_prefix_length},
        {8, "04002100000100000000", Malformed::bad_prefix_length},
        {8, "02004009000100000000", Malformed::bad_prefix_length},  // more omitted than there is
        {8, "02004007000100000000", Malformed::too_short},
        {8, "03008001000100000000", Malformed::too_short},
        {9, "0001", Malformed::bad_prefix_length},
        {9, "0121c0000201", Malformed::bad_prefix_length},
        {9, "0300", Malformed::bad_encoding},
        {9, "0118c000", Malformed::too_short},
        {10, "0000000140000102030405060708", Malformed::bad_encoding},
        {10, "0100000100000102030405060708", Malformed::no_hops_left},
        {10, "0100000140000000000000000000", Malformed::bad_router_id},
        {10, "010000014000ffffffffffffffff", Malformed::bad_router_id},
        {10, "0129000140000102030405060708", Malformed::bad_prefix_length},
        {10, "0108000140000102030405060708", Malformed::too_short},
        {17, "000000", Malformed::too_short},
    };
    for (const auto& row : list) {
        CAPTURE(int(row.type), row.body);
        const Decoded read = decode(row.type, hex(row.body));
        CHECK_FALSE(read.tlv);
        CHECK(read.ignore == row.reason);
        CHECK(to_string(row.reason) != "malformed");
    }
}

TEST_CASE("a type we do not know is neither read nor an error") {
    for (const int type : {11, 12, 15, 20, 50, 200, 255}) {
        const Decoded read = decode(static_cast<std::uint8_t>(type), hex("0102030405"));
        CHECK_FALSE(read.tlv);
        CHECK_FALSE(read.ignore);
    }
}

TEST_CASE("indices of 0 to 32 octets and nonces of 0 to 192 octets are read, longer ones are refused") {
    const auto read = [](int type, std::size_t size) {
        return decode(static_cast<std::uint8_t>(type), base::Bytes(size, 7));
    };
    CHECK(read(17, 4).tlv == Tlv(PacketCounter{0x07070707, {}}));
    CHECK(read(17, 36).tlv == Tlv(PacketCounter{0x07070707, base::Bytes(32, 7)}));
    CHECK(read(17, 37).ignore == Malformed::too_long);
    CHECK(read(18, 0).tlv == Tlv(ChallengeRequest{}));
    CHECK(read(19, 0).tlv == Tlv(ChallengeReply{}));
    for (const int type : {18, 19}) {
        CHECK(read(type, 192).tlv);
        CHECK(read(type, 193).ignore == Malformed::too_long);
        CHECK_FALSE(read(type, 193).tlv);
    }
}

TEST_CASE("an interval is at least a hundredth of a second and never means 'not repeated'") {
    CHECK(Interval::of(0s) == Interval{1});
    CHECK(Interval::of(4s) == Interval{400});
    CHECK(Interval::of(std::chrono::hours(1)) == Interval{0xfffe});
    CHECK(Interval{400}.duration() == 4s);
}
