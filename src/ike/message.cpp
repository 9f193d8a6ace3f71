#include "ike/message.hpp"

#include "ike/protection.hpp"

#include <algorithm>

namespace aronet::ike {
namespace {

using base::Reader;
using base::Writer;

Header read_header(Reader& in) {
    Header header;
    header.spi_i = in.u64();
    header.spi_r = in.u64();
    header.next_payload = in.u8();
    header.version = in.u8();
    header.exchange = static_cast<ExchangeType>(in.u8());
    header.flags = in.u8();
    header.message_id = in.u32();
    return header;
}

bool is_encrypted_type(std::uint8_t type) {
    return type == static_cast<std::uint8_t>(PayloadType::sk) ||
           type == static_cast<std::uint8_t>(PayloadType::skf);
}

// What a message has one of. Of two, parts of us might read the first and others the second.
bool may_repeat(std::uint8_t type) {
    const auto known = static_cast<PayloadType>(type);
    return known == PayloadType::notify || known == PayloadType::delete_ || known < PayloadType::sa ||
           known > PayloadType::ts_r || known == PayloadType::cert || known == PayloadType::certreq ||
           known == PayloadType::vendor_id;
}

bool contains(const Message& message, std::uint8_t type) {
    return std::any_of(message.payloads.begin(), message.payloads.end(), [&](const Payload& payload) {
        return type_of(payload) == type;
    });
}

// One payload of the chain into the message. The generic header says what follows and how long this one is
// (3.2).
std::optional<Drop> read_payload(Reader& in, std::uint8_t& type, Message& message) {
    const std::uint8_t current = type;
    type = in.u8();
    const bool critical = (in.u8() & 0x80) != 0;
    const std::uint16_t length = in.u16();
    if (in.failed() || length < 4) return Drop::bad_payload_length;
    const ByteView body = in.take(length - 4u);
    if (in.failed()) return Drop::bad_payload_length;
    if (message.payloads.size() >= kPayloadsMax) return Drop::too_many_payloads;
    if (!may_repeat(current) && contains(message, current)) return Drop::bad_payload;
    auto payload = decode_payload(current, critical, body);
    if (!payload) return Drop::bad_payload;
    if (critical && !is_known(current) && !message.unsupported_critical)
        message.unsupported_critical = current;
    message.payloads.push_back(std::move(*payload));
    return std::nullopt;
}

}  // namespace

std::string_view to_string(Drop drop) {
    switch (drop) {
        case Drop::too_short:
            return "too short";
        case Drop::bad_length:
            return "length does not match the datagram";
        case Drop::bad_version:
            return "version not supported";
        case Drop::bad_payload_length:
            return "payload length out of bounds";
        case Drop::too_many_payloads:
            return "too many payloads";
        case Drop::bad_payload:
            return "malformed payload";
        case Drop::unsupported_critical:
            return "unsupported critical payload";
        case Drop::not_protected:
            return "not protected";
        case Drop::bad_integrity:
            return "integrity check failed";
        case Drop::bad_padding:
            return "bad padding";
        case Drop::bad_fragment:
            return "bad fragment";
        case Drop::incomplete:
            return "fragments missing";
    }
    return "unknown";
}

const IdPayload* Message::find_id(bool responder) const {
    for (const Payload& payload : payloads) {
        const auto* id = std::get_if<IdPayload>(&payload);
        if (id != nullptr && id->responder == responder) return id;
    }
    return nullptr;
}

const TsPayload* Message::find_ts(bool responder) const {
    for (const Payload& payload : payloads) {
        const auto* ts = std::get_if<TsPayload>(&payload);
        if (ts != nullptr && ts->responder == responder) return ts;
    }
    return nullptr;
}

const NotifyPayload* Message::find_notify(std::uint16_t type) const {
    for (const Payload& payload : payloads) {
        const auto* notify = std::get_if<NotifyPayload>(&payload);
        if (notify != nullptr && notify->type == type) return notify;
    }
    return nullptr;
}

const NotifyPayload* Message::find_error() const {
    for (const Payload& payload : payloads) {
        const auto* notify = std::get_if<NotifyPayload>(&payload);
        if (notify != nullptr && notify->is_error()) return notify;
    }
    return nullptr;
}

bool Message::deletes_ike_sa() const {
    return std::any_of(payloads.begin(), payloads.end(), [](const Payload& payload) {
        const auto* deleted = std::get_if<DeletePayload>(&payload);
        return deleted != nullptr && deleted->protocol == Protocol::ike;
    });
}

bool has_marker(std::uint16_t from_port, std::uint16_t to_port) { return from_port != 500 && to_port != 500; }

Bytes in_datagram(ByteView message, bool marked) {
    Bytes bytes;
    bytes.reserve(message.size() + 4);
    Writer out(bytes);
    if (marked) out.zeros(4);
    out.put(message);
    return bytes;
}

base::Result<RawMessage, Drop> parse(ByteView message) {
    if (message.size() < kHeaderSize) return Drop::too_short;
    Reader in(message);
    const Header header = read_header(in);
    const std::uint32_t length = in.u32();
    // A lower major version is IKEv1, which gets no answer; a higher one is told what we speak (2.5).
    if (header.version >> 4 > 2) return Drop::bad_version;
    if (header.version >> 4 < 2 || length != message.size() || length > kMessageMax) return Drop::bad_length;
    return RawMessage{header, message};
}

base::Result<Message, Drop> decode(const RawMessage& raw) {
    return decode_chain(raw.header, raw.header.next_payload, raw.bytes.subspan(kHeaderSize));
}

base::Result<Message, Drop> decode_chain(const Header& header, std::uint8_t first_payload, ByteView chain) {
    Message message{header, {}, std::nullopt};
    Reader in(chain);
    std::uint8_t type = first_payload;
    while (type != 0) {
        if (is_encrypted_type(type)) return Drop::bad_payload;
        if (const auto drop = read_payload(in, type, message)) return *drop;
    }
    if (!in.done()) return Drop::bad_payload_length;
    if (message.count<NotifyPayload>() > kNotifiesMax) return Drop::too_many_payloads;
    return message;
}

void write_header(const Header& header, std::uint8_t next_payload, std::size_t length, Writer& out) {
    out.u64(header.spi_i);
    out.u64(header.spi_r);
    out.u8(next_payload);
    out.u8(header.version);
    out.u8(static_cast<std::uint8_t>(header.exchange));
    out.u8(header.flags);
    out.u32(header.message_id);
    out.u32(static_cast<std::uint32_t>(length));
}

Bytes encode_chain(std::span<const Payload> payloads) {
    Bytes bytes;
    Writer out(bytes);
    for (std::size_t i = 0; i < payloads.size(); ++i) {
        const std::size_t start = out.position();
        out.u8(i + 1 < payloads.size() ? type_of(payloads[i + 1]) : 0);
        const auto* opaque = std::get_if<OpaquePayload>(&payloads[i]);
        out.u8(opaque != nullptr && opaque->critical ? 0x80 : 0);
        out.u16(0);
        encode(payloads[i], out);
        out.patch_u16(start + 2, static_cast<std::uint16_t>(out.position() - start));
    }
    return bytes;
}

Bytes encode(const Header& header, std::span<const Payload> payloads) {
    const Bytes chain = encode_chain(payloads);
    Bytes message;
    Writer out(message);
    write_header(header, payloads.empty() ? 0 : type_of(payloads.front()), kHeaderSize + chain.size(), out);
    out.put(chain);
    return message;
}

}  // namespace aronet::ike
