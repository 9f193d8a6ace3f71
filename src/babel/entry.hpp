#pragma once

// Everything known of one destination, so that an update costs one lookup. Most have one route and no
// trouble: what is rare lies apart while there is any of it. Feasibility is a function of an entry (RFC
// 8966 3.5.1).

#include "babel/route.hpp"

#include <forward_list>
#include <memory>
#include <span>

namespace aronet::babel {

struct Source {  // the best we ever announced of this router's: what is not better may loop
    RouterId router_id = 0;
    Tick expires;
    SeqNo seqno = 0;
    Metric metric = kInfinity;
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
inline constexpr NeighbourId kNobody = ~NeighbourId(0);
inline constexpr EntryId kNoEntry = ~EntryId(0);

struct Rare {                      // what few entries have
    std::optional<Prefix> source;  // of a source-specific destination
    std::vector<PendingRequest> requests;
    std::optional<Instant> hold_until;  // unreachable, after a loss
    std::optional<Instant> confirm_at;  // look whether all have acknowledged the retraction
    std::optional<Instant> look_again;  // when hysteresis may let a better route win
    std::optional<Instant> forget_at;   // gone, but not all may have been told

    bool empty() const;
};

struct Entry {  // in an order that leaves no gaps
    Prefix prefix;
    Metric own = kInfinity;  // announced by us; infinity: it is not
    NeighbourId selected = kNobody;
    [[no_unique_address]] Routes routes;
    EntryId id = kNoEntry;
    RouterId told_router_id = 0;  // what the neighbours were last told: this and told_metric
    Version version = 0;          // of the last change in the journal
    Version quiet_since = 0;      // whoever stands before this was told otherwise
    std::forward_list<Source> sources;
    std::unique_ptr<Rare> rare;       // null while there is nothing in it
    InterfaceId quiet_on = kNowhere;  // where it was last learned: split horizon keeps silent about it there
    Metric told_metric = kInfinity;
    // What the forwarding table was last told: if a route, by the selected neighbour and this next hop of it.
    Installed::Kind installed = Installed::Kind::nothing;
    std::uint8_t next_hop = 0;

    void set_destination(const Destination& about);
    Destination about() const { return {prefix, source_prefix()}; }
    const Prefix& source_prefix() const;
    std::strong_ordering operator<=>(const Destination& other) const;
    bool operator==(const Destination& other) const { return (*this <=> other) == 0; }

    const Route* selected_route() const { return selected == kNobody ? nullptr : routes.by(selected); }
    const Source* source(RouterId router_id) const;
    // Section 3.7.3. False: the feasibility distance stays what it was.
    bool sent(RouterId router_id, SeqNo seqno, Metric metric, Instant expires);

    bool is_own() const { return own != kInfinity; }
    bool told_reachable() const { return told_metric != kInfinity; }

    using Time = std::optional<Instant> Rare::*;
    std::optional<Instant> time(Time which) const { return rare ? (*rare).*which : std::nullopt; }
    void set(Time which, std::optional<Instant> at);
    std::span<PendingRequest> requests() const;
    PendingRequest* request(RouterId router_id) const;  // of ours
    PendingRequest& add_request(const PendingRequest& request);
    template <class Condition>
    void forget_requests(const Condition& condition) {
        if (rare && std::erase_if(rare->requests, condition) > 0) drop_rare_if_empty();
    }

    bool idle() const;  // nothing left to remember
    std::optional<Instant> next_event(Instant now) const;

private:
    Rare& with_rare();
    void drop_rare_if_empty();
};
static_assert(sizeof(Entry) <= 120);

bool feasible(const Entry& entry, RouterId router_id, SeqNo seqno, Metric metric);
inline bool feasible(const Entry& entry, const Route& route) {
    return feasible(entry, route.router_id, route.seqno, route.received);
}

}  // namespace aronet::babel
