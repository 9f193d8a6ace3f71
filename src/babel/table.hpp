#pragma once

// The routing table: one Entry per destination with everything known of it, so that an update costs one
// lookup. Feasibility and selection are functions of an entry and the costs of the links (RFC 8966 3.2.5
// to 3.2.7, 3.5, 3.6).

#include "babel/neighbour.hpp"
#include "babel/tick.hpp"

#include <functional>
#include <map>

namespace aronet::babel {

// A metric that follows the true one with delay (appendix A.3), so that routes do not flap with it.
struct Smoothed {
    Tick at;
    Metric value = kInfinity;

    void follow(Metric metric, Duration half_life, Instant now);
};

struct Route {  // by one neighbour; there may be millions, so nothing here is larger than it must be
    RouterId router_id = 0;
    Smoothed smoothed;
    Tick expires;
    std::uint32_t since = 0;  // seconds
    NeighbourId neighbour = 0;
    std::uint32_t position = 0;   // in Neighbour::entries
    Metric received = kInfinity;  // the metric the neighbour announced
    Interval interval;
    SeqNo seqno = 0;
    std::uint8_t next_hop = 0;  // in Neighbour::next_hops
    bool refresh_asked = false;

    Duration hold() const;  // 3.5 intervals
    Instant refresh_at(Instant now) const { return expires.near(now) - interval.duration(); }
};
static_assert(sizeof(Route) <= 40);

struct Source {  // the best we ever announced of this router's: what is not better may loop
    RouterId router_id = 0;
    SeqNo seqno = 0;
    Metric metric = kInfinity;
    Instant expires;
};

struct PendingRequest {
    RouterId router_id = 0;
    SeqNo seqno = 0;
    bool ours = false;  // else forwarded for `requester`, who may be gone by the time of the answer
    InterfaceId requester_on = 0;
    Address requester;
    unsigned resends_left = 0;
    Duration wait{};  // before the next resend
    Instant sent_at;
    Instant due;  // to resend or forget
};

inline constexpr InterfaceId kNowhere = ~InterfaceId(0);

struct Told {  // what the neighbours were last told
    bool reachable = false;
    RouterId router_id = 0;
    Metric metric = kInfinity;
    InterfaceId via = kNowhere;  // the interface it was learned on; nowhere for our own
    bool own = false;
};

inline constexpr NeighbourId kNobody = ~NeighbourId(0);

struct Entry {
    Destination about;
    EntryId id = 0;
    std::vector<Route> routes;  // in the order of their neighbours' ids
    std::vector<Source> sources;
    std::vector<PendingRequest> requests;
    std::optional<Metric> own;  // announced by us
    NeighbourId selected = kNobody;
    std::optional<Instant> hold_until;  // unreachable, after a loss
    std::optional<Instant> confirm_at;  // look whether all have acknowledged the retraction
    std::optional<Instant> look_again;  // when hysteresis may let a better route win
    std::optional<Instant> forget_at;   // gone, but not all may have been told
    std::optional<Instant> armed;       // its timer; no later than the next event
    Installed installed;

    Told told;
    Version version = 0;              // of the last change in the journal
    InterfaceId quiet_on = kNowhere;  // where split horizon keeps silent about it
    Version quiet_since = 0;          // whoever stands before this was told otherwise

    Route* route_by(NeighbourId neighbour);
    const Route* route_by(NeighbourId neighbour) const;
    const Route* selected_route() const { return selected == kNobody ? nullptr : route_by(selected); }
    Route& add_route(NeighbourId neighbour);
    const Source* source(RouterId router_id) const;
    void sent(RouterId router_id, SeqNo seqno, Metric metric, Instant expires);  // section 3.7.3
    PendingRequest* request(RouterId router_id, bool ours);

    bool idle() const;  // nothing left to remember
    std::optional<Instant> next_event(Instant now) const;
};

bool feasible(const Entry& entry, RouterId router_id, SeqNo seqno, Metric metric);
inline bool feasible(const Entry& entry, const Route& route) {
    return feasible(entry, route.router_id, route.seqno, route.received);
}

struct Choice {
    NeighbourId best = kNobody;
    bool better_waits = false;  // hysteresis holds back a better one
};

// The cost of the link to a neighbour, 0xffff when it cannot be used.
using CostOf = std::function<unsigned(NeighbourId)>;
using HalfLifeOf = std::function<Duration(NeighbourId)>;
Choice select(const Entry& entry, const CostOf& cost, const HalfLifeOf& half_life, Instant now);

class Table {  // entries stay where they are while they live
public:
    using Entries = std::map<Destination, Entry>;

    Entry* find(const Destination& about);
    const Entry* find(const Destination& about) const;
    Entry& find_or_add(const Destination& about);
    void erase(const Entry& entry);
    Entry* at(EntryId id) const { return id < slots_.size() ? slots_[id] : nullptr; }
    const Entries& entries() const { return entries_; }
    // The first entry behind this one in the order of destinations; nothing: the first of all.
    Entries::iterator after(const std::optional<Destination>& about);
    Entries::iterator end() { return entries_.end(); }
    std::size_t size() const { return entries_.size(); }
    std::vector<EntryId> ids() const;  // in the order of destinations

private:
    Entries entries_;
    std::vector<Entry*> slots_;  // by EntryId
    std::vector<EntryId> free_;
};

}  // namespace aronet::babel
