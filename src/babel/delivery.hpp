#pragma once

// Updates on their way to one neighbour, until it acknowledges them (RFC 8966 3.3). Its answers set the pace
// (as many packets at once as it proved to take) and tell when to take silence for loss. It knows no packets:
// what was carried is a list of destinations.

#include "babel/constants.hpp"
#include "babel/journal.hpp"

#include <optional>
#include <vector>

namespace aronet::babel {

class Delivery {
public:
    struct Parcel {  // one packet
        std::uint16_t opaque = 0;
        unsigned attempts = 0;  // that were made before
        Instant sent_at;
        std::vector<EntryId> carried;
        bool probe = false;  // carries nothing and is not sent again
    };

    bool room() const { return on_their_way_ < window_; }
    void sent(Parcel parcel);
    bool acknowledged(std::uint16_t opaque, Instant now);  // false: nothing we wait for
    // Takes out the packets that must be taken for lost, oldest first.
    std::vector<Parcel> lost(Instant now);
    std::optional<Instant> deadline() const;  // of lost()

    bool answers() const { return has_answered_ || unanswered_ < kSilentRoundsMax; }
    bool has_answered() const { return has_answered_; }
    Instant answered_at() const { return answered_at_; }  // meaningful if it has
    bool carries(EntryId id) const;                       // and was not answered
    Duration timeout() const;
    std::size_t on_their_way() const { return on_their_way_; }
    void give_up() { unanswered_ = kSilentRoundsMax; }
    void forget();  // what is on its way; what was learned of the neighbour stays

private:
    void take_sample(Duration round_trip);

    std::vector<Parcel> parcels_;  // in the order of sending
    std::size_t on_their_way_ = 0;
    std::size_t window_ = kWindowStart;
    Duration round_trip_{}, deviation_{};
    unsigned unanswered_ = 0;  // timeouts since the last answer
    bool has_answered_ = false;
    Instant answered_at_{};
    Instant window_cut_at_{};
};

}  // namespace aronet::babel
