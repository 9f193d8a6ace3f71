// Neighbours that fall silent under traffic: Acknowledgment Requests to the next hops in use, which every
// peer answers (RFC 8966 3.3), find in a second what missing Hellos tell after two intervals. Where nothing
// is sent nothing is asked; but a flow that ends may have ended because the link did: who only answers has
// nothing left to send then, so its end is asked after too.

#include "babel/sending.hpp"

namespace aronet::babel {
namespace {
// Hosts tell of four errors a second over a tunnel of its own, of one over a shared link; some more at first.
constexpr Duration kVacantGap = 400ms;
}  // namespace

bool Speaker::State::traffic_flows(Interface& interface, const Traffic& counters, const Turn& turn) {
    const auto before = std::exchange(interface.traffic, counters);
    const std::uint64_t ours =
        interface.packets_sent - std::exchange(interface.packets_at_last_look, interface.packets_sent);
    if (!before || counters.sent < before->sent) return false;
    if (counters.sent - before->sent > ours) interface.flows_until = turn.now + kFlowMemory;
    if (turn.now >= interface.flows_until) return false;
    const Duration proof_life = counters.received > before->received ? kProofLifeBusy : kProofLife;
    for (const auto& [address, id] : interface.neighbours) {
        Neighbour& n = *neighbours[id];
        const bool proven = n.delivery.has_answered() && turn.now - n.delivery.answered_at() < proof_life;
        if (n.selected == 0 || proven || n.probing.dead || !n.listens()) continue;
        probe(n, turn);
    }
    return true;
}

// One, and where it is not answered soon, many.
void Speaker::State::probe(Neighbour& n, const Turn& turn) {
    Probing& p = n.probing;
    const bool is_at_it = p.unanswered > 0 || p.vacant(turn.now);
    if (!p.dead && is_at_it && turn.now < p.next) return;
    ++p.unanswered;
    p.last = turn.now;
    Sender sender(*n.interface, n.address, turn);
    sender.add(Tlv(AckRequest{++n.interface->opaque, kAckInterval}));
    sender.finish();
    n.delivery.sent({.opaque = n.interface->opaque, .sent_at = turn.now, .probe = true});
    timers.set({Due::delivery, n.id}, *n.delivery.deadline());
    if (p.dead) {
        p.next = turn.now + p.revival;
        p.revival = std::min(p.revival * 2, n.interface->hello_interval);
    } else if (p.vacant(turn.now)) {
        p.next = turn.now + kVacantGap;
    } else if (p.unanswered == 1 || p.unanswered >= kProbesMax) {
        p.next = turn.now + std::clamp(n.delivery.timeout(), kProbeGap, kProbePatience);
    } else {
        p.next = turn.now + kProbeGap;
    }
    timers.set({Due::probe, n.id}, p.next);
}

void Speaker::State::probe_due(NeighbourId id, const Turn& turn) {
    Neighbour& n = *neighbours[id];
    if (n.probing.vacant(turn.now)) n.probing.unanswered = 0;  // by the process, which is away
    if (n.probing.dead || n.probing.unanswered < kProbesMax) return probe(n, turn);
    if (!n.delivery.has_answered()) {  // it never does
        n.delivery.give_up();
        n.probing = {};
        return;
    }
    n.probing.dead = true;
    n.probing.revival = kRevivalMin;
    n.probing.next = turn.now + kRevivalMin;
    timers.set({Due::probe, id}, n.probing.next);
    update_cost(n, turn);
}

// The next process may take a while to come. Should the host die, too, probes find that out as ever. On a
// link of others there is no holding on to what is gone.
void Speaker::State::nobody_listens(Neighbour& n, const Turn& turn) {
    Probing& p = n.probing;
    const InterfaceConfig& config = n.interface->config;
    const bool is_held_good = n.txcost != kInfinity && n.rxcost(config) != kInfinity;
    if (config.type != LinkType::tunnel || !is_held_good) return;
    if (!p.vacant_since) p.vacant_since = turn.now;
    p.vacant_at = turn.now;
    if (!p.vacant(turn.now)) return;
    p.unanswered = 0;
    p.next = turn.now + kVacantGap;
    timers.set({Due::probe, n.id}, p.next);
    if (std::exchange(p.dead, false)) update_cost(n, turn);  // the way there and back is good
}

// Instead of taking its silence for its end.
bool Speaker::State::waits_for(Neighbour& n, const Turn& turn) {
    if (n.probing.vacant(turn.now)) return true;
    const bool is_tunnel = n.interface->config.type == LinkType::tunnel;
    if (is_tunnel && n.reachable() && n.delivery.has_answered() && n.probing.unanswered == 0) probe(n, turn);
    return false;
}

// What it promised has run out while nobody was there to repeat it: its next process is given the time. A
// start is work, so its first answers may be late.
void Speaker::State::is_back(Neighbour& n, const Turn& turn) {
    if (!std::exchange(n.probing.vacant_since, std::nullopt)) return;
    n.probing.vacant_at.reset();
    n.probing.unanswered = 0;
    n.probing.spared_until = turn.now + kSparedMax;
    const Instant until = turn.now + kReturnMin;
    if (const auto ihu = timers.at({Due::ihu, n.id})) timers.set({Due::ihu, n.id}, std::max(*ihu, until));
    for (const EntryId id : n.entries) {
        Entry& entry = *table.at(id);
        Route& route = *entry.routes.by(n.id);
        if (route.received == kInfinity || route.expires.near(turn.now) >= until) continue;
        route.expires = Tick(until);
        route.refresh_asked = false;
        arm(entry, route.refresh_at(turn.now));
    }
}

void Speaker::State::proven_alive(Neighbour& n, const Turn& turn) {
    is_back(n, turn);
    const bool was_dead = n.probing.dead;
    const Instant spared = n.probing.spared_until;
    n.probing = {};
    n.probing.spared_until = spared;
    timers.stop({Due::probe, n.id});
    if (was_dead) update_cost(n, turn);
}

}  // namespace aronet::babel
