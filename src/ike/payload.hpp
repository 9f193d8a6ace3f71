#pragma once

// The payloads of IKEv2 (RFC 7296 3.3 ff.) as values, one struct per payload. Bodies only: the generic
// header, lengths and the chain belong to message.hpp. Nothing here has been authenticated.

#include "base/address.hpp"
#include "base/result.hpp"
#include "ike/constants.hpp"

#include <optional>
#include <variant>
#include <vector>

namespace aronet::ike {

using base::Bytes;
using base::ByteView;

struct Transform {
    TransformType type = TransformType::encr;
    std::uint16_t id = 0;
    std::optional<std::uint16_t> key_length;  // bits
    auto operator<=>(const Transform&) const = default;
};

struct Proposal {
    std::uint8_t number = 1;
    Protocol protocol = Protocol::ike;
    Bytes spi;  // 0 or 8 octets for IKE, 4 for ESP
    std::vector<Transform> transforms;
    // It contains a transform type or attribute that we do not know, so it cannot be chosen (RFC 7296 3.3.6).
    bool unusable = false;
    bool operator==(const Proposal&) const = default;
};

struct SaPayload {
    std::vector<Proposal> proposals;
    bool operator==(const SaPayload&) const = default;
};
struct KePayload {
    std::uint16_t group = 0;
    Bytes data;
    bool operator==(const KePayload&) const = default;
};
struct IdPayload {  // IDi or IDr
    bool responder = false;
    Bytes body;  // type, three reserved octets, data: as received, because AUTH covers all of it
    std::uint8_t type() const { return body.empty() ? 0 : body[0]; }
    ByteView data() const { return ByteView(body).subspan(std::min<std::size_t>(4, body.size())); }
    bool operator==(const IdPayload&) const = default;
};
struct AuthPayload {
    std::uint8_t method = 0;
    Bytes data;
    bool operator==(const AuthPayload&) const = default;
};
struct NoncePayload {
    Bytes data;
    bool operator==(const NoncePayload&) const = default;
};
struct NotifyPayload {
    std::uint16_t type = 0;
    Protocol protocol = Protocol::none;
    Bytes spi;
    Bytes data;
    bool is_error() const { return type < notify::first_status; }
    bool operator==(const NotifyPayload&) const = default;
};
struct DeletePayload {
    Protocol protocol = Protocol::ike;
    std::vector<std::uint32_t> spis;  // of ESP; none for IKE
    bool operator==(const DeletePayload&) const = default;
};
struct TrafficSelector {
    std::uint8_t ip_protocol = 0;  // 0: any
    std::uint16_t start_port = 0, end_port = 65535;
    base::Address start, end;  // of one family
    static TrafficSelector any(base::Family family);
    auto operator<=>(const TrafficSelector&) const = default;
};
struct TsPayload {  // TSi or TSr
    bool responder = false;
    std::vector<TrafficSelector> selectors;  // those of a type we know
    bool operator==(const TsPayload&) const = default;
};
struct OpaquePayload {  // whatever we only carry or ignore: CERT, CERTREQ, VID, CP, EAP and unknown ones
    std::uint8_t type = 0;
    bool critical = false;
    Bytes body;
    bool operator==(const OpaquePayload&) const = default;
};

using Payload = std::variant<
    SaPayload,
    KePayload,
    IdPayload,
    AuthPayload,
    NoncePayload,
    NotifyPayload,
    DeletePayload,
    TsPayload,
    OpaquePayload>;

std::uint8_t type_of(const Payload& payload);
void encode(const Payload& payload, base::Writer& out);  // the body
// nullopt: the body breaks the rules of its type. A type without a row of its own becomes an OpaquePayload.
std::optional<Payload> decode_payload(std::uint8_t type, bool critical, ByteView body);
bool is_known(std::uint8_t type
);  // types defined in RFC 7296: their critical bit means nothing (section 2.5)

inline NotifyPayload make_notify(std::uint16_t type, Bytes data = {}) {
    return {type, Protocol::none, {}, std::move(data)};
}

}  // namespace aronet::ike
