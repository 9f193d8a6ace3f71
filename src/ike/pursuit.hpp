#pragma once

// What the engine holds of each peer beyond its configuration, and the order in which peers get their turn:
// attempts towards one endpoint are few at a time (strongSwan drops silently from the fifth half-open SA of
// our address on).

#include "ike/ground.hpp"

#include <deque>

namespace aronet::ike {

// The chase after one peer.
struct Pursuit {
    std::vector<SessionKey> sessions;   // neither closing nor ended; oldest first
    std::vector<SessionKey> leaving;    // closing, or kept for repetitions; oldest first, a few
    ChildId sending = 0;                // the child of the last Switch; 0: none
    std::optional<Instant> doubled_at;  // since when two sessions are established
    std::optional<Instant> beside_at;   // when the last attempt began beside a session
    bool beside_again = false;          // one more such attempt followed at once
    bool beside_waits = false;          // for its turn
    bool carried = false;               // by what an earlier process left, until a session's child does
    SessionKey anew{};                  // the last one with INITIAL_CONTACT: the peer has nothing older
    std::optional<Instant> hinted_at;   // when one began for an SA that was passed over
    PeerState state = PeerState::idle;
    Instant since{};
    std::string reason;  // why there is no tunnel, or ""
    std::uint64_t attempts = 0;
    std::uint64_t rekeyings = 0;  // of its IKE SA
    unsigned failures = 0;        // refusals since the last success
    bool wide = false;            // the last attempt's proposal was refused: offer more

    void enter(PeerState next, std::string why, Instant now);
};

// The pause before the next attempt after so many refusals in a row: almost none at first, then doubling up
// to the cap. (Silence is repetition enough.)
Duration pause_after(unsigned failures, Duration cap, base::Random& random);

// Whose turn it is per remote endpoint.
class Queue {
public:
    explicit Queue(std::size_t limit) : limit_(limit) {}

    // True: go ahead. False: wait until leave() names the peer. Who moves to another endpoint leaves first.
    bool enter(PeerId peer, const Endpoint& to);
    // Gives the place back and says who may go now.
    std::optional<PeerId> leave(PeerId peer);
    // Whose attempts go there now.
    const std::set<PeerId>& busy(const Endpoint& to) const;

private:
    struct Counter {
        std::set<PeerId> busy;
        std::deque<PeerId> waiting;
    };
    std::size_t limit_;
    std::map<Endpoint, Counter> counters_;
    std::map<PeerId, Endpoint> where_;
};

}  // namespace aronet::ike
