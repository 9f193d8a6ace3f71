// What has to be told, to whom (RFC 8966 3.7.2): the journal of changes, and what single neighbours are owed.

#include "babel/sending.hpp"

namespace aronet::babel {

// ---- into the journal ----

// Leaves within this turn unless others just did; then all of that time leave together. What neighbours must
// know lest packets go astray waits for no other news than its own kind: a storm of both is at most twice the
// packets.
void Speaker::State::publish(Entry& entry, News kind, const Turn& turn) {
    entry.version = journal.add(entry.id);
    if (!entry.told_reachable()) arm(entry, &Rare::forget_at, turn.now + kRetractionMemory);
    losses_wait = losses_wait || kind == News::loss;
    arm(Due::news, 0, std::max(turn.now, kind == News::loss ? losses_allowed_at : news_allowed_at));
}

void Speaker::State::publish_later(Entry& entry, const Turn& turn) {
    if (later.empty()) {
        Duration delay = kNormalDelayMax;
        for (const auto& [id, interface] : interfaces) delay = std::min(delay, interface.hello_interval / 2);
        arm(Due::later, 0, turn.now + random.jitter(delay, 50));
    }
    if (later.empty() || later.back() != entry.id) later.push_back(entry.id);
}

void Speaker::State::later_due(const Turn& turn) {
    for (const EntryId id : std::exchange(later, {})) {
        Entry* entry = table.at(id);
        if (entry != nullptr && entry->told_reachable()) publish(*entry, News::other, turn);
    }
}

// ---- out of it ----

void Speaker::State::news_due(const Turn& turn) {
    const auto gap = kUrgentGapPerInterface * static_cast<std::int64_t>(interfaces.size());
    news_allowed_at = turn.now + std::clamp<Duration>(gap, kUrgentGap, kUrgentTimeout);
    if (std::exchange(losses_wait, false)) losses_allowed_at = news_allowed_at;
    for (auto& [id, interface] : interfaces) {
        if (interface.told < journal.head()) arm(Due::outbox, id, turn.now);
    }
    trim_journal(turn);
}

void Speaker::State::write_news(Interface& interface, Sender& sender, const Turn& turn) {
    if (interface.neighbours.empty()) interface.told = journal.head();  // whoever comes is told everything
    const Version from = interface.told;
    write_changes(interface.told, journal.head(), interface, sender, turn);
    if (interface.told == journal.head()) interface.whole = interface.told;
    const auto unheard = [&](const auto& n) {
        return neighbours[n.second]->reachable() && !(sender.reliable() && neighbours[n.second]->listens());
    };
    const auto& all = interface.neighbours;
    if (interface.told == from || std::none_of(all.begin(), all.end(), unheard)) return;
    interface.repeats.push_back({turn.now + kRepeatDelay, from, interface.told});
    arm(Due::outbox, interface.id, interface.repeats.front().due);
}

void Speaker::State::write_repeats(Interface& interface, Sender& sender, const Turn& turn) {
    for (auto& repeat : interface.repeats) {
        if (repeat.due > turn.now) break;
        write_changes(repeat.from, repeat.to, interface, sender, turn);
    }
    std::erase_if(interface.repeats, [](const auto& r) { return r.from == r.to; });
    if (!interface.repeats.empty())
        arm(Due::outbox, interface.id, std::max(interface.repeats.front().due, turn.now + kPortionPause));
}

void Speaker::State::write_changes(
    Version& from, Version to, Interface& interface, Sender& sender, const Turn& turn
) {
    for (unsigned portion = 0; from < to && sender.room(); ++portion) {
        if (!sender.reliable() && portion == kPortionsAtOnce)
            return arm(Due::outbox, interface.id, turn.now + kPortionPause);
        std::vector<Item> items;
        for (; from < to && items.size() < kPortion; ++from) {
            Entry* entry = table.at(journal.at(from));
            if (entry == nullptr || entry->version != from || quiet(*entry, interface)) continue;
            Announcement update = announcement(entry->about(), entry, interface);
            if (!dump_will_tell(update, interface)) items.push_back({std::move(update), entry});
        }
        write_updates(items, interface, sender, turn);
    }
}

// Saying it twice is half of what a hub says while its neighbours come. A retraction is never left to wait,
// and no dump tells of it; nor does anything wait for a dump that may not begin yet.
bool Speaker::State::dump_will_tell(const Announcement& update, const Interface& on) const {
    if (update.metric == kInfinity || on.neighbours.size() != 1) return false;
    const Neighbour& only = *neighbours[on.neighbours.begin()->second];
    const auto& dump = only.outbox.dump;
    if (!dump || !only.listens()) return false;
    return dump->after ? *dump->after < *update.about : dump->due <= last_turn || dump->due == kQueued;
}

// Where split horizon keeps silent, and did so in all that this interface was not yet told of.
bool Speaker::State::quiet(const Entry& entry, const Interface& on) const {
    return on.splits(entry.quiet_on) && entry.quiet_since < on.whole;
}

// A retraction that everybody has acknowledged leaves nobody who would still send us packets (section 3.5.4).
bool Speaker::State::told_to_all(const Entry& entry) const {
    for (const auto& [id, interface] : interfaces) {
        if (interface.neighbours.empty() || quiet(entry, interface)) continue;
        if (interface.told <= entry.version || interface.neighbours.size() > kListenersMax) return false;
        for (const auto& [address, slot] : interface.neighbours) {
            const Neighbour& n = *neighbours[slot];
            if (!n.reachable()) continue;
            if (!n.listens() || n.delivery.carries(entry.id) || n.outbox.owed.contains(entry.about()))
                return false;
        }
    }
    return true;
}

// Who is far behind is told everything anew, so that the journal need not wait.
void Speaker::State::trim_journal(const Turn& turn) {
    const bool long_enough = journal.size() > 2 * table.size() + 4096;
    Version oldest = journal.head();
    for (auto& [id, interface] : interfaces) {
        if (long_enough && interface.told < journal.head()) {
            interface.told = interface.whole = journal.head();
            interface.repeats.clear();
            for (const auto& [address, slot] : interface.neighbours) start_dump(*neighbours[slot], turn);
        }
        oldest = std::min(oldest, interface.told);
        if (!interface.repeats.empty()) oldest = std::min(oldest, interface.repeats.front().from);
    }
    journal.forget_before(oldest);
}

// ---- for one interface or neighbour ----

void Speaker::State::queue(Neighbour& to, const Tlv& tlv, const Turn& turn) {
    to.outbox.add(tlv);
    arm(Due::neighbour_outbox, to.id, turn.now);
}

void Speaker::State::queue(Interface& on, const Tlv& tlv, const Turn& turn) {
    on.outbox.add(tlv);
    arm(Due::outbox, on.id, turn.now);
}

void Speaker::State::owe(Neighbour& to, const Destination& about, const Turn& turn, unsigned attempts) {
    if (attempts == 0 && to.outbox.owed.size() >= kRequestsQueuedMax) return;
    to.outbox.owe(about, attempts);
    arm(Due::neighbour_outbox, to.id, std::max(turn.now, to.outbox.owed_allowed_at));
}

void Speaker::State::owe(Interface& on, const Destination& about, const Turn& turn) {
    on.outbox.owe(about, 0);
    arm(Due::outbox, on.id, std::max(turn.now, on.outbox.owed_allowed_at));
}

}  // namespace aronet::babel
