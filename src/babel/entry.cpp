#include "babel/entry.hpp"

namespace aronet::babel {

bool Rare::empty() const {
    return !source && requests.empty() && !hold_until && !confirm_at && !look_again && !forget_at;
}

void Entry::set_destination(const Destination& about) {
    prefix = about.prefix;
    if (about.source != source_prefix()) with_rare().source = about.source;
}

const Prefix& Entry::source_prefix() const {
    static const Prefix any_v4 = Prefix::any(base::Family::v4), any_v6 = Prefix::any(base::Family::v6);
    if (rare && rare->source) return *rare->source;
    return prefix.family() == base::Family::v4 ? any_v4 : any_v6;
}

std::strong_ordering Entry::operator<=>(const Destination& other) const {
    const auto order = prefix <=> other.prefix;
    return order != 0 ? order : source_prefix() <=> other.source;
}

const Source* Entry::source(RouterId router_id) const {
    for (const Source& s : sources) {
        if (s.router_id == router_id) return &s;
    }
    return nullptr;
}

bool Entry::sent(RouterId router_id, SeqNo seqno, Metric metric, Instant expires) {
    auto* s = const_cast<Source*>(source(router_id));
    if (s == nullptr) {
        sources.emplace_front(Source{router_id, Tick(expires), seqno, metric});
        return true;
    }
    const bool better = newer(seqno, s->seqno) || (seqno == s->seqno && metric < s->metric);
    if (better) {
        s->seqno = seqno;
        s->metric = metric;
    }
    if (s->expires.before(Tick(expires))) s->expires = Tick(expires);
    return better;
}

// ---- what is rare ----

void Entry::set(Time which, std::optional<Instant> at) {
    if (!at && !rare) return;
    with_rare().*which = at;
    if (!at) drop_rare_if_empty();
}

std::span<PendingRequest> Entry::requests() const {
    return rare ? std::span(rare->requests) : std::span<PendingRequest>();
}

PendingRequest* Entry::request(RouterId router_id) const {
    for (PendingRequest& r : requests()) {
        if (r.router_id == router_id && r.ours) return &r;
    }
    return nullptr;
}

PendingRequest& Entry::add_request(const PendingRequest& request) {
    return with_rare().requests.emplace_back(request);
}

Rare& Entry::with_rare() {
    if (!rare) rare = std::make_unique<Rare>();
    return *rare;
}

void Entry::drop_rare_if_empty() {
    if (rare->empty()) rare.reset();
}

// ---- time ----

bool Entry::idle() const {
    return routes.empty() && sources.empty() && requests().empty() && !is_own() && !time(&Rare::hold_until) &&
           !time(&Rare::forget_at) && installed == Installed::Kind::nothing;
}

std::optional<Instant> Entry::next_event(Instant now) const {
    std::optional<Instant> first;
    const auto consider = [&](Instant at) { first = first ? std::min(*first, at) : at; };
    for (const Route& r : routes) {
        const bool refresh = r.neighbour == selected && !r.refresh_asked && r.received != kInfinity;
        consider(refresh ? r.refresh_at(now) : r.expires.near(now));
    }
    for (const Source& s : sources) consider(s.expires.near(now));
    for (const PendingRequest& r : requests()) consider(r.due);
    for (const Time which : {&Rare::hold_until, &Rare::confirm_at, &Rare::look_again, &Rare::forget_at}) {
        if (const auto at = time(which)) consider(*at);
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

}  // namespace aronet::babel
