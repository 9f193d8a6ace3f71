// The registry: which tunnels there are, what may be learned, and what changes when it changes.

#include "overlay/document.hpp"
#include "overlay/node_state.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace aronet::overlay {
namespace {

constexpr Duration kAskedAgain = std::chrono::seconds(5);

std::string name_of(const RegistryNode& node) { return node.organization + "/" + node.common_name; }

std::map<std::string, RegistryNode> by_name(const Registry& registry) {
    std::map<std::string, RegistryNode> out;
    for (const RegistryNode& node : registry.nodes) out.emplace(name_of(node), node);
    return out;
}

babel::Holders holders_of(const Registry& registry) {
    babel::Holders holders;
    for (const RegistryNode& node : registry.nodes) {
        const babel::Holder holder{node.organization, node.common_name};
        if (node.network) holders.add(*node.network, holder);
        for (const Prefix& prefix : node.prefixes) holders.add(prefix, holder);
    }
    return holders;
}

// Nodes added, removed and altered, for whoever asked for the change.
std::string describe_difference(const Registry& before, const Registry& after) {
    const auto old_nodes = by_name(before), new_nodes = by_name(after);
    nlohmann::json added = nlohmann::json::array(), removed = added, altered = added;
    for (const auto& [name, node] : new_nodes) {
        const auto old = old_nodes.find(name);
        if (old == old_nodes.end()) {
            added.push_back(name);
        } else if (old->second != node) {
            altered.push_back(name);
        }
    }
    for (const auto& [name, node] : old_nodes) {
        if (!new_nodes.contains(name)) removed.push_back(name);
    }
    const nlohmann::json answer{
        {"schema", "aronet.load/1"},
        {"added", added},
        {"removed", removed},
        {"altered", altered},
        {"nodes", new_nodes.size()},
        {"version", after.version}};
    return to_text(answer);
}

}  // namespace

void Node::State::handle(RegistryChanged& event) {
    if (!takes_registries()) return refuse(event.answer_to, 503, "stopping");
    if (phase == Phase::starting && event.is_trial) {  // what is to change is not known yet
        trials.emplace_back(std::move(event));
        return;
    }
    if (event.is_trial) {
        auto answer = nlohmann::json::parse(describe_difference(registry, event.registry));
        answer["schema"] = "aronet.plan/1";
        answer["changes"] = plan_for(config, event.registry);
        return out->push_back(Answer{event.answer_to, 200, to_text(answer)});
    }
    const std::string difference = change_registry(std::move(event.registry), event.from);
    if (event.answer_to != 0) out->push_back(Answer{event.answer_to, 200, difference});
}

// What has changed, for whoever asked for it.
std::string Node::State::change_registry(Registry next, const char* from) {
    std::string difference = describe_difference(registry, next);
    if (!registry_since || next.version != registry.version) registry_since = now;
    registry_from = from;
    if (phase == Phase::starting) {
        registry = std::move(next);
        if (registry_until) registry_until = now;
        return difference;
    }
    // Whoever looks for news often finds none mostly. Of the names in it there may be some.
    if (next == registry) {
        resolve_names();
        return difference;
    }
    std::vector<Pairing> wanted = planned(config, next);
    keeper.want(desired(config, next, wanted, strict_vrf), now);
    keep();  // tunnels have their links before anything is done with them
    apply(std::move(next), std::move(wanted));
    return difference;
}

void Node::State::look_at_source() {
    if (!takes_registries()) return;
    if (auto look = source.tick(now)) out->push_back(std::move(*look));
}

void Node::State::handle(RereadRegistry&) {
    if (source.name().empty())
        return say(base::Level::warning, "there is no file or URL to read the registry from again");
    source.ask(now);
}

void Node::State::handle(RegistryLooked& event) {
    std::vector<base::Note> notes;
    source.handle(event, now, notes);
    say_all(notes);
    std::string difference;
    if (event.registry && takes_registries()) {
        const char* from = event.is_copy ? "copy" : source.is_url() ? "url" : "file";
        const std::string nodes = std::to_string(event.registry->nodes.size());
        say(base::Level::info, source.name() + ": a registry of " + nodes + " nodes, from the " + from);
        difference = change_registry(std::move(*event.registry), from);
    }
    if (!event.is_copy && !source.is_asked()) registry_looked_again(difference, event);
}

// The kernel objects have been asked for; this is about tunnels and routing.
void Node::State::apply(Registry next, std::vector<Pairing> planned) {
    registry = std::move(next);
    const auto own =
        std::find_if(registry.nodes.begin(), registry.nodes.end(), [&](const RegistryNode& node) {
            return node.organization == config.organization && node.common_name == config.common_name;
        });
    const std::string refused = refused_by_others(config, registry);
    if (!refused.empty()) say(base::Level::warning, refused);
    if (own != registry.nodes.end() && own->connect != config.connect) {
        say(base::Level::warning,
            "the registry has other \"connect\" rules of this node than its configuration: others may try in "
            "vain (`aronet pub` prints the entry)");
    }
    std::set<std::uint32_t> gone;
    for (const auto& [if_id, tunnel] : tunnels) gone.insert(if_id);
    for (const Pairing& pairing : planned) gone.erase(pairing.if_id);
    for (const std::uint32_t if_id : gone) forget(if_id);
    if (babel::Holders next_holders = holders_of(registry); next_holders != holders) {
        holders = std::move(next_holders);
        speaker.accept_only(holders, now, babel_actions);
    }
    if (!claims_due) look_at_claims();
    std::vector<std::uint32_t> changed;
    for (Pairing& pairing : planned) {
        const std::uint32_t if_id = pairing.if_id;
        if (pair(tunnels[if_id], std::move(pairing))) changed.push_back(if_id);
    }
    resolve_names();
    drain();
    for (const std::uint32_t if_id : changed)
        remember_keys(tunnels.at(if_id));  // the engine trusts those that are left
}

// Only what is another is touched. False: nothing is.
bool Node::State::pair(Tunnel& tunnel, Pairing wanted) {
    const Pairing before = std::exchange(tunnel.pairing, std::move(wanted));
    const Pairing& pairing = tunnel.pairing;
    if (before == pairing) return false;
    const bool is_new = before.interface.empty();
    const auto legacy = is_new ? left.find(pairing.if_id) : left.end();
    if (is_new) {
        tunnel.since = now;
        by_interface[pairing.interface] = pairing.if_id;
    }
    unknow(before);
    know(pairing);
    settle_link(tunnel);
    if (legacy != left.end()) take_over(tunnel, legacy->second);
    const auto peer = [](const Pairing& p) { return std::tie(p.peer, p.hostname, p.remote_port); };
    if (peer(before) != peer(pairing)) engine.connect(peer_of(pairing), now, ike_actions);
    const auto then = memory.tunnels.find(pairing.if_id);
    const bool is_believed = then != memory.tunnels.end() && may_go_on(then->second, pairing) &&
                             before.peer.psk == pairing.peer.psk;
    if (!is_new && adopted_until.at(pairing.if_id) && !is_believed) drop_adopted(tunnel);
    if (legacy != left.end()) find_again(tunnel, legacy->second);
    if (!is_new && tunnel.carries && before.updown != pairing.updown) change_updown(tunnel, before.updown);
    if (is_new || !tunnel.on_babel || before.link_local == pairing.link_local) return true;
    leave_link(pairing.if_id, pairing.interface);
    speaker.add_interface(pairing.if_id, babel_config(tunnel), now, babel_actions);
    return true;
}

// What the one has set up only that one can undo.
void Node::State::change_updown(const Tunnel& tunnel, const std::string& before) {
    const auto current = tunnel.current ? tunnel.children.find(*tunnel.current) : tunnel.children.end();
    if (current == tunnel.children.end()) return;
    const Child& child = current->second;
    run_updown(tunnel, before, false, child.out_source, child.out.destination);
    run_updown(tunnel, tunnel.pairing.updown, true, child.out_source, child.out.destination);
}

void Node::State::forget(std::uint32_t if_id) {
    Tunnel& tunnel = tunnels.at(if_id);
    drop_adopted(tunnel);
    tunnel.pairing.hostname.clear();  // nobody needs it any more
    engine.drop(if_id, now, ike_actions);
    drain();
    if (tunnel.on_babel) leave_link(if_id, tunnel.pairing.interface);
    drain();
    forget_sysctls(tunnel.pairing.interface);
    lost_links.erase(tunnel.pairing.interface);
    told_tunnels.erase(if_id);
    if (host.remembers) out->push_back(forget_tunnel(if_id));
    unknow(tunnel.pairing);
    by_interface.erase(tunnel.pairing.interface);
    policies_due.stop(if_id);
    keys_due.stop(if_id);
    tunnels.erase(if_id);
}

// With the addresses that its name has, as far as is known.
ike::Peer Node::State::peer_of(const Pairing& pairing) const {
    ike::Peer peer = pairing.peer;
    const auto known = resolved.find({pairing.hostname, peer.family});
    if (pairing.hostname.empty() || known == resolved.end()) return peer;
    for (const Address& address : known->second.addresses)
        peer.other_endpoints.push_back({address, pairing.remote_port});
    if (peer.other_endpoints.empty()) return peer;
    peer.remote_endpoint = peer.other_endpoints.front();
    peer.other_endpoints.erase(peer.other_endpoints.begin());
    return peer;
}

// All but those whose answer holds, or is under way.
void Node::State::resolve_names() {
    std::set<std::pair<std::string, Family>> wanted;
    for (const auto& [if_id, tunnel] : tunnels) {
        if (!tunnel.pairing.hostname.empty())
            wanted.emplace(tunnel.pairing.hostname, tunnel.pairing.peer.family);
    }
    for (const auto& name : wanted) {
        const Resolution& known = resolved[name];
        const bool is_fresh = known.answered && !known.has_failed;
        if (!is_fresh && !known.is_awaited) names.set(name, now);
    }
}

bool Node::State::is_wanted(const std::pair<std::string, Family>& name) const {
    return std::any_of(tunnels.begin(), tunnels.end(), [&](const auto& entry) {
        const Pairing& pairing = entry.second.pairing;
        return pairing.hostname == name.first && pairing.peer.family == name.second;
    });
}

// The peer is not where its name says, or not any more; a name server is not asked more often for that.
void Node::State::resolve_soon(std::uint32_t if_id) {
    const auto tunnel = tunnels.find(if_id);
    if (tunnel == tunnels.end() || tunnel->second.pairing.hostname.empty() || phase != Phase::running) return;
    const std::pair name(tunnel->second.pairing.hostname, tunnel->second.pairing.peer.family);
    const auto known = resolved.find(name);
    if (known == resolved.end() || !known->second.answered) return;  // it is still awaited
    names.set(name, std::max(now, *known->second.answered + kAskedAgain));
}

}  // namespace aronet::overlay
