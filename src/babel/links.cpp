// Links and neighbours: Hellos, IHUs, costs (RFC 8966 3.4, appendix A; RFC 9616).

#include "babel/sending.hpp"

namespace aronet::babel {

// ---- neighbours ----

Neighbour* Speaker::State::find_neighbour(const Interface& interface, const Address& address) {
    const auto it = interface.neighbours.find(address);
    return it == interface.neighbours.end() ? nullptr : neighbours[it->second].get();
}

// Whatever it says first makes it a neighbour: peers send updates before their first Hello, and not again for
// long. Where there are too many, one that cannot be reached makes room.
Neighbour* Speaker::State::greet(Interface& interface, const Address& address, const Turn& turn) {
    if (Neighbour* known = find_neighbour(interface, address)) return known;
    if (interface.neighbours.size() >= config.neighbours_per_interface_max) {
        const auto useless =
            std::find_if(interface.neighbours.begin(), interface.neighbours.end(), [&](const auto& n) {
                return !neighbours[n.second]->reachable() && neighbours[n.second]->entries.empty();
            });
        drop("too many neighbours", interface.id, address, turn);
        if (useless == interface.neighbours.end()) return nullptr;
        remove_neighbour(useless->second, turn);
    }
    const auto free = std::find(neighbours.begin(), neighbours.end(), nullptr);
    const auto id = static_cast<NeighbourId>(free - neighbours.begin());
    if (free == neighbours.end()) neighbours.emplace_back();
    neighbours[id] = std::make_unique<Neighbour>();
    Neighbour& n = *neighbours[id];
    n.id = id;
    n.interface = &interface;
    n.address = address;
    n.next_hops.push_back(address);
    n.since = turn.now;
    if (interface.neighbours.empty()) interface.told = interface.whole = journal.head();
    interface.neighbours.emplace(address, id);
    ++neighbour_count;
    n.multicast_interval = kNeighbourSilence;
    timers.set({Due::multicast_hello, id}, turn.now + kNeighbourSilence);
    start_quick_hellos(interface, turn.now);
    return &n;
}

void Speaker::State::remove_neighbour(NeighbourId id, const Turn& turn) {
    Neighbour& gone = *neighbours[id];
    while (!gone.entries.empty()) {
        Entry& entry = *table.at(gone.entries.back());
        entry.routes.by(id)->received = kInfinity;
        if (entry.selected == id) reselect(entry, turn);
        remove_route(entry, id);
        forget_if_idle(entry);
    }
    admit_dump(dumps.leave(id), turn);
    away -= gone.away ? 1 : 0;
    for (const Due due :
         {Due::multicast_hello,
          Due::unicast_hello,
          Due::ihu,
          Due::delivery,
          Due::probe,
          Due::neighbour_outbox}) {
        timers.stop({due, id});
    }
    if (gone.interface->mac) gone.interface->mac->forget(gone.address);
    gone.interface->neighbours.erase(gone.address);
    neighbours[id].reset();
    --neighbour_count;
}

// ---- Hellos and IHUs in ----

void Speaker::State::receive_hello(
    Neighbour& from, const Hello& hello, Instant received_at, const Turn& turn
) {
    HelloHistory& history = hello.unicast ? from.unicast : from.multicast;
    const bool known = history.seen() > 0;
    if (history.heard(hello.seqno) == HelloHistory::Outcome::started_anew) {
        from.ihu_wanted = true;
        want_hello(*from.interface, turn.now);
        if (known && !hello.unicast) forget_earlier_life(from, turn);
    }
    is_back(from, turn);
    if (hello.timestamp) from.rtt.heard(*hello.timestamp, received_at);

    // An unscheduled Hello promises nothing, so the promise of the one before stands (section 3.4.1).
    const Due timer = hello.unicast ? Due::unicast_hello : Due::multicast_hello;
    const Duration interval = hello.interval.duration();
    if (interval > 0s) {
        (hello.unicast ? from.unicast_interval : from.multicast_interval) = interval;
        timers.set({timer, from.id}, turn.now + interval * 3 / 2);
    } else if (!timers.at({Due::multicast_hello, from.id}) && !timers.at({Due::unicast_hello, from.id})) {
        (hello.unicast ? from.unicast_interval : from.multicast_interval) = kNeighbourSilence;
        timers.set({timer, from.id}, turn.now + kNeighbourSilence);
    }
    if (from.probing.dead && turn.now - from.probing.last >= kRevivalMin) probe(from, turn);
    update_cost(from, turn);
}

// A restarted neighbour has forgotten what it told us, and which feasibility kept its routes free of loops
// (A.1).
void Speaker::State::forget_earlier_life(Neighbour& n, const Turn& turn) {
    n.rtt.forget();
    n.txcost = kInfinity;
    n.delivery = {};
    n.probing = {};
    for (const Due due : {Due::ihu, Due::delivery, Due::probe}) timers.stop({due, n.id});
    receive_announcement(n, Announcement{}, turn);
}

void Speaker::State::receive_ihu(Neighbour& from, const Ihu& ihu, bool rtt_usable, const Turn& turn) {
    if (ihu.address && *ihu.address != from.interface->config.link_local)
        return;  // for another one on this link
    const bool stamps = from.interface->config.type == LinkType::tunnel;
    if (stamps && ihu.echo && said_to_earlier_life(*ihu.echo, turn.now)) return;
    if (ihu.rxcost == kInfinity) start_quick_hellos(*from.interface, turn.now);  // it has not heard us
    from.txcost = ihu.rxcost;
    timers.set({Due::ihu, from.id}, turn.now + ihu.interval.duration() * 7 / 2);
    if (ihu.echo && rtt_usable && !from.rtt.echoed(*ihu.echo)) {
        drop("implausible time stamp", from.interface->id, from.address, turn);
    }
    update_cost(from, turn);
}

// An echo of a stamp from before we began. Whoever has not heard of our restart may still lead through us
// what it announces, and no source table of ours would refuse it.
bool Speaker::State::said_to_earlier_life(const Ihu::Echo& echo, Instant now) const {
    const std::uint32_t present = timestamp(now);
    return now - *began < kEarlierLifeMax && present - echo.origin > present - timestamp(*began);
}

void Speaker::State::hello_missed(
    NeighbourId id, HelloHistory Neighbour::*history, Duration interval, Due timer, const Turn& turn
) {
    Neighbour& n = *neighbours[id];
    if (waits_for(n, turn))
        return timers.set({timer, id}, turn.now + std::min<Duration>(interval, kVacancyGap));
    (n.*history).missed();
    if (n.multicast.empty() && n.unicast.empty()) return remove_neighbour(id, turn);
    if (!(n.*history).empty()) timers.set({timer, id}, turn.now + interval);
    update_cost(n, turn);
}

void Speaker::State::ihu_expired(NeighbourId id, const Turn& turn) {
    Neighbour& n = *neighbours[id];
    if (waits_for(n, turn)) return timers.set({Due::ihu, id}, turn.now + kVacancyGap);
    n.txcost = kInfinity;
    update_cost(n, turn);
}

// ---- costs ----

void Speaker::State::update_cost(Neighbour& n, const Turn& turn) {
    Interface& interface = *n.interface;
    if ((n.rxcost(interface.config) == kInfinity) != (n.told_rxcost == kInfinity)) {
        n.ihu_wanted = true;
        want_hello(interface, turn.now);
    }
    const unsigned cost_now = n.compute_cost(interface.config, interface.suspicion);
    if (cost_now == n.cost) return;
    const bool was_reachable = n.reachable();
    const std::vector<EntryId> entries = n.entries;
    for (const EntryId id : entries) settle(*table.at(id)->routes.by(n.id), turn.now);
    n.cost = cost_now;
    for (const EntryId id : entries) reconsider(*table.at(id), *table.at(id)->routes.by(n.id), turn);
    if (!was_reachable && n.reachable()) became_reachable(n, turn);
    if (was_reachable && !n.reachable()) {  // it is told everything when it comes back
        away += std::exchange(n.away, true) ? 0 : 1;
        n.delivery.forget();
        n.outbox.owed.clear();
        n.outbox.dump.reset();
        admit_dump(dumps.leave(n.id), turn);
        start_quick_hellos(interface, turn.now);
    }
}

// Tell it all we know, and what went of late, while we could not reach it; ask for what it may have told
// before we could hear it, or before the Hello by which it proved to have started anew, and we forgot what it
// had said. What it said may have become unfeasible, and is wanted (section 3.8.2.1).
void Speaker::State::became_reachable(Neighbour& n, const Turn& turn) {
    n.asked = 0;
    if (!n.delivery.answers()) n.delivery = {};
    start_dump(n, turn);
    n.outbox.dump->losses = true;
    away -= std::exchange(n.away, false) ? 1 : 0;
    for (const EntryId id : n.entries) {
        const Entry& entry = *table.at(id);
        const Route& route = *entry.routes.by(n.id);
        const bool wanted = entry.selected == kNobody && !entry.is_own() && metric(route) != kInfinity;
        if (wanted) ask_for_feasible(entry, route.router_id, n, turn);
    }
    const auto usable = [&](EntryId id) { return table.at(id)->routes.by(n.id)->received != kInfinity; };
    if (std::none_of(n.entries.begin(), n.entries.end(), usable)) queue(n, Tlv(RouteRequest{}), turn);
}

// ---- Hellos and IHUs out ----

void Speaker::State::want_hello(Interface& interface, Instant now) {
    arm(Due::own_hello, interface.id, std::max(now, interface.hello_allowed_at));
}

// Where the configuration leaves them to us: so long that all of them together stay within bounds, and no
// longer than a Hello or an update can promise.
Duration Speaker::State::hello_interval(const Interface& interface) const {
    const Duration bounded = std::chrono::seconds(1) * std::int64_t(neighbour_count) / kHellosPerSecond;
    return interface.config.hello_interval.value_or(
        std::clamp<Duration>(bounded, kHelloIntervalMin, kHelloIntervalMax)
    );
}

Duration Speaker::State::update_interval(const Interface& interface) const {
    const auto updates = std::int64_t(neighbour_count * table.size());
    const Duration bounded = std::chrono::milliseconds(1000) * (updates / kUpdatesPerSecond);
    return interface.config.update_interval.value_or(
        std::clamp<Duration>(bounded, hello_interval(interface) * kHellosPerDumpMin, kUpdateIntervalMax)
    );
}

// Two of three Hellos make a link: whoever is new gets them at once rather than after two intervals. Should
// they get lost, others follow at growing distance until the link works both ways.
void Speaker::State::start_quick_hellos(Interface& interface, Instant now) {
    if (now >= interface.quick_allowed_at) {
        interface.quick_hellos_left = kQuickHellos;
        interface.quick_gap = kQuickHelloGap * 2;
        interface.quick_allowed_at = now + 1s;
    }
    want_hello(interface, now);
}

bool Speaker::State::somebody_missing(const Interface& interface) const {
    const auto missing = [&](const auto& n) {
        return !neighbours[n.second]->reachable() || unproven(*neighbours[n.second]);
    };
    const auto& all = interface.neighbours;
    return all.empty() || std::any_of(all.begin(), all.end(), missing);
}

// We hear it, but it never showed that it hears us.
bool Speaker::State::unproven(const Neighbour& n) const {
    return !n.delivery.has_answered() && n.delivery.answers() &&
           n.interface->neighbours.size() <= kListenersMax;
}

void Speaker::State::send_hello(Interface& interface, const Turn& turn) {
    interface.hello_interval = hello_interval(interface);
    Duration next = random.jitter(interface.hello_interval, 10);
    if (interface.quick_hellos_left > 0) {
        --interface.quick_hellos_left;
        next = std::min(next, kQuickHelloGap);
    } else if (interface.quick_gap < next && somebody_missing(interface)) {
        next = std::exchange(interface.quick_gap, interface.quick_gap * 2);
    }
    const bool regular = next > interface.hello_interval / 2;
    Sender sender(interface, multicast_group(), turn);
    write_hello(interface, sender, turn);
    // A dump that is due before the next Hello goes along with this one.
    const auto periodic = timers.at({Due::periodic, interface.id});
    if (regular && periodic && *periodic < turn.now + next) start_dump(interface, turn);
    write_waiting(interface, sender, turn);
    sender.finish();
    // Answers to answers must not become a storm: the more there were of late, the longer the next one waits.
    const bool rested = turn.now - interface.hello_allowed_at >= kHelloGapMax;
    interface.hello_gap = rested ? kHelloGap : std::min(interface.hello_gap * 2, kHelloGapMax);
    interface.hello_allowed_at = turn.now + interface.hello_gap;
    Instant at = turn.now + std::max(next, kHelloGap);
    if (regular) at = in_company(at, interface, turn);
    timers.set({Due::own_hello, interface.id}, at);
}

// Where there are several interfaces we wake for some at a time. Nearest, so that as many Hellos leave as
// the interval says, and never after what was promised.
Instant Speaker::State::in_company(Instant at, const Interface& on, const Turn& turn) const {
    const Instant promised = turn.now + on.hello_interval;
    const auto slots = std::clamp<std::int64_t>(std::ssize(interfaces), kHelloSlotsMin, kHelloSlotsMax);
    const Duration slot = on.hello_interval / slots;
    at += slot / 2;
    at -= at.time_since_epoch() % slot;
    return at <= promised ? at : at - slot;
}

Ihu Speaker::State::ihu_for(Neighbour& n) {
    n.told_rxcost = n.rxcost(n.interface->config);
    return {
        .address = n.address,
        .rxcost = n.told_rxcost,
        .interval = Interval::of(n.interface->hello_interval * 3)};
}

SeqNo Speaker::State::next_hello(Interface& interface, const Turn& turn) {
    const SeqNo next = interface.hello_seqno++;
    if (config.remembers) turn.out.emplace_back(HelloSaid{interface.id, interface.hello_seqno});
    return next;
}

// A time stamp in an IHU counts only beside one in a Hello that stands before it (RFC 9616 3.2). Where
// nothing is sent and the round trip time does not change, it need not be known more often than IHUs are due.
void Speaker::State::write_hello(Interface& interface, Sender& sender, const Turn& turn) {
    const bool with_rtt = interface.config.type == LinkType::tunnel;
    const auto hello = [&] {
        Hello tlv{.seqno = next_hello(interface, turn), .interval = Interval::of(interface.hello_interval)};
        if (with_rtt) tlv.timestamp = timestamp(turn.now);
        return Tlv(tlv);
    };
    sender.add(hello());
    const bool in_use = with_rtt && turn.now < interface.flows_until + interface.hello_interval;
    const bool every = interface.hellos_sent++ % 3 == 0 || in_use || interface.config.type == LinkType::lossy;
    for (const auto& [address, id] : interface.neighbours) {
        Neighbour& n = *neighbours[id];
        const bool needless = !n.ihu_wanted && !n.multicast.has_holes() && !unproven(n);
        if (!every && needless && (!with_rtt || n.rtt.steady())) continue;
        if (is_resuming() && n.rxcost(interface.config) == kInfinity) continue;
        Ihu ihu = ihu_for(n);
        if (with_rtt) ihu.echo = n.rtt.echo(turn.now);
        n.ihu_wanted = false;
        if (sender.add_if_it_fits(Tlv(ihu))) continue;
        sender.finish();
        sender.add(hello());
        sender.add(Tlv(ihu));
    }
    // Who has not been heard since the start may hear well, and is not to be told otherwise; it is asked.
    const bool all_heard =
        !interface.neighbours.empty() && std::ranges::all_of(interface.neighbours, [&](const auto& at) {
            return neighbours[at.second]->rxcost(interface.config) != kInfinity;
        });
    if (is_resuming() && !all_heard) sender.add(Tlv(RouteRequest{}));
    ask_whether_heard(interface, sender, turn);
}

// The answer proves the way there and back, and brings an IHU with it should ours be what is missing.
void Speaker::State::ask_whether_heard(Interface& interface, Sender& sender, const Turn& turn) {
    if (interface.neighbours.size() > kListenersMax) return;
    std::optional<std::uint16_t> opaque;
    for (const auto& [address, id] : interface.neighbours) {
        Neighbour& n = *neighbours[id];
        if (n.reachable() && !unproven(n)) continue;
        if (n.reachable() && ++n.asked > kSilentRoundsMax) n.delivery.give_up();
        if (!opaque) {
            opaque = ++interface.opaque;
            sender.add(Tlv(AckRequest{*opaque, kAckInterval}));
        }
        n.delivery.sent({.opaque = *opaque, .sent_at = turn.now, .probe = true});
        timers.set({Due::delivery, id}, *n.delivery.deadline());
    }
}

}  // namespace aronet::babel
