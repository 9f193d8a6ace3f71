#pragma once

// What tunnel mode looks at in the inner IP header (RFC 4301 5.1.2) and, of it, changes on the way in: the
// ECN field.

#include "esp/packet.hpp"

namespace aronet::esp {

enum class Ecn : std::uint8_t { not_ect = 0, ect1 = 1, ect0 = 2, ce = 3 };

// 4 or 41 by the version of a whole inner packet about to be sealed; nullopt: neither IPv4 nor IPv6.
std::optional<std::uint8_t> next_header_of(ByteView inner);

// DSCP and ECN of an inner packet that next_header_of knows; they go to the outer header unchanged
// (RFC 4301 5.1.2.1, RFC 6040 4.1 normal mode).
std::uint8_t traffic_class_of(ByteView inner);

// The length of the inner packet by its own header; what follows it in `payload` is TFC padding (RFC
// 4303 2.7). nullopt: the header is not of the family of `next_header`, or claims more than there is.
std::optional<std::size_t> inner_size(std::uint8_t next_header, ByteView payload);

// RFC 6040 4.2, figure 4; nullopt: to be dropped.
constexpr std::optional<Ecn> decapsulated(Ecn inner, Ecn outer) {
    if (outer == Ecn::ce) {
        if (inner == Ecn::not_ect) return std::nullopt;
        return Ecn::ce;
    }
    return inner == Ecn::ect0 && outer == Ecn::ect1 ? Ecn::ect1 : inner;
}
// Applies it to a packet that inner_size accepted, keeping an IPv4 checksum right. False: to be dropped.
bool decapsulate_ecn(std::span<Byte> inner, std::uint8_t outer_traffic_class);

}  // namespace aronet::esp
