#pragma once

// Addresses, prefixes and endpoints of both families as ordered values: usable as keys, printed canonically.

#include "base/bytes.hpp"

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace aronet::base {

enum class Family : std::uint8_t { v4 = 4, v6 = 6 };

constexpr unsigned bits(Family family) { return family == Family::v4 ? 32 : 128; }

class Address {
public:
    Address() = default;  // ::
    static Address v4(const std::array<Byte, 4>& bytes);
    static Address v6(const std::array<Byte, 16>& bytes);
    static Address any(Family family) { return family == Family::v4 ? v4({}) : Address(); }
    // 4 or 16 bytes in network order; anything else is nullopt.
    static std::optional<Address> from_bytes(ByteView bytes);
    static std::optional<Address> parse(std::string_view text);  // numeric text only, no zone

    Family family() const { return family_; }
    bool is_v4() const { return family_ == Family::v4; }
    bool is_v6() const { return family_ == Family::v6; }
    ByteView bytes() const { return {bytes_.data(), is_v4() ? 4u : 16u}; }  // network order
    bool is_any() const { return *this == any(family_); }
    bool is_link_local() const;  // fe80::/10 or 169.254.0.0/16
    bool is_multicast() const;
    bool is_loopback() const;
    Address plus(std::uint64_t offset) const;  // the address `offset` further on, modulo the address space
    std::string to_string() const;             // RFC 5952 for IPv6

    auto operator<=>(const Address&) const = default;

private:
    Family family_ = Family::v6;
    std::array<Byte, 16> bytes_{};  // an IPv4 address sits in the first four
};

// An address range; host bits are always zero.
class Prefix {
public:
    Prefix() = default;                               // ::/0
    Prefix(const Address& address, unsigned length);  // clears host bits; length is cut to the family's
    static std::optional<Prefix> parse(std::string_view text
    );  // "a/len" or a bare address; host bits allowed
    static Prefix host(const Address& address) { return {address, bits(address.family())}; }
    static Prefix any(Family family) { return {Address::any(family), 0}; }

    const Address& address() const { return address_; }
    unsigned length() const { return length_; }
    Family family() const { return address_.family(); }
    bool is_host() const { return length_ == bits(family()); }
    bool is_any() const { return length_ == 0; }
    bool contains(const Address& address) const;
    bool contains(const Prefix& other) const;
    bool overlaps(const Prefix& other) const { return contains(other) || other.contains(*this); }
    std::string to_string() const;

    auto operator<=>(const Prefix&) const = default;

private:
    Address address_;
    std::uint8_t length_ = 0;
};

struct Endpoint {
    Address address;
    std::uint16_t port = 0;

    Family family() const { return address.family(); }
    std::string to_string() const;  // 192.0.2.1:12025, [2001:db8::1]:12025

    auto operator<=>(const Endpoint&) const = default;
};

}  // namespace aronet::base
