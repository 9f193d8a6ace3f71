// Packets: outboxes, dumps, acknowledgments.

#include "babel/sending.hpp"

namespace aronet::babel {

namespace {

// Those of one router together, IPv6 first, near prefixes side by side: that is how they take the least room.
bool in_packet_order(const Item& left, const Item& right) {
    const Announcement &a = left.update, &b = right.update;
    const bool a_gone = a.metric == kInfinity, b_gone = b.metric == kInfinity;
    if (a_gone != b_gone) return a_gone;
    if (!a_gone && a.router_id != b.router_id) return a.router_id < b.router_id;
    const auto a_family = a.about->prefix.family(), b_family = b.about->prefix.family();
    if (a_family != b_family) return a_family == base::Family::v6;
    return *a.about < *b.about;
}

}  // namespace

// ---- one packet after the other ----

bool Sender::room() const {
    return std::all_of(listeners_.begin(), listeners_.end(), [](const Neighbour* n) {
        return n->delivery.room();
    });
}

void Sender::add(const Item& item) {
    if (write(item)) return;
    finish();
    write(item);
}

bool Sender::write(const Item& item) {
    if (reliable() && item.entry != nullptr && !asks_) {
        if (!writer_.add(Tlv(AckRequest{++interface_.opaque, kAckInterval}))) return false;
        asks_ = true;
    }
    if (!writer_.add(item.update, v4_)) return false;
    if (asks_ && item.entry != nullptr) parcel_.carried.push_back(item.entry->id);
    return true;
}

void Sender::finish() {
    if (writer_.empty()) return;
    const Address& from = interface_.config.link_local;
    base::Bytes packet = writer_.finish();
    if (interface_.mac) interface_.mac->sign(packet, from, to_);
    turn_.out.emplace_back(Send{interface_.id, from, to_, std::move(packet)});
    ++interface_.packets_sent;
    if (std::exchange(asks_, false) && !parcel_.carried.empty()) {
        parcel_.opaque = interface_.opaque;
        parcel_.attempts = attempts_;
        parcel_.sent_at = turn_.now;
        for (Neighbour* n : listeners_) {
            n->delivery.sent(parcel_);
            timers_->set({Due::delivery, n->id}, *n->delivery.deadline());
        }
    }
    parcel_ = {};
}

// ---- out of the outboxes ----

void Speaker::State::flush(Interface& interface, const Turn& turn) {
    Sender sender(interface, multicast_group(), turn);
    write_waiting(interface, sender, turn);
    sender.finish();
}

void Speaker::State::write_waiting(Interface& interface, Sender& sender, const Turn& turn) {
    sender.acknowledged_by(listeners(interface), timers);
    empty(interface.outbox, interface, sender, turn);
    write_news(interface, sender, turn);
    write_repeats(interface, sender, turn);
    arm_again(interface.outbox, sender.room(), Due::outbox, interface.id, turn);
    if (!interface.outbox.dump || interface.outbox.dump->due > turn.now) return;
    sender.acknowledged_by_nobody();  // the next dump makes up for what is lost of this one
    continue_dump(interface.outbox, interface, sender, turn);
    arm_again(interface.outbox, true, Due::outbox, interface.id, turn);
}

void Speaker::State::flush(Neighbour& neighbour, const Turn& turn) {
    Interface& interface = *neighbour.interface;
    Sender sender(interface, neighbour.address, turn);
    if (neighbour.listens()) sender.acknowledged_by({&neighbour}, timers);
    empty(neighbour.outbox, interface, sender, turn);
    if (neighbour.outbox.dump && neighbour.outbox.dump->due <= turn.now) {
        if (!dumps.admit(neighbour.id)) {
            neighbour.outbox.dump->due = kQueued;
        } else {
            const bool for_all = interface.neighbours.size() == 1 && sender.reliable();
            if (for_all && !neighbour.outbox.dump->after) start_interval(interface, turn);
            continue_dump(neighbour.outbox, interface, sender, turn);
        }
        if (!neighbour.outbox.dump) admit_dump(dumps.leave(neighbour.id), turn);
    }
    sender.finish();
    arm_again(neighbour.outbox, sender.room(), Due::neighbour_outbox, neighbour.id, turn);
}

// Without room the next acknowledgment goes on.
void Speaker::State::arm_again(const Outbox& box, bool room, Due timer, std::uint32_t id, const Turn& turn) {
    if (!box.tlvs.empty()) arm(timer, id, turn.now + kPortionPause);
    if (!box.owed.empty() && room) arm(timer, id, std::max(turn.now + kHelloGap, box.owed_allowed_at));
    if (box.dump && box.dump->due != kQueued && (room || box.dump->due > turn.now))
        arm(timer, id, std::max(turn.now + kPortionPause, box.dump->due));
}

// Those whose acknowledgments are asked for: where they are many, news are repeated instead (section 3.7.2).
std::vector<Neighbour*> Speaker::State::listeners(const Interface& interface) const {
    std::vector<Neighbour*> found;
    if (interface.neighbours.size() > kListenersMax) return found;
    for (const auto& [address, id] : interface.neighbours) {
        if (neighbours[id]->listens()) found.push_back(neighbours[id].get());
    }
    return found;
}

void Speaker::State::empty(Outbox& box, Interface& interface, Sender& sender, const Turn& turn) {
    const std::size_t count = std::min(box.tlvs.size(), kTlvsAtOnce);
    for (std::size_t i = 0; i < count; ++i) sender.add(box.tlvs[i]);
    box.tlvs.erase(box.tlvs.begin(), box.tlvs.begin() + std::ptrdiff_t(count));
    if (box.owed.empty() || box.owed_allowed_at > turn.now) return;
    box.owed_allowed_at = turn.now + kUrgentGap;
    for (unsigned portion = 0; portion < kPortionsAtOnce || sender.reliable(); ++portion) {
        std::vector<Item> items;
        unsigned attempts = 0;
        while (!box.owed.empty() && items.size() < kPortion) {
            const auto first = box.owed.begin();
            Entry* entry = table.find(first->first);
            if (entry == nullptr || !is_awaited(*entry)) {
                items.push_back({announcement(first->first, entry, interface), entry});
                attempts = std::max(attempts, first->second);
            }
            box.owed.erase(first);
        }
        sender.attempt(attempts);
        write_updates(items, interface, sender, turn);
        if (attempts > 0) sender.finish();  // what has to be said again stays apart from what is new
        if (box.owed.empty() || !sender.room()) break;
    }
    sender.attempt(0);
}

// ---- dumps ----

// What a dump promises until the next.
void Speaker::State::start_interval(Interface& on, const Turn& turn) {
    on.update_interval = update_interval(on);
    timers.set({Due::periodic, on.id}, turn.now + random.jitter(on.update_interval, 10));
}

// Portions of one size, so that no packet is left for a few.
std::size_t Speaker::State::dump_portion() const {
    const std::size_t portions = std::max<std::size_t>((table.size() + kPortion / 2) / kPortion, 1);
    return table.size() / portions + 1;
}

// Spread over a part of its interval.
void Speaker::State::start_dump(Interface& on, const Turn& turn) {
    start_interval(on, turn);
    if (on.neighbours.empty() || on.outbox.dump) return;
    const auto portions = static_cast<std::int64_t>(table.size() / dump_portion() + 1);
    const Duration pause = on.update_interval / kDumpShare / portions;
    on.outbox.dump = Outbox::Dump{turn.now, std::nullopt, std::clamp<Duration>(pause, 2ms, 1s), true};
    arm(Due::outbox, on.id, turn.now);
}

void Speaker::State::start_dump(Neighbour& to, const Turn& turn) {
    if (to.outbox.dump) return;
    const Instant at = std::max(turn.now, to.outbox.dump_allowed_at);
    to.outbox.dump_allowed_at = at + kDumpInterval;
    to.outbox.dump = Outbox::Dump{at, std::nullopt};
    arm(Due::neighbour_outbox, to.id, at);
}

void Speaker::State::admit_dump(std::optional<NeighbourId> next, const Turn& turn) {
    if (!next) return;
    neighbours[*next]->outbox.dump->due = turn.now;
    arm(Due::neighbour_outbox, *next, turn.now);
}

// At the pace of the acknowledgments; where there are none, in portions that no socket drops.
void Speaker::State::continue_dump(Outbox& box, Interface& interface, Sender& sender, const Turn& turn) {
    const unsigned at_once = box.dump->spread ? 1 : kPortionsAtOnce;
    const std::size_t size = dump_portion();
    for (unsigned portion = 0; portion < at_once || sender.reliable(); ++portion) {
        auto it = table.after(box.dump->after);
        std::vector<Item> items;
        for (; items.size() < size && it != table.end(); ++it) {
            Entry& entry = *it;
            box.dump->after = entry.about();
            Announcement update = announcement(*box.dump->after, &entry, interface);
            const bool gone = box.dump->losses && entry.time(&Rare::forget_at);
            const bool held = entry.time(&Rare::hold_until) && entry.version != 0;  // and was ever told
            if (update.metric == kInfinity && !gone && !held) continue;
            items.push_back({std::move(update), &entry});
        }
        const bool complete = it == table.end();
        write_updates(items, interface, sender, turn);
        if (complete) return box.dump.reset();
        if (!sender.room()) break;
    }
    box.dump->due = sender.reliable() ? turn.now : turn.now + box.dump->pause;
}

// ---- updates ----

// What is announced is what the feasibility distance remembers (section 3.7.3), our own excepted.
void Speaker::State::write_updates(
    std::vector<Item>& items, Interface& interface, Sender& sender, const Turn& turn
) {
    std::sort(items.begin(), items.end(), in_packet_order);
    const Duration lifetime = std::max(kSourceLifetime, interface.update_interval * 4);
    for (const Item& item : items) {
        sender.add(item);
        const Announcement& update = item.update;
        if (update.metric == kInfinity || update.router_id == config.router_id) continue;
        const bool is_other =
            item.entry->sent(update.router_id, update.seqno, update.metric, turn.now + lifetime);
        if (is_other && config.remembers)
            turn.out.emplace_back(KeepDistance{
                {item.entry->about(), update.router_id, update.seqno, update.metric}});
        arm(*item.entry, turn.now + lifetime);
    }
}

// What we say of a destination on this interface at this moment; a retraction where there is nothing to say.
Announcement Speaker::State::announcement(const Destination& about, const Entry* entry, const Interface& on)
    const {
    Announcement update{.about = about, .interval = Interval::of(on.update_interval)};
    if (entry == nullptr) return update;
    const Route* route = told_route(*entry);
    if (entry->is_own()) {
        update.router_id = config.router_id;
        update.seqno = seqno;
        update.metric = entry->own;
    } else if (route != nullptr && !on.splits(neighbours[route->neighbour]->interface->id)) {
        update.router_id = route->router_id;
        update.seqno = route->seqno;
        update.metric = metric(*route);
    } else {
        return update;
    }
    if (on.config.v4) update.next_hop = *on.config.v4;
    const Metric* added = first_match(
        on.config.exports, {.about = about, .holders = allowed ? &*allowed : nullptr, .metric = update.metric}
    );
    if (added != nullptr) update.metric = plus(update.metric, *added);
    return update;
}

// ---- acknowledgments ----

void Speaker::State::receive_ack(Neighbour& from, const Ack& ack, const Turn& turn) {
    if (!from.delivery.acknowledged(ack.opaque, turn.now)) return;
    proven_alive(from, turn);
    if (const auto due = from.delivery.deadline())
        timers.set({Due::delivery, from.id}, *due);
    else
        timers.stop({Due::delivery, from.id});
    resume(from, turn);
}

// With what had to wait for room.
void Speaker::State::resume(Neighbour& n, const Turn& turn) {
    if (n.outbox.dump && n.outbox.dump->due != kQueued)
        arm(Due::neighbour_outbox, n.id, std::max(turn.now, n.outbox.dump->due));
    if (!n.outbox.owed.empty())
        arm(Due::neighbour_outbox, n.id, std::max(turn.now, n.outbox.owed_allowed_at));
    const Interface& on = *n.interface;
    const bool overdue = on.told > on.whole || !timers.at({Due::news, 0});
    if (on.told < journal.head() && overdue) arm(Due::outbox, on.id, turn.now);
}

// What was not acknowledged is told again as it is by now, to this neighbour alone.
void Speaker::State::delivery_due(NeighbourId id, const Turn& turn) {
    Neighbour& n = *neighbours[id];
    const auto lost = n.delivery.lost(turn.now);
    if (const auto next = lost.empty() ? std::nullopt : dumps.yield(id)) {
        n.outbox.dump->due = kQueued;
        admit_dump(next, turn);
    }
    for (const Delivery::Parcel& parcel : lost) {
        if (parcel.attempts >= kAttemptsMax) {
            drop("updates not acknowledged", n.interface->id, n.address, turn);
            continue;
        }
        for (const EntryId carried : parcel.carried) {
            if (const Entry* entry = table.at(carried)) owe(n, entry->about(), turn, parcel.attempts + 1);
        }
        if (n.delivery.has_answered()) probe(n, turn);
    }
    if (const auto due = n.delivery.deadline()) timers.set({Due::delivery, id}, *due);
    resume(n, turn);
}

}  // namespace aronet::babel
