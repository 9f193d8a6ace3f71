#pragma once

// What we know of one neighbour on one interface: the Hellos heard, the costs both ways, the round trip time
// (RFC 8966 3.2.4, 3.4 and appendix A; RFC 9616 section 4).

#include "babel/delivery.hpp"
#include "babel/outbox.hpp"
#include "babel/speaker.hpp"

namespace aronet::babel {

// The last sixteen Hellos of one kind; the newest is the highest bit.
class HelloHistory {
public:
    enum class Outcome : std::uint8_t { counted, started_anew };

    Outcome heard(SeqNo seqno);
    void missed();
    void forget() { bits_ = 0, seen_ = 0; }

    std::uint16_t bits() const { return bits_; }
    bool empty() const { return bits_ == 0; }
    bool two_of_three() const;  // or the only one there was so far
    bool has_holes() const;     // among the last four
    unsigned received() const;  // of the last sixteen, or of those that could have been received
    unsigned seen() const { return seen_; }

private:
    void push(bool heard);

    std::uint16_t bits_ = 0;
    unsigned seen_ = 0;  // Hellos due so far, at most kHistoryBits
    SeqNo expected_ = 0;
};

// The smoothed round trip time and the samples it is made of.
class RoundTrip {
public:
    void heard(std::uint32_t their_stamp, Instant received_at);  // the time stamp of a Hello
    // An echo of our own stamp, in the packet of the last Hello heard. False: implausible, not counted.
    bool echoed(const Ihu::Echo& echo);
    std::optional<Ihu::Echo> echo(Instant now) const;  // what our next IHU returns
    std::optional<Duration> smoothed() const { return smoothed_; }
    // It has stayed about the same for so many samples that the next one can wait; or there are none.
    bool steady() const { return !heard_ || alike_ >= kAlikeMin; }
    void forget() { *this = {}; }

private:
    std::uint32_t their_stamp_ = 0;
    Instant received_at_;
    bool heard_ = false;
    std::optional<std::uint32_t>
        last_received_;  // the peer's stamp of the arrival of ours, from its last echo
    std::optional<Duration> smoothed_;
    static constexpr unsigned kAlikeMin = 4;
    unsigned alike_ = 0;  // samples near the average, one after the other
};

std::uint32_t timestamp(Instant at);  // microseconds modulo 2^32, never 0 (which peers take for none)
unsigned rtt_cost(const std::optional<Duration>& rtt, const InterfaceConfig& config);

using NeighbourId = std::uint32_t;  // a slot that is used again after the neighbour is gone

// Whether the way there and back still works, asked for while traffic takes it.
struct Probing {
    unsigned unanswered = 0;  // probes one after the other
    Instant last, next;
    Duration revival{};  // dead: the pause between probes
    bool dead = false;
    std::optional<Instant> vacant_since, vacant_at;  // its host said that nobody listens: first, and last
    Instant spared_until{};                          // its next process has only just begun
    bool vacant(Instant now) const {
        if (now < spared_until) return true;
        return vacant_at && now - *vacant_at < kVacancyLife && now - *vacant_since < kVacancyMax;
    }
};

struct Interface;

struct Neighbour {
    NeighbourId id = 0;
    Interface* interface = nullptr;
    Address address;
    Instant since;

    HelloHistory multicast, unicast;
    Duration multicast_interval{}, unicast_interval{};
    std::uint16_t txcost = kInfinity;
    RoundTrip rtt;
    unsigned cost = kInfinity;  // of the link as last computed
    std::uint16_t told_rxcost = kInfinity;
    bool ihu_wanted = true;
    Probing probing;

    Outbox outbox;
    Delivery delivery;
    bool away = false;               // was reachable, and may miss what is retracted
    unsigned asked = 0;              // Hellos since it is reachable that asked whether they arrived
    std::vector<EntryId> entries;    // that hold a route by this neighbour; Route::position is the index
    std::vector<Address> next_hops;  // that it announced; the first is its own address
    std::size_t selected = 0;        // routes of it that we use
    std::size_t refused = 0;         // updates, for it had as many routes as it may, since there was room

    bool reachable() const { return cost < kInfinity; }
    bool listens() const { return reachable() && delivery.answers(); }  // acknowledges updates
    std::uint16_t rxcost(const InterfaceConfig& config) const;
    unsigned compute_cost(const InterfaceConfig& config, std::uint16_t suspicion) const;
    std::optional<std::uint8_t> next_hop(const Address& address);  // none left: too many different ones
};

}  // namespace aronet::babel
