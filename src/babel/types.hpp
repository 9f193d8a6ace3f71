#pragma once

// The words of Babel that its door and its inside share.

#include "base/address.hpp"
#include "base/time.hpp"

#include <compare>
#include <cstdint>

namespace aronet::babel {

using base::Address;
using base::Duration;
using base::Instant;
using base::Prefix;

using RouterId = std::uint64_t;
using SeqNo = std::uint16_t;        // compared modulo 2^16 (RFC 8966 3.2.1)
using Metric = std::uint16_t;       // 0xffff is infinity
using InterfaceId = std::uint32_t;  // the caller's number for an interface

inline constexpr Metric kInfinity = 0xffff;

struct Destination {  // what an update is about (RFC 9079: the source is ::/0 or 0.0.0.0/0 for ordinary
                      // routes)
    Prefix prefix;
    Prefix source;

    static Destination of(const Prefix& prefix) { return {prefix, Prefix::any(prefix.family())}; }
    bool source_specific() const { return !source.is_any(); }
    auto operator<=>(const Destination&) const = default;
};

struct Installed {  // what the forwarding table was last told of a destination
    enum class Kind : std::uint8_t { nothing, route, unreachable };
    Kind kind = Kind::nothing;
    InterfaceId on = 0;
    Address next_hop;  // IPv6 link-local, also for IPv4 prefixes unless the neighbour announced an IPv4 one
    bool operator==(const Installed&) const = default;
};

}  // namespace aronet::babel
