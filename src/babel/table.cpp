#include "babel/table.hpp"

namespace aronet::babel {

void Smoothed::follow(Metric metric, Duration half_life, Instant now) {
    if (value == kInfinity || metric == kInfinity) {  // a route that appears starts at its own metric
        value = metric;
        at = Tick(now);
        return;
    }
    std::int64_t difference = std::int64_t(value) - metric;
    const Duration passed = std::max(Duration::zero(), now - at.near(now));
    const std::int64_t halvings = std::min<std::int64_t>(20, passed / half_life);
    difference /= std::int64_t(1) << halvings;
    difference -= difference * ((passed % half_life).count() / 1024) / (2 * (half_life.count() / 1024 + 1));
    value = static_cast<Metric>(metric + difference);
    at = Tick(now);
}

// An interval of 0xffff means "not repeated"; it counts as the longest there is.
Duration Route::hold() const { return interval.duration() * 7 / 2; }

const Route* Entry::route_by(NeighbourId neighbour) const {
    const auto it =
        std::lower_bound(routes.begin(), routes.end(), neighbour, [](const Route& r, NeighbourId wanted) {
            return r.neighbour < wanted;
        });
    return it == routes.end() || it->neighbour != neighbour ? nullptr : &*it;
}

Route* Entry::route_by(NeighbourId neighbour) {
    return const_cast<Route*>(static_cast<const Entry*>(this)->route_by(neighbour));
}

Route& Entry::add_route(NeighbourId neighbour) {
    const auto it =
        std::lower_bound(routes.begin(), routes.end(), neighbour, [](const Route& r, NeighbourId wanted) {
            return r.neighbour < wanted;
        });
    const auto at = it - routes.begin();
    if (routes.size() == routes.capacity()) routes.reserve(routes.size() + routes.size() / 8 + 1);
    Route& route = *routes.insert(routes.begin() + at, Route{});
    route.neighbour = neighbour;
    return route;
}

const Source* Entry::source(RouterId router_id) const {
    for (const Source& s : sources) {
        if (s.router_id == router_id) return &s;
    }
    return nullptr;
}

void Entry::sent(RouterId router_id, SeqNo seqno, Metric metric, Instant expires) {
    auto* s = const_cast<Source*>(source(router_id));
    if (s == nullptr) s = &sources.emplace_back(Source{router_id, seqno, metric, expires});
    if (newer(seqno, s->seqno)) {
        s->seqno = seqno;
        s->metric = metric;
    } else if (seqno == s->seqno) {
        s->metric = std::min(s->metric, metric);
    }
    s->expires = expires;
}

PendingRequest* Entry::request(RouterId router_id, bool ours) {
    for (PendingRequest& r : requests) {
        if (r.router_id == router_id && r.ours == ours) return &r;
    }
    return nullptr;
}

bool Entry::idle() const {
    return routes.empty() && sources.empty() && requests.empty() && !own && !hold_until && !forget_at &&
           installed.kind == Installed::Kind::nothing;
}

std::optional<Instant> Entry::next_event(Instant now) const {
    std::optional<Instant> first;
    const auto consider = [&](Instant at) { first = first ? std::min(*first, at) : at; };
    for (const Route& r : routes) {
        const bool refresh = r.neighbour == selected && !r.refresh_asked && r.received != kInfinity;
        consider(refresh ? r.refresh_at(now) : r.expires.near(now));
    }
    for (const Source& s : sources) consider(s.expires);
    for (const PendingRequest& r : requests) consider(r.due);
    for (const auto& at : {hold_until, confirm_at, look_again, forget_at}) {
        if (at) consider(*at);
    }
    return first;
}

// Section 3.5.1.
bool feasible(const Entry& entry, RouterId router_id, SeqNo seqno, Metric metric) {
    if (metric == kInfinity) return true;
    const Source* s = entry.source(router_id);
    if (s == nullptr) return true;
    return newer(seqno, s->seqno) || (seqno == s->seqno && metric < s->metric);
}

namespace {

Metric smoothed_now(const Route& route, Metric metric, Duration half_life, Instant now) {
    Smoothed s = route.smoothed;
    s.follow(metric, half_life, now);
    return s.value;
}

}  // namespace

// Feasibility is judged now, not when the update came: the feasibility distance may have improved since.
Choice select(const Entry& entry, const CostOf& cost, const HalfLifeOf& half_life, Instant now) {
    const Route* best = nullptr;
    const Route* present = nullptr;
    Metric best_metric = kInfinity, present_metric = kInfinity;
    for (const Route& route : entry.routes) {
        if (route.received == kInfinity) continue;
        const Metric metric = plus(route.received, cost(route.neighbour));
        if (metric == kInfinity || !feasible(entry, route)) continue;
        if (route.neighbour == entry.selected) present = &route, present_metric = metric;
        if (metric < best_metric) best = &route, best_metric = metric;
    }
    if (best == nullptr) return {};
    if (present == nullptr || present_metric == best_metric)
        return {(present ? present : best)->neighbour, false};
    if (best == present) return {present->neighbour, false};
    const Metric present_smoothed =
        smoothed_now(*present, present_metric, half_life(present->neighbour), now);
    const Metric best_smoothed = smoothed_now(*best, best_metric, half_life(best->neighbour), now);
    if (best_smoothed < present_smoothed) return {best->neighbour, false};
    return {present->neighbour, true};
}

Entry* Table::find(const Destination& about) {
    const auto it = entries_.find(about);
    return it == entries_.end() ? nullptr : &it->second;
}

const Entry* Table::find(const Destination& about) const {
    const auto it = entries_.find(about);
    return it == entries_.end() ? nullptr : &it->second;
}

Entry& Table::find_or_add(const Destination& about) {
    const auto [it, added] = entries_.try_emplace(about);
    if (!added) return it->second;
    if (free_.empty()) {
        free_.push_back(static_cast<EntryId>(slots_.size()));
        slots_.push_back(nullptr);
    }
    Entry& entry = it->second;
    entry.about = about;
    entry.id = free_.back();
    free_.pop_back();
    slots_[entry.id] = &entry;
    return entry;
}

void Table::erase(const Entry& entry) {
    slots_[entry.id] = nullptr;
    free_.push_back(entry.id);
    entries_.erase(entries_.find(entry.about));
}

Table::Entries::iterator Table::after(const std::optional<Destination>& about) {
    return about ? entries_.upper_bound(*about) : entries_.begin();
}

std::vector<EntryId> Table::ids() const {
    std::vector<EntryId> all;
    all.reserve(entries_.size());
    for (const auto& [about, entry] : entries_) all.push_back(entry.id);
    return all;
}

}  // namespace aronet::babel
