// The choice of a route, and what follows from it: the forwarding table, the news (RFC
// 8966 3.5.4, 3.6, 3.7.2).

#include "babel/state.hpp"

namespace aronet::babel {

namespace {

// RFC 8966 3.7.2 leaves to us which changes of a metric are worth a packet.
bool significant(Metric before, Metric after) {
    const unsigned change = before < after ? after - before : before - after;
    return change >= 32 && change * 8 >= before;
}

bool much_worse(Metric before, Metric after) { return after > before && after - before >= 256 + before / 2; }

}  // namespace

// ---- selection ----

void Speaker::State::reselect(Entry& entry, const Turn& turn) {
    Choice choice;
    if (!entry.own) {
        choice = select(
            entry,
            [this](NeighbourId id) { return cost(id); },
            [this](NeighbourId id) { return half_life(id); },
            turn.now
        );
    }
    adopt(entry, choice, turn);
}

// Most changes are of a route that is not used and stays worse than the one that is: the choice between
// hundreds is not made anew for these.
void Speaker::State::reconsider(Entry& entry, const Route& changed, const Turn& turn) {
    if (entry.own) return;
    const bool usable = metric(changed) != kInfinity && feasible(entry, changed);
    if (entry.selected == kNobody) {
        if (usable) reselect(entry, turn);
        return;
    }
    if (entry.selected == changed.neighbour || entry.look_again) return reselect(entry, turn);
    if (usable && metric(changed) < metric(*entry.selected_route())) reselect(entry, turn);
}

void Speaker::State::adopt(Entry& entry, Choice choice, const Turn& turn) {
    const NeighbourId before = entry.selected;
    const Route* lost = entry.selected_route();
    if (before != choice.best && before != kNobody) --neighbours[before]->selected;
    if (before != choice.best && choice.best != kNobody) ++neighbours[choice.best]->selected;
    entry.selected = choice.best;
    entry.look_again.reset();
    if (choice.better_waits) {
        entry.look_again = turn.now + half_life(choice.best) / 4;
        arm(entry, *entry.look_again);
    }
    if (entry.selected != kNobody) {
        entry.hold_until.reset();
        if (entry.selected != before) arm(entry, entry.selected_route()->refresh_at(turn.now));
    } else if (entry.own) {
        entry.hold_until.reset();
    } else if (lost != nullptr) {
        entry.hold_until =
            turn.now + std::clamp<Duration>(lost->hold(), kUnreachableHoldMin, kUnreachableHoldMax);
        entry.confirm_at = turn.now + kDeliveredCheck;
        arm(entry, *entry.confirm_at);
    }
    if (!entry.hold_until) entry.confirm_at.reset();
    install(entry, turn);
    tell(entry, turn);
    if (lost != nullptr && entry.selected == kNobody && !entry.own) starve(entry, lost->router_id, turn);
    answer_requests(entry, turn);
}

// A default route is never made unreachable: that would cut off what this protocol knows nothing of.
void Speaker::State::install(Entry& entry, const Turn& turn) {
    Installed wanted;
    if (const Route* route = entry.selected_route()) {
        const Neighbour& n = *neighbours[route->neighbour];
        wanted = {Installed::Kind::route, n.interface->id, n.next_hops[route->next_hop]};
    } else if (entry.hold_until && !entry.about.prefix.is_any()) {
        wanted.kind = Installed::Kind::unreachable;
    }
    if (wanted == entry.installed) return;
    const Installed::Kind before = std::exchange(entry.installed, wanted).kind;
    installed += wanted.kind != Installed::Kind::nothing;
    installed -= before != Installed::Kind::nothing;
    switch (wanted.kind) {
        case Installed::Kind::route:
            turn.out.emplace_back(InstallRoute{
                entry.about, wanted.on, wanted.next_hop, metric(*entry.selected_route()), before});
            break;
        case Installed::Kind::unreachable:
            turn.out.emplace_back(InstallUnreachable{entry.about, before});
            break;
        case Installed::Kind::nothing:
            turn.out.emplace_back(RemoveRoute{entry.about, before});
            break;
    }
}

// Triggered updates (section 3.7.2): a loss or another origin is urgent, as is the first way there is.
void Speaker::State::tell(Entry& entry, const Turn& turn) {
    Told now;
    if (const Route* route = entry.selected_route()) {
        now = {true, route->router_id, metric(*route), neighbours[route->neighbour]->interface->id, false};
    } else if (entry.own) {
        now = {true, config.router_id, *entry.own, kNowhere, true};
    }
    const Told before = std::exchange(entry.told, now);
    if (!before.reachable && !now.reachable) return;
    const bool moved = now.reachable && now.via != entry.quiet_on;
    if (moved) {
        entry.quiet_on = now.via;
        entry.quiet_since = entry.version == 0 ? 0 : journal.head();
    }
    const bool own_changed = now.own && before.metric != now.metric;
    if (before.reachable != now.reachable || before.router_id != now.router_id || own_changed ||
        much_worse(before.metric, now.metric)) {
        return publish(entry, turn);
    }
    if (moved) tell_of_move(entry, before.via, turn);
    if (significant(before.metric, now.metric))
        publish_later(entry, turn);
    else
        entry.told.metric = before.metric;  // small steps add up
}

// The one interface has its first route now, the other its last; the rest need not know.
void Speaker::State::tell_of_move(Entry& entry, InterfaceId before, const Turn& turn) {
    entry.quiet_since = 0;  // all are told that must be
    for (const InterfaceId id : {before, entry.told.via}) {
        const auto it = interfaces.find(id);
        if (it != interfaces.end() && !it->second.neighbours.empty()) owe(it->second, entry.about, turn);
    }
}

// About three Hello intervals until the smoothed metric has followed (appendix A.3).
Duration Speaker::State::half_life(NeighbourId id) const {
    return std::clamp<Duration>(neighbours[id]->interface->hello_interval * 2, 1s, 60s);
}

void Speaker::State::settle(Route& route, Instant now) {
    route.smoothed.follow(metric(route), half_life(route.neighbour), now);
}

}  // namespace aronet::babel
