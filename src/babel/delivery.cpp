#include "babel/delivery.hpp"

#include <algorithm>

namespace aronet::babel {

void Delivery::sent(Parcel parcel) {
    if (!parcel.probe) ++on_their_way_;
    parcels_.push_back(std::move(parcel));
}

bool Delivery::acknowledged(std::uint16_t opaque, Instant now) {
    const auto it =
        std::find_if(parcels_.begin(), parcels_.end(), [&](const Parcel& p) { return p.opaque == opaque; });
    if (it == parcels_.end()) return false;
    take_sample(now - it->sent_at);
    has_answered_ = true;
    unanswered_ = 0;
    answered_at_ = now;
    if (!it->probe) {
        --on_their_way_;
        window_ = std::min(window_ + 1, kWindowMax);
    }
    parcels_.erase(it);
    return true;
}

// The window is cut once per round, however many packets of it are missing, and never below what any socket
// takes: links that lose at random must not slow us down.
std::vector<Delivery::Parcel> Delivery::lost(Instant now) {
    const Duration patience = timeout();
    std::vector<Parcel> gone;
    const auto overdue = [&](Parcel& p) {
        if (p.sent_at + (p.probe ? kProbeMemory : patience) > now) return false;
        if (!p.probe) gone.push_back(std::move(p));
        return true;
    };
    std::erase_if(parcels_, overdue);
    on_their_way_ -= gone.size();
    if (!gone.empty() && gone.back().sent_at >= window_cut_at_) {
        window_ = std::max(window_ / 2, kWindowMin);
        window_cut_at_ = now;
        ++unanswered_;
    }
    return gone;
}

std::optional<Instant> Delivery::deadline() const {
    std::optional<Instant> first;
    for (const Parcel& p : parcels_) {
        const Instant at = p.sent_at + (p.probe ? kProbeMemory : timeout());
        first = first ? std::min(*first, at) : at;
    }
    return first;
}

bool Delivery::carries(EntryId id) const {
    return std::any_of(parcels_.begin(), parcels_.end(), [&](const Parcel& p) {
        return std::find(p.carried.begin(), p.carried.end(), id) != p.carried.end();
    });
}

void Delivery::forget() {
    std::erase_if(parcels_, [](const Parcel& p) { return !p.probe; });
    on_their_way_ = 0;
}

// As TCP does it (RFC 6298), in whole numbers; a peer may hold its answer back for most of the time it is
// given.
void Delivery::take_sample(Duration round_trip) {
    if (!has_answered_) {
        round_trip_ = round_trip;
        deviation_ = round_trip / 2;
        return;
    }
    const Duration off = round_trip > round_trip_ ? round_trip - round_trip_ : round_trip_ - round_trip;
    deviation_ += (off - deviation_) / 4;
    round_trip_ += (round_trip - round_trip_) / 8;
}

Duration Delivery::timeout() const {
    Duration t = has_answered_ ? round_trip_ + 4 * deviation_ : kAckTimeoutStart;
    t = std::max(t, kAckTimeoutMin);
    const unsigned doublings = std::min(unanswered_ > 1 ? unanswered_ - 1 : 0u, 4u);
    return std::min<Duration>(t * (1 << doublings), kAckTimeoutMax);
}

}  // namespace aronet::babel
