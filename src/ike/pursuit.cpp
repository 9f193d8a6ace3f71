#include "ike/pursuit.hpp"

#include <algorithm>

namespace aronet::ike {

void Pursuit::enter(PeerState next, std::string why, Instant now) {
    if (state != next) since = now;
    state = next;
    reason = std::move(why);
}

Duration pause_after(unsigned failures, Duration cap, base::Random& random) {
    constexpr unsigned quick = 3;
    if (failures <= quick) return random.between(100ms, 1s);
    const unsigned doublings = std::min(failures - quick, 16u);
    return std::max<Duration>(100ms, random.jitter(std::min<Duration>(1s * (1u << doublings), cap), 30));
}

bool Queue::enter(PeerId peer, const Endpoint& to) {
    const auto held = where_.find(peer);
    if (held != where_.end()) return counters_[held->second].busy.contains(peer);
    Counter& counter = counters_[to];
    where_[peer] = to;
    if (counter.busy.size() < limit_) {
        counter.busy.insert(peer);
        return true;
    }
    counter.waiting.push_back(peer);
    return false;
}

std::optional<PeerId> Queue::leave(PeerId peer) {
    const auto held = where_.find(peer);
    if (held == where_.end()) return std::nullopt;
    const auto counter = counters_.find(held->second);
    where_.erase(held);
    std::deque<PeerId>& waiting = counter->second.waiting;
    std::optional<PeerId> next;
    if (counter->second.busy.erase(peer) == 0) {
        waiting.erase(std::find(waiting.begin(), waiting.end(), peer));
    } else if (!waiting.empty()) {
        next = waiting.front();
        waiting.pop_front();
        counter->second.busy.insert(*next);
    }
    if (counter->second.busy.empty()) counters_.erase(counter);
    return next;
}

const std::set<PeerId>& Queue::busy(const Endpoint& to) const {
    static const std::set<PeerId> nobody;
    const auto counter = counters_.find(to);
    return counter == counters_.end() ? nobody : counter->second.busy;
}

}  // namespace aronet::ike
