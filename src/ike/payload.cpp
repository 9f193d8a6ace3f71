#include "ike/payload.hpp"

#include <algorithm>
#include <array>

namespace aronet::ike {
namespace {

using base::Reader;
using base::Writer;

constexpr std::uint16_t kKeyLengthAttribute = 14;  // RFC 7296 3.3.5
constexpr std::uint16_t kShortAttribute = 0x8000;  // type/value form

// --- SA (3.3)

void encode(const Transform& transform, bool last, Writer& out) {
    out.u8(last ? 0 : 3);
    out.u8(0);
    out.u16(transform.key_length ? 12 : 8);
    out.u8(static_cast<std::uint8_t>(transform.type));
    out.u8(0);
    out.u16(transform.id);
    if (transform.key_length) {
        out.u16(kShortAttribute | kKeyLengthAttribute);
        out.u16(*transform.key_length);
    }
}

// Reads the attributes of a transform. False: one that we do not know or that is malformed makes it unusable
// (3.3.6).
bool read_attributes(Reader& in, Transform& transform) {
    while (in.left() > 0 && !in.failed()) {
        const std::uint16_t type = in.u16();
        const std::uint16_t value = in.u16();
        if ((type & kShortAttribute) == 0) {
            in.skip(value);
            return false;
        }
        if (type != (kShortAttribute | kKeyLengthAttribute) || transform.key_length) return false;
        transform.key_length = value;
    }
    return !in.failed();
}

bool read_transform(Reader& in, Proposal& proposal, bool last) {
    const std::uint8_t more = in.u8();
    in.skip(1);
    const std::uint16_t length = in.u16();
    if (in.failed() || more != (last ? 0 : 3) || length < 8) return false;
    Reader body(in.take(length - 4u));
    if (in.failed()) return false;
    Transform transform;
    const std::uint8_t type = body.u8();
    body.skip(1);
    transform.id = body.u16();
    if (type < 1 || type > 5) {
        proposal.unusable = true;
        return true;
    }
    transform.type = static_cast<TransformType>(type);
    if (read_attributes(body, transform)) proposal.transforms.push_back(transform);
    return true;
}

bool read_proposal(Reader& in, Proposal& proposal, bool& last) {
    const std::uint8_t more = in.u8();
    in.skip(1);
    const std::uint16_t length = in.u16();
    if (in.failed() || (more != 0 && more != 2) || length < 8) return false;
    last = more == 0;
    Reader body(in.take(length - 4u));
    if (in.failed()) return false;
    proposal.number = body.u8();
    proposal.protocol = static_cast<Protocol>(body.u8());
    const std::uint8_t spi_size = body.u8();
    const std::uint8_t count = body.u8();
    const ByteView spi = body.take(spi_size);
    proposal.spi.assign(spi.begin(), spi.end());
    for (unsigned i = 1; i <= count; ++i) {
        if (!read_transform(body, proposal, i == count)) return false;
    }
    return body.done();
}

void encode_body(const SaPayload& sa, Writer& out) {
    for (const Proposal& proposal : sa.proposals) {
        Bytes transforms;
        Writer inner(transforms);
        for (const Transform& transform : proposal.transforms) {
            encode(transform, &transform == &proposal.transforms.back(), inner);
        }
        out.u8(&proposal == &sa.proposals.back() ? 0 : 2);
        out.u8(0);
        out.u16(static_cast<std::uint16_t>(8 + proposal.spi.size() + transforms.size()));
        out.u8(proposal.number);
        out.u8(static_cast<std::uint8_t>(proposal.protocol));
        out.u8(static_cast<std::uint8_t>(proposal.spi.size()));
        out.u8(static_cast<std::uint8_t>(proposal.transforms.size()));
        out.put(proposal.spi);
        out.put(transforms);
    }
}

std::optional<Payload> decode_sa(ByteView body) {
    Reader in(body);
    SaPayload sa;
    for (bool last = false; !last;) {
        if (in.left() == 0 || sa.proposals.size() >= kProposalsMax) return std::nullopt;
        Proposal proposal;
        if (!read_proposal(in, proposal, last)) return std::nullopt;
        sa.proposals.push_back(std::move(proposal));
    }
    if (!in.done()) return std::nullopt;
    return sa;
}

// --- KE (3.4)

void encode_body(const KePayload& ke, Writer& out) {
    out.u16(ke.group);
    out.u16(0);
    out.put(ke.data);
}

std::optional<Payload> decode_ke(ByteView body) {
    Reader in(body);
    KePayload ke;
    ke.group = in.u16();
    in.skip(2);
    const ByteView data = in.rest();
    if (data.empty()) return std::nullopt;
    ke.data.assign(data.begin(), data.end());
    return ke;
}

// --- IDi, IDr (3.5)

void encode_body(const IdPayload& id, Writer& out) { out.put(id.body); }

std::optional<Payload> decode_id(bool responder, ByteView body) {
    constexpr std::size_t kIdMax = 4096;  // no name of ours comes near it
    if (body.size() > kIdMax) return std::nullopt;
    return IdPayload{responder, Bytes(body.begin(), body.end())};
}

// --- AUTH (3.8)

void encode_body(const AuthPayload& auth, Writer& out) {
    out.u8(auth.method);
    out.zeros(3);
    out.put(auth.data);
}

std::optional<Payload> decode_auth(ByteView body) {
    return AuthPayload{body[0], Bytes(body.begin() + 4, body.end())};
}

// --- Nonce (3.9)

void encode_body(const NoncePayload& nonce, Writer& out) { out.put(nonce.data); }

std::optional<Payload> decode_nonce(ByteView body) {
    if (body.size() > kNonceMax) return std::nullopt;
    return NoncePayload{Bytes(body.begin(), body.end())};
}

// --- Notify (3.10)

void encode_body(const NotifyPayload& notify, Writer& out) {
    out.u8(static_cast<std::uint8_t>(notify.protocol));
    out.u8(static_cast<std::uint8_t>(notify.spi.size()));
    out.u16(notify.type);
    out.put(notify.spi);
    out.put(notify.data);
}

// Data of a fixed size is checked here, so that nobody behind has to (docs/ike.md: A10).
bool has_right_size(const NotifyPayload& notify) {
    switch (notify.type) {
        case notify::invalid_ke_payload:
            return notify.data.size() == 2;
        case notify::unsupported_critical_payload:
            return notify.data.size() == 1;
        case notify::nat_detection_source_ip:
        case notify::nat_detection_destination_ip:
            return notify.data.size() == 20;
        case notify::cookie:
            return !notify.data.empty() && notify.data.size() <= 64;
        case notify::signature_hash_algorithms:
            return notify.data.size() % 2 == 0;
        default:
            return true;
    }
}

std::optional<Payload> decode_notify(ByteView body) {
    Reader in(body);
    NotifyPayload notify;
    notify.protocol = static_cast<Protocol>(in.u8());
    const std::uint8_t spi_size = in.u8();
    notify.type = in.u16();
    const ByteView spi = in.take(spi_size);
    const ByteView data = in.rest();
    notify.spi.assign(spi.begin(), spi.end());
    notify.data.assign(data.begin(), data.end());
    if (in.failed() || !has_right_size(notify)) return std::nullopt;
    return notify;
}

// --- Delete (3.11)

void encode_body(const DeletePayload& payload, Writer& out) {
    out.u8(static_cast<std::uint8_t>(payload.protocol));
    out.u8(payload.protocol == Protocol::ike ? 0 : 4);
    out.u16(static_cast<std::uint16_t>(payload.spis.size()));
    for (const std::uint32_t spi : payload.spis) out.u32(spi);
}

std::optional<Payload> decode_delete(ByteView body) {
    Reader in(body);
    DeletePayload payload;
    payload.protocol = static_cast<Protocol>(in.u8());
    const std::uint8_t spi_size = in.u8();
    const std::uint16_t count = in.u16();
    if (payload.protocol == Protocol::ike) {
        if (spi_size != 0 || count != 0) return std::nullopt;
    } else if (spi_size != 4 || in.left() != std::size_t{4} * count) {
        return std::nullopt;
    }
    for (unsigned i = 0; i < count; ++i) payload.spis.push_back(in.u32());
    if (!in.done()) return std::nullopt;
    return payload;
}

// --- TSi, TSr (3.13)

void encode(const TrafficSelector& selector, Writer& out) {
    const bool v4 = selector.start.is_v4();
    out.u8(v4 ? ts_type::ipv4_range : ts_type::ipv6_range);
    out.u8(selector.ip_protocol);
    out.u16(v4 ? 16 : 40);
    out.u16(selector.start_port);
    out.u16(selector.end_port);
    out.put(selector.start.bytes());
    out.put(selector.end.bytes());
}

void encode_body(const TsPayload& ts, Writer& out) {
    out.u8(static_cast<std::uint8_t>(ts.selectors.size()));
    out.zeros(3);
    for (const TrafficSelector& selector : ts.selectors) encode(selector, out);
}

// False: the selector is malformed. One of an unknown type is passed over.
bool read_selector(Reader& in, std::vector<TrafficSelector>& selectors) {
    const std::uint8_t type = in.u8();
    const std::uint8_t ip_protocol = in.u8();
    const std::uint16_t length = in.u16();
    if (in.failed() || length < 8) return false;
    Reader body(in.take(length - 4u));
    if (in.failed()) return false;
    if (type != ts_type::ipv4_range && type != ts_type::ipv6_range) return true;
    if (length != (type == ts_type::ipv4_range ? 16 : 40)) return false;
    const std::size_t width = type == ts_type::ipv4_range ? 4 : 16;
    TrafficSelector selector;
    selector.ip_protocol = ip_protocol;
    selector.start_port = body.u16();
    selector.end_port = body.u16();
    selector.start = *base::Address::from_bytes(body.take(width));
    selector.end = *base::Address::from_bytes(body.take(width));
    if (selector.end < selector.start) return false;
    selectors.push_back(selector);
    return true;
}

std::optional<Payload> decode_ts(bool responder, ByteView body) {
    Reader in(body);
    TsPayload ts{responder, {}};
    const std::uint8_t count = in.u8();
    in.skip(3);
    if (count == 0) return std::nullopt;
    for (unsigned i = 0; i < count; ++i) {
        if (!read_selector(in, ts.selectors)) return std::nullopt;
    }
    if (!in.done()) return std::nullopt;
    return ts;
}

// --- everything else

void encode_body(const OpaquePayload& payload, Writer& out) { out.put(payload.body); }

struct Row {
    PayloadType type;
    std::size_t min_length;
    std::optional<Payload> (*decode)(ByteView body);
};

constexpr std::array<Row, 10> kRows{{
    {PayloadType::sa, 8, decode_sa},
    {PayloadType::ke, 5, decode_ke},
    {PayloadType::id_i, 5, [](ByteView body) { return decode_id(false, body); }},
    {PayloadType::id_r, 5, [](ByteView body) { return decode_id(true, body); }},
    {PayloadType::auth, 5, decode_auth},
    {PayloadType::nonce, kNonceMin, decode_nonce},
    {PayloadType::notify, 4, decode_notify},
    {PayloadType::delete_, 4, decode_delete},
    {PayloadType::ts_i, 12, [](ByteView body) { return decode_ts(false, body); }},
    {PayloadType::ts_r, 12, [](ByteView body) { return decode_ts(true, body); }},
}};

}  // namespace

TrafficSelector TrafficSelector::any(base::Family family) {
    TrafficSelector selector;
    const Bytes ones(base::bits(family) / 8, 0xff);
    selector.start = base::Address::any(family);
    selector.end = *base::Address::from_bytes(ones);
    return selector;
}

std::uint8_t type_of(const Payload& payload) {
    struct Type {
        PayloadType operator()(const SaPayload&) const { return PayloadType::sa; }
        PayloadType operator()(const KePayload&) const { return PayloadType::ke; }
        PayloadType operator()(const IdPayload& p) const {
            return p.responder ? PayloadType::id_r : PayloadType::id_i;
        }
        PayloadType operator()(const AuthPayload&) const { return PayloadType::auth; }
        PayloadType operator()(const NoncePayload&) const { return PayloadType::nonce; }
        PayloadType operator()(const NotifyPayload&) const { return PayloadType::notify; }
        PayloadType operator()(const DeletePayload&) const { return PayloadType::delete_; }
        PayloadType operator()(const TsPayload& p) const {
            return p.responder ? PayloadType::ts_r : PayloadType::ts_i;
        }
        PayloadType operator()(const OpaquePayload& p) const { return static_cast<PayloadType>(p.type); }
    };
    return static_cast<std::uint8_t>(std::visit(Type(), payload));
}

void encode(const Payload& payload, Writer& out) {
    std::visit([&](const auto& body) { encode_body(body, out); }, payload);
}

std::optional<Payload> decode_payload(std::uint8_t type, bool critical, ByteView body) {
    for (const Row& row : kRows) {
        if (static_cast<std::uint8_t>(row.type) != type) continue;
        if (body.size() < row.min_length) return std::nullopt;
        return row.decode(body);
    }
    return OpaquePayload{type, critical, Bytes(body.begin(), body.end())};
}

bool is_known(std::uint8_t type) { return type >= 33 && type <= 48; }

}  // namespace aronet::ike
