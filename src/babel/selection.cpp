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
    adopt(entry, entry.is_own() ? Choice{} : select(entry, turn.now), turn);
}

// Feasibility is judged now, not when the update came: the feasibility distance may have improved since.
Choice Speaker::State::select(const Entry& entry, Instant now) const {
    const Route* best = nullptr;
    const Route* present = nullptr;
    Metric best_metric = kInfinity, present_metric = kInfinity;
    for (const Route& route : entry.routes) {
        const Metric offered = metric(route);
        if (offered == kInfinity || !feasible(entry, route)) continue;
        if (route.neighbour == entry.selected) present = &route, present_metric = offered;
        if (offered < best_metric) best = &route, best_metric = offered;
    }
    if (best == nullptr) return {};
    if (present == nullptr) return {best->neighbour};
    if (present_metric == best_metric) return {present->neighbour};
    if (smoothed(*best, now) < smoothed(*present, now)) return {best->neighbour};
    return {present->neighbour, true};
}

// Most changes are of a route that is not used. It is compared with the one that is: the choice between
// hundreds is not made anew for it. A better one that waits is looked at when its time comes.
void Speaker::State::reconsider(Entry& entry, const Route& changed, const Turn& turn) {
    if (entry.is_own()) return;
    const bool usable = metric(changed) != kInfinity && feasible(entry, changed);
    if (entry.selected == kNobody) {
        if (usable) reselect(entry, turn);
        return;
    }
    if (entry.selected == changed.neighbour) return reselect(entry, turn);
    const Route& present = *entry.selected_route();
    if (!usable || metric(changed) >= metric(present)) return;
    if (!entry.time(&Rare::look_again)) return reselect(entry, turn);
    if (smoothed(changed, turn.now) >= smoothed(present, turn.now)) return;
    const Choice choice = select(entry, turn.now);
    adopt(entry, choice.best == entry.selected ? Choice{changed.neighbour, true} : choice, turn);
}

void Speaker::State::adopt(Entry& entry, Choice choice, const Turn& turn) {
    if (is_awaited(entry)) {
        if (choice.best == kNobody) return;
        entry.told_metric = kInfinity;  // whoever still has it of us hears that it goes on
    }
    const NeighbourId before = entry.selected;
    const Route* lost = entry.selected_route();
    const RouterId lost_router = lost != nullptr ? lost->router_id : entry.told_router_id;
    const bool was_told = entry.told_metric != kInfinity;
    const Installed installed_before = installed(entry);
    if (before != choice.best && before != kNobody) --neighbours[before]->selected;
    if (before != choice.best && choice.best != kNobody) ++neighbours[choice.best]->selected;
    entry.selected = choice.best;
    entry.set(&Rare::look_again, std::nullopt);
    if (choice.better_waits) arm(entry, &Rare::look_again, turn.now + half_life(choice.best) / 4);
    const bool none_left = entry.selected == kNobody && !entry.is_own();
    if (none_left && lost != nullptr) {
        const auto hold = std::clamp<Duration>(lost->hold(), kUnreachableHoldMin, kUnreachableHoldMax);
        entry.set(&Rare::hold_until, turn.now + hold);
        arm(entry, &Rare::confirm_at, turn.now + kDeliveredCheck);
    } else if (!none_left) {
        entry.set(&Rare::hold_until, std::nullopt);
        if (entry.selected != kNobody && entry.selected != before)
            arm(entry, entry.selected_route()->refresh_at(turn.now));
    }
    if (!entry.time(&Rare::hold_until)) entry.set(&Rare::confirm_at, std::nullopt);
    install(entry, installed_before, turn);
    tell(entry, turn);
    if (none_left && (lost != nullptr || was_told)) starve(entry, lost_router, turn);
    answer_requests(entry, turn);
}

// What the forwarding table was last told. Between two choices the selected neighbour is the one of then.
Installed Speaker::State::installed(const Entry& entry) const {
    if (entry.installed != Installed::Kind::route) return {entry.installed};
    const Neighbour& n = *neighbours[entry.selected];
    return {Installed::Kind::route, n.interface->id, n.next_hops[entry.next_hop]};
}

// A default route is never made unreachable: that would cut off what this protocol knows nothing of.
void Speaker::State::install(Entry& entry, const Installed& before, const Turn& turn) {
    const Route* route = entry.selected_route();
    const bool unreachable = entry.time(&Rare::hold_until) && !entry.prefix.is_any();
    entry.installed = route != nullptr ? Installed::Kind::route
                      : unreachable    ? Installed::Kind::unreachable
                                       : Installed::Kind::nothing;
    if (route != nullptr) entry.next_hop = route->next_hop;
    const Installed wanted = installed(entry);
    if (wanted == before) return;
    installed_count += wanted.kind != Installed::Kind::nothing;
    installed_count -= before.kind != Installed::Kind::nothing;
    switch (wanted.kind) {
        case Installed::Kind::route:
            turn.out.emplace_back(InstallRoute{
                entry.about(), wanted.on, wanted.next_hop, metric(*route), before.kind});
            break;
        case Installed::Kind::unreachable:
            turn.out.emplace_back(InstallUnreachable{entry.about(), before.kind});
            break;
        case Installed::Kind::nothing:
            turn.out.emplace_back(RemoveRoute{entry.about(), before.kind});
            break;
    }
}

// Who is no transit keeps what it learns to itself.
const Route* Speaker::State::told_route(const Entry& entry) const {
    return config.transit ? entry.selected_route() : nullptr;
}

// Triggered updates (section 3.7.2): a loss or another origin is urgent, as is the first way there is.
void Speaker::State::tell(Entry& entry, const Turn& turn) {
    const Route* route = told_route(entry);
    const RouterId origin = route != nullptr ? route->router_id : entry.is_own() ? config.router_id : 0;
    const Metric now = route != nullptr ? metric(*route) : entry.own;
    const InterfaceId via = route != nullptr ? neighbours[route->neighbour]->interface->id : kNowhere;
    const Metric before = std::exchange(entry.told_metric, now);
    const bool other_origin = std::exchange(entry.told_router_id, origin) != origin;
    if (before == kInfinity && now == kInfinity) return;
    const InterfaceId via_before = entry.quiet_on;
    const bool moved = now != kInfinity && via != via_before;
    if (moved) {
        entry.quiet_on = via;
        entry.quiet_since = entry.version == 0 ? 0 : journal.head();
    }
    if (before != kInfinity && (now == kInfinity || other_origin)) return publish(entry, News::loss, turn);
    if (before == kInfinity || (entry.is_own() && before != now) || much_worse(before, now))
        return publish(entry, News::other, turn);
    if (moved) tell_of_move(entry, via_before, turn);
    if (significant(before, now))
        publish_later(entry, turn);
    else
        entry.told_metric = before;  // small steps add up
}

// The one interface has its first route now, the other its last; the rest need not know.
void Speaker::State::tell_of_move(Entry& entry, InterfaceId before, const Turn& turn) {
    entry.quiet_since = 0;  // all are told that must be
    for (const InterfaceId id : {before, entry.quiet_on}) {
        const auto it = interfaces.find(id);
        if (it != interfaces.end() && !it->second.neighbours.empty()) owe(it->second, entry.about(), turn);
    }
}

// About three Hello intervals until the smoothed metric has followed (appendix A.3).
Duration Speaker::State::half_life(NeighbourId id) const {
    return std::clamp<Duration>(neighbours[id]->interface->hello_interval * 2, 1s, 60s);
}

void Speaker::State::settle(Route& route, Instant now) const {
    route.smoothed.follow(metric(route), half_life(route.neighbour), now);
}

Metric Speaker::State::smoothed(const Route& route, Instant now) const {
    Route settled = route;
    settle(settled, now);
    return settled.smoothed.value;
}

}  // namespace aronet::babel
