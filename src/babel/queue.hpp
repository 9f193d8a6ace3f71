#pragma once

// Whose turn it is, where all at once would be too much for the machine: so many at a time, the others in the
// order in which they came.

#include "babel/neighbour.hpp"

#include <algorithm>
#include <deque>
#include <optional>
#include <set>

namespace aronet::babel {

class Queue {
public:
    explicit Queue(std::size_t at_once) : at_once_(at_once) {}

    // False: it has to wait until leave() or yield() names it.
    bool admit(NeighbourId id) {
        if (inside_.contains(id)) return true;
        if (inside_.size() < at_once_) return inside_.insert(id).second;
        if (std::find(waiting_.begin(), waiting_.end(), id) == waiting_.end()) waiting_.push_back(id);
        return false;
    }

    // Also for those who wait, or were never here. Returns who is admitted in its place.
    std::optional<NeighbourId> leave(NeighbourId id) {
        std::erase(waiting_, id);
        return inside_.erase(id) > 0 ? admit_next() : std::nullopt;
    }

    // Back to the end, if somebody waits who is admitted for it; else it stays.
    std::optional<NeighbourId> yield(NeighbourId id) {
        if (waiting_.empty() || inside_.erase(id) == 0) return std::nullopt;
        waiting_.push_back(id);
        return admit_next();
    }

private:
    std::optional<NeighbourId> admit_next() {
        if (waiting_.empty()) return std::nullopt;
        const NeighbourId next = waiting_.front();
        waiting_.pop_front();
        inside_.insert(next);
        return next;
    }

    std::size_t at_once_;
    std::set<NeighbourId> inside_;
    std::deque<NeighbourId> waiting_;
};

}  // namespace aronet::babel
