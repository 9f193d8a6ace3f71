#pragma once

// The kernel as data: the objects of Linux that an overlay is made of. Values only; netlink/change.hpp says
// what is done to them. Objects are named as a person names them (link names, prefixes), never by kernel
// indexes.

#include "base/address.hpp"
#include "base/sa.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

namespace aronet::netlink {

using base::Address;
using base::Family;
using base::Prefix;

// Routes, rules and addresses of ours carry this protocol number (RTA_PROTOCOL, FRA_PROTOCOL): one that
// neither iproute2 nor FRR, which holds 186 to 198 and removes at its start what carries them, gives to
// another.
inline constexpr std::uint8_t kProtocol = 140;
inline constexpr std::uint32_t kMainTable = 254;
// What others on the same host use for policies of everything: any constant would do.
inline constexpr std::uint32_t kPolicyPriority = 399999;
// Before them: what of the link-local a tunnel may bring, and that it may not bring the rest.
inline constexpr std::uint32_t kPinPriority = 399997, kUnpinnedPriority = 399998;
// The alias (IFLA_IFALIAS) of a link of ours: under a name that we want, others may have one of theirs. It
// stays with the link when somebody gives that another name.
std::string mark_of(const std::string& link);

// Which network namespace an object lives in. With a VRF there is only the underlay.
enum class Space : std::uint8_t { underlay, overlay };

struct Vrf {
    std::uint32_t table = 0;
    bool operator==(const Vrf&) const = default;
};
// A tunnel interface: an XFRM interface whose SAs live in the underlay, or a TUN of the user data plane.
struct Tunnel {
    std::uint32_t if_id = 0;
    bool operator==(const Tunnel&) const = default;
};
// One interface for many tunnels ("external", collect_md): which one a packet takes its route says
// (XfrmEncap).
struct External {
    bool operator==(const External&) const = default;
};
// A TUN device that somebody else makes and removes under this name: adding it only gives it its properties.
struct Tun {
    bool operator==(const Tun&) const = default;
};
struct Veth {
    std::string peer;  // name of the other end
    Space peer_space = Space::overlay;
    bool operator==(const Veth&) const = default;
};

struct Link {
    Space space = Space::underlay;
    std::string name;  // at most 15 characters
    std::variant<Vrf, Tunnel, Tun, Veth, External> kind;
    std::uint32_t mtu = 0;        // 0: the kernel's choice
    bool multicast = false;       // set IFF_MULTICAST (XFRM interfaces come without it)
    bool keep_link_local = true;  // false: no address of the kernel's own (addrgenmode none)
    std::string master;           // VRF it is enslaved to, or empty
    bool up = true;               // by its administrator; asked for always
    bool operator==(const Link&) const = default;
};

struct LinkAddress {
    Space space = Space::underlay;
    std::string link;
    Address address;
    unsigned prefix_length = 128;
    std::optional<Address> peer;  // point-to-point
    // By our number: a daemon of ours has made it. Kernels before 5.18 do not keep that. It is no part of
    // what makes it this address.
    bool marked = false;

    auto names() const { return std::tie(space, link, address, prefix_length, peer); }
    auto operator<=>(const LinkAddress& other) const { return names() <=> other.names(); }
    bool operator==(const LinkAddress& other) const { return names() == other.names(); }
};

struct Seg6LocalEnd {
    auto operator<=>(const Seg6LocalEnd&) const = default;
};
struct Seg6LocalEndDx4 {
    Address next_hop = Address::any(Family::v4);
    auto operator<=>(const Seg6LocalEndDx4&) const = default;
};
struct Seg6LocalEndDx6 {
    Address next_hop = Address::any(Family::v6);
    auto operator<=>(const Seg6LocalEndDx6&) const = default;
};
struct Seg6LocalEndDt46 {
    std::uint32_t vrf_table = 0;
    auto operator<=>(const Seg6LocalEndDt46&) const = default;
};
struct Seg6Encap {
    std::vector<Address> segments;  // first segment first
    bool reduced = true;            // encap.red: no SRH for a single segment
    auto operator<=>(const Seg6Encap&) const = default;
};
// Over an external interface: by the tunnel of this number.
struct XfrmEncap {
    std::uint32_t if_id = 0;
    auto operator<=>(const XfrmEncap&) const = default;
};
using Encap = std::variant<
    std::monostate,
    Seg6LocalEnd,
    Seg6LocalEndDx4,
    Seg6LocalEndDx6,
    Seg6LocalEndDt46,
    Seg6Encap,
    XfrmEncap>;

// skip ("throw"): as if this table had nothing for it; the next rule decides.
enum class RouteKind : std::uint8_t { unicast, unreachable, blackhole, skip };

// What names a route: one of ours per key.
struct RouteKey {
    Space space = Space::underlay;
    std::uint32_t table = kMainTable;
    Prefix destination;
    std::optional<Prefix> source;  // source-specific (IPv6 only)
    std::uint32_t metric = 0;      // 0: the kernel's default
    auto operator<=>(const RouteKey&) const = default;
};

struct Route {
    RouteKey key;
    RouteKind kind = RouteKind::unicast;
    std::string link;            // empty only where it is not unicast
    std::optional<Address> via;  // may be IPv6 for an IPv4 destination (RTA_VIA)
    bool onlink = false;
    std::uint32_t mtu = 0;
    std::optional<Address> pref_src;
    Encap encap;
    auto operator<=>(const Route&) const = default;
};

struct Rule {
    Space space = Space::underlay;
    Family family = Family::v6;
    std::uint32_t priority = 0;
    std::optional<Prefix> to, from;
    std::optional<std::uint32_t> mark;
    std::uint32_t table = 0;   // 0: unreachable
    bool unless_fits = false;  // "not": for every packet that is not as the above says
    auto operator<=>(const Rule&) const = default;
};

// Where a tunnel has no interface of its own, only its policies tell whose packet it is that comes in: of
// what is link-local it may bring this peer's to us, and nothing else. One that has its own beside one that
// others share: while its own is away the kernel gives what comes to that, so it may bring nothing for an
// address there. Its peer is unspecified.
// Of the peer it may be any address of its node, which have their first kPinLength bits in common and
// nobody else's: what its kernel says by itself has whichever of them.
inline constexpr unsigned kPinLength = 112;
struct Pin {
    Address own, peer;  // the peer's: those bits alone
    bool names_peer() const { return !peer.is_any(); }
    auto operator<=>(const Pin&) const = default;
};

// A policy pair of one tunnel: 0.0.0.0/0 and ::/0, bound to the interface by if_id. `out` names the outbound
// SA.
struct Policies {
    std::uint32_t if_id = 0;
    std::uint32_t reqid = 0;
    Address local, remote;  // outer addresses
    std::uint32_t spi_out = 0;
    std::optional<Pin> pin = {};
    auto operator<=>(const Policies&) const = default;
};

}  // namespace aronet::netlink
