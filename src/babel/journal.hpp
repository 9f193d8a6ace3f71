#pragma once

// What changed, in the order in which it did. Whoever tells of it keeps its place, so that news for a
// thousand interfaces are written down once. A destination that changes again stands there twice; its Entry
// knows which of the two counts.

#include <cstddef>
#include <cstdint>
#include <deque>

namespace aronet::babel {

using EntryId = std::uint32_t;  // a destination in the Table; a number is used again after it is gone
using Version = std::uint64_t;  // a place in the journal

class Journal {
public:
    Version head() const { return first_ + changed_.size(); }  // where the next change will stand
    Version first() const { return first_; }
    std::size_t size() const { return changed_.size(); }
    EntryId at(Version version) const { return changed_[std::size_t(version - first_)]; }

    Version add(EntryId id) {
        changed_.push_back(id);
        return head() - 1;
    }
    void forget_before(Version version) {  // nobody will ask for what stands there
        while (!changed_.empty() && first_ < version) {
            changed_.pop_front();
            ++first_;
        }
    }

private:
    std::deque<EntryId> changed_;
    Version first_ = 1;
};

}  // namespace aronet::babel
