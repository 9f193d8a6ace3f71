// What the overlay needs of the host besides objects of the kernel: sysctls, and TCP that fits.

#include "overlay/node_state.hpp"

namespace aronet::overlay {

void Node::State::look_at_sysctls() {
    // Of most changes nobody tells, and an exit that does not forward has to be taken back soon.
    const Duration interval = std::chrono::seconds(config.exits.empty() ? 10 : 2);
    if (phase != Phase::running) return sysctls_due.reset();
    want_sysctls(sysctls(config));
    std::set<std::string> links = std::exchange(touched_links, {});
    if (now >= next_round) {
        links.merge(links_to_look_at());
        next_round = now + interval;
    }
    for (const std::string& link : links) want_sysctls(sysctls_of(link));
    sysctls_due = next_round;
}

// Of a thousand tunnels all at once would be a second's work: they have their turn.
std::set<std::string> Node::State::links_to_look_at() {
    constexpr std::size_t kTunnelsAtOnce = 16;
    std::set<std::string> links{config.ifname, shared_link(config)};
    for (const auto& [name, interface] : ordinary) links.insert(name);
    auto next = by_interface.upper_bound(last_looked_at);
    for (std::size_t i = 0; i < std::min(kTunnelsAtOnce, by_interface.size()); ++i, ++next) {
        if (next == by_interface.end()) next = by_interface.begin();
        links.insert(last_looked_at = next->first);
    }
    return links;
}

// Nothing where it is not ours, or away: it has them when it is back.
std::vector<Sysctl> Node::State::sysctls_of(const std::string& link) const {
    if (ordinary.contains(link)) return {rp_filter_of(config, link)};
    const Tunnel* tunnel = find(link);
    const bool is_shared = is_shared_link(overlay_space(config), link);
    const bool is_there = tunnel != nullptr ? tunnel->link_up
                          : is_shared       ? shared.up
                                            : keeper.has(overlay_space(config), link);
    return is_there ? link_sysctls(config, link) : std::vector<Sysctl>();
}

void Node::State::want_sysctls(const std::vector<Sysctl>& list) {
    for (const Sysctl& sysctl : list) {
        wanted_sysctls[{sysctl.space, sysctl.key}] = sysctl;
        given_back.erase({sysctl.space, sysctl.key});
        change(netlink::GetSysctl{sysctl.space, sysctl.key}, {Purpose::Kind::sysctl});
    }
}

// As it was before us, if it is as we set it. Those of our links go with them, those of a namespace with it.
void Node::State::give_back(const Sysctl& set) {
    const std::pair key{set.space, set.key};
    if (set.space != netlink::Space::underlay || !old_sysctls.contains(key)) return;
    wanted_sysctls[key] = set;  // also where this run has not begun, or an earlier one had set it
    given_back.insert(key);
    change(netlink::GetSysctl{set.space, set.key}, {Purpose::Kind::clean_up});
}

// Of ordinary interfaces: those that Babel has left, and those that are away.
void Node::State::give_back_filters(const std::function<bool(const std::string&)>& of) {
    for (const auto& [key, old] : old_sysctls) {
        const std::string link = link_in(key.second);
        if (!link.empty() && !is_ours(config, link) && of(link)) give_back({key.first, key.second, "0"});
    }
}

void Node::State::given_back_as(const netlink::SysctlValue& value) {
    const std::pair key{value.space, value.key};
    const auto set = wanted_sysctls.find(key);
    const auto old = old_sysctls.find(key);
    if (set == wanted_sysctls.end() || old == old_sysctls.end()) return;
    // What somebody changed since is theirs.
    if (value.value == set->second.value)
        change(netlink::SetSysctl{value.space, value.key, old->second}, {Purpose::Kind::clean_up});
    if (phase != Phase::running) return;
    wanted_sysctls.erase(set);
    old_sysctls.erase(old);
    if (host.remembers) out->push_back(forget_sysctl(value.space, value.key));
}

// Whoever else minds is not outrun: each look is one, however much was touched.
void Node::State::notice(const netlink::SysctlTouched& touched) {
    if (phase != Phase::running) return;
    const bool is_ours = touched.space == overlay_space(config) && !sysctls_of(touched.link).empty();
    if (!touched.link.empty() && !is_ours) return;
    if (is_ours) touched_links.insert(touched.link);
    constexpr Duration kSoon = std::chrono::milliseconds(20);
    if (sysctls_due && *sysctls_due <= now + kSoon) return;
    const Instant soon = now + sysctl_losses[touched.link].pause(now);
    if (!sysctls_due || soon < *sysctls_due) sysctls_due = soon;
}

void Node::State::notice(const netlink::SysctlValue& value) {
    const std::pair key{value.space, value.key};
    const auto wanted = wanted_sysctls.find(key);
    if (wanted != wanted_sysctls.end()) seen_sysctls[key] = value.value;  // else it went with its link
    if (way_out.see(value)) offer_exits();
    if (given_back.erase(key) > 0) return given_back_as(value);
    if (wanted == wanted_sysctls.end() || phase == Phase::cleaning_up) return;
    if (value.value == wanted->second.value) {
        if (value.key == kStrictVrf) vrf_is_strict();
        return;
    }
    if (config.sysctl == SysctlChoice::check) {
        const bool inside = value.space == netlink::Space::overlay;
        const std::string where = inside ? " in the namespace " + config.netns_name : "";
        return warn(
            base::Level::warning,
            value.key + " is " + value.value + where + ", this overlay needs " + wanted->second.value
        );
    }
    keep_old(value);
    seen_sysctls[key] = wanted->second.value;
    const auto kind = value.key == kStrictVrf ? Purpose::Kind::strict_vrf : Purpose::Kind::sysctl;
    change(netlink::SetSysctl{value.space, value.key, wanted->second.value}, {kind});
}

// Refused while some table has two VRFs: asked for again at the next look.
void Node::State::strict_vrf_answered(const netlink::Done& done, const std::string& words) {
    if (done.error == 0) {
        done_at_last(words);
        return vrf_is_strict();
    }
    warn(base::Level::warning, words + ": " + done.text);
}

// They went with their link.
void Node::State::forget_sysctls(const std::string& link) {
    sysctl_losses.erase(link);
    touched_links.erase(link);
    const netlink::Space space = overlay_space(config);
    for (const Sysctl& sysctl : link_sysctls(config, link)) {
        wanted_sysctls.erase({space, sysctl.key});
        seen_sysctls.erase({space, sysctl.key});
        if (old_sysctls.erase({space, sysctl.key}) > 0 && host.remembers)
            out->push_back(forget_sysctl(space, sysctl.key));
    }
}

// Now there are SIDs that there could not be before.
void Node::State::vrf_is_strict() {
    if (std::exchange(strict_vrf, true) || phase != Phase::running) return;
    keeper.want(desired(config, registry, planned(config, registry), true), now);
    keep();
}

// Also for a process that goes on in our place: it is the last one that puts it back.
void Node::State::keep_old(const netlink::SysctlValue& value) {
    const bool is_new = old_sysctls.emplace(std::pair(value.space, value.key), value.value).second;
    if (is_new && host.remembers) out->push_back(remember_sysctl(value.space, value.key, value.value));
}

void Node::State::want_clamp() {
    clamp_due.reset();
    const auto segments = clamp(config);
    if (segments && phase == Phase::running) change(*segments, {Purpose::Kind::clamp});
}

void Node::State::clamp_answered(const netlink::Done& done, const std::string& words) {
    if (done.error == 0) {
        clamp_refusals = 0;
        return done_at_last(words);
    }
    warn(base::Level::warning, words + ": " + done.text);
    clamp_due = now + pause_after(++clamp_refusals);
}

}  // namespace aronet::overlay
