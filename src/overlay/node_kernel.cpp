// The node and the kernel: changes asked for and answered, notices, start from a snapshot, and leaving
// nothing behind.

#include "overlay/node_state.hpp"

#include <algorithm>
#include <cerrno>

namespace aronet::overlay {

netlink::ChangeId Node::State::give(netlink::Wish wish) {
    const auto* add = std::get_if<netlink::AddLink>(&wish);
    const bool is_main = add != nullptr && add->link.name == config.ifname;
    const bool is_shared = add != nullptr && is_shared_link(add->link.space, add->link.name);
    out->push_back(netlink::Change{++last_change, std::move(wish)});
    if (is_main) main_link_asked = last_change;
    if (is_shared) shared.asked = last_change;
    return last_change;
}

netlink::ChangeId Node::State::change(netlink::Wish wish, Purpose purpose) {
    if (purpose.words.empty()) purpose.words = netlink::describe(wish);
    const netlink::ChangeId id = give(std::move(wish));
    pending.emplace(id, std::move(purpose));
    return id;
}

void Node::State::remove(Removal what, unsigned refused) {
    Purpose purpose{Purpose::Kind::clean_up};
    purpose.removal = what;
    purpose.refused = refused;
    std::visit([&](auto& wish) { change(std::move(wish), std::move(purpose)); }, what);
}

void Node::State::remove_again() {
    while (!removals_due.empty() && removals_due.begin()->first <= now) {
        auto due = removals_due.extract(removals_due.begin());
        auto& [what, refused] = due.mapped();
        if (is_in_use(what)) continue;
        // Those that a tunnel has with any pin go along.
        const auto* policies = std::get_if<netlink::RemovePolicies>(&what);
        if (policies != nullptr && tunnels.contains(policies->if_id)) policies_due.set(policies->if_id, now);
        remove(std::move(what), refused);
    }
}

// An SA may have been moved back, a tunnel have come up again.
bool Node::State::is_in_use(const Removal& what) const {
    if (phase == Phase::cleaning_up) return false;
    if (const auto* policies = std::get_if<netlink::RemovePolicies>(&what)) {
        const auto tunnel = tunnels.find(policies->if_id);
        const bool is_used = tunnel != tunnels.end() && tunnel->second.current;
        return is_used && tunnel->second.pinned == policies->pin;
    }
    const auto* sa = std::get_if<netlink::RemoveSa>(&what);
    return sa != nullptr && std::ranges::any_of(tunnels, [&](const auto& tunnel) {
               return std::ranges::any_of(tunnel.second.children, [&](const auto& child) {
                   return child.second.in == sa->id || child.second.out == sa->id;
               });
           });
}

// Without it there is no overlay: at a start somebody is there to read why.
void Node::State::main_link_answered(const netlink::Done& done) {
    main_link_made = main_link_made || done.error == 0;
    if (main_link_made || done.error != EEXIST || phase != Phase::running) return;
    failure = config.ifname + ": " + done.text;
    Stop stop;
    handle(stop);
}

// Whatever of the objects around the tunnels is due.
void Node::State::keep() {
    std::vector<base::Note> notes;
    keeper.ask_due(
        now, [this](netlink::Wish wish) { return give(std::move(wish)); }, notes
    );
    say_all(notes);
}

void Node::State::warn(base::Level level, const std::string& text) {
    constexpr std::size_t kShown = 50;
    const bool known = std::find(warnings.begin(), warnings.end(), text) != warnings.end();
    if (!known && warnings.size() < kShown) warnings.push_back(text);
    if (!known) say(level, text);
}

// It was refused, and is done by now.
void Node::State::done_at_last(const std::string& words) {
    std::erase_if(warnings, [&](const std::string& text) { return text.starts_with(words + ": "); });
}

void Node::State::answered(const netlink::Done& done) {
    if (route_answered(done)) return;
    std::vector<base::Note> notes;
    const bool was_kept = keeper.answered(done, now, notes);
    say_all(notes);
    if (done.id == main_link_asked) main_link_answered(done);
    if (done.id == shared.asked) shared_link_answered(done.error);
    if (was_kept) return;
    const auto found = pending.find(done.id);
    if (found == pending.end()) return;
    const Purpose purpose = std::move(found->second);
    pending.erase(found);
    if (purpose.kind == Purpose::Kind::sa) return sa_answered(purpose, done);
    if (purpose.kind == Purpose::Kind::moved_sa) return move_answered(purpose, done);
    if (purpose.kind == Purpose::Kind::counters) return counters_answered(done);
    if (purpose.kind == Purpose::Kind::link_counters) return links_answered();
    if (purpose.kind == Purpose::Kind::policies) return policies_answered(purpose, done);
    if (purpose.kind == Purpose::Kind::space && done.error == 0 && std::exchange(space_refusals, 0) > 0) {
        done_at_last(purpose.words);
        keeper.ask_refused(now);
        look_at_sysctls();
        return look_again();  // nothing is known of it
    }
    if (purpose.kind == Purpose::Kind::clamp) return clamp_answered(done, purpose.words);
    if (purpose.kind == Purpose::Kind::strict_vrf) return strict_vrf_answered(done, purpose.words);
    if (done.error == 0) return;
    if (purpose.removal)
        removals_due.emplace(
            now + pause_after(purpose.refused + 1), std::pair(*purpose.removal, purpose.refused + 1)
        );
    if (purpose.refused > 0) return;  // it was said
    const std::string line = purpose.words + ": " + done.text;
    if (purpose.kind == Purpose::Kind::sysctl) {
        // A kernel without SRv6 or VRF has not all of them.
        warn(base::Level::warning, line);
    } else if (purpose.kind == Purpose::Kind::space) {
        space_due = now + pause_after(++space_refusals);
        warn(base::Level::error, line);
    } else if (purpose.kind == Purpose::Kind::other || purpose.kind == Purpose::Kind::snapshot) {
        warn(base::Level::error, line);
        if (purpose.kind == Purpose::Kind::snapshot) start_refused();
    } else if (purpose.kind == Purpose::Kind::look_again) {
        relearned.reset();  // half of it would be worse than what is known
        look_once_more = false;
        look_again_at = now + std::chrono::seconds(1);
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
    remove(netlink::RemoveSa{c.in, c.in_source});
    remove(netlink::RemoveSa{c.out, c.out_source});
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
        if (tunnel.policy_refusals++ == 0)
            say(base::Level::error, tunnel.pairing.interface + ": " + purpose.words + ": " + done.text);
        return policies_due.set(purpose.if_id, now + pause_after(tunnel.policy_refusals));
    }
    tunnel.policy_refusals = 0;
    outgrow_adopted(tunnel);
    const bool is_new = !std::exchange(tunnel.carries, true);
    remember_keys(tunnel);
    if (is_new) {
        ++tunnel.came_up;
        tunnel.since = now;
        say(base::Level::info,
            tunnel.pairing.interface + " to " + tunnel.pairing.peer.remote.to_string() + " is up");
        const Child& child = tunnel.children.at(purpose.child);
        run_updown(tunnel, tunnel.pairing.updown, true, child.out_source, child.out.destination);
    }
    update_routing(tunnel);
}

void Node::State::notice(const netlink::LinkUp& up) {
    seen(up);
    const bool is_back = up.is_ours && lost_links.erase(up.name) > 0;
    Tunnel* tunnel = up.is_ours && up.space == overlay_space(config) ? find(up.name) : nullptr;
    const bool is_shared = up.is_ours && is_shared_link(up.space, up.name);
    bool is_new = tunnel != nullptr && !std::exchange(tunnel->link_up, true);
    if (is_shared) is_new = !std::exchange(shared.up, true);
    // They come and go with it.
    if ((is_back || is_new || up.was_down) && phase == Phase::running)
        want_sysctls(link_sysctls(config, up.name));
    if (is_shared) return shared_link_came(up.was_down);
    if (tunnel == nullptr) return;
    if (up.was_down) routes_lost(tunnel->pairing.if_id);
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
    if (is_shared_link(down.space, down.name)) shared_link_went();
    if (keeper.wants(down.space, down.name)) lost_links.insert(down.name);
    keeper.lost_link(down.space, down.name, now);
}

void Node::State::notice(const netlink::LinkAltered& altered) {
    if (phase == Phase::running) keeper.altered(altered, now);
}

void Node::State::notice(const netlink::RouteLost& lost) {
    if (phase == Phase::running && !route_lost(lost.key)) keeper.lost(lost.key, now);
}

void Node::State::notice(const netlink::RuleLost& lost) {
    if (phase == Phase::running) keeper.lost(lost.rule, now);
}

void Node::State::notice(const netlink::NamespaceLost&) {
    if ((phase != Phase::starting && phase != Phase::running) || space_due) return;
    say(base::Level::warning,
        "the namespace " + config.netns_name +
            " was deleted by somebody: it lives on, its name is to be put back");
    space_due = now + space_losses.pause(now);
}

// Its numbers went with it: the same keys may never be used again (RFC 4106 section 3.1), so there have to be
// others. What one was that somebody altered, nobody knows.
void Node::State::lost_sa(Tunnel& tunnel, Child& child) {
    child.lost = true;
    if (keys_due.at(tunnel.pairing.if_id)) return;
    if (meddling.count("SAs removed or altered", now))
        say(base::Level::warning,
            tunnel.pairing.interface + ": an SA was removed or altered by somebody: others are made");
    keys_due.set(tunnel.pairing.if_id, now + tunnel.sa_losses.pause(now));
}

void Node::State::change_lost_keys() {
    while (const auto if_id = keys_due.expired(now)) {
        const auto tunnel = tunnels.find(*if_id);
        if (phase != Phase::running || tunnel == tunnels.end()) continue;
        for (auto& [id, child] : tunnel->second.children) {
            if (std::exchange(child.lost, false) && !is_adopted(id)) engine.rekey(id, now, ike_actions);
        }
    }
}

void Node::State::notice(const netlink::SaLost& lost) {
    if (phase != Phase::running || !host.kernel_datapath) return;
    for (auto& [if_id, tunnel] : tunnels) {
        for (auto& [id, child] : tunnel.children) {
            if (!lost.id || child.in == *lost.id || child.out == *lost.id) lost_sa(tunnel, child);
        }
    }
}

void Node::State::notice(const netlink::PoliciesLost& lost) {
    if (phase != Phase::running || !host.kernel_datapath) return;
    const auto is_lost = [&](std::uint32_t if_id, Tunnel& tunnel) {
        if (!tunnel.carries || policies_due.at(if_id)) return;
        if (meddling.count("policies removed", now))
            say(base::Level::warning,
                tunnel.pairing.interface + ": its policies were removed or altered by somebody: put back");
        policies_due.set(if_id, now + tunnel.policy_losses.pause(now));
    };
    if (lost.if_id) {
        const auto tunnel = tunnels.find(*lost.if_id);
        if (tunnel != tunnels.end()) is_lost(tunnel->first, tunnel->second);
    } else {
        for (auto& [if_id, tunnel] : tunnels) is_lost(if_id, tunnel);
    }
}

void Node::State::set_policies_again() {
    while (const auto if_id = policies_due.expired(now)) {
        const auto tunnel = tunnels.find(*if_id);
        if (phase == Phase::running && tunnel != tunnels.end() && tunnel->second.current)
            set_policies(tunnel->second, *tunnel->second.current);
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

// What an earlier run left can neither be told nor gone on with unseen; in the end we start all the same.
void Node::State::start_refused() {
    constexpr unsigned kLooks = 5;
    if (phase != Phase::starting || ++looks_refused == kLooks) return notice(netlink::Snapshot{});
    look_again_at = now + std::chrono::seconds(1);
}

void Node::State::notice(const netlink::Lost&) {
    if (phase == Phase::starting) look_once_more = true;
    if (phase != Phase::running) return;
    say(base::Level::warning, "the kernel's notices overflowed: everything is looked at again");
    for (auto& [if_id, tunnel] : tunnels) {
        if (tunnel.carries) policies_due.set(if_id, now);  // a look does not show all of them
    }
    look_again();
}

// What an earlier run left is adopted where it is what we want, and removed where it is not.
void Node::State::notice(const netlink::Snapshot& snapshot) {
    if (phase == Phase::running) {
        compare(snapshot);
        return looked_again();
    }
    if (std::exchange(snapshot_taken, true)) return;
    if (phase != Phase::starting) return remove_left(snapshot);
    if (wait_for_registry(snapshot)) return;
    resume();
    mind_other_ipsec(snapshot);
    std::vector<Pairing> wanted = planned(config, registry);
    if (host.kernel_datapath) left = legacies(snapshot, wanted);
    for (const Pairing& pairing : wanted) {  // who has the number now may be another one
        const auto then = memory.tunnels.find(pairing.if_id);
        if (then == memory.tunnels.end() || !may_go_on(then->second, pairing)) left.erase(pairing.if_id);
    }
    adopt_carriers(left, config, wanted);
    if (config.links == Links::shared) share_out(wanted);
    remove_all(clean_up(snapshot, config, wanted, left));
    // Of an earlier run's: such a SID is only where VRFs are strict.
    strict_vrf = std::ranges::any_of(snapshot.routes, [](const netlink::Route& route) {
        return std::holds_alternative<netlink::Seg6LocalEndDt46>(route.encap);
    });
    keeper.want(desired(config, registry, wanted, strict_vrf), now);
    Objects there = found(snapshot, config);
    learn_shared_addresses(there);
    compare_routes(there);
    keeper.found(there, looked_as, now, true);
    keeper.ask_for_links(now);
    keep();
    tell_routes();
    phase = Phase::running;
    look_at_sysctls();
    want_clamp();
    if (config.mode != Mode::none) want_sysctls(link_sysctls(config, config.ifname));
    if (shared.up) want_sysctls(link_sysctls(config, shared_link(config)));
    announce_own();
    follow_all();
    speaker.accept_only(holders, now, babel_actions);
    apply(std::exchange(registry, {}), std::move(wanted));
    for (const auto& [if_id, whose] : memory.tunnels) {
        if (host.remembers && !tunnels.contains(if_id)) out->push_back(forget_tunnel(if_id));
    }
    left.clear();
    if (auto next = std::exchange(next_config, {})) handle(*next);
    for (auto& trial : std::exchange(trials, {})) std::visit([&](auto& asked) { handle(asked); }, trial);
    if (std::exchange(look_once_more, false)) look_again();
}

void Node::State::compare(const netlink::Snapshot& snapshot) {
    Objects there = found(snapshot, config);
    std::set<std::string> up;
    for (const netlink::Link& link : there.links) {
        if (link.up) up.insert(link.name);
    }
    for (auto& [if_id, tunnel] : tunnels) {  // of what went or was set down nothing may have been heard
        const bool has_own = tunnel.pairing.carrier != Carrier::shared;
        if (!has_own || up.contains(tunnel.pairing.interface) || !std::exchange(tunnel.link_up, false))
            continue;
        update_routing(tunnel);
    }
    compare_shared(there);
    compare_routes(there);
    keeper.found(there, looked_as, now);
    if (host.kernel_datapath) compare_sas(snapshot);
}

// What was asked for behind the snapshot has not been answered yet.
void Node::State::compare_sas(const netlink::Snapshot& snapshot) {
    std::map<base::SaId, const netlink::Snapshot::KnownSa*> there;
    for (const auto& sa : snapshot.sas) there.emplace(sa.id, &sa);
    const auto is_as_made = [&](const base::SaId& id, const Address& from, std::uint32_t if_id) {
        const auto sa = there.find(id);
        return sa != there.end() && sa->second->source == from && sa->second->if_id == if_id;
    };
    std::map<std::uint32_t, std::optional<netlink::Pin>> policies;
    for (const netlink::Policies& each : snapshot.policies) policies.emplace(each.if_id, each.pin);
    std::set<base::SaId> known;
    for (auto& [if_id, tunnel] : tunnels) {
        for (auto& [id, child] : tunnel.children) {
            known.insert({child.in, child.out});
            const bool is_whole = is_as_made(child.in, child.in_source, if_id) &&
                                  is_as_made(child.out, child.out_source, if_id);
            if (child.changed_as < looked_as && !is_whole) lost_sa(tunnel, child);
        }
        if (tunnel.carries && !policies.contains(if_id)) policies_due.set(if_id, now);
        if (!tunnel.current && policies.contains(if_id))
            remove(netlink::RemovePolicies{if_id, policies.at(if_id)});
    }
    for (const auto& sa : snapshot.sas) {
        if (tunnels.contains(sa.if_id) && !known.contains(sa.id)) remove(netlink::RemoveSa{sa.id, sa.source});
    }
}

void Node::State::want_space() {
    space_due.reset();
    if (phase == Phase::starting || phase == Phase::running)
        change(netlink::AddNamespace{config.netns_name}, {Purpose::Kind::space});
}

void Node::State::begin_clean_up() {
    phase = Phase::cleaning_up;
    for (auto& [if_id, tunnel] : tunnels) drop_adopted(tunnel);
    for (auto& [if_id, tunnel] : tunnels) {
        if (tunnel.current || !tunnel.children.empty()) remove(netlink::RemovePolicies{if_id, tunnel.pinned});
        for (const auto& [id, child] : tunnel.children) {
            remove(netlink::RemoveSa{child.in, child.in_source});
            remove(netlink::RemoveSa{child.out, child.out_source});
        }
    }
    tell_routes_again(Instant::max());
    tell_all_routes();  // that they are gone: the speaker has stopped
    drop_inherited();
    keeper.want({}, now);
    keep();
    for (const Sysctl& sysctl : sysctls(config)) give_back(sysctl);
    give_back_filters([](const std::string&) { return true; });
    if (config.mode == Mode::netns) remove(netlink::RemoveNamespace{config.netns_name});
}

void Node::State::end_if_clean() {
    if (phase == Phase::saying_goodbye && engine.stopped()) begin_clean_up();
    const bool is_clean = pending.empty() && removals_due.empty() && forwarding.idle() && keeper.all_gone();
    if (phase != Phase::cleaning_up || !is_clean) return;
    give_up_at.reset();
    end(Stopped{failure});
}

void Node::State::end(Stopped how) {
    phase = Phase::stopped;
    for (const Request& request : std::exchange(reading.waiting, {})) answer(request);
    for (const auto& [id, changed] : std::exchange(awaiting_registry, {})) refuse(id, 503, "stopping");
    if (next_config) refuse(next_config->answer_to, 503, "stopping");
    for (const auto& trial : trials)
        std::visit([&](const auto& asked) { refuse(asked.answer_to, 503, "stopping"); }, trial);
    for (const RequestId id : awaiting_stop) out->push_back(Answer{id, 200, R"({"schema":"aronet.stop/1"})"});
    out->push_back(std::move(how));
}

}  // namespace aronet::overlay
