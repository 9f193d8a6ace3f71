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
    n.on = interface.id;
    n.address = address;
    n.since = turn.now;
    interface.neighbours.emplace(address, id);
    n.multicast_interval = kNeighbourSilence;
    timers.set({Due::multicast_hello, id}, turn.now + kNeighbourSilence);
    start_quick_hellos(interface, turn.now);
    return &n;
}

void Speaker::State::remove_neighbour(NeighbourId id, const Turn& turn) {
    Neighbour& gone = *neighbours[id];
    const std::vector<Entry*> entries = gone.entries;
    for (Entry* entry : entries) {
        entry->route_by(id)->received = kInfinity;
        reselect(*entry, turn);
        remove_route(*entry, id);
        forget_if_idle(*entry);
    }
    for (const Due due : {Due::multicast_hello, Due::unicast_hello, Due::ihu, Due::neighbour_outbox}) {
        timers.stop({due, id});
    }
    Interface& interface = interfaces.at(gone.on);
    if (interface.mac) interface.mac->forget(gone.address);
    interface.neighbours.erase(gone.address);
    neighbours[id].reset();
}

// ---- Hellos and IHUs in ----

void Speaker::State::receive_hello(
    Neighbour& from, Interface& interface, const Hello& hello, Instant received_at, const Turn& turn
) {
    HelloHistory& history = hello.unicast ? from.unicast : from.multicast;
    const bool known = history.seen() > 0;
    if (history.heard(hello.seqno) == HelloHistory::Outcome::started_anew) {
        from.ihu_wanted = true;
        want_hello(interface, turn.now);
        if (known && !hello.unicast) forget_earlier_life(from, turn);
    }
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
    update_cost(from, turn);
}

// A restarted neighbour has forgotten what it told us, and which feasibility kept its routes free of loops
// (A.1).
void Speaker::State::forget_earlier_life(Neighbour& n, const Turn& turn) {
    n.rtt.forget();
    n.txcost = kInfinity;
    timers.stop({Due::ihu, n.id});
    receive_announcement(n, Announcement{}, turn);
}

void Speaker::State::receive_ihu(
    Neighbour& from, Interface& interface, const Ihu& ihu, bool rtt_usable, const Turn& turn
) {
    if (ihu.address && *ihu.address != interface.config.link_local) return;  // for another one on this link
    if (ihu.rxcost == kInfinity) start_quick_hellos(interface, turn.now);    // it has not heard us
    from.txcost = ihu.rxcost;
    timers.set({Due::ihu, from.id}, turn.now + ihu.interval.duration() * 7 / 2);
    if (ihu.echo && rtt_usable && !from.rtt.echoed(*ihu.echo)) {
        drop("implausible time stamp", interface.id, from.address, turn);
    }
    update_cost(from, turn);
}

void Speaker::State::hello_missed(
    NeighbourId id, HelloHistory Neighbour::*history, Duration interval, Due timer, const Turn& turn
) {
    Neighbour& n = *neighbours[id];
    (n.*history).missed();
    if (n.multicast.empty() && n.unicast.empty()) return remove_neighbour(id, turn);
    if (!(n.*history).empty()) timers.set({timer, id}, turn.now + interval);
    update_cost(n, turn);
}

void Speaker::State::ihu_expired(NeighbourId id, const Turn& turn) {
    neighbours[id]->txcost = kInfinity;
    update_cost(*neighbours[id], turn);
}

// ---- costs ----

void Speaker::State::update_cost(Neighbour& n, const Turn& turn) {
    Interface& interface = interfaces.at(n.on);
    if ((n.rxcost(interface.config) == kInfinity) != (n.told_rxcost == kInfinity)) {
        n.ihu_wanted = true;
        want_hello(interface, turn.now);
    }
    const unsigned cost_now = n.compute_cost(interface.config, interface.suspicion);
    if (cost_now == n.cost) return;
    const bool was_reachable = n.reachable();
    const std::vector<Entry*> entries = n.entries;
    for (Entry* entry : entries) settle(*entry->route_by(n.id), turn.now);
    n.cost = cost_now;
    for (Entry* entry : entries) reselect(*entry, turn);
    if (!was_reachable && n.reachable()) became_reachable(n, turn);
}

// Tell it all we know, and ask for what it may have told before we could hear it.
void Speaker::State::became_reachable(Neighbour& n, const Turn& turn) {
    start_dump(n, turn);
    if (n.entries.empty()) queue(n, Tlv(RouteRequest{}), turn);
}

// ---- Hellos and IHUs out ----

void Speaker::State::want_hello(Interface& interface, Instant now) {
    arm(Due::own_hello, interface.id, std::max(now, interface.hello_allowed_at));
}

// Two of three Hellos make a link: whoever is new gets them at once rather than after two intervals.
void Speaker::State::start_quick_hellos(Interface& interface, Instant now) {
    if (now >= interface.quick_allowed_at) {
        interface.quick_hellos_left = kQuickHellos;
        interface.quick_allowed_at = now + 1s;
    }
    want_hello(interface, now);
}

void Speaker::State::send_hello(Interface& interface, const Turn& turn) {
    Duration next = random.jitter(interface.config.hello_interval, 10);
    if (interface.quick_hellos_left > 0) {
        --interface.quick_hellos_left;
        next = std::min(next, kQuickHelloGap);
    }
    Sender sender(interface, multicast_group(), turn.out);
    write_hello(interface, Interval::of(interface.config.hello_interval), sender, turn);
    empty(interface.outbox, interface, sender, turn);
    sender.finish();
    interface.hello_allowed_at = turn.now + kHelloGap;
    timers.set({Due::own_hello, interface.id}, turn.now + std::max(next, kHelloGap));
}

// A time stamp in an IHU counts only beside one in a Hello that stands before it (RFC 9616 3.2).
void Speaker::State::write_hello(Interface& interface, Interval interval, Sender& sender, const Turn& turn) {
    const bool with_rtt = interface.config.type == LinkType::tunnel;
    const auto hello = [&] {
        Hello tlv{.seqno = interface.hello_seqno++, .interval = interval};
        if (with_rtt) tlv.timestamp = timestamp(turn.now);
        return Tlv(tlv);
    };
    sender.add(hello());
    const bool every =
        with_rtt || interface.config.type == LinkType::lossy || interface.hellos_sent++ % 3 == 0;
    for (const auto& [address, id] : interface.neighbours) {
        Neighbour& n = *neighbours[id];
        if (!every && !n.ihu_wanted && !n.multicast.has_holes()) continue;
        Ihu ihu{.address = address, .rxcost = n.rxcost(interface.config)};
        ihu.interval = Interval::of(interface.config.hello_interval * 3);
        if (with_rtt) ihu.echo = n.rtt.echo(turn.now);
        n.told_rxcost = ihu.rxcost;
        n.ihu_wanted = false;
        if (sender.add_if_it_fits(Tlv(ihu))) continue;
        sender.finish();
        sender.add(hello());
        sender.add(Tlv(ihu));
    }
}

}  // namespace aronet::babel
