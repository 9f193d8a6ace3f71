#pragma once

// What a speaker has to do and when, but for the timers of single destinations. What is concluded from
// silence is kept apart: it must wait until all that has arrived was heard.

#include "base/timers.hpp"

#include <cstdint>

namespace aronet::babel {

enum class Due : std::uint8_t {
    multicast_hello,
    unicast_hello,
    ihu,
    own_hello,
    periodic,
    delivery,
    probe,
    later,
    news,
    outbox,
    neighbour_outbox,
    challenge,
    resumed
};

class Calendar {
public:
    using Key = std::pair<Due, std::uint32_t>;  // of an interface, a neighbour or nobody

    void set(const Key& key, base::Instant at) { of(key).set(key, at); }
    void stop(const Key& key) { of(key).stop(key); }
    std::optional<base::Instant> at(const Key& key) const {
        return (is_silence(key.first) ? silences_ : acts_).at(key);
    }
    std::optional<base::Instant> next() const {
        const auto silence = silences_.next(), act = acts_.next();
        return !silence || (act && *act < *silence) ? act : silence;
    }
    // Takes out the earliest that is due.
    std::optional<Key> expired(base::Instant now) {
        const auto silence = silences_.next(), act = acts_.next();
        return (silence && (!act || *silence < *act) ? silences_ : acts_).expired(now);
    }
    std::optional<Key> expired_act(base::Instant now) { return acts_.expired(now); }

private:
    static bool is_silence(Due due) {
        return due == Due::multicast_hello || due == Due::unicast_hello || due == Due::ihu ||
               due == Due::delivery || due == Due::probe;
    }
    base::Timers<Key>& of(const Key& key) { return is_silence(key.first) ? silences_ : acts_; }

    base::Timers<Key> silences_, acts_;
};

}  // namespace aronet::babel
