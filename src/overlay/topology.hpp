#pragma once

// Which tunnels a node has: every endpoint of ours with every endpoint of the same family of every other node
// that both sides want one with, unless neither has an address. Pure, and stable: equal configurations give
// equal names, numbers and addresses, after a restart too.

#include "ike/engine.hpp"
#include "netlink/kernel.hpp"
#include "overlay/config.hpp"

#include <string>
#include <vector>

namespace aronet::overlay {

// What carries a tunnel: a link of its own, or the one that it shares with those of other peers; which, both
// sides agree on when they meet.
enum class Carrier : std::uint8_t { own, shared, undecided };

// Of a tunnel on a link that many share.
struct Ends {
    Address own, peer;
    auto operator<=>(const Ends&) const = default;
};

struct Pairing {
    std::uint32_t if_id = 0;  // names the tunnel everywhere: as ike::PeerId, babel::InterfaceId and reqid too
    std::string interface;    // <ifname>-<hex>
    ike::Peer peer;
    std::string hostname;  // the peer's, to be resolved, or empty
    std::uint16_t remote_port = 0;
    Address link_local;  // ours on a link of its own
    Carrier carrier = Carrier::own;
    Ends on_shared;          // the addresses on a shared one
    std::string updown;      // script of our endpoint, or empty
    std::uint16_t cost = 0;  // of this peer, beside rxcost
    bool operator==(const Pairing&) const = default;
};

// What stands for an endpoint on the link that its node's tunnels share: the same to all its peers, and alike
// in the first netlink::kPinLength bits for all endpoints of a node.
Address shared_link_local(const ike::Identity& endpoint);
netlink::Pin pin_on_shared(const Pairing& pairing);

// Numbers from here on are no tunnels: ordinary interfaces are told apart by them.
inline constexpr std::uint32_t kOrdinaryIdMin = 0xffff0000;

// Whether this node and that one have tunnels: both have to want it. The node says in the registry what it
// wants, so that both sides come to the same answer.
bool connected(const Config& config, const RegistryNode& node);

// Sorted by if_id. `local_addresses` are for endpoints of ours that are given as a range.
std::vector<Pairing> pairings(
    const Config& config, const Registry& registry, const std::vector<Address>& local_addresses
);

// Why the others will not let this node in, by what they know of it; empty: they may.
std::string refused_by_others(const Config& config, const Registry& registry);

// Which of them may share the link: of several that lead to one endpoint, which has one address on it, one.
void share_out(std::vector<Pairing>& pairings);

}  // namespace aronet::overlay
