#include "esp/inner.hpp"

namespace aronet::esp {
namespace {

constexpr std::size_t kIpv4HeaderSize = 20;
constexpr std::size_t kIpv6HeaderSize = 40;

unsigned version(ByteView inner) { return inner[0] >> 4; }

std::size_t u16_at(ByteView bytes, std::size_t at) {
    return static_cast<std::size_t>(bytes[at]) << 8 | bytes[at + 1];
}

void set_u16(std::span<Byte> bytes, std::size_t at, std::uint32_t value) {
    bytes[at] = static_cast<Byte>(value >> 8);
    bytes[at + 1] = static_cast<Byte>(value);
}

// RFC 1624 equation 3: HC' = ~(~HC + ~m + m').
void set_ipv4_traffic_class(std::span<Byte> inner, std::uint8_t traffic_class) {
    const auto before = static_cast<std::uint32_t>(u16_at(inner, 0));
    inner[1] = traffic_class;
    const auto after = static_cast<std::uint32_t>(u16_at(inner, 0));
    std::uint32_t sum =
        (~static_cast<std::uint32_t>(u16_at(inner, 10)) & 0xffff) + (~before & 0xffff) + after;
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    set_u16(inner, 10, ~sum & 0xffff);
}

void set_ipv6_traffic_class(std::span<Byte> inner, std::uint8_t traffic_class) {
    inner[0] = static_cast<Byte>(0x60 | traffic_class >> 4);
    inner[1] = static_cast<Byte>((inner[1] & 0x0f) | (traffic_class << 4 & 0xf0));
}

}  // namespace

std::optional<std::uint8_t> next_header_of(ByteView inner) {
    if (inner.size() >= kIpv4HeaderSize && version(inner) == 4) return kNextHeaderIpv4;
    if (inner.size() >= kIpv6HeaderSize && version(inner) == 6) return kNextHeaderIpv6;
    return std::nullopt;
}

std::uint8_t traffic_class_of(ByteView inner) {
    if (version(inner) == 4) return inner[1];
    return static_cast<std::uint8_t>(inner[0] << 4 | inner[1] >> 4);
}

std::optional<std::size_t> inner_size(std::uint8_t next_header, ByteView payload) {
    const bool v4 = next_header == kNextHeaderIpv4;
    if (payload.size() < (v4 ? kIpv4HeaderSize : kIpv6HeaderSize)) return std::nullopt;
    if (version(payload) != (v4 ? 4u : 6u)) return std::nullopt;
    if (!v4) {
        const std::size_t size = kIpv6HeaderSize + u16_at(payload, 4);
        return size <= payload.size() ? std::optional(size) : std::nullopt;
    }
    const std::size_t header = static_cast<std::size_t>(payload[0] & 0x0f) * 4;
    const std::size_t size = u16_at(payload, 2);
    if (header < kIpv4HeaderSize || size < header || size > payload.size()) return std::nullopt;
    return size;
}

bool decapsulate_ecn(std::span<Byte> inner, std::uint8_t outer_traffic_class) {
    const std::uint8_t before = traffic_class_of(inner);
    const auto ecn = decapsulated(static_cast<Ecn>(before & 3), static_cast<Ecn>(outer_traffic_class & 3));
    if (!ecn) return false;
    const auto after = static_cast<std::uint8_t>((before & 0xfc) | static_cast<std::uint8_t>(*ecn));
    if (after == before) return true;
    if (version(inner) == 4)
        set_ipv4_traffic_class(inner, after);
    else
        set_ipv6_traffic_class(inner, after);
    return true;
}

}  // namespace aronet::esp
