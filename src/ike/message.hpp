#pragma once

// IKEv2 messages: header, payload chain, the encrypted payload around the chain (RFC 7296 3.1, 3.2, 3.14).
// A RawMessage is bytes whose header made sense; a Message has its payloads. Only open() makes a Message of
// protected bytes, and only after their integrity held, so whoever holds one knows who made it.

#include "base/random.hpp"
#include "ike/crypto.hpp"
#include "ike/payload.hpp"

#include <string_view>

namespace aronet::ike {

struct Header {
    std::uint64_t spi_i = 0, spi_r = 0;
    std::uint8_t next_payload = 0;
    std::uint8_t version = 0x20;
    ExchangeType exchange = ExchangeType::ike_sa_init;  // may hold a value without a name
    std::uint8_t flags = 0;
    std::uint32_t message_id = 0;

    bool is_response() const { return (flags & flag::response) != 0; }
    bool from_initiator() const { return (flags & flag::initiator) != 0; }
    bool operator==(const Header&) const = default;
};

enum class Drop : std::uint8_t {
    too_short,
    bad_length,
    bad_version,
    bad_payload_length,
    too_many_payloads,
    bad_payload,
    unsupported_critical,
    not_protected,
    bad_integrity,
    bad_padding,
    bad_fragment,
    incomplete,
};
std::string_view to_string(Drop drop);

struct RawMessage {
    Header header;
    ByteView bytes;      // the whole message from the first SPI octet on, no marker; owned by somebody else
    bool marked = true;  // the non-ESP marker stood before it
};

struct Message {
    Header header;
    std::vector<Payload> payloads;
    std::optional<std::uint8_t>
        unsupported_critical;  // type octet of a critical payload we do not know (2.5)

    template <class T>
    const T* find() const {
        for (const Payload& payload : payloads) {
            if (const T* found = std::get_if<T>(&payload)) return found;
        }
        return nullptr;
    }
    const IdPayload* find_id(bool responder) const;
    const TsPayload* find_ts(bool responder) const;
    const NotifyPayload* find_notify(std::uint16_t type) const;
    const NotifyPayload* find_error() const;  // the first error notify
    bool deletes_ike_sa() const;
    template <class T>
    std::size_t count() const {
        std::size_t n = 0;
        for (const Payload& payload : payloads) n += std::holds_alternative<T>(payload) ? 1 : 0;
        return n;
    }
};

// The non-ESP marker (RFC 3948 2.2): has to be there unless one of the ports is 500 (docs/ike.md, ports).
bool has_marker(std::uint16_t from_port, std::uint16_t to_port);
Bytes in_datagram(ByteView message, bool marked);  // behind the marker, or alone

// Checks length and version. bad_version: the major version is higher than 2 and wants an answer (2.5).
base::Result<RawMessage, Drop> parse(ByteView message);
// The payload chain of an unprotected message, which only IKE_SA_INIT and errors are.
base::Result<Message, Drop> decode(const RawMessage& raw);
Bytes encode(const Header& header, std::span<const Payload> payloads);

bool is_protected(const RawMessage& raw);  // its payload chain starts with SK or SKF

// Keys of one direction of an IKE SA and the counter of its IVs: never used twice with one key (RFC
// 5282 3.1).
struct Sealer {
    const IkeCipherSuite* suite;
    ByteView encryption_key, integrity_key;
    std::uint64_t* next_iv;
    base::Random* random;
};
Bytes seal(const Header& header, std::span<const Payload> payloads, const Sealer& with);
// RFC 7383 2.5: several messages of at most `size` octets where one would be larger. `size` >= 192.
std::vector<Bytes> seal_in_fragments(
    const Header& header, std::span<const Payload> payloads, const Sealer& with, std::size_t size
);

struct Opener {
    const IkeCipherSuite* suite;
    ByteView encryption_key, integrity_key;
};
// The message within SK. For SKF see fragments.hpp.
base::Result<Message, Drop> open(const RawMessage& raw, const Opener& with);

// One decrypted fragment (RFC 7383 2.5).
struct Fragment {
    std::uint16_t number = 0, total = 0;  // number from 1
    std::uint8_t first_payload = 0;       // of the inner chain, in fragment 1 only
    Bytes content;
};
base::Result<Fragment, Drop> open_fragment(const RawMessage& raw, const Opener& with);
bool is_fragment(const RawMessage& raw);
// Fragment number and total before anything is decrypted; nullopt when they make no sense.
std::optional<std::pair<std::uint16_t, std::uint16_t>> fragment_numbers(const RawMessage& raw);
// The chain that starts with `first_payload`, as one message with this header.
base::Result<Message, Drop> decode_chain(const Header& header, std::uint8_t first_payload, ByteView chain);

}  // namespace aronet::ike
