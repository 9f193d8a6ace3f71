// Requests: answering, forwarding, and our own when no feasible route is left (RFC 8966 3.8).

#include "babel/state.hpp"

#include <algorithm>

namespace aronet::babel {

// Section 3.8.1.1: an update, or a retraction where there is no route.
void Speaker::State::receive_route_request(Neighbour& from, const RouteRequest& request, const Turn& turn) {
    if (request.about)
        owe(from, *request.about, turn);
    else if (from.reachable())
        start_dump(from, turn);  // else it is told everything once it can be reached
    if (request.about) return;
    // Whoever asks for everything may have been started anew, and know nothing of us.
    from.ihu_wanted = true;
    want_hello(*from.interface, turn.now);
}

// Section 3.8.1.2.
void Speaker::State::receive_seqno_request(Neighbour& from, const SeqnoRequest& request, const Turn& turn) {
    Entry* known = table.find(request.about);
    if (known == nullptr) return;
    Entry& entry = *known;
    const Route* route = entry.selected_route();
    if (entry.is_own()) {
        if (request.router_id == config.router_id && newer(request.seqno, seqno)) {
            raise_seqno(turn);  // by one, however much was asked for
            owe(*from.interface, request.about, turn);
        } else {
            owe(from, request.about, turn);
        }
        return;
    }
    if (route == nullptr || !config.transit) return;
    if (route->router_id != request.router_id || !newer(request.seqno, route->seqno)) {
        owe(from, request.about, turn);
    } else if (request.hop_count >= 2 && request.router_id != config.router_id) {
        forward(entry, from, request, turn);
    }
}

// To one neighbour, once: copies would multiply at every hop. Everybody who asks is remembered, also whose
// request goes no further: the answer is for all of them.
void Speaker::State::forward(Entry& entry, Neighbour& from, const SeqnoRequest& request, const Turn& turn) {
    PendingRequest* known = nullptr;
    bool forwarded = false;
    for (PendingRequest& r : entry.requests()) {
        if (r.ours || r.router_id != request.router_id) continue;
        if (r.requester_on == from.interface->id && r.requester == from.address) known = &r;
        const bool recent = turn.now - r.sent_at < kForwardSuppression;
        if (recent && !newer(request.seqno, r.seqno)) forwarded = true;
    }
    if (known == nullptr && entry.requests().size() >= kRequestsPerDestinationMax) return;
    const Route* way = way_to_forward(entry, from.id);
    if (way == nullptr) return;
    const Instant sent_at = known != nullptr ? known->sent_at : turn.now - kForwardSuppression;
    if (known == nullptr) known = &entry.add_request({});
    *known = PendingRequest{
        .router_id = request.router_id,
        .seqno = request.seqno,
        .requester_on = from.interface->id,
        .requester = from.address,
        .sent_at = forwarded ? sent_at : turn.now,
        .due = turn.now + kForwardMemory,
    };
    arm(entry, known->due);
    if (forwarded) return;
    SeqnoRequest onward = request;
    --onward.hop_count;
    queue(*neighbours[way->neighbour], Tlv(onward), turn);
}

// The selected route, which has to learn of the new seqno if we are to tell it; else the best feasible one,
// else the best there is; not by the neighbour that asks.
const Route* Speaker::State::way_to_forward(const Entry& entry, NeighbourId not_to) const {
    const Route* selected = entry.selected_route();
    if (selected != nullptr && selected->neighbour != not_to) return selected;
    const Route* best = nullptr;
    for (const Route& route : entry.routes) {
        if (route.neighbour == not_to || metric(route) == kInfinity) continue;
        const bool better =
            best == nullptr || (feasible(entry, route) && !feasible(entry, *best)) ||
            (feasible(entry, route) == feasible(entry, *best) && metric(route) < metric(*best));
        if (better) best = &route;
    }
    return best;
}

// Section 3.8.2.2: an unfeasible update that we would like to use. A seqno rises by one with each request,
// and the answer brings the next one: with a router that lost its seqno that would go on for as long as its
// feasibility distance is remembered.
void Speaker::State::chase(const Entry& entry, Neighbour& by, const Announcement& update, const Turn& turn) {
    const Source* source = entry.source(update.router_id);
    if (source == nullptr || static_cast<SeqNo>(source->seqno - update.seqno) > kChasedSeqnosMax) return;
    ask_for_feasible(entry, update.router_id, by, turn);
}

// One question to the neighbour with the unfeasible route, not repeated: its next update raises it again.
void Speaker::State::ask_for_feasible(
    const Entry& entry, RouterId router_id, Neighbour& to, const Turn& turn
) {
    const Source* source = entry.source(router_id);
    if (source == nullptr || !to.reachable()) return;
    const auto wanted = static_cast<SeqNo>(source->seqno + 1);
    queue(to, Tlv(SeqnoRequest{entry.about(), wanted, kInitialHopCount, router_id}), turn);
}

// Section 3.8.2.1: the last feasible route is lost.
void Speaker::State::starve(Entry& entry, RouterId lost, const Turn& turn) {
    const Source* source = entry.source(lost);
    const bool others = std::any_of(entry.routes.begin(), entry.routes.end(), [&](const Route& route) {
        return metric(route) != kInfinity && route.router_id != config.router_id;
    });
    if (source == nullptr && !others) return;  // never announced to anybody: any route would be feasible
    PendingRequest* known = entry.request(lost);
    PendingRequest& pending =
        known != nullptr ? *known : entry.add_request({.router_id = lost, .ours = true});
    if (source != nullptr) pending.seqno = static_cast<SeqNo>(source->seqno + 1);
    pending.resends_left = kRequestResends;
    pending.wait = kRequestTimeout;
    pending.due = turn.now + pending.wait;
    arm(entry, pending.due);
    send_starvation_request(entry, pending, turn);
}

// To those with a route that is merely unfeasible; where there are none, to everybody. Some peers raise their
// seqno but tell of it with the next periodic update only: when asked again, they are asked for the route
// too.
void Speaker::State::send_starvation_request(
    const Entry& entry, const PendingRequest& pending, const Turn& turn
) {
    const bool again = pending.resends_left < kRequestResends;
    bool asked = false;
    for (const Route& route : entry.routes) {
        if (metric(route) == kInfinity || route.router_id == config.router_id) continue;
        Neighbour& by = *neighbours[route.neighbour];
        ask_for_feasible(entry, route.router_id, by, turn);
        if (again && by.reachable()) queue(by, Tlv(RouteRequest{entry.about()}), turn);
        asked = true;
    }
    if (asked || entry.source(pending.router_id) == nullptr) return;
    const SeqnoRequest wanted{entry.about(), pending.seqno, kInitialHopCount, pending.router_id};
    for (auto& [id, interface] : interfaces) {
        if (interface.neighbours.empty()) continue;
        queue(interface, Tlv(wanted), turn);
    }
}

void Speaker::State::resend_requests(Entry& entry, const Turn& turn) {
    for (PendingRequest& r : entry.requests()) {
        if (r.due > turn.now) continue;
        if (!r.ours || r.resends_left == 0 || entry.selected != kNobody) {
            r.due = Instant::min();  // done with
            continue;
        }
        --r.resends_left;
        r.wait *= 2;
        r.due = turn.now + r.wait;
        send_starvation_request(entry, r, turn);
    }
    entry.forget_requests([](const PendingRequest& r) { return r.due == Instant::min(); });
}

// Whoever asked through us hears of the answer at once; what we asked for ourselves is settled by any route.
void Speaker::State::answer_requests(Entry& entry, const Turn& turn) {
    const Route* route = entry.selected_route();
    if (route == nullptr) return;
    entry.forget_requests([&](const PendingRequest& r) {
        if (r.ours) return true;
        if (r.router_id == route->router_id && newer(r.seqno, route->seqno)) return false;
        const auto on = interfaces.find(r.requester_on);
        Neighbour* to = on == interfaces.end() ? nullptr : find_neighbour(on->second, r.requester);
        if (to != nullptr) owe(*to, entry.about(), turn);
        return true;
    });
}

}  // namespace aronet::babel
