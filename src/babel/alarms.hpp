#pragma once

// One instant per entry of the table, as base::Timers has them for anything, but in twelve bytes each: a heap
// of ticks, and the place in it by entry. Entries are small numbers; ties come in their order.

#include "babel/growth.hpp"
#include "babel/journal.hpp"
#include "babel/tick.hpp"

#include <optional>
#include <vector>

namespace aronet::babel {

class Alarms {
public:
    void set_if_earlier(EntryId id, Instant at);
    void stop(EntryId id);
    std::optional<Instant> next(Instant present) const;
    std::optional<EntryId> expired(Instant now);  // takes out the earliest that is due

private:
    struct Alarm {
        Tick at;
        EntryId id = 0;

        bool before(const Alarm& other) const { return at == other.at ? id < other.id : at.before(other.at); }
    };
    static constexpr std::uint32_t kNone = ~std::uint32_t(0);

    void rise(std::size_t place, Alarm alarm);
    void sink(std::size_t place, Alarm alarm);
    void put(std::size_t place, Alarm alarm);

    std::vector<Alarm> heap_;
    std::vector<std::uint32_t> place_;  // by entry
};

}  // namespace aronet::babel
