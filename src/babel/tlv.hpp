#pragma once

// The TLVs of Babel as values, and the bytes of each (RFC 8966 4.6; RFC 8967 6; RFC 9079,
// 9229 and 9616 for the sub-TLVs). A TLV alone knows nothing of those before it: what compression leaves out
// is completed in packet.hpp.

#include "babel/constants.hpp"
#include "base/bytes.hpp"

#include <compare>
#include <optional>
#include <span>
#include <string_view>
#include <variant>

namespace aronet::babel {

enum class TlvType : std::uint8_t {
    pad1 = 0,
    pad_n = 1,
    ack_request = 2,
    ack = 3,
    hello = 4,
    ihu = 5,
    router_id = 6,
    next_hop = 7,
    update = 8,
    route_request = 9,
    seqno_request = 10,
    mac = 16,
    packet_counter = 17,
    challenge_request = 18,
    challenge_reply = 19,
};

enum class SubTlvType : std::uint8_t { pad1 = 0, pad_n = 1, timestamp = 3, source_prefix = 128 };

// How an address or a prefix is written (section 4.1.4; RFC 9229 for the last).
enum class Encoding : std::uint8_t { wildcard = 0, v4 = 1, v6 = 2, link_local = 3, v4_via_v6 = 4 };

struct PadN {
    std::uint8_t size = 0;
    bool operator==(const PadN&) const = default;
};

struct AckRequest {
    std::uint16_t opaque = 0;
    Interval interval;
    bool operator==(const AckRequest&) const = default;
};

struct Ack {
    std::uint16_t opaque = 0;
    bool operator==(const Ack&) const = default;
};

struct Hello {
    bool unicast = false;
    SeqNo seqno = 0;
    Interval interval;                       // 0: unscheduled
    std::optional<std::uint32_t> timestamp;  // RFC 9616: microseconds of the sender's clock
    bool operator==(const Hello&) const = default;
};

struct Ihu {
    struct Echo {  // RFC 9616: our time stamp, and when it arrived there
        std::uint32_t origin = 0;
        std::uint32_t received = 0;
        bool operator==(const Echo&) const = default;
    };
    std::optional<Address> address;  // absent: whoever receives it
    std::uint16_t rxcost = kInfinity;
    Interval interval;
    std::optional<Echo> echo;
    bool operator==(const Ihu&) const = default;
};

struct RouterIdTlv {
    RouterId id = 0;
    bool operator==(const RouterIdTlv&) const = default;
};

struct NextHop {
    Address address;
    bool operator==(const NextHop&) const = default;
};

// An Update as it stands in the packet: `octets` lacks the first `omitted` ones of the prefix.
struct Update {
    Encoding encoding = Encoding::wildcard;
    bool sets_default_prefix = false;  // flag P
    bool sets_router_id = false;       // flag R
    std::uint8_t length = 0;
    std::uint8_t omitted = 0;
    Interval interval;
    SeqNo seqno = 0;
    Metric metric = kInfinity;
    std::array<base::Byte, 16> octets{};
    std::optional<Prefix> source;

    std::size_t octet_count() const;  // of those present
    bool operator==(const Update&) const = default;
};

struct RouteRequest {
    std::optional<Destination> about;  // absent: everything
    bool operator==(const RouteRequest&) const = default;
};

struct SeqnoRequest {
    Destination about;
    SeqNo seqno = 0;
    std::uint8_t hop_count = 0;
    RouterId router_id = 0;
    bool operator==(const SeqnoRequest&) const = default;
};

// Authentication (RFC 8967 6): opaque octets to the end of the TLV, hence no sub-TLVs.
struct MacTlv {  // counts in the trailer of a packet only
    base::Bytes mac;
    bool operator==(const MacTlv&) const = default;
};

struct PacketCounter {
    std::uint32_t pc = 0;
    base::Bytes index;
    bool operator==(const PacketCounter&) const = default;
};

struct ChallengeRequest {
    base::Bytes nonce;
    bool operator==(const ChallengeRequest&) const = default;
};

struct ChallengeReply {
    base::Bytes nonce;
    bool operator==(const ChallengeReply&) const = default;
};

using Tlv = std::variant<
    PadN,
    AckRequest,
    Ack,
    Hello,
    Ihu,
    RouterIdTlv,
    NextHop,
    Update,
    RouteRequest,
    SeqnoRequest,
    MacTlv,
    PacketCounter,
    ChallengeRequest,
    ChallengeReply>;

// Why something received was not taken.
enum class Malformed : std::uint8_t {
    too_short,
    too_long,
    bad_encoding,
    bad_prefix_length,
    bad_interval,
    bad_router_id,
    no_hops_left,
    cut_sub_tlv,
    unknown_mandatory_sub_tlv,
    bad_source_prefix,
    no_default_prefix,
    no_router_id,
    no_next_hop,
    bad_wildcard,
    not_babel,
    bad_packet_length,
    tlv_beyond_end,
};
std::string_view to_string(Malformed reason);

struct Decoded {
    std::optional<Tlv> tlv;  // absent for a type that we do not know, and for what cannot be read at all
    std::optional<Malformed>
        ignore;  // with a tlv: only what it does to the parser's state counts (section 4.5)
    Encoding encoding = Encoding::wildcard;  // as written, for prefixes
};

struct TlvRow {
    TlvType type;
    std::string_view name;
    std::size_t body_min;
    Decoded (*decode)(base::Reader& body);
};
std::span<const TlvRow> tlv_table();

Decoded decode(std::uint8_t type, base::ByteView body);
void encode(const Tlv& tlv, base::Writer& out);

}  // namespace aronet::babel
