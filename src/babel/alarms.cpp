#include "babel/alarms.hpp"

#include <utility>

namespace aronet::babel {

void Alarms::set_if_earlier(EntryId id, Instant at) {
    while (place_.size() <= id) append(place_, kNone);
    const Alarm wanted{Tick(at), id};
    std::size_t place = place_[id];
    if (place == kNone) {
        place = heap_.size();
        append(heap_, wanted);
    } else if (!wanted.at.before(heap_[place].at)) {
        return;
    }
    rise(place, wanted);
}

void Alarms::stop(EntryId id) {
    if (id >= place_.size() || place_[id] == kNone) return;
    const std::size_t place = std::exchange(place_[id], kNone);
    const Alarm last = heap_.back();
    heap_.pop_back();
    if (place == heap_.size()) return;
    if (place > 0 && last.before(heap_[(place - 1) / 2]))
        rise(place, last);
    else
        sink(place, last);
}

std::optional<Instant> Alarms::next(Instant present) const {
    return heap_.empty() ? std::nullopt : std::optional(heap_.front().at.near(present));
}

std::optional<EntryId> Alarms::expired(Instant now) {
    if (heap_.empty() || heap_.front().at.near(now) > now) return std::nullopt;
    const EntryId id = heap_.front().id;
    stop(id);
    return id;
}

void Alarms::rise(std::size_t place, Alarm alarm) {
    for (; place > 0 && alarm.before(heap_[(place - 1) / 2]); place = (place - 1) / 2)
        put(place, heap_[(place - 1) / 2]);
    put(place, alarm);
}

void Alarms::sink(std::size_t place, Alarm alarm) {
    for (;;) {
        std::size_t below = 2 * place + 1;
        if (below + 1 < heap_.size() && heap_[below + 1].before(heap_[below])) ++below;
        if (below >= heap_.size() || !heap_[below].before(alarm)) return put(place, alarm);
        put(place, heap_[below]);
        place = below;
    }
}

void Alarms::put(std::size_t place, Alarm alarm) {
    heap_[place] = alarm;
    place_[alarm.id] = static_cast<std::uint32_t>(place);
}

}  // namespace aronet::babel
