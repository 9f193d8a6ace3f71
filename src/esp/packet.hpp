#pragma once

// The layout of RFC 4303 in tunnel mode as a UDP payload (RFC 3948 2.1), and one packet of a batch in its
// buffer.
//
//   SPI 4 | sequence number 4 | IV 8 or 16 | inner packet | TFC padding | padding | pad length 1 | next
//   header 1 | ICV
//
// Knows octets; knows no keys and no associations.

#include "base/sa.hpp"
#include "esp/drop.hpp"

#include <optional>
#include <span>

namespace aronet::esp {

using base::Byte;
using base::Bytes;
using base::ByteView;

inline constexpr std::size_t kHeaderSize = 8;
inline constexpr std::size_t kTrailerSize = 2;         // pad length, next header
inline constexpr std::size_t kHeadroom = 32;           // header and the longest IV, aligned
inline constexpr std::size_t kTailroom = 15 + 2 + 32;  // the longest padding, trailer, ICV
inline constexpr std::uint8_t kNextHeaderIpv4 = 4;
inline constexpr std::uint8_t kNextHeaderIpv6 = 41;
inline constexpr std::uint8_t kNextHeaderDummy = 59;

// seal() reads an inner packet here and leaves an ESP packet around it; open() does the reverse. In place,
// both.
struct Packet {
    std::span<Byte> room;  // the whole buffer
    std::size_t at = 0;    // where the packet starts in it
    std::size_t size = 0;
    std::uint8_t traffic_class = 0;  // of the outer header: set by seal, wanted by open (RFC 6040)
    base::Endpoint peer;             // in: where it came from
    std::uint32_t if_id = 0;         // in: the tunnel it belongs to, set by open
    base::SaId id;                   // in: the SA it came by
    bool peer_moved = false;         // in: authentic, newest and from another endpoint than the one before
    bool expiring = false;           // in: with it the SA has carried as much as it should
    Drop drop = Drop::none;

    std::span<Byte> bytes() const { return room.subspan(at, size); }
};

struct Header {
    std::uint32_t spi = 0;
    std::uint32_t sequence = 0;
};
std::optional<Header> decode_header(ByteView packet);  // nullopt: fewer than eight octets
void encode_header(const Header& header, std::span<Byte> out);

// Octets of padding so that payload, padding and trailer end on a block.
constexpr std::size_t padding_size(std::size_t payload, std::size_t block) {
    return (block - (payload + kTrailerSize) % block) % block;
}
// Padding 1, 2, 3 …, its length, the next header (RFC 4303 2.4); `out` is exactly as long.
void encode_trailer(std::uint8_t next_header, std::span<Byte> out);

struct Trailer {
    std::size_t payload = 0;  // octets before the padding
    std::uint8_t next_header = 0;
};
std::optional<Trailer> decode_trailer(ByteView plaintext
);  // nullopt: the padding is not what the sender must write

}  // namespace aronet::esp
