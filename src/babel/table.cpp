#include "babel/table.hpp"

namespace aronet::babel {

void Smoothed::follow(Metric metric, Duration half_life, Instant now) {
    if (value == kInfinity || metric == kInfinity) {  // a route that appears starts at its own metric
        value = metric;
        at = now;
        return;
    }
    std::int64_t difference = std::int64_t(value) - metric;
    const Duration passed = now - at;
    const std::int64_t halvings = std::min<std::int64_t>(20, passed / half_life);
    difference /= std::int64_t(1) << halvings;
    difference -= difference * ((passed % half_life).count() / 1024) / (2 * (half_life.count() / 1024 + 1));
    value = static_cast<Metric>(metric + difference);
    at = now;
}

// An interval of 0xffff means "not repeated"; it counts as the longest there is.
Duration Route::hold() const { return interval.duration() * 7 / 2; }

const Route* Entry::route_by(NeighbourId neighbour) const {
    const auto it =
        std::lower_bound(routes.begin(), routes.end(), neighbour, [](const Route& r, NeighbourId id) {
            return r.neighbour < id;
        });
    return it == routes.end() || it->neighbour != neighbour ? nullptr : &*it;
}

Route* Entry::route_by(NeighbourId neighbour) {
    return const_cast<Route*>(static_cast<const Entry*>(this)->route_by(neighbour));
}

Route& Entry::add_route(NeighbourId neighbour) {
    const auto it =
        std::lower_bound(routes.begin(), routes.end(), neighbour, [](const Route& r, NeighbourId id) {
            return r.neighbour < id;
        });
    Route& route = *routes.insert(it, Route{});
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
    return routes.empty() && sources.empty() && requests.empty() && !own && !hold_until &&
           installed.kind == Installed::Kind::nothing;
}

std::optional<Instant> Entry::next_event(bool refresh_wanted) const {
    std::optional<Instant> first;
    const auto consider = [&](Instant at) { first = first ? std::min(*first, at) : at; };
    for (const Route& r : routes) {
        const bool refresh = refresh_wanted && r.neighbour == selected && !r.refresh_asked;
        consider(refresh && r.received != kInfinity ? r.refresh_at() : r.expires);
    }
    for (const Source& s : sources) consider(s.expires);
    for (const PendingRequest& r : requests) consider(r.due);
    if (hold_until) consider(*hold_until);
    if (look_again) consider(*look_again);
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

}  // namespace aronet::babel
