#pragma once

// Everything we do to Linux is a Change, everything it tells us is a Notice.
//
// A Change is a wish: idempotent (adding what is there replaces it, removing what is absent succeeds) and
// answered by exactly one Done with its id. Changes take effect in the order they were given. Who answers (a
// Session on a netlink socket, the user data plane, a simulated kernel) cannot be told from the answers.

#include "base/time.hpp"
#include "netlink/kernel.hpp"

#include <map>
#include <set>

namespace aronet::netlink {

using ChangeId = std::uint64_t;

struct AddNamespace {
    std::string name;
};  // /run/netns/<name>; becomes the overlay space
struct RemoveNamespace {
    std::string name;
};
struct AddLink {
    Link link;
};  // created, marked, set up, enslaved; moved to its space where it is a tunnel; EEXIST: somebody else's is
    // there
struct RemoveLink {
    Space space;
    std::string name;
};  // unless it is somebody else's
struct AddAddress {
    LinkAddress address;
};  // without duplicate address detection
struct RemoveAddress {
    LinkAddress address;
};
struct AddRoute {
    Route route;
};  // atomic replacement of the route with the same key
struct RemoveRoute {
    RouteKey key;
};
struct AddRule {
    Rule rule;
};
struct RemoveRule {
    Rule rule;
};
struct AddSa {
    base::Sa sa;
};
// Its key, sequence numbers and counters stay. Where the destination address, and with it the id, is another,
// the old SA may stay as well, until it is removed: what still sends on it goes on.
struct MoveSa {
    base::SaId id;
    base::Direction direction = base::Direction::in;
    base::Endpoint source, destination;  // from now on
};
struct RemoveSa {
    base::SaId id;
    Address source;
};
struct SetPolicies {
    Policies policies;
};  // in, fwd and out of both families at once; switches an existing `out`
struct RemovePolicies {
    std::uint32_t if_id;
    std::optional<Pin> pin = {};  // that they have
};
struct SetSysctl {
    Space space;
    std::string key;
    std::string value;
};  // key with dots; a missing key is an error
struct GetSysctl {
    Space space;
    std::string key;
};  // answered by a SysctlValue before its Done
// TCP connections that are forwarded into or out of the link are told of segments no larger than these, by an
// nftables table of that name. The table is ours alone, cannot be flushed by others, and goes with the
// process.
struct ClampSegments {
    std::string table, link;
    std::uint16_t ipv4 = 0, ipv6 = 0;  // octets of data
    bool operator==(const ClampSegments&) const = default;
};
struct TakeSnapshot {
    std::string link_prefix;
    std::set<std::uint32_t> watched_tables;  // of routes of others that are told from now on
};                       // answered by notices of what there is, then a Snapshot, then its Done
struct ReadCounters {};  // answered by Counters of all SAs before its Done
struct ReadLinkCounters {
    Space space = Space::underlay;
};  // answered by LinkCounters of all links before its Done

using Wish = std::variant<
    AddNamespace,
    RemoveNamespace,
    AddLink,
    RemoveLink,
    AddAddress,
    RemoveAddress,
    AddRoute,
    RemoveRoute,
    AddRule,
    RemoveRule,
    AddSa,
    MoveSa,
    RemoveSa,
    SetPolicies,
    RemovePolicies,
    SetSysctl,
    GetSysctl,
    ClampSegments,
    TakeSnapshot,
    ReadCounters,
    ReadLinkCounters>;

struct Change {
    ChangeId id = 0;
    Wish wish;
};

// So many changes go well together: what they are asked with fits into one datagram, what the kernel says to
// them into the buffer of a socket.
inline constexpr std::size_t kBurst = 256;

// One line in the words of `ip` and `sysctl`, for logs and plans. Never shows keys.
std::string describe(const Wish& wish);
// Commands for a shell that do the same, with the overlay in the namespace `netns`; a comment where keys
// would have to be shown, nothing for what only asks.
std::vector<std::string> commands(const Wish& wish, const std::string& netns);
// The same for a link that is there and is only to become another.
std::vector<std::string> alterations(const Link& from, const Link& to, const std::string& netns);

struct Done {
    ChangeId id = 0;
    int error = 0;     // errno, 0 for success
    std::string text;  // the kernel's own words where it gave some
};
struct LinkUp {
    Space space;
    std::string name;
    std::uint32_t index;
    std::uint32_t mtu;
    bool was_down = false;  // for a moment, unsaid, while we changed it: the routes over it are gone
    bool is_ours = true;    // by its mark: somebody else's may have a name that we want
};
struct LinkDown {
    Space space;
    std::string name;
};  // no carrier, set down, or gone
struct LinkAltered {
    Link link;
    bool unmarked = false;  // somebody has taken its alias
};                          // one of ours is up, and something about it has changed
struct AddressAppeared {
    Space space;
    std::string link;
    Address address;
};
struct AddressVanished {
    Space space;
    std::string link;
    Address address;
};
struct RouteLost {
    RouteKey key;
};  // if it was ours: removed, by somebody else or with its link, or replaced by somebody else's
struct RuleLost {
    Rule rule;
};  // one with our number was removed
struct ForeignRoute {
    Route route;
    std::uint8_t protocol;
};  // somebody else's is there, or has changed; only of watched tables
struct ForeignRouteGone {
    RouteKey key;
};  // not told of IPv4 routes that go with their link or their source address: the kernel does not say
struct SysctlTouched {
    Space space;
    std::string link;     // empty: of all
};                        // forwarding or rp_filter is another, by whomever; of other sysctls nobody tells
struct NamespaceLost {};  // the overlay's has lost its name: all that is in it goes on
struct SaLost {
    std::optional<base::SaId> id;
};  // somebody else removed or altered it; none: removed all of them
struct PoliciesLost {
    std::optional<std::uint32_t> if_id;
};  // somebody else removed or altered one of them; none: all were removed
struct SaExpiring {
    base::SaId id;
    bool hard;
};
struct Mapping {
    base::SaId id;
    base::Endpoint peer;
};  // the peer's NAT mapping moved (authenticated by ESP)
struct Counters {
    struct Sa {
        base::SaId id;
        std::uint64_t bytes = 0, packets = 0;    // since it was added
        std::optional<base::Instant> last_used;  // where the data plane knows
    };
    std::vector<Sa> sas;                         // others' too
    std::map<std::string, std::uint64_t> drops;  // of packets, by reason: the user data plane's alone
};
struct LinkCounters {
    struct One {
        std::string link;
        std::uint64_t sent = 0, received = 0;  // packets since it was made
    };
    Space space = Space::underlay;
    std::vector<One> links;  // others' too
};
struct SysctlValue {
    Space space;
    std::string key;
    std::string value;
};
// What carries our marks: links named with the prefix that have our alias, everything with kProtocol, SAs and
// policies with their if_ids. Addresses are those of everybody on links named so, and on the loopback.
struct Snapshot {
    std::vector<Link> links;
    std::vector<LinkAddress> addresses;
    std::vector<Route> routes;
    std::vector<Rule> rules;
    struct KnownSa {
        base::SaId id;
        Address source;
        std::uint32_t reqid, if_id;
        std::uint16_t port = 0;   // UDP's, of its destination
        std::uint32_t mark = 0;   // of what it sends
        std::uint64_t since = 0;  // when it was made: more is later
    };
    std::vector<KnownSa> sas;        // without keys
    bool has_other_sas = false;      // of no interface's number: somebody else's
    std::vector<Policies> policies;  // of which at least one is there; all of it is known of an `out` alone
};
struct Lost {};  // notices were dropped (ENOBUFS): what we believe may be wrong, resynchronise

using Notice = std::variant<
    Done,
    LinkUp,
    LinkDown,
    LinkAltered,
    AddressAppeared,
    AddressVanished,
    RouteLost,
    RuleLost,
    ForeignRoute,
    ForeignRouteGone,
    SysctlTouched,
    NamespaceLost,
    SaLost,
    PoliciesLost,
    SaExpiring,
    Mapping,
    Counters,
    LinkCounters,
    SysctlValue,
    Snapshot,
    Lost>;

}  // namespace aronet::netlink
