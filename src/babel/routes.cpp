// Routes: updates in, expiry, selection, and what follows from it (RFC 8966 3.5, 3.6, 3.7.2).

#include "babel/state.hpp"

namespace aronet::babel {

namespace {}  // namespace

bool AllowedPrefixes::contain(const Prefix& prefix) const {
    return std::any_of(lengths.begin(), lengths.end(), [&](const auto& length) {
        return length.first == prefix.family() && length.second <= prefix.length() &&
               prefixes.count(Prefix(prefix.address(), length.second)) > 0;
    });
}

// ---- updates in ----

void Speaker::State::receive_announcement(Neighbour& from, const Announcement& update, const Turn& turn) {
    if (update.about) return receive_route(from, imported(from, update, turn), turn);
    const std::vector<EntryId> entries = from.entries;
    for (const EntryId id : entries) retract(*table.at(id), *table.at(id)->route_by(from.id), turn);
}

// As if the neighbour had announced what the filter makes of it: a larger metric is never less safe.
Announcement Speaker::State::imported(Neighbour& from, const Announcement& update, const Turn& turn) {
    Announcement taken = update;
    const MetricRules& rules = from.interface->config.imports;
    const Metric* added = first_match(rules, {.about = *update.about, .neighbour = &from.address});
    if (added == nullptr || update.metric == kInfinity) return taken;
    if (*added == kInfinity) drop("refused by an import filter", from.interface->id, from.address, turn);
    taken.metric = plus(update.metric, *added);
    return taken;
}

// Section 3.5.3.
void Speaker::State::receive_route(Neighbour& from, const Announcement& update, const Turn& turn) {
    Entry* known = table.find(*update.about);
    Route* route = known == nullptr ? nullptr : known->route_by(from.id);
    // Our own announcement come back: whatever else the neighbour had here it has no longer.
    const bool ours = update.metric != kInfinity && update.router_id == config.router_id;
    if (update.metric == kInfinity || ours) {
        if (route != nullptr) retract(*known, *route, turn);
        return;
    }
    if (!acceptable(from, update, turn)) return;
    Entry& entry = known != nullptr ? *known : table.find_or_add(*update.about);
    if (route == nullptr) {
        route = &entry.add_route(from.id);
        route->since = static_cast<std::uint32_t>(turn.now.time_since_epoch() / 1s);
        route->position = static_cast<std::uint32_t>(from.entries.size());
        from.entries.push_back(entry.id);
    }
    apply(entry, *route, update, turn);
}

bool Speaker::State::acceptable(Neighbour& from, const Announcement& update, const Turn& turn) {
    if (martian(update.about->prefix)) {
        drop("update for an unroutable prefix", from.interface->id, from.address, turn);
        return false;
    }
    // What is selected must be carried: Linux has no such routes.
    if (update.about->source_specific() && update.about->prefix.family() == base::Family::v4) {
        drop("source-specific update for IPv4", from.interface->id, from.address, turn);
        return false;
    }
    if (allowed && from.interface->config.bounded && !allowed->contain(update.about->prefix)) {
        drop("update for a prefix that is not allowed", from.interface->id, from.address, turn);
        return false;
    }
    const Entry* known = table.find(*update.about);
    if (from.entries.size() >= kRoutesPerNeighbourMax &&
        (known == nullptr || known->route_by(from.id) == nullptr)) {
        drop("too many routes", from.interface->id, from.address, turn);
        return false;
    }
    if (!from.next_hop(update.next_hop)) {
        drop("too many next hops", from.interface->id, from.address, turn);
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
    const std::uint8_t next_hop = *neighbours[route.neighbour]->next_hop(update.next_hop);
    const bool same = route.router_id == update.router_id && route.seqno == update.seqno &&
                      route.received == update.metric && route.next_hop == next_hop;
    if (!same) settle(route, turn.now);
    route.router_id = update.router_id;
    route.seqno = update.seqno;
    route.received = update.metric;
    route.next_hop = next_hop;
    route.interval = update.interval;
    route.expires = Tick(turn.now + route.hold());
    route.refresh_asked = false;
    arm(entry, is_selected ? route.refresh_at(turn.now) : route.expires.near(turn.now));
    const NeighbourId by = route.neighbour;
    if (!same || entry.selected == kNobody) reconsider(entry, route, turn);
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
    reconsider(entry, route, turn);
}

void Speaker::State::remove_route(Entry& entry, NeighbourId neighbour) {
    Route* route = entry.route_by(neighbour);
    std::vector<EntryId>& list = neighbours[neighbour]->entries;
    const EntryId last = list.back();
    list[route->position] = last;
    table.at(last)->route_by(neighbour)->position = route->position;
    list.pop_back();
    if (entry.selected == neighbour) {
        entry.selected = kNobody;
        --neighbours[neighbour]->selected;
    }
    entry.routes.erase(entry.routes.begin() + (route - entry.routes.data()));
}

// ---- time ----

void Speaker::State::tend(Entry& entry, const Turn& turn) {
    const Instant now = turn.now;
    entry.armed.reset();
    bool changed = expire_routes(entry, turn);
    // What was unfeasible may be so no longer.
    changed = std::erase_if(entry.sources, [&](const Source& s) { return s.expires <= now; }) > 0 || changed;
    const auto take = [&](std::optional<Instant>& at) {
        const bool due = at && *at <= now;
        if (due) at.reset();
        return due;
    };
    const bool confirmed = take(entry.confirm_at) && entry.hold_until && confirm_retraction(entry, turn);
    const bool held_enough = take(entry.hold_until) || confirmed, look = take(entry.look_again);
    take(entry.forget_at);
    if (changed || held_enough || look) reselect(entry, turn);
    resend_requests(entry, turn);
    if (const auto next = entry.next_event(now)) arm(entry, *next);
    forget_if_idle(entry);
}

// Once nobody can still send us packets for it, shorter prefixes may have them (section 3.5.4).
bool Speaker::State::confirm_retraction(Entry& entry, const Turn& turn) {
    if (told_to_all(entry)) {
        entry.hold_until.reset();
        return true;
    }
    const Duration passed = turn.now - (*entry.forget_at - kRetractionMemory);
    entry.confirm_at = turn.now + std::max(passed * 2, kDeliveredCheck);
    return false;
}

// Finite becomes infinite, infinite is forgotten. Before that, the selected one is asked for
// (section 3.8.2.3).
bool Speaker::State::expire_routes(Entry& entry, const Turn& turn) {
    bool changed = false;
    for (std::size_t i = entry.routes.size(); i-- > 0;) {
        Route& route = entry.routes[i];
        if (route.expires.near(turn.now) <= turn.now && route.received == kInfinity) {
            remove_route(entry, route.neighbour);
        } else if (route.expires.near(turn.now) <= turn.now) {
            settle(route, turn.now);
            route.received = kInfinity;
            route.expires = Tick(turn.now + route.hold());
            changed = true;
        } else if (route.neighbour == entry.selected && route.refresh_at(turn.now) <= turn.now) {
            if (route.refresh_asked) continue;
            route.refresh_asked = true;
            queue(*neighbours[route.neighbour], Tlv(RouteRequest{entry.about}), turn);
        }
    }
    return changed;
}

void Speaker::State::forget_if_idle(Entry& entry) {
    if (!entry.idle()) return;
    entry_timers.stop(entry.id);
    table.erase(entry);
}

}  // namespace aronet::babel
