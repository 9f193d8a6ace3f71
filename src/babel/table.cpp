#include "babel/table.hpp"

#include "babel/growth.hpp"

namespace aronet::babel {

Entry* Table::find(const Destination& about) {
    const Found found = look_up(about);
    if (!found.exact) return nullptr;
    last_ = found.place;
    return &entry(found.place);
}

Entry& Table::find_or_add(const Destination& about) {
    const Found found = look_up(about);
    if (found.exact) return entry(found.place);
    last_ = make_room(found.place);
    const EntryId id = unused();
    std::vector<EntryId>& run = runs_[last_.run];
    run.insert(run.begin() + static_cast<std::ptrdiff_t>(last_.index), id);
    Entry& added = slot(id);
    added.id = id;
    added.set_destination(about);
    return added;
}

void Table::erase(const Entry& gone) {
    const Place place = look_up(gone.about()).place;
    std::vector<EntryId>& run = runs_[place.run];
    run.erase(run.begin() + static_cast<std::ptrdiff_t>(place.index));
    if (run.empty()) runs_.erase(runs_.begin() + static_cast<std::ptrdiff_t>(place.run));
    append(free_, gone.id);
    Entry* const cleared = &slot(gone.id);
    std::destroy_at(cleared);
    std::construct_at(cleared);
}

Entry* Table::at(EntryId id) const { return id < count_ && slot(id).id != kNoEntry ? &slot(id) : nullptr; }

std::vector<EntryId> Table::ids() const {
    std::vector<EntryId> all;
    all.reserve(size());
    for (const auto& run : runs_) all.insert(all.end(), run.begin(), run.end());
    return all;
}

Table::Iterator Table::after(const std::optional<Destination>& about) const {
    if (!about) return begin();
    const Found found = look_up(*about);
    return {*this, found.exact ? next(found.place) : found.place};
}

// ---- the order ----

Table::Place Table::next(Place place) const {
    return place.index + 1 < runs_[place.run].size() ? Place{place.run, place.index + 1}
                                                     : Place{place.run + 1, 0};
}

// Updates mostly come in the order of destinations, so the search begins behind what was found last.
Table::Found Table::look_up(const Destination& about) const {
    if (holds(last_) && entry(last_) < about) {
        const Place following = next(last_);
        if (!holds(following)) return {following};
        const auto order = entry(following) <=> about;
        if (order >= 0) return {following, order == 0};
    }
    const auto less = [&](EntryId id, const Destination& wanted) { return slot(id) < wanted; };
    const auto ends_before = [&](const auto& run, const Destination& wanted) {
        return less(run.back(), wanted);
    };
    const auto run = std::lower_bound(runs_.begin(), runs_.end(), about, ends_before);
    if (run == runs_.end()) return {{runs_.size(), 0}};
    const auto id = std::lower_bound(run->begin(), run->end(), about, less);
    const Place place{
        static_cast<std::size_t>(run - runs_.begin()), static_cast<std::size_t>(id - run->begin())};
    return {place, slot(*id) == about};
}

// A full run is divided; at its end another one begins, so that what comes in order leaves them full.
Table::Place Table::make_room(Place place) {
    const bool between_two = place.index == 0 && place.run > 0;
    if (between_two && runs_[place.run - 1].size() < kRun)
        return {place.run - 1, runs_[place.run - 1].size()};
    if (place.run == runs_.size()) {
        runs_.emplace_back().reserve(kRun);
        return place;
    }
    if (runs_[place.run].size() < kRun) return place;
    std::vector<EntryId> rest;
    rest.reserve(kRun);
    const auto middle = runs_[place.run].begin() + kRun / 2;
    rest.assign(middle, runs_[place.run].end());
    runs_[place.run].resize(kRun / 2);
    runs_.insert(runs_.begin() + static_cast<std::ptrdiff_t>(place.run) + 1, std::move(rest));
    return place.index <= kRun / 2 ? place : Place{place.run + 1, place.index - kRun / 2};
}

// ---- the entries ----

EntryId Table::unused() {
    if (!free_.empty()) {
        const EntryId id = free_.back();
        free_.pop_back();
        return id;
    }
    if (count_ == chunks_.size() * kChunk) chunks_.push_back(std::make_unique<Entry[]>(kChunk));
    return count_++;
}

}  // namespace aronet::babel
