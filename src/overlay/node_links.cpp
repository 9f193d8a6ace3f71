// Ordinary interfaces that Babel runs on besides the tunnels, and what is announced of this host. Both follow
// what the kernel says.

#include "overlay/node_state.hpp"

#include <algorithm>
#include <tuple>

namespace aronet::overlay {
namespace {

// What Babel needs on an ordinary interface. An address in use stays in use while it is there: neighbours
// know us by it.
std::optional<babel::InterfaceConfig> runnable(
    const InterfaceRule& rule, const LinkSight& link, const std::optional<babel::InterfaceConfig>& running
) {
    const auto pick = [&](const auto& fits, const std::optional<Address>& present) -> std::optional<Address> {
        if (present && link.addresses.contains(*present)) return present;
        const auto found = std::find_if(link.addresses.begin(), link.addresses.end(), fits);
        return found == link.addresses.end() ? std::nullopt : std::optional(*found);
    };
    const auto link_local = pick(
        [](const Address& a) { return a.is_v6() && a.is_link_local(); },
        running ? std::optional(running->link_local) : std::nullopt
    );
    if (!link.up || !link_local) return std::nullopt;
    babel::InterfaceConfig config = rule.as;
    config.link_local = *link_local;
    config.v4 = pick(
        [](const Address& a) { return a.is_v4() && !a.is_loopback(); }, running ? running->v4 : std::nullopt
    );
    config.mtu = link.mtu;
    return config;
}

}  // namespace

const InterfaceRule* Node::State::rule_for(const std::string& link) const {
    if (is_ours(config, link) || link == kLoopback) return nullptr;
    const auto& rules = config.babel.interfaces;
    const auto rule = std::find_if(rules.begin(), rules.end(), [&](const InterfaceRule& r) {
        return babel::fits(r.name, link);
    });
    return rule == rules.end() ? nullptr : &*rule;
}

// Brings Babel on an ordinary interface to where the interface, and the configuration, are now.
void Node::State::follow(const std::string& name) {
    const InterfaceRule* rule = rule_for(name);
    const auto at = ordinary.find(name);
    if ((rule == nullptr && at == ordinary.end()) || phase != Phase::running) return;
    const auto seen = sightings.links().find(name);
    std::optional<babel::InterfaceConfig> running, wanted;
    if (at != ordinary.end()) running = at->second.running;
    if (rule != nullptr && seen != sightings.links().end()) wanted = runnable(*rule, seen->second, running);
    if (wanted) {
        wanted->imports = filter_of(rule->as.imports, config.babel.imports, name);
        wanted->exports = filter_of(rule->as.exports, config.babel.exports, name);
    }
    if (running == wanted) return;
    const auto kept = [](const babel::InterfaceConfig& c) { return std::tie(c.link_local, c.type); };
    if (running && wanted && kept(*running) == kept(*wanted)) {
        at->second.running = *wanted;
        return speaker.configure(at->second.id, *wanted, now, babel_actions);
    }
    if (running) {
        leave_link(at->second.id, name);
        drain();
        ordinary_names.erase(at->second.id);
        ordinary.erase(at);
        const Sysctl filter = rp_filter_of(config, name);
        if (rule == nullptr) wanted_sysctls.erase({filter.space, filter.key});
        say(base::Level::info, name + " is left by Babel");
    }
    if (wanted) run_on(name, std::move(*wanted));
}

void Node::State::run_on(const std::string& name, babel::InterfaceConfig wanted) {
    babel::InterfaceId id = kOrdinaryIdMin;
    while (ordinary_names.contains(id)) ++id;
    ordinary_names.emplace(id, name);
    ordinary.emplace(name, Ordinary{id, wanted, now});
    wanted.next_hello = next_hello(name);
    want_sysctls({rp_filter_of(config, name)});
    out->push_back(ListenBabel{name});
    say(base::Level::info, "Babel runs on " + name + " as " + wanted.link_local.to_string());
    speaker.add_interface(id, wanted, now, babel_actions);
}

babel::MetricRules Node::State::filter_of(
    const babel::MetricRules& of_interface, const babel::MetricRules& of_all, const std::string& name
) const {
    babel::MetricRules rules = of_interface;
    for (auto& rule : babel::rules_for(of_all, name)) rules.push_back(std::move(rule));
    return rules;
}

void Node::State::follow_all() {
    std::set<std::string> all;
    for (const auto& [name, link] : sightings.links()) all.insert(name);
    for (const auto& [name, interface] : ordinary) all.insert(name);
    for (const std::string& name : all) follow(name);
    give_back_filters([this](const std::string& name) { return rule_for(name) == nullptr; });
}

std::optional<babel::InterfaceId> Node::State::babel_interface(const std::string& link) const {
    if (const Tunnel* tunnel = find(link))
        return tunnel->on_babel ? std::optional(tunnel->pairing.if_id) : std::nullopt;
    const auto it = ordinary.find(link);
    return it == ordinary.end() ? std::nullopt : std::optional(it->second.id);
}

std::string Node::State::link_of(babel::InterfaceId id) const {
    const auto tunnel = tunnels.find(id);
    if (tunnel != tunnels.end()) return tunnel->second.pairing.interface;
    const auto name = ordinary_names.find(id);
    return name == ordinary_names.end() ? "" : name->second;
}

// Own prefixes and what is redistributed: from the first the node has them, the second it has found.
void Node::State::offer(const babel::Destination& about) {
    if (phase != Phase::running) return;
    const bool own =
        !about.source_specific() &&
        (config.network == about.prefix ||
         std::find(config.prefixes.begin(), config.prefixes.end(), about.prefix) != config.prefixes.end());
    auto metric = own ? std::optional<babel::Metric>(0) : sightings.offered(about);
    if (const auto exit = exit_metric(about)) metric = std::min(metric.value_or(*exit), *exit);
    if (metric) {
        speaker.announce(about, *metric, now, babel_actions);
    } else {
        speaker.withdraw(about, now, babel_actions);
    }
}

void Node::State::offer_touched() {
    for (const babel::Destination& about : sightings.take_touched()) offer(about);
}

void Node::State::announce_own() {
    std::vector<Prefix> own = config.prefixes;
    if (config.network) own.push_back(*config.network);
    for (const Prefix& prefix : own) offer(babel::Destination::of(prefix));
    for (const babel::Destination& about : sightings.destinations()) offer(about);
    offer_exits();
}

template <class T>
bool Node::State::seen(const T& notice) {
    const bool news = sightings.see(notice);
    if (relearned) relearned->see(notice);
    if (news && phase == Phase::running) offer_touched();
    return news && phase == Phase::running;
}

// The kernel told nothing of the IPv4 routes that came back with the link.
void Node::State::seen(const netlink::LinkUp& up) {
    const auto before = sightings.links().find(up.name);
    const bool was_down = before != sightings.links().end() && !before->second.up;
    if (way_out.see(up) && phase == Phase::running && !config.exits.empty()) look_again();
    if (!seen<>(up)) return;
    follow(up.name);
    if (was_down && sightings.wants_routes()) look_again();
}

void Node::State::seen(const netlink::LinkDown& down) {
    if (way_out.see(down)) offer_exits();
    if (seen<>(down)) follow(down.name);
}

// The routes that have it go with it, those of IPv6 stay without: of neither every kernel tells.
bool Node::State::is_preferred_source(const Address& address) const {
    return std::ranges::any_of(config.babel.install, [&](const auto& rule) {
        return rule.verdict.preferred_source == address;
    });
}

void Node::State::notice(const netlink::AddressAppeared& appeared) {
    gained(appeared);
    if (is_preferred_source(appeared.address)) tell_routes_again(Instant::max());  // refused without it
    if (is_shared_link(appeared.space, appeared.link)) shared_address(appeared.address, true);
    if (seen(appeared)) follow(appeared.link);
}

// Nor does it tell of the IPv4 routes that went with the address.
void Node::State::notice(const netlink::AddressVanished& vanished) {
    lost(vanished);
    if (is_shared_link(vanished.space, vanished.link)) shared_address(vanished.address, false);
    if (phase == Phase::running) keeper.lost_address(vanished.space, vanished.link, vanished.address, now);
    const bool carries_routes =
        babel_interface(vanished.link) || is_shared_link(vanished.space, vanished.link);
    const bool may_take_routes = sightings.wants_routes() || carries_routes;
    const bool of_exit = !config.exits.empty() && vanished.space == netlink::Space::underlay;
    if (is_preferred_source(vanished.address) || (vanished.address.is_v4() && (may_take_routes || of_exit)))
        look_again();
    if (seen(vanished)) follow(vanished.link);
}

void Node::State::notice(const netlink::ForeignRoute& route) {
    if (way_out.see(route)) offer_exits();
    if (config.babel.redistribute_tables.contains(route.route.key.table)) seen(route);
}

void Node::State::notice(const netlink::ForeignRouteGone& gone) {
    if (way_out.see(gone)) offer_exits();
    seen(gone);
}

netlink::TakeSnapshot Node::State::snapshot_wish() const {
    netlink::TakeSnapshot wish{config.ifname, {}};
    if (sightings.wants_routes()) wish.watched_tables = config.babel.redistribute_tables;
    if (!config.exits.empty()) wish.watched_tables.insert(netlink::kMainTable);
    return wish;
}

// Notices were lost, or the kernel said nothing of what it did: everything is looked at again, beside what is
// known, so that nothing is withdrawn on suspicion.
void Node::State::look_again() {
    look_again_at.reset();
    if (phase == Phase::starting) return look_at_start();
    if (phase != Phase::running) return;
    if (relearned) {
        look_once_more = true;
        return;
    }
    take_a_look();
}

void Node::State::take_a_look() {
    relearned.emplace(overlay_space(config), config.babel.redistribute);
    underlay_seen_again.clear();
    way_out.look_again();
    looked_as = change(snapshot_wish(), {Purpose::Kind::look_again});
}

void Node::State::looked_again() {
    if (!relearned) return;
    if (std::exchange(look_once_more, false)) return take_a_look();
    std::set<babel::Destination> touched = sightings.destinations();
    sightings = std::move(*relearned);
    relearned.reset();
    lose_unseen();
    touched.merge(sightings.destinations());
    sightings.take_touched();
    follow_all();
    for (const babel::Destination& about : touched) offer(about);
    way_out.looked_again();
    offer_exits();
}

}  // namespace aronet::overlay
