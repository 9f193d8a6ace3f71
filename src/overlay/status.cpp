// What a node says of itself, as JSON (docs/control.md: the fields stay).

#include "overlay/document.hpp"
#include "overlay/node_state.hpp"
#include "overlay/origins.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace aronet::overlay {
namespace {

using nlohmann::json;

std::int64_t seconds(Duration duration) {
    return std::chrono::duration_cast<std::chrono::seconds>(duration).count();
}

json milliseconds_or_null(const std::optional<Duration>& duration) {
    if (!duration) return nullptr;
    return static_cast<double>(base::microseconds(*duration)) / 1000.0;
}

json endpoint_or_null(const std::optional<Endpoint>& endpoint) {
    return endpoint ? json(endpoint->to_string()) : json(nullptr);
}

const char* state_name(ike::PeerState state) {
    switch (state) {
        case ike::PeerState::idle:
            return "idle";
        case ike::PeerState::waiting:
            return "waiting";
        case ike::PeerState::connecting:
            return "connecting";
        case ike::PeerState::established:
            return "established";
        case ike::PeerState::closing:
            return "closing";
    }
    return "";
}

const char* to_string(ike::Trust trust) {
    return trust == ike::Trust::full ? "full" : trust == ike::Trust::suspected ? "suspected" : "none";
}

json peer_or_null(const Node::State& s, babel::InterfaceId id) {
    const auto tunnel = s.tunnels.find(id);
    return tunnel == s.tunnels.end() ? json(nullptr) : json(tunnel->second.peer_name());
}

// Whose a prefix is, by the registry: the longest match, since a network holds its node's SIDs.
std::string owner(const babel::Holders& holders, const Prefix& prefix) {
    const auto& list = holders.of(prefix);
    return list.empty() ? "" : list.front().organization + "/" + list.front().common_name;
}

// What carries it, once that is agreed on.
json link_or_null(const Node::State& s, const Tunnel& tunnel) {
    const Pairing& pairing = tunnel.pairing;
    return pairing.carrier == Carrier::undecided ? json(nullptr) : json(s.carrier_of(pairing));
}

json tunnels_json(const Node::State& s) {
    std::map<std::uint32_t, ike::PeerView> peers;
    for (ike::PeerView& view : s.engine.peers()) peers.emplace(view.id, std::move(view));
    std::map<std::uint32_t, std::optional<Duration>> rtt;
    for (const babel::NeighbourView& view : s.speaker.neighbours()) rtt[view.on] = view.rtt;
    json list = json::array();
    for (const auto& [if_id, tunnel] : s.tunnels) {
        const auto view = peers.find(if_id);
        if (view == peers.end()) continue;
        const ike::PeerView& peer = view->second;
        list.push_back({
            {"interface", tunnel.pairing.interface},
            {"link", link_or_null(s, tunnel)},
            {"peer", tunnel.peer_name()},
            {"state", to_string(tunnel.stage())},
            {"since_seconds", seconds(s.now - tunnel.since)},
            {"ike", state_name(peer.state)},
            {"reason", peer.reason},
            {"local", endpoint_or_null(peer.local)},
            {"remote", endpoint_or_null(peer.remote)},
            {"local_id", tunnel.pairing.peer.local.to_string()},
            {"remote_id", tunnel.pairing.peer.remote.to_string()},
            {"initiator", peer.initiator},
            {"ike_suite", peer.ike_suite},
            {"esp_suite", peer.esp_suite},
            {"spi_in", base::to_hex(peer.spi_in)},
            {"spi_out", base::to_hex(peer.spi_out)},
            {"behind_nat", peer.behind_nat},
            {"peer_behind_nat", peer.peer_behind_nat},
            {"rtt_ms", milliseconds_or_null(rtt.contains(if_id) ? rtt.at(if_id) : std::nullopt)},
            {"bytes_in", tunnel.received.bytes},
            {"bytes_out", tunnel.sent.bytes},
            {"packets_in", tunnel.received.packets},
            {"packets_out", tunnel.sent.packets},
            {"attempts", peer.attempts},
            {"came_up", tunnel.came_up},
            {"rekeyings", {{"ike", peer.rekeyings}, {"child", tunnel.rekeyings}}},
            {"trust", to_string(tunnel.trust)},
        });
    }
    return {{"schema", "aronet.tunnels/1"}, {"tunnels", list}};
}

json neighbours_json(const Node::State& s) {
    json list = json::array();
    for (const babel::NeighbourView& view : s.speaker.neighbours()) {
        list.push_back({
            {"interface", s.link_of(view.on)},
            {"peer", peer_or_null(s, view.on)},
            {"address", view.address.to_string()},
            {"reachable", view.reachable},
            {"rxcost", view.rxcost},
            {"txcost", view.txcost},
            {"cost", view.cost},
            {"rtt_ms", milliseconds_or_null(view.rtt)},
            {"hello_history", view.hello_history},
            {"since_seconds", seconds(s.now - view.since)},
            {"routes", view.routes},
            {"routes_max", view.routes_max},
            {"refused", view.refused},
        });
    }
    return {{"schema", "aronet.neighbours/1"}, {"neighbours", list}};
}

json routes_json(const Node::State& s) {
    json list = json::array();
    for (const babel::RouteView& view : s.speaker.routes()) {
        list.push_back({
            {"destination", view.destination.prefix.to_string()},
            {"source", view.destination.source.to_string()},
            {"interface", s.link_of(view.on)},
            {"via", peer_or_null(s, view.on)},
            {"next_hop", view.next_hop.to_string()},
            {"metric", view.metric},
            {"received_metric", view.received_metric},
            {"router_id", router_id_text(view.router_id)},
            {"seqno", view.seqno},
            {"feasible", view.feasible},
            {"selected", view.selected},
            {"node", owner(s.holders, view.destination.prefix)},
            {"since_seconds", seconds(s.now - view.since)},
        });
    }
    return {{"schema", "aronet.routes/1"}, {"routes", list}};
}

const char* mode_name(Mode mode) {
    switch (mode) {
        case Mode::vrf:
            return "vrf";
        case Mode::netns:
            return "netns";
        case Mode::none:
            return "none";
    }
    return "";
}

const char* type_name(babel::LinkType type) {
    switch (type) {
        case babel::LinkType::wired:
            return "wired";
        case babel::LinkType::tunnel:
            return "tunnel";
        case babel::LinkType::lossy:
            return "lossy";
    }
    return "";
}

// What keeps Babel from an interface that it is to run on.
const char* why_not(const LinkSight& link) { return link.up ? "no link-local address" : "down"; }

// Ordinary interfaces that are there, and those named in full that are not.
json interfaces_json(const Node::State& s) {
    json list = json::array();
    const auto add = [&](const std::string& name, const char* state, const Ordinary* running) {
        json entry{{"interface", name}, {"state", state}};
        if (running != nullptr) {
            entry["type"] = type_name(running->running.type);
            entry["link_local"] = running->running.link_local.to_string();
            entry["ipv4"] = running->running.v4 ? json(running->running.v4->to_string()) : json(nullptr);
            entry["mtu"] = running->running.mtu;
            entry["since_seconds"] = seconds(s.now - running->since);
        }
        list.push_back(std::move(entry));
    };
    const auto& links = s.sightings.links();
    for (const auto& [name, link] : links) {
        if (s.rule_for(name) == nullptr) continue;
        const auto running = s.ordinary.find(name);
        const bool runs = running != s.ordinary.end();
        add(name, runs ? "running" : why_not(link), runs ? &running->second : nullptr);
    }
    for (const InterfaceRule& rule : s.config.babel.interfaces) {
        const bool pattern = rule.name.find_first_of("*?") != std::string::npos;
        if (!pattern && !links.contains(rule.name)) add(rule.name, "absent", nullptr);
    }
    return list;
}

json text_or_null(const std::string& text) { return text.empty() ? json(nullptr) : json(text); }

// What is in use, and how it is with where it comes from.
json registry_json(const Node::State& s) {
    const auto since = [&](const std::optional<Instant>& at) {
        return at ? json(seconds(s.now - *at)) : json(nullptr);
    };
    return {
        {"version", s.registry.version},
        {"nodes", s.registry.nodes.size()},
        {"from", s.registry_from != nullptr ? json(s.registry_from) : json(nullptr)},
        {"changed_seconds", since(s.registry_since)},
        {"source", text_or_null(s.source.name())},
        {"checked_seconds", since(s.source.checked())},
        {"error", text_or_null(s.source.error())},
        {"copy_error", text_or_null(s.source.copy_error())},
    };
}

json exits_json(const Node::State& s) {
    json list = json::array();
    for (const Exit& exit : s.config.exits) {
        const std::string obstacle = s.way_out.obstacle(exit.about.prefix.family());
        list.push_back(
            {{"prefix", exit.about.prefix.to_string()},
             {"source", exit.about.source.to_string()},
             {"announced", obstacle.empty()},
             {"obstacle", obstacle.empty() ? json(nullptr) : json(obstacle)}}
        );
    }
    return list;
}

json info_json(const Node::State& s) {
    return {
        {"schema", "aronet.info/1"},
        {"version", s.host.version},
        {"pid", s.host.pid},
        {"uptime_seconds", seconds(s.now - s.started)},
        {"organization", s.config.organization},
        {"common_name", s.config.common_name},
        {"mode", mode_name(s.config.mode)},
        {"datapath",
         s.config.endpoints.empty() ? "none"
         : s.host.kernel_datapath   ? "kernel"
                                    : "user"},
        {"links", s.config.links == Links::shared ? "shared" : "per-peer"},
        {"ifname", s.config.ifname},
        {"registry", registry_json(s)},
    };
}

// Networks of other nodes that there is no way to.
std::vector<std::string> unreached(const Node::State& s) {
    const auto reached = [&](const Prefix& network) {
        return s.speaker.installed(babel::Destination::of(network)).kind == babel::Installed::Kind::route;
    };
    std::vector<std::string> names;
    for (const RegistryNode& node : s.registry.nodes) {
        const bool self =
            node.organization == s.config.organization && node.common_name == s.config.common_name;
        if (self || !node.network || reached(*node.network)) continue;
        names.push_back(node.organization + "/" + node.common_name);
    }
    return names;
}

json status_json(const Node::State& s) {
    std::size_t up = 0, reachable = 0;
    for (const auto& [if_id, tunnel] : s.tunnels) up += tunnel.carries ? 1 : 0;
    const auto neighbours = s.speaker.neighbours();
    for (const auto& view : neighbours) reachable += view.reachable ? 1 : 0;
    const auto missing = unreached(s);
    constexpr Duration kConverging = std::chrono::seconds(30);
    const char* state = s.phase == Phase::saying_goodbye || s.phase == Phase::cleaning_up ? "stopping"
                        : missing.empty() && s.phase == Phase::running                    ? "ready"
                        : s.now - s.started < kConverging                                 ? "converging"
                                                                                          : "degraded";
    json answer = info_json(s);
    answer["schema"] = "aronet.status/1";
    answer["state"] = state;
    answer["unreached"] = missing;
    answer["tunnels"] = {{"total", s.tunnels.size()}, {"up", up}};
    answer["interfaces"] = interfaces_json(s);
    answer["neighbours"] = {{"total", neighbours.size()}, {"reachable", reachable}};
    answer["routes"] = {{"installed", s.routes_told()}};
    answer["exits"] = exits_json(s);
    answer["warnings"] = s.present_warnings();
    answer["drops"] = {
        {"ike", s.engine.drops().totals()}, {"babel", s.speaker.drops().totals()}, {"esp", s.esp_drops}};
    return answer;
}

}  // namespace

std::string Node::State::answer_to(const std::string& verb, int& status) const {
    json answer;
    if (verb == "info") {
        answer = info_json(*this);
    } else if (verb == "status") {
        answer = status_json(*this);
    } else if (verb == "tunnels") {
        answer = tunnels_json(*this);
    } else if (verb == "neighbours") {
        answer = neighbours_json(*this);
    } else if (verb == "routes") {
        answer = routes_json(*this);
    } else {
        status = 404;
        answer = {{"error", "there is no " + base::printable(verb)}};
    }
    return to_text(answer);
}

}  // namespace aronet::overlay
