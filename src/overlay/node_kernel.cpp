// The node and the kernel: changes asked for and answered, notices, start from a snapshot, and leaving
// nothing behind.

#include "overlay/node_state.hpp"

#include <algorithm>

namespace aronet::overlay {

void Node::State::change(netlink::Wish wish, Purpose purpose) {
    const netlink::ChangeId id = ++last_change;
    if (purpose.words.empty()) purpose.words = netlink::describe(wish);
    pending.emplace(id, std::move(purpose));
    out->push_back(netlink::Change{id, std::move(wish)});
}

void Node::State::warn(base::Level level, const std::string& text) {
    constexpr std::size_t kShown = 50;
    const bool known = std::find(warnings.begin(), warnings.end(), text) != warnings.end();
    if (!known && warnings.size() < kShown) warnings.push_back(text);
    if (!known) say(level, text);
}

void Node::State::answered(const netlink::Done& done) {
    if (route_answered(done)) return;
    const auto found = pending.find(done.id);
    if (found == pending.end()) return;
    const Purpose purpose = std::move(found->second);
    pending.erase(found);
    if (purpose.kind == Purpose::Kind::sa) return sa_answered(purpose, done);
    if (purpose.kind == Purpose::Kind::moved_sa) return move_answered(purpose, done);
    if (purpose.kind == Purpose::Kind::counters) return counters_answered(done);
    if (purpose.kind == Purpose::Kind::link_counters) return links_answered();
    if (purpose.kind == Purpose::Kind::policies) return policies_answered(purpose, done);
    if (done.error == 0) return;
    const std::string line = purpose.words + ": " + done.text;
    if (purpose.kind == Purpose::Kind::sysctl) {
        // A kernel without SRv6 or VRF has not all of them.
        warn(base::Level::warning, line);
    } else if (purpose.kind == Purpose::Kind::restore) {
        // Its link may just have gone.
        say(base::Level::debug, line);
    } else if (purpose.kind == Purpose::Kind::base || purpose.kind == Purpose::Kind::snapshot) {
        warn(base::Level::error, line);
        // Without a snapshot an earlier run's leftovers cannot be told; start all the same.
        if (purpose.kind == Purpose::Kind::snapshot) notice(netlink::Snapshot{});
    } else if (purpose.kind == Purpose::Kind::look_again) {
        relearned.reset();  // half of it would be worse than what is known
        warn(base::Level::error, line);
    } else {
        say(base::Level::warning, line);
    }
}

void Node::State::sa_answered(const Purpose& purpose, const netlink::Done& done) {
    const auto tunnel = tunnels.find(purpose.if_id);
    if (tunnel == tunnels.end()) return;
    const auto child = tunnel->second.children.find(purpose.child);
    if (child == tunnel->second.children.end()) return;  // it went before the kernel answered
    Child& c = child->second;
    if (done.error != 0) {
        c.failed = true;
        say(base::Level::error, tunnel->second.pairing.interface + ": " + purpose.words + ": " + done.text);
    }
    if (--c.unanswered > 0) return;
    if (!c.failed) return engine.installed(purpose.child, now, ike_actions);
    change(netlink::RemoveSa{c.in, c.in_source}, {Purpose::Kind::clean_up});
    change(netlink::RemoveSa{c.out, c.out_source}, {Purpose::Kind::clean_up});
    tunnel->second.children.erase(child);
    engine.refused(purpose.child, now, ike_actions);
}

// What the kernel would not move is made anew where it is to be, with other keys, over the same IKE SA.
void Node::State::move_answered(const Purpose& purpose, const netlink::Done& done) {
    const auto tunnel = tunnels.find(purpose.if_id);
    if (done.error == 0 || tunnel == tunnels.end() || !tunnel->second.children.contains(purpose.child))
        return;
    say(base::Level::warning, tunnel->second.pairing.interface + ": " + purpose.words + ": " + done.text);
    engine.rekey(purpose.child, now, ike_actions);
}

void Node::State::policies_answered(const Purpose& purpose, const netlink::Done& done) {
    const auto found = tunnels.find(purpose.if_id);
    if (found == tunnels.end() || found->second.current != purpose.child) return;
    Tunnel& tunnel = found->second;
    if (done.error != 0) {
        return say(base::Level::error, tunnel.pairing.interface + ": " + purpose.words + ": " + done.text);
    }
    const bool is_new = !std::exchange(tunnel.carries, true);
    if (is_new) {
        ++tunnel.came_up;
        tunnel.since = now;
        say(base::Level::info,
            tunnel.pairing.interface + " to " + tunnel.pairing.peer.remote.to_string() + " is up");
        const Child& child = tunnel.children.at(purpose.child);
        run_updown(tunnel, true, child.out_source, child.out.destination);
    }
    update_routing(tunnel);
}

void Node::State::notice(const netlink::LinkUp& up) {
    seen(up);
    if (lost_links.erase(up.name) > 0) restore_around(up.name);
    Tunnel* tunnel = find(up.name);
    if (tunnel == nullptr || up.space != overlay_space(config)) return;
    tunnel->link_up = true;
    update_routing(*tunnel);
}

void Node::State::notice(const netlink::LinkDown& down) {
    seen(down);
    if (phase != Phase::running) return;
    Tunnel* tunnel = find(down.name);
    if (tunnel != nullptr && down.space == overlay_space(config)) {
        tunnel->link_up = false;
        update_routing(*tunnel);
    }
    restore(down.space, down.name);
}

// Somebody took a link down or away: it is still wanted. Both ends of the veth have one name and one fate; an
// XFRM interface is made where the underlay is, and leaves from there.
void Node::State::restore(netlink::Space space, const std::string& name) {
    const auto link = std::find_if(objects.links.begin(), objects.links.end(), [&](const auto& l) {
        return l.name == name && (l.space == space || std::holds_alternative<netlink::Veth>(l.kind));
    });
    if (link == objects.links.end()) return;
    lost_links.insert(name);
    // Perhaps it is only the first to tell that its VRF went.
    for (const netlink::Link& master : objects.links) {
        if (master.name == link->master) change(netlink::AddLink{master}, {});
    }
    change(netlink::AddLink{*link}, {});
    for (const netlink::LinkAddress& address : objects.addresses) {
        if (address.link == name) change(netlink::AddAddress{address}, {});
    }
}

// What went with a link comes back with it: the kernel does not even tell of routes of IPv4. Babel sees to
// its own.
void Node::State::restore_around(const std::string& name) {
    if (phase != Phase::running) return;
    say(base::Level::warning, name + " was taken down or away by somebody: it is back");
    for (const netlink::Link& link : objects.links) {
        if (link.master == name) change(netlink::AddLink{link}, {});
    }
    for (const netlink::Route& route : objects.routes) {
        if (route.link == name) change(netlink::AddRoute{route}, {});
    }
    want_sysctls(link_sysctls(config, name));
}

void Node::State::notice(const netlink::RouteLost& lost) {
    if (phase != Phase::running || route_lost(lost.key)) return;
    for (const netlink::Route& route : objects.routes) {
        if (route.key == lost.key) change(netlink::AddRoute{route}, {Purpose::Kind::restore});
    }
}

void Node::State::notice(const netlink::SaExpiring& expiring) {
    for (const auto& [if_id, tunnel] : tunnels) {
        for (const auto& [id, child] : tunnel.children) {
            if (child.in == expiring.id || child.out == expiring.id)
                return engine.rekey(id, now, ike_actions);
        }
    }
}

void Node::State::notice(const netlink::Mapping& mapping) {
    for (const auto& [if_id, tunnel] : tunnels) {
        for (const auto& [id, child] : tunnel.children) {
            if (child.in == mapping.id) return engine.mapping(if_id, mapping.peer, now, ike_actions);
        }
    }
}

void Node::State::notice(const netlink::Lost&) {
    if (phase != Phase::running) return;
    say(base::Level::warning, "the kernel's notices overflowed: everything is asked for again");
    for (netlink::Wish& wish : diff({}, objects)) change(std::move(wish), {});
    speaker.for_each_installed([&](const babel::Destination& about, babel::Installed::Kind kind) {
        route_changed(about, kind);
    });
    look_again();
}

// What an earlier run left is adopted where it is what we want, and removed where it is not.
void Node::State::notice(const netlink::Snapshot& snapshot) {
    if (phase == Phase::running) return looked_again();
    // Asked to stop before it began: nothing of this run is there, and what an earlier one left the next will
    // see.
    if (std::exchange(snapshot_taken, true) || phase != Phase::starting) return;
    const auto planned = pairings(config, registry, host.local_addresses);
    for (netlink::Wish& wish : clean_up(snapshot, config, planned))
        change(std::move(wish), {Purpose::Kind::clean_up});
    objects = desired(config, registry, planned);
    const Objects left = found(snapshot, config);
    for (netlink::Wish& wish : diff(left, objects)) change(std::move(wish), {});
    for (const netlink::Link& link : objects.links) {
        // Asked for again although it is there: that changes nothing, and it says that the link is up.
        const bool adopted = std::find(left.links.begin(), left.links.end(), link) != left.links.end();
        if (adopted) change(netlink::AddLink{link}, {});
    }
    phase = Phase::running;
    want_sysctls(sysctls(config));
    if (config.mode != Mode::none) want_sysctls(link_sysctls(config, config.ifname));
    announce_own();
    follow_all();
    apply_registry(std::exchange(registry, {}));
}

void Node::State::want_sysctls(const std::vector<Sysctl>& list) {
    for (const Sysctl& sysctl : list) {
        wanted_sysctls[{sysctl.space, sysctl.key}] = sysctl;
        change(netlink::GetSysctl{sysctl.space, sysctl.key}, {Purpose::Kind::sysctl});
    }
}

void Node::State::notice(const netlink::SysctlValue& value) {
    const std::pair key{value.space, value.key};
    const auto wanted = wanted_sysctls.find(key);
    if (wanted == wanted_sysctls.end()) return;
    if (phase == Phase::cleaning_up) {
        const auto old = old_sysctls.find(key);
        // What somebody changed since is theirs.
        if (old != old_sysctls.end() && value.value == wanted->second.value) {
            change(netlink::SetSysctl{value.space, value.key, old->second}, {Purpose::Kind::clean_up});
        }
        return;
    }
    if (value.value == wanted->second.value) return;
    if (config.sysctl == SysctlChoice::check) {
        const bool inside = value.space == netlink::Space::overlay;
        const std::string where = inside ? " in the namespace " + config.netns_name : "";
        return warn(
            base::Level::warning,
            value.key + " is " + value.value + where + ", this overlay needs " + wanted->second.value
        );
    }
    old_sysctls.emplace(key, value.value);
    change(netlink::SetSysctl{value.space, value.key, wanted->second.value}, {Purpose::Kind::sysctl});
}

void Node::State::begin_clean_up() {
    phase = Phase::cleaning_up;
    const Purpose quiet{Purpose::Kind::clean_up};
    for (auto& [if_id, tunnel] : tunnels) {
        if (tunnel.current || !tunnel.children.empty()) change(netlink::RemovePolicies{if_id}, quiet);
        for (const auto& [id, child] : tunnel.children) {
            change(netlink::RemoveSa{child.in, child.in_source}, quiet);
            change(netlink::RemoveSa{child.out, child.out_source}, quiet);
        }
    }
    tell_all_routes();  // that they are gone: the speaker has stopped
    // Links of tunnels before the VRF they belong to; addresses go with their links.
    Objects left = objects;
    std::erase_if(left.addresses, [](const auto& address) { return address.link != kLoopback; });
    std::reverse(left.links.begin(), left.links.end());
    for (netlink::Wish& wish : diff(left, {})) change(std::move(wish), quiet);
    // Those of our links went with them, those of the namespace go with it.
    std::vector<Sysctl> changed = sysctls(config);
    for (const auto& [name, interface] : ordinary) changed.push_back(rp_filter_of(config, name));
    for (const Sysctl& sysctl : changed) {
        const bool ours = old_sysctls.contains({sysctl.space, sysctl.key});
        if (ours && sysctl.space == netlink::Space::underlay) {
            change(netlink::GetSysctl{sysctl.space, sysctl.key}, quiet);
        }
    }
    if (config.mode == Mode::netns) change(netlink::RemoveNamespace{config.netns_name}, quiet);
}

void Node::State::end_if_clean() {
    if (phase == Phase::saying_goodbye && engine.stopped()) begin_clean_up();
    if (phase != Phase::cleaning_up || !pending.empty() || !forwarding.idle()) return;
    phase = Phase::stopped;
    give_up_at.reset();
    for (const Request& request : std::exchange(reading.waiting, {})) answer(request);
    for (const RequestId id : awaiting_stop) out->push_back(Answer{id, 200, R"({"schema":"aronet.stop/1"})"});
    out->push_back(Stopped{});
}

}  // namespace aronet::overlay
