// What the parts of a node want, in the words of the others: IKE's children become SAs, Babel's routes become
// routes.

#include "overlay/key_table.hpp"
#include "overlay/node_state.hpp"

namespace aronet::overlay {
namespace {
constexpr std::uint16_t kSuspicionCost = 1024;  // more than any detour within a mesh
}

// Parts answer to each other only through here, so nothing is forwarded half done.
void Node::State::drain() {
    while (!ike_actions.empty() || !babel_actions.empty()) {
        ike::Actions from_ike = std::exchange(ike_actions, {});
        for (ike::Action& action : from_ike) std::visit([&](auto& wanted) { translate(wanted); }, action);
        babel::Actions from_babel = std::exchange(babel_actions, {});
        for (babel::Action& action : from_babel) std::visit([&](auto& wanted) { translate(wanted); }, action);
        if (ike_actions.empty() && babel_actions.empty()) meet_misled();
    }
}

void Node::State::translate(base::Note& action) { out->push_back(std::move(action)); }

void Node::State::translate(ike::Send& action) {
    out->push_back(SendIke{action.from, action.to, std::move(action.bytes)});
}

void Node::State::translate(ike::ChildUp& action) {
    const auto tunnel = tunnels.find(action.peer);
    if (tunnel == tunnels.end() || phase == Phase::cleaning_up)
        return engine.refused(action.child, now, ike_actions);
    if (action.shares_link && !shared.is_offered) shared.misled.insert(action.peer);
    Child& child = tunnel->second.children[action.child];
    child = {action.in.id(), action.out.id(), action.in.source.address, action.out.source.address, 2};
    child.shares_link = action.shares_link;
    metering.begins(child.in, action.peer, base::Direction::in);
    metering.begins(child.out, action.peer, base::Direction::out);
    tunnel->second.since = tunnel->second.current ? tunnel->second.since : now;
    if (config.tells_keys) {
        for (const base::Sa* sa : {&action.in, &action.out}) tell_keys(esp_row(*sa), TellKeys::Table::esp);
    }
    // Inbound first: the peer may send as soon as it has our answer.
    change(
        netlink::AddSa{std::move(action.in)}, {Purpose::Kind::sa, action.peer, action.child, "the inbound SA"}
    );
    child.changed_as = change(
        netlink::AddSa{std::move(action.out)},
        {Purpose::Kind::sa, action.peer, action.child, "the outbound SA"}
    );
}

void Node::State::translate(ike::Switch& action) {
    const auto found = tunnels.find(action.peer);
    if (found == tunnels.end()) return;
    Tunnel& tunnel = found->second;
    const auto child = tunnel.children.find(action.child);
    if (child == tunnel.children.end()) return;
    if (tunnel.current) ++tunnel.rekeyings;
    tunnel.current = action.child;
    carry(tunnel, child->second.shares_link);
    trust(tunnel, ike::Trust::full);  // the peer has just agreed to it
    set_policies(tunnel, action.child);
}

void Node::State::set_policies(Tunnel& tunnel, ike::ChildId id) {
    const Child& c = tunnel.children.at(id);
    const std::uint32_t if_id = tunnel.pairing.if_id;
    const auto pin = pin_of(tunnel.pairing);
    // What they let in by another pin, or kept out, is not so any more.
    if (tunnel.pinned && tunnel.pinned != pin) remove(netlink::RemovePolicies{if_id, tunnel.pinned});
    tunnel.pinned = pin;
    change(
        netlink::SetPolicies{{if_id, if_id, c.out_source, c.out.destination, c.out.spi, pin}},
        {Purpose::Kind::policies, if_id, id, "the policies"}
    );
}

// The packets that came may speak for the peer, and so may its host: where nobody listens it is waited for.
void Node::State::translate(ike::Silence& action) {
    want_counters();
    speaker.ask(action.peer, now, babel_actions);
}

void Node::State::translate(ike::ChildDown& action) {
    want_counters();  // a last time, before they are gone
    metering.ends(action.in);
    metering.ends(action.out);
    remove(netlink::RemoveSa{action.in, action.in_source});
    remove(netlink::RemoveSa{action.out, action.in.destination});
    const auto found = tunnels.find(action.peer);
    if (found == tunnels.end()) return;
    Tunnel& tunnel = found->second;
    tunnel.children.erase(action.child);
    if (tunnel.current != action.child) return;
    goes_down(tunnel);
    // It may have gone because the peer is elsewhere now.
    resolve_soon(action.peer);
    run_updown(tunnel, tunnel.pairing.updown, false, action.in.destination, action.in_source);
}

void Node::State::goes_down(Tunnel& tunnel) {
    tunnel.current.reset();
    tunnel.carries = false;
    tunnel.since = now;
    tunnel.trust = ike::Trust::full;  // Babel forgets the link, and with it what was held against it
    tunnel.unanswered_since.reset();
    remove(netlink::RemovePolicies{tunnel.pairing.if_id, std::exchange(tunnel.pinned, {})});
    say(base::Level::info,
        tunnel.pairing.interface + " to " + tunnel.pairing.peer.remote.to_string() + " is down");
    update_routing(tunnel);
}

// The tunnel and all that Babel knows of it stay. Traffic goes over the old SAs until the policies name the
// new ones.
void Node::State::translate(const ike::ChildMoved& action) {
    const auto found = tunnels.find(action.peer);
    if (found == tunnels.end() || !found->second.children.contains(action.child)) return;
    Tunnel& tunnel = found->second;
    Child& child = tunnel.children.at(action.child);
    const Child before = child;
    child.in.destination = child.out_source = action.local.address;
    child.out.destination = child.in_source = action.remote.address;
    metering.moves(before.in, child.in);
    metering.moves(before.out, child.out);
    const auto move =
        [&](const base::SaId& id, base::Direction direction, const Endpoint& from, const Endpoint& to) {
            const bool in = direction == base::Direction::in;
            child.changed_as = change(
                netlink::MoveSa{id, direction, from, to},
                {Purpose::Kind::moved_sa,
                 action.peer,
                 action.child,
                 in ? "moving the inbound SA" : "moving the outbound SA"}
            );
        };
    move(before.in, base::Direction::in, action.remote, action.local);
    move(before.out, base::Direction::out, action.local, action.remote);
    if (tunnel.current == action.child) {
        say(base::Level::info,
            tunnel.pairing.interface + " now runs between " + action.local.to_string() + " and " +
                action.remote.to_string());
        set_policies(tunnel, action.child);
    }
    if (before.in != child.in) remove(netlink::RemoveSa{before.in, before.in_source});
    if (before.out != child.out) remove(netlink::RemoveSa{before.out, before.out_source});
}

void Node::State::translate(const ike::Doubted& action) {
    const auto found = tunnels.find(action.peer);
    if (found != tunnels.end()) trust(found->second, action.trust);
}

void Node::State::translate(const ike::KeysMade& action) { tell_keys(ike_row(action), TellKeys::Table::ike); }

void Node::State::tell_keys(std::string row, TellKeys::Table table) {
    if (!row.empty()) out->push_back(TellKeys{table, std::move(row)});
}

// Another way is taken at the first suspicion where there is one; no way leads over what is dead.
void Node::State::trust(Tunnel& tunnel, ike::Trust trust) {
    if (std::exchange(tunnel.trust, trust) == trust || !tunnel.on_babel) return;
    const std::uint16_t cost = trust == ike::Trust::full        ? 0
                               : trust == ike::Trust::suspected ? kSuspicionCost
                                                                : babel::kInfinity;
    speaker.suspect(tunnel.pairing.if_id, cost, now, babel_actions);
}

void Node::State::translate(babel::Send& action) {
    const std::string link = link_of(action.on);
    if (link.empty()) return;
    SendBabel send{overlay_space(config), link, action.from, action.to, std::move(action.bytes)};
    if (const auto tunnel = tunnels.find(action.on); tunnel != tunnels.end()) {
        const Pairing& pairing = tunnel->second.pairing;
        send.link = carrier_of(pairing);
        // There is one neighbour on it, and no group on a link of many.
        if (pairing.carrier == Carrier::shared) send.to = pairing.on_shared.peer;
    }
    out->push_back(std::move(send));
}

void Node::State::translate(const babel::HelloSaid& action) {
    const std::string link = link_of(action.on);
    if (!link.empty()) out->push_back(remember_hello(link, action.next));
}

// Of a link on which an earlier process spoke until its end.
std::optional<babel::SeqNo> Node::State::next_hello(const std::string& link) {
    const auto known = memory.hellos.extract(link);
    return known.empty() ? std::nullopt : std::optional(known.mapped());
}

// Its neighbours will miss us, and are not to take what follows for the same.
void Node::State::leave_link(babel::InterfaceId id, const std::string& link) {
    speaker.remove_interface(id, now, babel_actions);
    if (host.remembers) out->push_back(forget_hello(link));
}

// Babel runs on a tunnel exactly while it can carry packets: its routes leave the moment it cannot.
void Node::State::update_routing(Tunnel& tunnel) {
    const bool wanted = tunnel.may_route() && phase == Phase::running;
    if (wanted == tunnel.on_babel) return;
    tunnel.on_babel = wanted;
    tunnel.since = now;
    if (!wanted) {
        // While saying goodbye the retractions are still on their way.
        if (phase == Phase::running) leave_link(tunnel.pairing.if_id, tunnel.pairing.interface);
        return;
    }
    babel::InterfaceConfig interface = babel_config(tunnel);
    interface.next_hello = next_hello(tunnel.pairing.interface);
    out->push_back(ListenBabel{carrier_of(tunnel.pairing)});
    speaker.add_interface(tunnel.pairing.if_id, interface, now, babel_actions);
}

babel::InterfaceConfig Node::State::babel_config(const Tunnel& tunnel) const {
    babel::InterfaceConfig interface;
    const bool is_shared = tunnel.pairing.carrier == Carrier::shared;
    interface.link_local = is_shared ? tunnel.pairing.on_shared.own : tunnel.pairing.link_local;
    constexpr unsigned kCostMax = babel::kInfinity - 1;
    const unsigned cost = config.babel.rxcost + unsigned(tunnel.pairing.cost);
    interface.rxcost = static_cast<std::uint16_t>(std::min(cost, kCostMax));
    interface.hello_interval = config.babel.hello_interval;
    interface.update_interval = config.babel.update_interval;
    interface.rtt_cost = config.babel.rtt_cost;
    interface.rtt_min = config.babel.rtt_min;
    interface.rtt_max = config.babel.rtt_max;
    interface.mtu = config.mtu;
    interface.bounded = config.babel.only_registered_prefixes;
    interface.routes_max = config.babel.max_routes;
    const std::string peer = tunnel.peer_name();
    interface.imports = babel::rules_for(config.babel.imports, tunnel.pairing.interface, peer);
    interface.exports = babel::rules_for(config.babel.exports, tunnel.pairing.interface, peer);
    return interface;
}

// As strongSwan does it for the two pairs of selectors of such a CHILD_SA: once for IPv4, once for IPv6,
// whatever the family outside is. PLUTO_INTERFACE is the tunnel's, which exists already.
void Node::State::run_updown(
    const Tunnel& tunnel, const std::string& script, bool up, const Address& me, const Address& peer
) {
    if (script.empty()) return;
    const std::string id = std::to_string(tunnel.pairing.if_id);
    for (const Family family : {Family::v4, Family::v6}) {
        const std::string everything = Prefix::any(family).to_string();
        std::map<std::string, std::string> environment{
            {"PLUTO_VERSION", "1.1"},
            {"PLUTO_VERB", std::string(up ? "up" : "down") + "-client" + (family == Family::v6 ? "-v6" : "")},
            {"PLUTO_CONNECTION", tunnel.pairing.interface},
            {"PLUTO_INTERFACE", carrier_of(tunnel.pairing)},
            {"PLUTO_REQID", id},
            {"PLUTO_PROTO", "esp"},
            {"PLUTO_IF_ID_IN", id},
            {"PLUTO_IF_ID_OUT", id},
            {"PLUTO_ME", me.to_string()},
            {"PLUTO_MY_ID", tunnel.pairing.peer.local.to_string()},
            {"PLUTO_MY_CLIENT", everything},
            {"PLUTO_MY_PORT", "0"},
            {"PLUTO_MY_PROTOCOL", "0"},
            {"PLUTO_PEER", peer.to_string()},
            {"PLUTO_PEER_ID", tunnel.pairing.peer.remote.to_string()},
            {"PLUTO_PEER_CLIENT", everything},
            {"PLUTO_PEER_PORT", "0"},
            {"PLUTO_PEER_PROTOCOL", "0"},
        };
        out->push_back(RunUpdown{tunnel.pairing.interface, script, std::move(environment)});
    }
}

}  // namespace aronet::overlay
