// Which link carries a tunnel: one of its own, or the one that many share (docs/decisions/0013). On that one
// packets are told apart by link-local addresses: each endpoint has one, which all its peers know. Routes say
// which tunnel leads to it, and the policies of a tunnel whose packets they let in. To Babel each tunnel is
// an interface of its own in either case.

#include "overlay/node_state.hpp"

#include <algorithm>
#include <cerrno>

namespace aronet::overlay {
namespace {

// Or will, once the kernel has the SAs that were agreed on.
bool goes_over_shared(const Tunnel& tunnel) {
    return tunnel.pairing.carrier == Carrier::shared ||
           std::ranges::any_of(tunnel.children, [](const auto& child) { return child.second.shares_link; });
}

}  // namespace

void settle_links(Config& config, const Host& host) {
    if (!host.kernel_datapath || host.has_other_ipsec) config.links = Links::per_peer;
}

// The kernel gives the external interface whatever comes by an SA that has no other one, in this host's
// namespace: also what is meant for this host.
void Node::State::mind_other_ipsec(const netlink::Snapshot& snapshot) {
    host.has_other_ipsec = snapshot.has_other_sas;
    if (config.links == Links::per_peer || !host.has_other_ipsec) return;
    warn(
        base::Level::warning,
        "there are SAs of somebody else, whose packets a shared link would take: each tunnel has its own"
    );
    settle_links(config, host);
    shared.is_offered = false;
    engine.configure(engine_config(config, false));
}

// Of a tunnel that is not known yet nobody has said anything.
std::vector<Pairing> Node::State::planned(const Config& by, const Registry& from) const {
    std::vector<Pairing> list = pairings(by, from, host.local_addresses);
    if (by.links == Links::per_peer) return list;
    for (Pairing& pairing : list) {
        const auto tunnel = tunnels.find(pairing.if_id);
        pairing.carrier = tunnel == tunnels.end() ? Carrier::undecided : tunnel->second.pairing.carrier;
    }
    share_out(list);
    return list;
}

bool Node::State::is_shared_link(netlink::Space space, const std::string& link) const {
    return config.links == Links::shared && space == overlay_space(config) && link == shared_link(config);
}

// The name of the kernel's link.
std::string Node::State::carrier_of(const Pairing& pairing) const {
    return pairing.carrier == Carrier::shared ? shared_link(config) : pairing.interface;
}

void Node::State::know(const Pairing& pairing) {
    if (pairing.carrier == Carrier::shared) shared.tunnels[pairing.on_shared.peer] = pairing.if_id;
}

void Node::State::unknow(const Pairing& pairing) {
    if (pairing.carrier == Carrier::shared) shared.tunnels.erase(pairing.on_shared.peer);
}

// As both sides have just agreed. It is another where the peer was started anew with another configuration.
void Node::State::carry(Tunnel& tunnel, bool shares) {
    const Carrier by = shares ? Carrier::shared : Carrier::own;
    Pairing& pairing = tunnel.pairing;
    if (config.links == Links::per_peer || pairing.carrier == by) return;
    keeper.want_no_more(objects_of(config, pairing), now);
    if (pairing.carrier == Carrier::own) forget_sysctls(pairing.interface);
    unknow(pairing);
    tunnel.link_up = false;
    update_routing(tunnel);
    pairing.carrier = by;
    know(pairing);
    keeper.want_also(objects_of(config, pairing), now);
    settle_link(tunnel);
}

// Babel can speak from our address on it once that is there.
void Node::State::settle_link(Tunnel& tunnel) {
    if (tunnel.pairing.carrier != Carrier::shared) return;
    tunnel.link_up = shared.up && shared.addresses.contains(tunnel.pairing.on_shared.own);
    update_routing(tunnel);
}

void Node::State::settle_shared() {
    for (auto& [if_id, tunnel] : tunnels) settle_link(tunnel);
}

// A kernel that will not have such a link is not asked to carry anything by it: who was promised one
// meanwhile is met anew. What it has no memory or time for now it may have later.
void Node::State::shared_link_answered(int error) {
    const bool is_refused = error == EEXIST || error == EOPNOTSUPP || error == EINVAL;
    if ((error != 0 && !is_refused) || (error == 0) == shared.is_offered) return;
    shared.is_offered = error == 0;
    engine.configure(engine_config(config, shared.is_offered));
    for (auto& [if_id, tunnel] : tunnels) {
        if (!shared.is_offered && goes_over_shared(tunnel)) shared.misled.insert(if_id);
    }
    meet_misled();
    drain();
}

// With those that a link was promised to which there cannot be.
void Node::State::meet_misled() {
    for (const std::uint32_t if_id : std::exchange(shared.misled, {})) {
        const auto tunnel = tunnels.find(if_id);
        if (tunnel == tunnels.end()) continue;
        engine.drop(if_id, now, ike_actions);
        engine.connect(peer_of(tunnel->second.pairing), now, ike_actions);
    }
}

// While a link of its own is away the kernel hands what comes over a tunnel to the one that is shared.
std::optional<netlink::Pin> Node::State::pin_of(const Pairing& pairing) const {
    if (config.links == Links::per_peer) return std::nullopt;
    if (pairing.carrier == Carrier::shared) return pin_on_shared(pairing);
    return netlink::Pin{pairing.link_local, Address::any(Family::v6)};
}

void Node::State::shared_link_came(bool was_down) {
    for (const auto& [if_id, tunnel] : tunnels) {
        if (was_down && tunnel.pairing.carrier == Carrier::shared) routes_lost(if_id);
    }
    settle_shared();
}

// The kernel tells of the addresses that went with it.
void Node::State::shared_link_went() {
    shared.up = false;
    settle_shared();
}

void Node::State::shared_address(const Address& address, bool is_there) {
    if (is_there) shared.addresses.insert(address);
    if (!is_there) shared.addresses.erase(address);
    settle_shared();
}

void Node::State::learn_shared_addresses(const Objects& there) {
    shared.addresses.clear();
    for (const netlink::LinkAddress& each : there.addresses) {
        if (is_shared_link(each.space, each.link)) shared.addresses.insert(each.address);
    }
}

void Node::State::compare_shared(const Objects& there) {
    if (config.links == Links::per_peer) return;
    shared.up = std::ranges::any_of(there.links, [&](const netlink::Link& link) {
        return link.up && is_shared_link(link.space, link.name);
    });
    learn_shared_addresses(there);
    settle_shared();
}

// On the shared link by who it is from; the policies have seen to it that it comes over that one's tunnel,
// but of what is for a group, which nobody says there.
std::optional<babel::InterfaceId> Node::State::came_in_on(
    const std::string& link, const Address& from, const Address& to
) const {
    if (!is_shared_link(overlay_space(config), link)) return babel_interface(link);
    if (to.is_multicast()) return std::nullopt;
    const auto known = shared.tunnels.find(from);
    if (known == shared.tunnels.end()) return std::nullopt;
    return tunnels.at(known->second).on_babel ? std::optional(known->second) : std::nullopt;
}

}  // namespace aronet::overlay
