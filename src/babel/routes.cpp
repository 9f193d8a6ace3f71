// Routes: updates in, expiry, selection, and what follows from it (RFC 8966 3.5, 3.6, 3.7.2).

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

bool AllowedPrefixes::contain(const Prefix& prefix) const {
    return std::any_of(lengths.begin(), lengths.end(), [&](const auto& length) {
        return length.first == prefix.family() && length.second <= prefix.length() &&
               prefixes.count(Prefix(prefix.address(), length.second)) > 0;
    });
}

// ---- updates in ----

void Speaker::State::receive_announcement(Neighbour& from, const Announcement& update, const Turn& turn) {
    if (update.about) return receive_route(from, imported(from, update, turn), turn);
    const std::vector<Entry*> entries = from.entries;
    for (Entry* entry : entries) retract(*entry, *entry->route_by(from.id), turn);
}

// As if the neighbour had announced what the filter makes of it: a larger metric is never less safe.
Announcement Speaker::State::imported(Neighbour& from, const Announcement& update, const Turn& turn) {
    Announcement taken = update;
    const MetricRules& rules = interfaces.at(from.on).config.imports;
    const Metric* added = first_match(rules, {.about = *update.about, .neighbour = &from.address});
    if (added == nullptr || update.metric == kInfinity) return taken;
    if (*added == kInfinity) drop("refused by an import filter", from.on, from.address, turn);
    taken.metric = plus(update.metric, *added);
    return taken;
}

// Section 3.5.3.
void Speaker::State::receive_route(Neighbour& from, const Announcement& update, const Turn& turn) {
    auto it = table.find(*update.about);
    Route* route = it == table.end() ? nullptr : it->second.route_by(from.id);
    // Our own announcement come back: whatever else the neighbour had here it has no longer.
    const bool ours = update.metric != kInfinity && update.router_id == config.router_id;
    if (update.metric == kInfinity || ours) {
        if (route != nullptr) retract(it->second, *route, turn);
        return;
    }
    if (!acceptable(from, update, turn)) return;
    if (it == table.end()) it = table.try_emplace(*update.about, Entry{.about = *update.about}).first;
    Entry& entry = it->second;
    if (route == nullptr) {
        if (from.entries.size() >= kRoutesPerNeighbourMax) {
            drop("too many routes", from.on, from.address, turn);
            return forget_if_idle(entry);
        }
        route = &entry.add_route(from.id);
        route->since = turn.now;
        route->position = static_cast<std::uint32_t>(from.entries.size());
        from.entries.push_back(&entry);
    }
    apply(entry, *route, update, turn);
}

bool Speaker::State::acceptable(Neighbour& from, const Announcement& update, const Turn& turn) {
    if (martian(update.about->prefix)) {
        drop("update for an unroutable prefix", from.on, from.address, turn);
        return false;
    }
    if (allowed && interfaces.at(from.on).config.bounded && !allowed->contain(update.about->prefix)) {
        drop("update for a prefix that is not allowed", from.on, from.address, turn);
        return false;
    }
    return true;
}

void Speaker::State::apply(Entry& entry, Route& route, const Announcement& update, const Turn& turn) {
    const bool usable = feasible(entry, update.router_id, update.seqno, update.metric);
    const bool is_selected = entry.selected == route.neighbour;
    if (is_selected && !usable && update.router_id == route.router_id) {
        return ask_for_feasible(
            entry, update.router_id, *neighbours[route.neighbour], turn
        );  // section 3.8.2.2
    }
    settle(route, turn.now);
    route.router_id = update.router_id;
    route.seqno = update.seqno;
    route.received = update.metric;
    route.next_hop = update.next_hop;
    route.interval = update.interval;
    route.expires = turn.now + route.hold();
    route.refresh_asked = false;
    arm(entry, entry.selected == route.neighbour ? route.refresh_at() : route.expires);
    const NeighbourId by = route.neighbour;
    reselect(entry, turn);
    if (usable || entry.own) return;
    // Better than what we have, did we but know that it does not loop.
    const Route* present = entry.selected_route();
    const Metric offered = plus(update.metric, cost(by));
    if (offered < (present != nullptr ? metric(*present) : kInfinity)) {
        ask_for_feasible(entry, update.router_id, *neighbours[by], turn);
    }
}

// The entry stays, unusable, until it expires: its timer is not reset (section 3.5.3).
void Speaker::State::retract(Entry& entry, Route& route, const Turn& turn) {
    if (route.received == kInfinity) return;
    settle(route, turn.now);
    route.received = kInfinity;
    reselect(entry, turn);
}

void Speaker::State::remove_route(Entry& entry, NeighbourId neighbour) {
    Route* route = entry.route_by(neighbour);
    std::vector<Entry*>& list = neighbours[neighbour]->entries;
    Entry* last = list.back();
    list[route->position] = last;
    last->route_by(neighbour)->position = route->position;
    list.pop_back();
    if (entry.selected == neighbour) entry.selected = kNobody;
    entry.routes.erase(entry.routes.begin() + (route - entry.routes.data()));
}

// ---- time ----

void Speaker::State::tend(Entry& entry, const Turn& turn) {
    const Instant now = turn.now;
    const bool changed = expire_routes(entry, turn);
    std::erase_if(entry.sources, [&](const Source& s) { return s.expires <= now; });
    const bool held_enough = entry.hold_until && *entry.hold_until <= now;
    if (held_enough) entry.hold_until.reset();
    const bool look = entry.look_again && *entry.look_again <= now;
    if (look) entry.look_again.reset();
    if (changed || held_enough || look) reselect(entry, turn);
    resend_requests(entry, turn);
    if (const auto next = entry.next_event(true)) arm(entry, *next);
    forget_if_idle(entry);
}

// Finite becomes infinite, infinite is forgotten. Before that, the selected one is asked for
// (section 3.8.2.3).
bool Speaker::State::expire_routes(Entry& entry, const Turn& turn) {
    bool changed = false;
    for (std::size_t i = entry.routes.size(); i-- > 0;) {
        Route& route = entry.routes[i];
        if (route.expires <= turn.now && route.received == kInfinity) {
            remove_route(entry, route.neighbour);
        } else if (route.expires <= turn.now) {
            settle(route, turn.now);
            route.received = kInfinity;
            route.expires = turn.now + route.hold();
            changed = true;
        } else if (route.neighbour == entry.selected && route.refresh_at() <= turn.now) {
            if (route.refresh_asked) continue;
            route.refresh_asked = true;
            queue(*neighbours[route.neighbour], Tlv(RouteRequest{entry.about}), turn);
        }
    }
    return changed;
}

// ---- selection ----

void Speaker::State::reselect(Entry& entry, const Turn& turn) {
    const NeighbourId before = entry.selected;
    const Route* lost = entry.selected_route();
    Choice choice;
    if (!entry.own) {
        choice = select(
            entry,
            [this](NeighbourId id) { return cost(id); },
            [this](NeighbourId id) { return half_life(id); },
            turn.now
        );
    }
    entry.selected = choice.best;
    entry.look_again.reset();
    if (choice.better_waits) {
        entry.look_again = turn.now + half_life(choice.best) / 4;
        arm(entry, *entry.look_again);
    }
    if (entry.selected != kNobody) {
        entry.hold_until.reset();
        if (entry.selected != before) arm(entry, entry.selected_route()->refresh_at());
    } else if (entry.own) {
        entry.hold_until.reset();
    } else if (lost != nullptr) {
        entry.hold_until =
            turn.now + std::clamp<Duration>(lost->hold(), kUnreachableHoldMin, kUnreachableHoldMax);
        arm(entry, *entry.hold_until);
    }
    install(entry, turn);
    tell(entry, turn);
    if (lost != nullptr && entry.selected == kNobody && !entry.own) starve(entry, lost->router_id, turn);
    answer_requests(entry, turn);
}

// A default route is never made unreachable: that would cut off what this protocol knows nothing of.
void Speaker::State::install(Entry& entry, const Turn& turn) {
    Installed wanted;
    if (const Route* route = entry.selected_route()) {
        wanted = {Installed::Kind::route, neighbours[route->neighbour]->on, route->next_hop};
    } else if (entry.hold_until && !entry.about.prefix.is_any()) {
        wanted = {Installed::Kind::unreachable};
    }
    if (wanted == entry.installed) return;
    entry.installed = wanted;
    switch (wanted.kind) {
        case Installed::Kind::route:
            turn.out.emplace_back(InstallRoute{
                entry.about, wanted.on, wanted.next_hop, metric(*entry.selected_route())});
            break;
        case Installed::Kind::unreachable:
            turn.out.emplace_back(InstallUnreachable{entry.about});
            break;
        case Installed::Kind::nothing:
            turn.out.emplace_back(RemoveRoute{entry.about});
            break;
    }
}

// Triggered updates (section 3.7.2): a loss or another origin is urgent and said twice, as is the first way
// there is.
void Speaker::State::tell(Entry& entry, const Turn& turn) {
    Told now;
    if (const Route* route = entry.selected_route()) {
        now = {true, route->router_id, metric(*route), neighbours[route->neighbour]->on, false};
    } else if (entry.own) {
        now = {true, config.router_id, *entry.own, kNowhere, true};
    }
    const Told before = std::exchange(entry.told, now);
    if (!before.reachable && !now.reachable) return;
    // Where split horizon keeps silent before and after, there is nothing to say.
    const bool moved = before.reachable && now.reachable && before.via != now.via;
    const InterfaceId silent = moved ? kNowhere : now.reachable ? now.via : before.via;
    if (before.reachable != now.reachable || before.router_id != now.router_id) {
        queue(entry.about, Outbox::Class::urgent, silent, turn);
        if (before.reachable) queue(entry.about, Outbox::Class::repeat, silent, turn);
        return;
    }
    if (moved) {  // the one interface has its first route now, the other its last
        for (const InterfaceId id : {before.via, now.via}) {
            const auto it = interfaces.find(id);
            if (it != interfaces.end()) queue(it->second, entry.about, Outbox::Class::urgent, turn);
        }
    }
    const bool own_changed = now.own && before.metric != now.metric;
    if (own_changed || much_worse(before.metric, now.metric))
        queue(entry.about, Outbox::Class::urgent, silent, turn);
    else if (significant(before.metric, now.metric))
        queue(entry.about, Outbox::Class::normal, silent, turn);
    else
        entry.told.metric = before.metric;  // small steps add up
}

void Speaker::State::forget_if_idle(Entry& entry) {
    if (!entry.idle()) return;
    entry_timers.stop(entry.about);
    table.erase(entry.about);
}

// About three Hello intervals until the smoothed metric has followed (appendix A.3).
Duration Speaker::State::half_life(NeighbourId id) const {
    return std::clamp<Duration>(interfaces.at(neighbours[id]->on).config.hello_interval * 2, 1s, 60s);
}

void Speaker::State::settle(Route& route, Instant now) {
    route.smoothed.follow(metric(route), half_life(route.neighbour), now);
}

}  // namespace aronet::babel
