// Babel's routes on their way to the kernel. The speaker holds them; what netlink is to be told is made of
// that and of the configuration when the kernel is ready for it.

#include "overlay/node_state.hpp"

namespace aronet::overlay {
namespace {

using babel::Destination;
using Kind = babel::Installed::Kind;

Kind kind_of(const netlink::Route& route) {
    return route.kind == netlink::RouteKind::unreachable ? Kind::unreachable : Kind::route;
}

constexpr unsigned kRefusalsTold = 3;  // of a route whose link has gone there is one

}  // namespace

void Node::State::route_changed(const Destination& about, Kind before) {
    forwarding.untold.try_emplace(about, before);
    watch_links();
}

// The next when the last have been answered.
void Node::State::tell_routes() {
    if (!forwarding.in_flight.empty()) return;
    while (!forwarding.untold.empty() && forwarding.in_flight.size() < netlink::kBurst) {
        const auto next = forwarding.untold.extract(forwarding.untold.begin());
        tell_route(next.key(), next.mapped());
    }
}

void Node::State::tell_all_routes() {
    for (const auto& [about, had] : std::exchange(forwarding.untold, {})) tell_route(about, had);
}

// Replacing in place keeps traffic flowing, but not between the kinds of route of IPv6.
void Node::State::tell_route(const Destination& about, Kind had) {
    auto told = told_key(about, had);
    if (const auto left = inherited.extract(about); !left.empty()) {
        had = kind_of(left.mapped());
        told = left.mapped().key;
    }
    auto route = wanted_route(about, told, config.babel.install);
    const Kind wanted = !route                                           ? Kind::nothing
                        : route->kind == netlink::RouteKind::unreachable ? Kind::unreachable
                                                                         : Kind::route;
    if (told && (wanted != had || route->key != *told))
        change_route(about, netlink::RemoveRoute{*told}, !route);
    if (!route) {
        forwarding.losses.erase(about);
        return;
    }
    if (!config.babel.install.empty()) forwarding.keys.insert_or_assign(about, route->key);
    change_route(about, netlink::AddRoute{std::move(*route)});
}

void Node::State::change_route(const Destination& about, netlink::Wish wish, bool for_good) {
    const bool removes = std::holds_alternative<netlink::RemoveRoute>(wish);
    forwarding.in_flight.emplace(give(std::move(wish)), Forwarding::Change{about, removes, for_good});
}

// Refused, for its link may just have gone: then Babel is about to be told. Else it is asked for again.
bool Node::State::route_answered(const netlink::Done& done) {
    const auto change = forwarding.in_flight.extract(done.id);
    if (change.empty()) return false;
    const auto& [about, removes, for_good] = change.mapped();
    if (done.error == 0) {
        if (for_good) forwarding.keys.erase(about);
        if (forwarding.refused.empty() || (removes && !for_good))
            return true;  // what takes its place decides
        forwarding.refused.erase(about);
        forwarding.again.stop(about);
        return true;
    }
    const unsigned times = ++forwarding.refused[about];
    if (times == (removes ? 1 : kRefusalsTold))
        say(base::Level::warning, "the route to " + about.prefix.to_string() + ": " + done.text);
    forwarding.again.set(about, now + pause_after(times));
    return true;
}

void Node::State::tell_routes_again(Instant until) {
    while (const auto about = forwarding.again.expired(until)) {
        // Perhaps it could not be removed.
        const Kind kind = speaker.installed(*about).kind;
        forwarding.untold.try_emplace(*about, kind == Kind::nothing ? Kind::route : Kind::nothing);
    }
}

// Babel has had the time to learn anew what still leads somewhere.
void Node::State::drop_inherited() {
    inherits_until.reset();
    for (const auto& [about, route] : std::exchange(inherited, {}))
        change(netlink::RemoveRoute{route.key}, {Purpose::Kind::clean_up});
}

// By where Babel's routes are put.
bool Node::State::is_babels(const netlink::RouteKey& key) const {
    if (keeper.wants(key)) return false;  // under a metric of the rules, too
    if (key == usual_key(destination_of(key))) return true;
    return std::ranges::any_of(config.babel.install, [&](const auto& rule) {
        const Installation& how = rule.verdict;
        return key.space == overlay_space(config) && key.table == how.table.value_or(overlay_table(config)) &&
               key.metric == how.metric.value_or(kBabelMetric);
    });
}

// Takes what the kernel has of Babel's out of what was found: what is other is told again, what is too much
// is removed.
void Node::State::compare_routes(Objects& found) {
    std::set<netlink::RouteKey> there;
    std::set<Destination> under_way;
    for (const auto& [id, change] : forwarding.in_flight) under_way.insert(change.about);
    const auto put_right = [&](const Destination& about, Kind had) {
        if (!under_way.contains(about)) route_changed(about, had);
    };
    std::erase_if(found.routes, [&](const netlink::Route& route) {
        if (!is_babels(route.key)) return false;
        const Destination about = destination_of(route.key);
        const auto key = told_key(about, speaker.installed(about).kind);
        if (key == route.key) {
            there.insert(route.key);
            if (wanted_route(about, key, config.babel.install) != route) put_right(about, kind_of(route));
        } else if (phase == Phase::starting && memory.router_id) {
            if (!inherited.emplace(about, route).second)  // one of two was on its way out
                change(netlink::RemoveRoute{route.key}, {Purpose::Kind::clean_up});
        } else if (!under_way.contains(about) && !inherited.contains(about)) {
            change(netlink::RemoveRoute{route.key}, {Purpose::Kind::clean_up});
        }
        return true;
    });
    speaker.for_each_installed([&](const Destination& about, Kind kind) {
        const auto key = told_key(about, kind);
        if (key && !there.contains(*key)) put_right(about, Kind::nothing);
    });
}

// True if it was Babel's.
bool Node::State::route_lost(const netlink::RouteKey& key) {
    const Destination about = destination_of(key);
    if (const auto left = inherited.find(about); left != inherited.end() && left->second.key == key) {
        inherited.erase(left);
        return true;
    }
    const Kind kind = speaker.installed(about).kind;
    if (kind == Kind::nothing || told_key(about, kind) != key) return false;
    forwarding.again.set(about, now + forwarding.losses[about].pause(now));
    return true;
}

// All over a link that was down for a moment: those of IPv4 went without a word.
void Node::State::routes_lost(babel::InterfaceId on) {
    speaker.for_each_installed([&](const Destination& about, Kind kind) {
        if (kind == Kind::route && speaker.installed(about).on == on) route_changed(about, Kind::nothing);
    });
}

netlink::RouteKey Node::State::usual_key(const Destination& about) const {
    netlink::RouteKey key{
        overlay_space(config), overlay_table(config), about.prefix, std::nullopt, kBabelMetric};
    if (about.source_specific()) key.source = about.source;
    return key;
}

// Of what the kernel has.
std::optional<netlink::RouteKey> Node::State::told_key(const Destination& about, Kind had) const {
    if (config.babel.install.empty())
        return had == Kind::nothing ? std::nullopt : std::optional(usual_key(about));
    const auto found = forwarding.keys.find(about);
    return found == forwarding.keys.end() ? std::nullopt : std::optional(found->second);
}

std::optional<netlink::Route> Node::State::wanted_route(
    const Destination& about,
    const std::optional<netlink::RouteKey>& told,
    const babel::Rules<Installation>& rules
) const {
    const babel::Installed best = speaker.installed(about);
    if (best.kind == Kind::nothing) return std::nullopt;
    netlink::Route route;
    route.key = usual_key(about);
    if (best.kind == Kind::unreachable) {
        // In the place of what was there; where the rules let nothing in, nobody is misled.
        if (!told && !rules.empty()) return std::nullopt;
        route.key = told.value_or(route.key);
        route.kind = netlink::RouteKind::unreachable;
        return route;
    }
    const std::string name = link_of(best.on);
    if (name.empty()) return std::nullopt;
    route.via = best.next_hop;
    route.onlink = best.next_hop.is_v4();
    const auto tunnel = tunnels.find(best.on);
    const bool is_tunnel = tunnel != tunnels.end();
    route.link = is_tunnel ? carrier_of(tunnel->second.pairing) : name;
    if (is_tunnel && tunnel->second.pairing.carrier == Carrier::shared)
        route.encap = netlink::XfrmEncap{best.on};
    const std::string peer = is_tunnel ? tunnel->second.peer_name() : "";
    const auto* how = first_match(rules, {.about = about, .interface = name, .peer = peer});
    if (how == nullptr) return route;
    if (how->refused) return std::nullopt;
    route.key.table = how->table.value_or(route.key.table);
    route.key.metric = how->metric.value_or(route.key.metric);
    route.pref_src = how->preferred_source;
    return route;
}

// As far as the rules let them in.
std::size_t Node::State::routes_told() const {
    return config.babel.install.empty() ? speaker.installed_count() : forwarding.keys.size();
}

}  // namespace aronet::overlay
