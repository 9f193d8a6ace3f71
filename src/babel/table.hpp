#pragma once

// The routing table: entries by destination and by number, in the order of destinations where that counts.
// Entries stay where they are while they live.

#include "babel/entry.hpp"

namespace aronet::babel {

class Table {
    struct Place {  // in the order
        std::size_t run = 0, index = 0;
        bool operator==(const Place&) const = default;
    };
    struct Found {  // the first place that is not before what was looked for
        Place place;
        bool exact = false;
    };

public:
    Entry* find(const Destination& about);
    Entry& find_or_add(const Destination& about);
    void erase(const Entry& entry);
    Entry* at(EntryId id) const;
    std::size_t size() const { return count_ - free_.size(); }
    std::vector<EntryId> ids() const;  // in the order of destinations

    class Iterator {  // in the order of destinations; good until the next find_or_add() or erase()
    public:
        Iterator(const Table& table, Place place) : table_(&table), place_(place) {}
        Entry& operator*() const { return table_->entry(place_); }
        Iterator& operator++() {
            place_ = table_->next(place_);
            return *this;
        }
        bool operator==(const Iterator& other) const { return place_ == other.place_; }

    private:
        const Table* table_;
        Place place_;
    };
    Iterator begin() const { return {*this, {}}; }
    Iterator end() const { return {*this, {runs_.size(), 0}}; }
    // The first entry behind this one in the order of destinations; nothing: the first of all.
    Iterator after(const std::optional<Destination>& about) const;

private:
    static constexpr std::size_t kChunk = 64;  // entries allocated at once
    static constexpr std::size_t kRun = 256;   // ids side by side

    Entry& slot(EntryId id) const { return chunks_[id / kChunk][id % kChunk]; }
    Entry& entry(Place place) const { return slot(runs_[place.run][place.index]); }
    bool holds(Place place) const {
        return place.run < runs_.size() && place.index < runs_[place.run].size();
    }
    Place next(Place place) const;
    Found look_up(const Destination& about) const;
    Place make_room(Place place);
    EntryId unused();

    std::vector<std::unique_ptr<Entry[]>> chunks_;  // by EntryId
    EntryId count_ = 0;                             // ids ever used, and of these
    std::vector<EntryId> free_;
    std::vector<std::vector<EntryId>> runs_;  // in the order of destinations; none is empty
    Place last_;                              // found: who follows is often asked for next
};

}  // namespace aronet::babel
