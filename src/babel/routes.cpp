// Routes: updates in, expiry, selection, and what follows from it (RFC 8966 3.5, 3.6, 3.7.2).

#include "babel/growth.hpp"
#include "babel/state.hpp"
#include "base/result.hpp"

namespace aronet::babel {
namespace {
constexpr std::string_view kTooManyRoutes = "too many routes";
}

// ---- updates in ----

// A filter decides as if the neighbour had announced what it makes of it: a larger metric is never less safe.
void Speaker::State::receive_announcement(Neighbour& from, const Announcement& update, const Turn& turn) {
    if (!update.about) {
        const std::vector<EntryId> entries = from.entries;
        for (const EntryId id : entries) retract(*table.at(id), *table.at(id)->routes.by(from.id), turn);
        return;
    }
    const Metric* added =
        update.metric == kInfinity ? nullptr : import_rule(from, *update.about, update.metric);
    if (added == nullptr)
        return receive_route(from, update, registered(*from.interface, update.about->prefix), turn);
    if (*added == kInfinity) drop("refused by an import filter", from.interface->id, from.address, turn);
    Announcement taken = update;
    taken.metric = plus(update.metric, *added);
    receive_route(from, taken, true, turn);
}

bool Speaker::State::registered(const Interface& on, const Prefix& prefix) const {
    return !on.config.bounded || !allowed || allowed->contain(prefix);
}

const Metric* Speaker::State::import_rule(const Neighbour& from, const Destination& about, Metric metric)
    const {
    const Interface& on = *from.interface;
    if (on.config.imports.empty()) return nullptr;
    return first_match(
        on.config.imports,
        {.about = about,
         .neighbour = &from.address,
         .holders = allowed ? &*allowed : nullptr,
         .metric = metric,
         .unregistered = !registered(on, about.prefix)}
    );
}

// Section 3.5.3.
void Speaker::State::receive_route(
    Neighbour& from, const Announcement& update, bool admitted, const Turn& turn
) {
    Entry* known = table.find(*update.about);
    Route* route = known == nullptr ? nullptr : known->routes.by(from.id);
    // Our own announcement come back: whatever else the neighbour had here it has no longer.
    const bool ours = update.metric != kInfinity && update.router_id == config.router_id;
    if (update.metric == kInfinity || ours) {
        if (route != nullptr) retract(*known, *route, turn);
        return;
    }
    const auto why_not = refusal(from, *update.about, admitted, route == nullptr);
    if (why_not == kTooManyRoutes) ++from.refused;
    if (!why_not.empty()) return drop(why_not, from.interface->id, from.address, turn);
    const auto next_hop = from.next_hop(update.next_hop);
    if (!next_hop) return drop("too many next hops", from.interface->id, from.address, turn);
    Entry& entry = known != nullptr ? *known : table.find_or_add(*update.about);
    if (route == nullptr) route = &add_route(entry, from, turn);
    apply(entry, *route, update, *next_hop, turn);
}

// Empty: none.
std::string_view Speaker::State::refusal(
    const Neighbour& from, const Destination& about, bool admitted, bool is_new
) const {
    if (martian(about.prefix)) return "update for an unroutable prefix";
    // What is selected must be carried: Linux has no such routes.
    if (about.source_specific() && about.prefix.family() == base::Family::v4)
        return "source-specific update for IPv4";
    if (!admitted) return "update for a prefix that is not allowed";
    if (!is_new || from.entries.size() < routes_max(*from.interface)) return {};
    const bool named = allowed && !about.source_specific() && allowed->has(about.prefix);
    return named ? std::string_view() : kTooManyRoutes;
}

std::size_t Speaker::State::routes_max(const Interface& on) const {
    const bool bounded = on.config.bounded && allowed;
    return on.config.routes_max.value_or(
        bounded ? std::max(kRoutesPerBoundedNeighbour, kRoutesPerRegistered * allowed->size())
                : kRoutesPerNeighbourMax
    );
}

Route& Speaker::State::add_route(Entry& entry, Neighbour& from, const Turn& turn) {
    Route& route = entry.routes.add(from.id);
    route.since = static_cast<std::uint32_t>(turn.now.time_since_epoch() / 1s);
    route.position = static_cast<std::uint32_t>(from.entries.size());
    append(from.entries, entry.id);
    return route;
}

void Speaker::State::apply(
    Entry& entry, Route& route, const Announcement& update, std::uint8_t next_hop, const Turn& turn
) {
    const bool usable = feasible(entry, update.router_id, update.seqno, update.metric);
    Neighbour& by = *neighbours[route.neighbour];
    if (entry.selected == by.id && !usable && update.router_id == route.router_id) {
        return chase(entry, by, update, turn);
    }
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
    if (!same || entry.selected == kNobody) reconsider(entry, route, turn);
    arm(entry, entry.selected == by.id ? route.refresh_at(turn.now) : route.expires.near(turn.now));
    if (usable || entry.is_own()) return;
    // Better than what we have, did we but know that it does not loop.
    const Route* present = entry.selected_route();
    const Metric offered = plus(update.metric, by.cost);
    if (offered < (present != nullptr ? metric(*present) : kInfinity)) {
        chase(entry, by, update, turn);
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
    base::ensure(entry.selected != neighbour, "no route is removed while it is in use");
    const Route& route = *entry.routes.by(neighbour);
    std::vector<EntryId>& list = neighbours[neighbour]->entries;
    const EntryId last = list.back();
    list[route.position] = last;
    table.at(last)->routes.by(neighbour)->position = route.position;
    list.pop_back();
    neighbours[neighbour]->refused = 0;
    entry.routes.remove(route);
}

// ---- time ----

void Speaker::State::tend(Entry& entry, const Turn& turn) {
    const Instant now = turn.now;
    bool changed = expire_routes(entry, turn);
    // What was unfeasible may be so no longer.
    const auto expired = [&](const Source& s) {
        const bool is_over = s.expires.near(now) <= now;
        if (is_over && config.remembers) turn.out.emplace_back(ForgetDistance{entry.about(), s.router_id});
        return is_over;
    };
    changed = std::erase_if(entry.sources, expired) > 0 || changed;
    const auto take = [&](Entry::Time which) {
        const auto at = entry.time(which);
        const bool due = at && *at <= now;
        if (due) entry.set(which, std::nullopt);
        return due;
    };
    const bool confirmed =
        take(&Rare::confirm_at) && entry.time(&Rare::hold_until) && confirm_retraction(entry, turn);
    const bool held_enough = take(&Rare::hold_until) || confirmed, look = take(&Rare::look_again);
    // Who is away is told when it comes back, or forgets us.
    if (take(&Rare::forget_at) && away > 0) entry.set(&Rare::forget_at, now + kRetractionMemory);
    if (changed || held_enough || look) reselect(entry, turn);
    resend_requests(entry, turn);
    if (const auto next = entry.next_event(now)) arm(entry, *next);
    forget_if_idle(entry);
}

// Once nobody can still send us packets for it, shorter prefixes may have them (section 3.5.4).
bool Speaker::State::confirm_retraction(Entry& entry, const Turn& turn) {
    if (told_to_all(entry)) {
        entry.set(&Rare::hold_until, std::nullopt);
        return true;
    }
    const Instant lost_at = entry.time(&Rare::forget_at).value_or(turn.now) - kRetractionMemory;
    entry.set(&Rare::confirm_at, turn.now + std::max((turn.now - lost_at) * 2, kDeliveredCheck));
    return false;
}

// Finite becomes infinite, infinite is forgotten. Before that, the selected one is asked for
// (section 3.8.2.3).
bool Speaker::State::expire_routes(Entry& entry, const Turn& turn) {
    bool changed = false;
    for (std::size_t i = entry.routes.size(); i-- > 0;) {
        Route& route = entry.routes[i];
        const bool is_over = route.expires.near(turn.now) <= turn.now;
        if (is_over && route.received == kInfinity) {
            remove_route(entry, route.neighbour);
        } else if (is_over && waits_for(*neighbours[route.neighbour], turn)) {
            route.expires = Tick(turn.now + kVacancyLife);
        } else if (is_over) {
            settle(route, turn.now);
            route.received = kInfinity;
            route.expires = Tick(turn.now + route.hold());
            changed = true;
        } else if (route.neighbour == entry.selected && route.refresh_at(turn.now) <= turn.now) {
            if (route.refresh_asked) continue;
            route.refresh_asked = true;
            queue(*neighbours[route.neighbour], Tlv(RouteRequest{entry.about()}), turn);
        }
    }
    return changed;
}

void Speaker::State::forget_if_idle(Entry& entry) {
    if (!entry.idle()) return;
    alarms.stop(entry.id);
    table.erase(entry);
}

}  // namespace aronet::babel
