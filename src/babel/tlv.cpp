#include "babel/tlv.hpp"

#include "base/result.hpp"

#include <array>

namespace aronet::babel {

using base::ByteView;
using base::Reader;
using base::Writer;

namespace {

constexpr std::size_t octets_for(unsigned prefix_length) { return (prefix_length + 7) / 8; }

const Address& link_local_base() {
    static const Address base = Address::v6({0xfe, 0x80});
    return base;
}

bool is_link_local_64(const Address& address) { return Prefix(link_local_base(), 64).contains(address); }

// ---- addresses and prefixes (section 4.1.4, 4.1.5) ----

std::optional<Address> read_address(Reader& in, std::uint8_t encoding) {
    std::array<base::Byte, 16> octets{0xfe, 0x80};
    std::size_t from = 0, count = 16;
    if (encoding == std::uint8_t(Encoding::v4)) count = 4;
    if (encoding == std::uint8_t(Encoding::link_local)) from = 8, count = 8;
    const ByteView bytes = in.take(count);
    if (in.failed()) return std::nullopt;
    std::copy(bytes.begin(), bytes.end(), octets.begin() + std::ptrdiff_t(from));
    return Address::from_bytes(ByteView(octets).first(from + count));
}

void write_address(const Address& address, Writer& out) {
    out.put(is_link_local_64(address) ? address.bytes().last(8) : address.bytes());
}

std::uint8_t encoding_of(const Address& address) {
    if (address.is_v4()) return std::uint8_t(Encoding::v4);
    return std::uint8_t(is_link_local_64(address) ? Encoding::link_local : Encoding::v6);
}

// A whole prefix of the given family, bits beyond its length cleared.
std::optional<Prefix> read_prefix(Reader& in, base::Family family, unsigned length) {
    if (length > base::bits(family)) return std::nullopt;
    const ByteView bytes = in.take(octets_for(length));
    if (in.failed()) return std::nullopt;
    std::array<base::Byte, 16> octets{};
    std::copy(bytes.begin(), bytes.end(), octets.begin());
    const auto address = Address::from_bytes(ByteView(octets).first(base::bits(family) / 8));
    return Prefix(*address, length);
}

void write_prefix(const Prefix& prefix, Writer& out) {
    out.put(prefix.address().bytes().first(octets_for(prefix.length())));
}

// Requests treat IPv4 alike whatever the next hop will be (RFC 9229 2.3).
std::optional<base::Family> family_of(std::uint8_t encoding) {
    switch (Encoding(encoding)) {
        case Encoding::v4:
        case Encoding::v4_via_v6:
            return base::Family::v4;
        case Encoding::v6:
            return base::Family::v6;
        default:
            return std::nullopt;
    }
}

// ---- sub-TLVs (section 4.4) ----

struct SubTlvs {
    std::optional<ByteView> timestamp;
    std::optional<Prefix> source;
    std::optional<Malformed> ignore;
};

void take_source_prefix(ByteView body, std::optional<base::Family> family, SubTlvs& out) {
    Reader in(body);
    const unsigned length = in.u8();
    const auto prefix = family && length > 0 ? read_prefix(in, *family, length) : std::nullopt;
    if (in.failed() || !prefix || out.source) {
        out.ignore = Malformed::bad_source_prefix;  // RFC 9079 7.1
    } else {
        out.source = prefix;
    }
}

enum class Takes : std::uint8_t { nothing, timestamp, source };

// Reads what follows the fixed part of a TLV. `family` is that of the prefix a source prefix belongs to.
SubTlvs read_sub_tlvs(Reader& in, Takes takes, std::optional<base::Family> family = std::nullopt) {
    SubTlvs out;
    while (in.left() > 0) {
        const std::uint8_t type = in.u8();
        if (type == std::uint8_t(SubTlvType::pad1)) continue;
        const std::size_t length = in.u8();
        const ByteView body = in.take(length);
        if (in.failed()) {
            out.ignore = Malformed::cut_sub_tlv;
            break;
        }
        if (type == std::uint8_t(SubTlvType::source_prefix) && takes == Takes::source) {
            take_source_prefix(body, family, out);
        } else if (type >= 128) {
            out.ignore = Malformed::unknown_mandatory_sub_tlv;
        } else if (type == std::uint8_t(SubTlvType::timestamp) && takes == Takes::timestamp) {
            if (!out.timestamp) out.timestamp = body;
        }
    }
    return out;
}

void write_source_prefix(const Prefix& source, Writer& out) {
    out.u8(std::uint8_t(SubTlvType::source_prefix));
    out.u8(static_cast<std::uint8_t>(1 + octets_for(source.length())));
    out.u8(static_cast<std::uint8_t>(source.length()));
    write_prefix(source, out);
}

// ---- one pair of functions per TLV ----

Decoded refused(Malformed reason) { return {std::nullopt, reason}; }

Decoded decode_pad_n(Reader& in) {
    const auto size = static_cast<std::uint8_t>(in.left());
    in.rest();
    return {PadN{size}, std::nullopt};
}

void encode_body(const PadN& tlv, Writer& out) { out.zeros(tlv.size); }

Decoded decode_ack_request(Reader& in) {
    in.skip(2);
    AckRequest tlv{in.u16(), {in.u16()}};
    if (tlv.interval.centiseconds == 0) return refused(Malformed::bad_interval);
    return {tlv, read_sub_tlvs(in, Takes::nothing).ignore};
}

void encode_body(const AckRequest& tlv, Writer& out) {
    out.u16(0);
    out.u16(tlv.opaque);
    out.u16(tlv.interval.centiseconds);
}

Decoded decode_ack(Reader& in) {
    const Ack tlv{in.u16()};
    return {tlv, read_sub_tlvs(in, Takes::nothing).ignore};
}

void encode_body(const Ack& tlv, Writer& out) { out.u16(tlv.opaque); }

constexpr std::uint16_t kUnicastFlag = 0x8000;

Decoded decode_hello(Reader& in) {
    Hello tlv;
    tlv.unicast = (in.u16() & kUnicastFlag) != 0;
    tlv.seqno = in.u16();
    tlv.interval = {in.u16()};
    const SubTlvs sub = read_sub_tlvs(in, Takes::timestamp);
    if (sub.timestamp && sub.timestamp->size() >= 4) tlv.timestamp = Reader(*sub.timestamp).u32();
    return {tlv, sub.ignore};
}

void encode_body(const Hello& tlv, Writer& out) {
    out.u16(tlv.unicast ? kUnicastFlag : 0);
    out.u16(tlv.seqno);
    out.u16(tlv.interval.centiseconds);
    if (!tlv.timestamp) return;
    out.u8(std::uint8_t(SubTlvType::timestamp));
    out.u8(4);
    out.u32(*tlv.timestamp);
}

Decoded decode_ihu(Reader& in) {
    Ihu tlv;
    const std::uint8_t encoding = in.u8();
    in.skip(1);
    tlv.rxcost = in.u16();
    tlv.interval = {in.u16()};
    if (encoding > std::uint8_t(Encoding::link_local)) return refused(Malformed::bad_encoding);
    if (encoding != std::uint8_t(Encoding::wildcard)) tlv.address = read_address(in, encoding);
    if (in.failed()) return refused(Malformed::too_short);
    if (tlv.interval.centiseconds == 0) return refused(Malformed::bad_interval);
    const SubTlvs sub = read_sub_tlvs(in, Takes::timestamp);
    if (sub.timestamp && sub.timestamp->size() >= 8) {
        Reader stamp(*sub.timestamp);
        const std::uint32_t origin = stamp.u32();
        tlv.echo = Ihu::Echo{origin, stamp.u32()};
    }
    return {tlv, sub.ignore};
}

void encode_body(const Ihu& tlv, Writer& out) {
    out.u8(tlv.address ? encoding_of(*tlv.address) : std::uint8_t(Encoding::wildcard));
    out.u8(0);
    out.u16(tlv.rxcost);
    out.u16(tlv.interval.centiseconds);
    if (tlv.address) write_address(*tlv.address, out);
    if (!tlv.echo) return;
    out.u8(std::uint8_t(SubTlvType::timestamp));
    out.u8(8);
    out.u32(tlv.echo->origin);
    out.u32(tlv.echo->received);
}

Decoded decode_router_id(Reader& in) {
    in.skip(2);
    const RouterIdTlv tlv{in.u64()};  // a bad id is the packet's concern: it unsets the last one
    return {tlv, read_sub_tlvs(in, Takes::nothing).ignore};
}

void encode_body(const RouterIdTlv& tlv, Writer& out) {
    out.u16(0);
    out.u64(tlv.id);
}

Decoded decode_next_hop(Reader& in) {
    const std::uint8_t encoding = in.u8();
    in.skip(1);
    if (encoding == std::uint8_t(Encoding::wildcard) || encoding > std::uint8_t(Encoding::link_local)) {
        return refused(Malformed::bad_encoding);
    }
    const auto address = read_address(in, encoding);
    if (!address) return refused(Malformed::too_short);
    return {NextHop{*address}, read_sub_tlvs(in, Takes::nothing).ignore};
}

void encode_body(const NextHop& tlv, Writer& out) {
    out.u8(encoding_of(tlv.address));
    out.u8(0);
    write_address(tlv.address, out);
}

constexpr std::uint8_t kDefaultPrefixFlag = 0x80;
constexpr std::uint8_t kRouterIdFlag = 0x40;

// The last octets of a link-local prefix stand for themselves: fe80::/64 in front of them is never sent.
std::size_t whole_octets(Encoding encoding, unsigned length) {
    const std::size_t count = octets_for(length);
    return encoding != Encoding::link_local ? count : count < 8 ? 0 : count - 8;
}

Decoded decode_update(Reader& in) {
    const std::uint8_t encoding = in.u8(), flags = in.u8();
    Update tlv;
    tlv.encoding = Encoding(encoding);
    tlv.sets_default_prefix = (flags & kDefaultPrefixFlag) != 0;
    tlv.sets_router_id = (flags & kRouterIdFlag) != 0;
    tlv.length = in.u8();
    tlv.omitted = in.u8();
    tlv.interval = {in.u16()};
    tlv.seqno = in.u16();
    tlv.metric = in.u16();
    if (encoding > std::uint8_t(Encoding::v4_via_v6)) return refused(Malformed::bad_encoding);
    const auto family = family_of(encoding);
    if (tlv.encoding != Encoding::wildcard && tlv.length > (family ? base::bits(*family) : 128u)) {
        return refused(Malformed::bad_prefix_length);
    }
    if (tlv.encoding != Encoding::wildcard && tlv.omitted > whole_octets(tlv.encoding, tlv.length)) {
        return refused(Malformed::bad_prefix_length);
    }
    const ByteView octets = in.take(tlv.octet_count());
    if (in.failed()) return refused(Malformed::too_short);
    std::copy(octets.begin(), octets.end(), tlv.octets.begin());
    const SubTlvs sub = read_sub_tlvs(in, Takes::source, family);
    tlv.source = sub.source;
    return {tlv, sub.ignore, tlv.encoding};
}

void encode_body(const Update& tlv, Writer& out) {
    out.u8(std::uint8_t(tlv.encoding));
    out.u8(static_cast<std::uint8_t>(
        (tlv.sets_default_prefix ? kDefaultPrefixFlag : 0) | (tlv.sets_router_id ? kRouterIdFlag : 0)
    ));
    out.u8(tlv.length);
    out.u8(tlv.omitted);
    out.u16(tlv.interval.centiseconds);
    out.u16(tlv.seqno);
    out.u16(tlv.metric);
    out.put(ByteView(tlv.octets).first(tlv.octet_count()));
    if (tlv.source) write_source_prefix(*tlv.source, out);
}

Decoded decode_route_request(Reader& in) {
    const std::uint8_t encoding = in.u8(), length = in.u8();
    const auto family = family_of(encoding);
    RouteRequest tlv;
    if (encoding == std::uint8_t(Encoding::wildcard)) {
        if (length != 0) return refused(Malformed::bad_prefix_length);
        return {tlv, read_sub_tlvs(in, Takes::source).ignore};
    }
    if (!family) return refused(Malformed::bad_encoding);
    if (length > base::bits(*family)) return refused(Malformed::bad_prefix_length);
    const auto prefix = read_prefix(in, *family, length);
    if (!prefix) return refused(Malformed::too_short);
    const SubTlvs sub = read_sub_tlvs(in, Takes::source, family);
    tlv.about = Destination{*prefix, sub.source.value_or(Prefix::any(*family))};
    return {tlv, sub.ignore, Encoding(encoding)};
}

void encode_body(const RouteRequest& tlv, Writer& out) {
    const bool v4 = tlv.about && tlv.about->prefix.family() == base::Family::v4;
    out.u8(std::uint8_t(!tlv.about ? Encoding::wildcard : v4 ? Encoding::v4 : Encoding::v6));
    out.u8(static_cast<std::uint8_t>(tlv.about ? tlv.about->prefix.length() : 0));
    if (!tlv.about) return;
    write_prefix(tlv.about->prefix, out);
    if (tlv.about->source_specific()) write_source_prefix(tlv.about->source, out);
}

Decoded decode_seqno_request(Reader& in) {
    const std::uint8_t encoding = in.u8(), length = in.u8();
    SeqnoRequest tlv;
    tlv.seqno = in.u16();
    tlv.hop_count = in.u8();
    in.skip(1);
    tlv.router_id = in.u64();
    const auto family = family_of(encoding);
    if (!family) return refused(Malformed::bad_encoding);
    if (length > base::bits(*family)) return refused(Malformed::bad_prefix_length);
    const auto prefix = read_prefix(in, *family, length);
    if (!prefix) return refused(Malformed::too_short);
    if (tlv.hop_count == 0) return refused(Malformed::no_hops_left);
    if (!valid(tlv.router_id)) return refused(Malformed::bad_router_id);
    const SubTlvs sub = read_sub_tlvs(in, Takes::source, family);
    tlv.about = Destination{*prefix, sub.source.value_or(Prefix::any(*family))};
    return {tlv, sub.ignore, Encoding(encoding)};
}

void encode_body(const SeqnoRequest& tlv, Writer& out) {
    const bool v4 = tlv.about.prefix.family() == base::Family::v4;
    out.u8(std::uint8_t(v4 ? Encoding::v4 : Encoding::v6));
    out.u8(static_cast<std::uint8_t>(tlv.about.prefix.length()));
    out.u16(tlv.seqno);
    out.u8(tlv.hop_count);
    out.u8(0);
    out.u64(tlv.router_id);
    write_prefix(tlv.about.prefix, out);
    if (tlv.about.source_specific()) write_source_prefix(tlv.about.source, out);
}

// ---- authentication (RFC 8967 6) ----

base::Bytes rest_of(Reader& in) {
    const ByteView rest = in.rest();
    return {rest.begin(), rest.end()};
}

Decoded decode_mac(Reader& in) { return {MacTlv{rest_of(in)}, std::nullopt}; }

void encode_body(const MacTlv& tlv, Writer& out) { out.put(tlv.mac); }

Decoded decode_packet_counter(Reader& in) {
    const std::uint32_t pc = in.u32();
    if (in.left() > kMacIndexMax) return refused(Malformed::too_long);
    return {PacketCounter{pc, rest_of(in)}, std::nullopt};
}

void encode_body(const PacketCounter& tlv, Writer& out) {
    out.u32(tlv.pc);
    out.put(tlv.index);
}

template <class Challenge>
Decoded decode_challenge(Reader& in) {
    if (in.left() > kMacNonceMax) return refused(Malformed::too_long);
    return {Challenge{rest_of(in)}, std::nullopt};
}

void encode_body(const ChallengeRequest& tlv, Writer& out) { out.put(tlv.nonce); }

void encode_body(const ChallengeReply& tlv, Writer& out) { out.put(tlv.nonce); }

constexpr std::array<TlvRow, 14> kTable = {{
    {TlvType::pad_n, "PadN", 0, decode_pad_n},
    {TlvType::ack_request, "Acknowledgment Request", 6, decode_ack_request},
    {TlvType::ack, "Acknowledgment", 2, decode_ack},
    {TlvType::hello, "Hello", 6, decode_hello},
    {TlvType::ihu, "IHU", 6, decode_ihu},
    {TlvType::router_id, "Router-Id", 10, decode_router_id},
    {TlvType::next_hop, "Next Hop", 2, decode_next_hop},
    {TlvType::update, "Update", 10, decode_update},
    {TlvType::route_request, "Route Request", 2, decode_route_request},
    {TlvType::seqno_request, "Seqno Request", 14, decode_seqno_request},
    {TlvType::mac, "MAC", 0, decode_mac},
    {TlvType::packet_counter, "PC", 4, decode_packet_counter},
    {TlvType::challenge_request, "Challenge Request", 0, decode_challenge<ChallengeRequest>},
    {TlvType::challenge_reply, "Challenge Reply", 0, decode_challenge<ChallengeReply>},
}};

}  // namespace

std::size_t Update::octet_count() const {
    return encoding == Encoding::wildcard ? 0 : whole_octets(encoding, length) - omitted;
}

std::span<const TlvRow> tlv_table() { return kTable; }

Decoded decode(std::uint8_t type, ByteView body) {
    for (const TlvRow& row : kTable) {
        if (std::uint8_t(row.type) != type) continue;
        if (body.size() < row.body_min) return refused(Malformed::too_short);
        Reader in(body);
        return row.decode(in);
    }
    return {};
}

void encode(const Tlv& tlv, Writer& out) {
    out.u8(std::uint8_t(kTable[tlv.index()].type));  // the variant and the table list the TLVs in one order
    out.u8(0);
    const std::size_t start = out.position();
    std::visit([&](const auto& body) { encode_body(body, out); }, tlv);
    if (!out.failed()) out.patch_u8(start - 1, static_cast<std::uint8_t>(out.position() - start));
}

std::string_view to_string(Malformed reason) {
    switch (reason) {
        case Malformed::too_short:
            return "TLV too short";
        case Malformed::too_long:
            return "index or nonce too long";
        case Malformed::bad_encoding:
            return "unknown address encoding";
        case Malformed::bad_prefix_length:
            return "impossible prefix length";
        case Malformed::bad_interval:
            return "interval of zero";
        case Malformed::bad_router_id:
            return "invalid router-id";
        case Malformed::no_hops_left:
            return "seqno request without hops left";
        case Malformed::cut_sub_tlv:
            return "sub-TLV beyond its TLV";
        case Malformed::unknown_mandatory_sub_tlv:
            return "unknown mandatory sub-TLV";
        case Malformed::bad_source_prefix:
            return "bad source prefix";
        case Malformed::no_default_prefix:
            return "compressed prefix without a default";
        case Malformed::no_router_id:
            return "update without a router-id";
        case Malformed::no_next_hop:
            return "update without a next hop";
        case Malformed::bad_wildcard:
            return "wildcard update that is no retraction";
        case Malformed::not_babel:
            return "not a Babel 2 packet";
        case Malformed::bad_packet_length:
            return "packet shorter than its header says";
        case Malformed::tlv_beyond_end:
            return "TLV beyond the end of the packet";
    }
    return "malformed";
}

}  // namespace aronet::babel
