// What an earlier process of ours left in the kernel. Its SAs carry traffic, so they stay until IKE has made
// others: nobody can rekey them, as their IKE SA went with that process, and a stranger's key may be theirs
// no longer than it takes.

#include "overlay/node_state.hpp"

#include <algorithm>

namespace aronet::overlay {
namespace {

using namespace std::chrono_literals;

constexpr Duration kOverlap = 3s;            // the peer may still send on them behind the change
constexpr Duration kUnattended = 50s;        // without any IKE
constexpr Duration kRegistryPatience = 50s;  // within that of the neighbours, and of who asks by a command
constexpr Duration kInheritanceMin = 20s;    // until routes have to be Babel's again

// Behind all that the engine ever uses.
constexpr ike::ChildId kFirstAdopted = ~ike::ChildId(0) - 1000;

}  // namespace

bool is_adopted(ike::ChildId id) { return id >= kFirstAdopted; }

void Node::State::look_at_start() {
    snapshot_taken = false;
    look_again_at.reset();
    sightings = Sightings(overlay_space(config), config.babel.redistribute);
    looked_as = change(snapshot_wish(), {Purpose::Kind::snapshot});
}

// Whose the tunnels are the registry says: to begin without one would be their end. Until then it is as if
// nobody were here.
bool Node::State::wait_for_registry(const netlink::Snapshot& snapshot) {
    const bool carries =
        host.kernel_datapath && std::ranges::any_of(snapshot.policies, [&](const auto& each) {
            return memory.tunnels.contains(each.if_id);
        });
    if (registry_since || !carries || (registry_until && *registry_until <= now)) return false;
    if (registry_until) return true;
    registry_until = now + kRegistryPatience;
    say(base::Level::warning,
        "there is no registry yet: what an earlier run left stays as it is, for 50 s at most");
    return true;
}

// Whose keys the SAs are of that a later process may go on with.
void Node::State::remember_keys(const Tunnel& tunnel) {
    if (!host.remembers || !tunnel.carries || !tunnel.current || is_adopted(*tunnel.current)) return;
    std::string whose = whose_sas(tunnel.pairing);
    std::string& told = told_tunnels[tunnel.pairing.if_id];
    if (told == whose) return;
    told = std::move(whose);
    out->push_back(remember_tunnel(tunnel.pairing.if_id, told));
}

void Node::State::resume() {
    if (!memory.router_id) return;
    const Duration patience =
        std::max<Duration>(kInheritanceMin, config.babel.hello_interval.value_or(0s) * 2);
    speaker.resume(memory.distances, patience, now);
    inherits_until = now + patience;
}

void Node::State::remove_all(const std::vector<netlink::Wish>& left_over) {
    for (const netlink::Wish& wish : left_over) {
        if (const auto* sa = std::get_if<netlink::RemoveSa>(&wish)) remove(*sa);
        if (const auto* policies = std::get_if<netlink::RemovePolicies>(&wish)) remove(*policies);
    }
}

// Asked to stop before it began.
void Node::State::remove_left(const netlink::Snapshot& snapshot) {
    const std::vector<Pairing> known = pairings(config, registry, host.local_addresses);
    remove_all(clean_up(snapshot, config, known, {}));
    give_back_filters([](const std::string&) { return true; });
    keeper.found(found(snapshot, config), looked_as, now, true);
}

void Node::State::take_over(Tunnel& tunnel, const Legacy& legacy) {
    const std::uint32_t if_id = tunnel.pairing.if_id;
    for (std::size_t i = 0; i < legacy.in.size(); ++i) {
        const ike::ChildId id = kFirstAdopted + i;
        tunnel.children[id] = {legacy.in[i], legacy.out, legacy.policies.remote, legacy.policies.local};
        metering.begins(legacy.in[i], if_id, base::Direction::in);
        engine.carried(if_id, legacy.in[i].spi);
    }
    metering.begins(legacy.out, if_id, base::Direction::out);
    tunnel.current = kFirstAdopted;
    tunnel.carries = true;
    tunnel.pinned = legacy.policies.pin;
    ++tunnel.came_up;
    adopted_until.set(if_id, now + kUnattended);
    say(base::Level::info, tunnel.pairing.interface + " is taken over with its SAs");
}

// Who is nowhere by the registry knows nothing of our start, and would not come by itself.
void Node::State::find_again(const Tunnel& tunnel, const Legacy& legacy) {
    if (tunnel.pairing.peer.remote_endpoint || legacy.port == 0) return;
    engine.resolved(tunnel.pairing.if_id, {{legacy.out.destination, legacy.port}}, now, ike_actions);
}

// Another child carries the traffic now.
void Node::State::outgrow_adopted(const Tunnel& tunnel) {
    const std::uint32_t if_id = tunnel.pairing.if_id;
    const bool has_any = adopted_until.at(if_id).has_value();
    if (has_any && !is_adopted(*tunnel.current)) adopted_until.set(if_id, now + kOverlap);
}

void Node::State::drop_adopted() {
    while (const auto if_id = adopted_until.expired(now)) {
        const auto tunnel = tunnels.find(*if_id);
        if (tunnel != tunnels.end()) drop_adopted(tunnel->second);
    }
}

void Node::State::drop_adopted(Tunnel& tunnel) {
    const std::uint32_t if_id = tunnel.pairing.if_id;
    adopted_until.stop(if_id);
    const auto first = tunnel.children.lower_bound(kFirstAdopted);
    if (first == tunnel.children.end()) return;
    const bool is_last = tunnel.current && is_adopted(*tunnel.current);
    const Child last = first->second;
    for (auto it = first; it != tunnel.children.end(); ++it) {
        const Child& child = it->second;
        remove(netlink::RemoveSa{child.in, child.in_source});
        remove(netlink::RemoveSa{child.out, child.out_source});
        metering.ends(child.in);
        metering.ends(child.out);
        engine.released(if_id, child.in.spi);
    }
    tunnel.children.erase(first, tunnel.children.end());
    // Where such a peer was last, is no longer known to be where it is.
    if (tunnel.pairing.hostname.empty() && !tunnel.pairing.peer.remote_endpoint)
        engine.connect(tunnel.pairing.peer, now, ike_actions);
    if (!is_last) return;
    goes_down(tunnel);
    resolve_soon(if_id);
    run_updown(tunnel, tunnel.pairing.updown, false, last.in.destination, last.in_source);
}

}  // namespace aronet::overlay
