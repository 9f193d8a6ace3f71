#include "babel/sending.hpp"

namespace aronet::babel {

namespace {

// Those of one router together, IPv6 first, near prefixes side by side: that is how they take the least room.
bool in_packet_order(const Announcement& a, const Announcement& b) {
    const bool a_gone = a.metric == kInfinity, b_gone = b.metric == kInfinity;
    if (a_gone != b_gone) return a_gone;
    if (!a_gone && a.router_id != b.router_id) return a.router_id < b.router_id;
    const auto a_family = a.about->prefix.family(), b_family = b.about->prefix.family();
    if (a_family != b_family) return a_family == base::Family::v6;
    return *a.about < *b.about;
}

}  // namespace

// ---- into the outboxes ----

void Speaker::State::queue(Neighbour& to, const Tlv& tlv, const Turn& turn) {
    to.outbox.add(tlv, turn.now);
    arm(Due::neighbour_outbox, to.id, turn.now);
}

void Speaker::State::queue(Neighbour& to, const Destination& about, const Turn& turn) {
    const Instant due = std::max(turn.now, to.outbox.urgent_allowed_at);
    if (to.outbox.of(Outbox::Class::urgent).destinations.size() >= kRequestsQueuedMax) return;
    to.outbox.add(about, Outbox::Class::urgent, due);
    arm(Due::neighbour_outbox, to.id, due);
}

// Section 3.7.2: urgent leaves within this turn unless others just did; the rest may wait for company.
void Speaker::State::queue(Interface& on, const Destination& about, Outbox::Class c, const Turn& turn) {
    if (on.neighbours.empty()) return;  // whoever comes is told everything then
    Instant due = std::max(turn.now, on.outbox.urgent_allowed_at);
    if (c == Outbox::Class::repeat) due = turn.now + kRepeatDelay;
    if (c == Outbox::Class::normal && !on.outbox.of(c).due) {
        due = turn.now + random.jitter(std::min(on.config.hello_interval / 2, kNormalDelayMax), 50);
    } else if (c == Outbox::Class::normal) {
        due = *on.outbox.of(c).due;
    }
    on.outbox.add(about, c, due);
    arm(Due::outbox, on.id, due);
}

void Speaker::State::queue(
    const Destination& about, Outbox::Class c, InterfaceId learned_on, const Turn& turn
) {
    for (auto& [id, interface] : interfaces) {
        if (!interface.splits(learned_on)) queue(interface, about, c, turn);
    }
}

void Speaker::State::start_dump(Interface& on, const Turn& turn) {
    timers.set({Due::periodic, on.id}, turn.now + random.jitter(on.config.update_interval, 10));
    if (on.neighbours.empty() || on.outbox.dump) return;
    on.outbox.dump = Outbox::Dump{turn.now, std::nullopt};
    arm(Due::outbox, on.id, turn.now);
}

void Speaker::State::start_dump(Neighbour& to, const Turn& turn) {
    if (to.outbox.dump) return;
    const Instant at = std::max(turn.now, to.outbox.dump_allowed_at);
    to.outbox.dump_allowed_at = at + kDumpInterval;
    to.outbox.dump = Outbox::Dump{at, std::nullopt};
    arm(Due::neighbour_outbox, to.id, at);
}

// ---- out of the outboxes ----

void Speaker::State::flush(Interface& interface, const Turn& turn) {
    Sender sender(interface, multicast_group(), turn.out);
    empty(interface.outbox, interface, sender, turn);
    sender.finish();
    if (const auto due = interface.outbox.due()) timers.set({Due::outbox, interface.id}, *due);
}

void Speaker::State::flush(Neighbour& neighbour, const Turn& turn) {
    Interface& interface = interfaces.at(neighbour.on);
    Sender sender(interface, neighbour.address, turn.out);
    empty(neighbour.outbox, interface, sender, turn);
    sender.finish();
    if (const auto due = neighbour.outbox.due()) timers.set({Due::neighbour_outbox, neighbour.id}, *due);
}

void Speaker::State::empty(Outbox& box, Interface& interface, Sender& sender, const Turn& turn) {
    for (const Tlv& tlv : box.tlvs) sender.add(tlv);
    box.tlvs.clear();
    box.tlvs_due.reset();

    std::vector<Announcement> updates;
    const Outbox::Queue& first = box.of(Outbox::Class::urgent);
    const bool urgent = first.due && *first.due <= turn.now;
    for (const auto c : {Outbox::Class::urgent, Outbox::Class::normal, Outbox::Class::repeat}) {
        Outbox::Queue& queue = box.of(c);
        const bool due = queue.due && *queue.due <= turn.now;
        if (!due && !(urgent && c == Outbox::Class::normal)) continue;
        for (const Destination& about : queue.destinations) updates.push_back(announcement(about, interface));
        queue = {};
    }
    if (urgent) box.urgent_allowed_at = turn.now + kUrgentGap;
    write_updates(updates, interface, sender, turn);
    if (box.dump && box.dump->due <= turn.now) continue_dump(box, interface, sender, turn);
}

// A dump in one burst overflows the receiver's socket; in portions it arrives whole.
void Speaker::State::continue_dump(Outbox& box, Interface& interface, Sender& sender, const Turn& turn) {
    auto it = box.dump->after ? table.upper_bound(*box.dump->after) : table.begin();
    std::vector<Announcement> updates;
    for (std::size_t i = 0; i < kDumpPortion && it != table.end(); ++i, ++it) {
        Announcement update = announcement(it->first, interface);
        box.dump->after = it->first;
        if (update.metric == kInfinity && !it->second.hold_until) continue;
        updates.push_back(std::move(update));
    }
    if (it == table.end())
        box.dump.reset();
    else
        box.dump->due = turn.now + kDumpPause;
    write_updates(updates, interface, sender, turn);
}

// What is announced is what the feasibility distance remembers (section 3.7.3), our own excepted.
void Speaker::State::write_updates(
    std::vector<Announcement>& updates, Interface& interface, Sender& sender, const Turn& turn
) {
    std::sort(updates.begin(), updates.end(), in_packet_order);
    updates.erase(std::unique(updates.begin(), updates.end()), updates.end());
    const Duration lifetime = std::max(kSourceLifetime, interface.config.update_interval * 4);
    for (const Announcement& update : updates) {
        sender.add(update);
        if (update.metric == kInfinity || update.router_id == config.router_id) continue;
        Entry& entry = table.find(*update.about)->second;
        entry.sent(update.router_id, update.seqno, update.metric, turn.now + lifetime);
        arm(entry, turn.now + lifetime);
    }
}

// What we say of a destination on this interface at this moment; a retraction where there is nothing to say.
Announcement Speaker::State::announcement(const Destination& about, const Interface& on) const {
    Announcement update{.about = about, .interval = Interval::of(on.config.update_interval)};
    const auto it = table.find(about);
    if (it == table.end()) return update;
    const Entry& entry = it->second;
    const Route* route = entry.selected_route();
    if (entry.own) {
        update.router_id = config.router_id;
        update.seqno = seqno;
        update.metric = *entry.own;
    } else if (route != nullptr && !on.splits(neighbours[route->neighbour]->on)) {
        update.router_id = route->router_id;
        update.seqno = route->seqno;
        update.metric = metric(*route);
    } else {
        return update;
    }
    if (on.config.v4) update.next_hop = *on.config.v4;
    const Metric* added = first_match(on.config.exports, {.about = about});
    if (added != nullptr) update.metric = plus(update.metric, *added);
    return update;
}

}  // namespace aronet::babel
