// Where this host is in the underlay. When its addresses come and go, the peers it has tunnels with are asked
// at once: they follow, and with their answers the tunnels do (docs/ike.md, moving).

#include "overlay/node_state.hpp"

#include <algorithm>

namespace aronet::overlay {

bool Node::State::is_underlay(netlink::Space space, const std::string& link, const Address& address) const {
    return space == netlink::Space::underlay && !link.empty() && !is_ours(config, link) &&
           !address.is_loopback() && !address.is_link_local();
}

// The way to any peer may begin there now.
void Node::State::gained(const netlink::AddressAppeared& appeared) {
    if (!is_underlay(appeared.space, appeared.link, appeared.address)) return;
    if (relearned) underlay_seen_again.emplace(appeared.link, appeared.address);
    if (!underlay_addresses.emplace(appeared.link, appeared.address).second || phase != Phase::running)
        return;
    for (const auto& [if_id, tunnel] : tunnels) {
        const bool concerned = tunnel.pairing.peer.family == appeared.address.family();
        if (concerned) engine.roam(if_id, now, ike_actions);
    }
}

void Node::State::lost(const netlink::AddressVanished& vanished) {
    underlay_seen_again.erase({vanished.link, vanished.address});
    if (underlay_addresses.erase({vanished.link, vanished.address}) == 0 || phase != Phase::running) return;
    const bool is_elsewhere = std::ranges::any_of(underlay_addresses, [&](const auto& other) {
        return other.second == vanished.address;
    });
    if (is_elsewhere) return;  // its link was renamed, or it has moved to another one
    for (const auto& [if_id, tunnel] : tunnels) {
        const bool was_there =
            std::any_of(tunnel.children.begin(), tunnel.children.end(), [&](const auto& child) {
                return child.second.in.destination == vanished.address;
            });
        if (was_there) engine.roam(if_id, now, ike_actions);
    }
}

// A look tells of what there is.
void Node::State::lose_unseen() {
    for (const auto& [link, address] : std::set(underlay_addresses)) {
        if (!underlay_seen_again.contains({link, address}))
            lost(netlink::AddressVanished{netlink::Space::underlay, link, address});
    }
}

}  // namespace aronet::overlay
