#pragma once

// Deadlines as data: one instant per key, none of them ever calls anybody.

#include "base/time.hpp"

#include <map>
#include <optional>
#include <set>
#include <utility>

namespace aronet::base {

// O(log n) for everything. Ties fire in the order of the keys, so equal inputs give equal runs.
template <class Key>
class Timers {
public:
    void set(const Key& key, Instant at) {
        stop(key);
        when_.emplace(key, at);
        order_.emplace(at, key);
    }

    void stop(const Key& key) {
        const auto it = when_.find(key);
        if (it == when_.end()) return;
        order_.erase({it->second, key});
        when_.erase(it);
    }

    std::optional<Instant> at(const Key& key) const {
        const auto it = when_.find(key);
        return it == when_.end() ? std::nullopt : std::optional(it->second);
    }

    std::optional<Instant> next() const {
        return order_.empty() ? std::nullopt : std::optional(order_.begin()->first);
    }

    // Takes out the earliest key that is due; call until it is empty.
    std::optional<Key> expired(Instant now) {
        if (order_.empty() || order_.begin()->first > now) return std::nullopt;
        Key key = order_.begin()->second;
        stop(key);
        return key;
    }

    std::size_t size() const { return when_.size(); }

private:
    std::map<Key, Instant> when_;
    std::set<std::pair<Instant, Key>> order_;
};

}  // namespace aronet::base
