// Another configuration under a running node: what is another changes, and nothing else is touched.

#include "ike/fit.hpp"
#include "overlay/alteration.hpp"
#include "overlay/document.hpp"
#include "overlay/node_state.hpp"
#include "overlay/plan.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace aronet::overlay {
namespace {

using nlohmann::json;

std::string joined(const std::vector<std::string>& list) {
    std::string text;
    for (const std::string& each : list) text += (text.empty() ? "" : ", ") + each;
    return text;
}

// Of several keys nobody but the engine knows by which the peer is the peer.
bool keeps_sas(const ike::Peer& before, const ike::Peer& after) {
    const bool is_trusted = std::ranges::any_of(before.remote_keys, [&](const ike::PublicKey& key) {
        return std::ranges::find(after.remote_keys, key) != after.remote_keys.end();
    });
    return ike::fits(before, after) && (is_trusted || !after.psk.empty());
}

// What a node announces of its own, whatever the metric.
std::set<babel::Destination> announced(const Config& config) {
    std::set<babel::Destination> all;
    for (const Prefix& prefix : config.prefixes) all.insert(babel::Destination::of(prefix));
    for (const Exit& exit : config.exits) all.insert(exit.about);
    return all;
}

// Of what others announce in the kernel it is asked for no more than this.
auto watched(const Config& config) {
    return std::tuple(config.babel.redistribute, config.babel.redistribute_tables, config.exits.empty());
}

}  // namespace

void Node::State::refuse(RequestId answer_to, int status, const std::string& error) {
    if (answer_to != 0) out->push_back(Answer{answer_to, status, to_text(json{{"error", error}})});
}

void Node::State::handle(ConfigChanged& event) {
    if (!takes_registries()) return refuse(event.answer_to, 503, "stopping");
    if (phase == Phase::starting && event.is_trial) {  // what is to change is not known yet
        trials.emplace_back(std::move(event));
        if (awaits_registry()) source.ask(now);
        return;
    }
    if (phase == Phase::starting) {  // it goes on from where that leads
        if (next_config) refuse(next_config->answer_to, 409, "another configuration came before its turn");
        next_config.emplace(std::move(event));
        if (awaits_registry()) source.ask(now);
        return;
    }
    settle_links(event.config, host);
    const std::vector<std::string> lines = refused_changes(config, event.config);
    if (!lines.empty()) {
        for (const std::string& line : lines) say(base::Level::error, line);
        if (!event.is_trial) say(base::Level::error, "the old configuration stays");
        const json answer{
            {"error", "the configuration is refused"}, {"refused", "configuration"}, {"problems", lines}};
        if (event.answer_to != 0) out->push_back(Answer{event.answer_to, 422, to_text(answer)});
        return;
    }
    std::vector<std::string> changed = changed_keys(config, event.config);
    if (event.is_trial) {
        const json answer{
            {"schema", "aronet.plan/1"}, {"changed", changed}, {"changes", plan_for(event.config, registry)}};
        return out->push_back(Answer{event.answer_to, 200, to_text(answer)});
    }
    say(base::Level::info,
        changed.empty() ? "the configuration is what it was"
                        : "the configuration is another: " + joined(changed));
    if (!changed.empty()) apply(std::move(event.config));
    want_registry_again(event.answer_to, std::move(changed));
}

void Node::State::apply(Config next) {
    next.tells_keys = config.tells_keys;
    std::set<babel::Destination> own = announced(config);
    const auto was_watched = watched(config);
    std::vector<Pairing> wanted = planned(next, registry);
    // What is closed for good says goodbye before its port is left.
    std::set<IkePort> ports = config.ike_ports();
    ports.merge(next.ike_ports());
    const auto clamped = clamp(config);
    const bool applies_now = config.sysctl != next.sysctl;
    if (next.babel.install != config.babel.install) change_install_rules(next.babel.install);
    config = std::move(next);
    out->push_back(Configured{config.log_level, config.log_format, std::move(ports)});
    source.configure(config.registry);
    engine.configure(engine_config(config, shared.is_offered));
    keeper.want(desired(config, registry, wanted, strict_vrf), now);
    keep();
    apply(std::exchange(registry, {}), std::move(wanted));
    speaker.set_transit(config.babel.transit, now, babel_actions);
    for (const auto& [if_id, tunnel] : tunnels) {
        if (tunnel.on_babel) speaker.configure(if_id, babel_config(tunnel), now, babel_actions);
    }
    follow_all();
    own.merge(announced(config));
    for (const babel::Destination& about : own) offer(about);
    std::erase_if(exits_told, [&](const auto& told) {
        return std::ranges::none_of(config.exits, [&](const Exit& exit) { return exit.about == told.first; });
    });
    offer_exits();
    if (applies_now) {
        for (const auto& [key, sysctl] : wanted_sysctls) {
            std::erase_if(warnings, [&](const std::string& text) {
                return text.starts_with(key.second + " ");
            });
            change(netlink::GetSysctl{sysctl.space, sysctl.key}, {Purpose::Kind::sysctl});
        }
    }
    look_at_sysctls();
    if (clamp(config) != clamped) want_clamp();
    if (watched(config) != was_watched) look_again();
    drain();
    out->push_back(Configured{config.log_level, config.log_format, config.ike_ports()});
}

// What would be changed in the kernel. Babel's routes come and go with what the neighbours say.
std::vector<std::string> Node::State::plan_for(const Config& wanted, const Registry& next) const {
    const std::vector<Pairing> pairs = planned(wanted, next);
    std::set<std::uint32_t> staying;  // and what carries their traffic
    for (const Pairing& pairing : pairs) {
        const auto tunnel = tunnels.find(pairing.if_id);
        if (tunnel != tunnels.end() && keeps_sas(tunnel->second.pairing.peer, pairing.peer))
            staying.insert(pairing.if_id);
    }
    std::vector<netlink::Wish> wishes;
    for (const auto& [if_id, tunnel] : tunnels) {
        if (staying.contains(if_id) || tunnel.children.empty() || !host.kernel_datapath) continue;
        wishes.push_back(netlink::RemovePolicies{if_id, tunnel.pinned});
        for (const auto& [id, child] : tunnel.children) {
            wishes.push_back(netlink::RemoveSa{child.in, child.in_source});
            wishes.push_back(netlink::RemoveSa{child.out, child.out_source});
        }
    }
    const Objects before = keeper.wanted();
    for (netlink::Wish& wish : transition(before, desired(wanted, next, pairs, strict_vrf)))
        wishes.push_back(std::move(wish));
    plan_installed(wanted, wishes);
    if (const auto segments = clamp(wanted); segments && segments != clamp(config))
        wishes.push_back(*segments);
    plan_sysctls(wanted, pairs, wishes);
    return in_words(std::move(wishes), before.links, wanted, host.kernel_datapath);
}

// Babel's routes that other rules put elsewhere.
void Node::State::plan_installed(const Config& wanted, std::vector<netlink::Wish>& wishes) const {
    if (wanted.babel.install == config.babel.install) return;
    speaker.for_each_installed([&](const babel::Destination& about, babel::Installed::Kind kind) {
        const auto key = told_key(about, kind);
        const auto before = wanted_route(about, key, config.babel.install);
        auto after = wanted_route(about, key, wanted.babel.install);
        if (before == after) return;
        if (before && (!after || after->key != before->key))
            wishes.push_back(netlink::RemoveRoute{before->key});
        if (after) wishes.push_back(netlink::AddRoute{std::move(*after)});
    });
}

// As far as they have been seen: what cannot be read cannot be set. A new tunnel's come with it.
void Node::State::plan_sysctls(
    const Config& wanted, const std::vector<Pairing>& pairs, std::vector<netlink::Wish>& wishes
) const {
    if (wanted.sysctl != SysctlChoice::apply) return;
    const auto append = [&](const std::vector<Sysctl>& list, bool is_new) {
        for (const Sysctl& sysctl : list) {
            const auto seen = seen_sysctls.find({sysctl.space, sysctl.key});
            const bool is_known = seen != seen_sysctls.end();
            if (is_known ? seen->second != sysctl.value : is_new)
                wishes.push_back(netlink::SetSysctl{sysctl.space, sysctl.key, sysctl.value});
        }
    };
    append(sysctls(wanted), false);
    if (wanted.mode != Mode::none) append(link_sysctls(wanted, wanted.ifname), false);
    for (const Pairing& pairing : pairs) {
        if (pairing.carrier == Carrier::own)
            append(link_sysctls(wanted, pairing.interface), !tunnels.contains(pairing.if_id));
    }
}

// By the old rules the kernel was told of routes under keys that are others by the new ones.
void Node::State::change_install_rules(babel::Rules<Installation> next) {
    std::map<babel::Destination, netlink::RouteKey> told;
    for (const auto& [about, had] : forwarding.untold) {  // the kernel has what the speaker has no more
        if (const auto key = told_key(about, had)) told.emplace(about, *key);
    }
    speaker.for_each_installed([&](const babel::Destination& about, babel::Installed::Kind kind) {
        if (const auto key = told_key(about, kind)) told.emplace(about, *key);
    });
    config.babel.install = std::move(next);
    forwarding.keys = config.babel.install.empty() ? decltype(told)() : told;
    speaker.for_each_installed([&](const babel::Destination& about, babel::Installed::Kind kind) {
        const auto old = told.find(about);
        const bool is_there = old != told.end();
        if (is_there && told_key(about, kind) == old->second) return route_changed(about, kind);
        if (is_there) change_route(about, netlink::RemoveRoute{old->second});
        route_changed(about, babel::Installed::Kind::nothing);
    });
    for (const auto& [about, key] : told) {  // where it would not be looked for any more
        const auto late = forwarding.untold.find(about);
        const bool goes = speaker.installed(about).kind == babel::Installed::Kind::nothing;
        if (!goes || late == forwarding.untold.end() || told_key(about, late->second) == key) continue;
        change_route(about, netlink::RemoveRoute{key}, true);
        forwarding.untold.erase(late);
    }
}

// Whoever waits is answered when that is done.
void Node::State::want_registry_again(RequestId answer_to, std::vector<std::string> changed) {
    if (answer_to != 0) awaiting_registry.emplace(answer_to, std::move(changed));
    if (source.name().empty()) return registry_looked_again("", {});
    source.ask(now);
}

void Node::State::registry_looked_again(const std::string& difference, const RegistryLooked& looked) {
    for (auto& [id, changed] : std::exchange(awaiting_registry, {})) {
        json answer{{"schema", "aronet.reload/1"}, {"changed", changed}, {"registry", nullptr}};
        if (!difference.empty()) answer["registry"] = json::parse(difference);
        if (!looked.error.empty()) {
            answer["error"] = source.name() + ": " + looked.error + ": the old registry stays";
            answer["refused"] = "registry";
            answer["problems"] = json::array();
            for (const base::Note& note : looked.notes) answer["problems"].push_back(note.text);
        }
        out->push_back(Answer{id, looked.error.empty() ? 200 : 422, to_text(answer)});
    }
}

}  // namespace aronet::overlay
