#pragma once

// The inside of a Speaker: its tables and timers, and the functions on them by subject.
// links.cpp: Hellos, IHUs, costs. routes.cpp: updates, expiry, selection. requests.cpp: requests of both
// kinds. sending.cpp: outboxes, dumps, packets. authentication.cpp: MACs and challenges. speaker.cpp: the
// door, packets in, time.

#include "babel/mac.hpp"
#include "babel/packet.hpp"
#include "babel/table.hpp"
#include "base/timers.hpp"

namespace aronet::babel {

struct Interface {
    InterfaceId id = 0;
    InterfaceConfig config;
    std::uint16_t suspicion = 0;
    SeqNo hello_seqno = 0;
    unsigned quick_hellos_left = 0;
    Instant quick_allowed_at{};
    Instant hello_allowed_at{};
    unsigned hellos_sent = 0;
    Outbox outbox;
    std::map<Address, NeighbourId> neighbours;
    std::unique_ptr<MacLink> mac;  // only with keys

    bool splits(InterfaceId learned_on) const { return config.split_horizon && learned_on == id; }
    std::size_t payload_max() const {
        const std::size_t whole = std::max(config.mtu, kPacketSizeMin + kIpAndUdpSize) - kIpAndUdpSize;
        return whole - (mac ? mac->overhead() : 0);
    }
};

// At equal times what changes the tables comes first, then what tells of it.
enum class Due : std::uint8_t {
    multicast_hello,
    unicast_hello,
    ihu,
    own_hello,
    periodic,
    outbox,
    neighbour_outbox,
    challenge
};

struct Turn {  // one call from outside
    Instant now;
    Actions& out;
};

class Sender;

struct AllowedPrefixes {  // a set that answers "does one of you contain this?" by length
    std::set<Prefix> prefixes;
    std::set<std::pair<base::Family, unsigned>> lengths;
    bool contain(const Prefix& prefix) const;
};

struct Speaker::State {
    SpeakerConfig config;
    base::Random& random;
    SeqNo seqno;
    bool stopped = false;
    std::map<InterfaceId, Interface> interfaces;
    std::vector<std::unique_ptr<Neighbour>> neighbours;  // by NeighbourId; empty slots are used again
    Table table;
    base::Timers<std::pair<Due, std::uint32_t>> timers;
    base::Timers<Destination> entry_timers;  // no later than the entry's next event
    std::optional<AllowedPrefixes> allowed;
    base::Drops drops;

    // speaker.cpp
    void run_due(const Turn& turn);
    void fire(Due what, std::uint32_t id, const Turn& turn);
    void receive(const Packet& packet, Interface& interface, const Turn& turn);
    void drop(std::string_view reason, InterfaceId on, const Address& from, const Turn& turn);
    void arm(Due what, std::uint32_t id, Instant at);  // the earlier of this and what is set
    void arm(const Entry& entry, Instant at);

    // links.cpp
    Neighbour* find_neighbour(const Interface& interface, const Address& address);
    Neighbour* greet(Interface& interface, const Address& address, const Turn& turn);
    void remove_neighbour(NeighbourId id, const Turn& turn);
    void receive_hello(
        Neighbour& from, Interface& interface, const Hello& hello, Instant received_at, const Turn& turn
    );
    void forget_earlier_life(Neighbour& neighbour, const Turn& turn);
    void receive_ihu(
        Neighbour& from, Interface& interface, const Ihu& ihu, bool rtt_usable, const Turn& turn
    );
    void hello_missed(
        NeighbourId id, HelloHistory Neighbour::*history, Duration interval, Due timer, const Turn& turn
    );
    void ihu_expired(NeighbourId id, const Turn& turn);
    void update_cost(Neighbour& neighbour, const Turn& turn);
    void became_reachable(Neighbour& neighbour, const Turn& turn);
    void want_hello(Interface& interface, Instant now);
    void start_quick_hellos(Interface& interface, Instant now);
    void send_hello(Interface& interface, const Turn& turn);
    void write_hello(Interface& interface, Interval interval, Sender& sender, const Turn& turn);

    // routes.cpp
    void receive_announcement(Neighbour& from, const Announcement& update, const Turn& turn);
    Announcement imported(Neighbour& from, const Announcement& update, const Turn& turn);
    void receive_route(Neighbour& from, const Announcement& update, const Turn& turn);
    bool acceptable(Neighbour& from, const Announcement& update, const Turn& turn);
    void apply(Entry& entry, Route& route, const Announcement& update, const Turn& turn);
    void retract(Entry& entry, Route& route, const Turn& turn);
    void remove_route(Entry& entry, NeighbourId neighbour);
    void tend(Entry& entry, const Turn& turn);
    bool expire_routes(Entry& entry, const Turn& turn);
    void reselect(Entry& entry, const Turn& turn);
    void install(Entry& entry, const Turn& turn);
    void tell(Entry& entry, const Turn& turn);
    void forget_if_idle(Entry& entry);
    unsigned cost(NeighbourId id) const { return neighbours[id]->cost; }
    Duration half_life(NeighbourId id) const;
    Metric metric(const Route& route) const { return plus(route.received, cost(route.neighbour)); }
    void settle(Route& route, Instant now);  // the smoothed metric, before the true one changes

    // requests.cpp
    void receive_route_request(Neighbour& from, const RouteRequest& request, const Turn& turn);
    void receive_seqno_request(Neighbour& from, const SeqnoRequest& request, const Turn& turn);
    void forward(Entry& entry, Neighbour& from, const SeqnoRequest& request, const Turn& turn);
    const Route* way_to_forward(const Entry& entry, NeighbourId not_to) const;
    void ask_for_feasible(const Entry& entry, RouterId router_id, Neighbour& to, const Turn& turn);
    void starve(Entry& entry, RouterId lost, const Turn& turn);
    void send_starvation_request(Entry& entry, RouterId lost, SeqNo wanted, const Turn& turn);
    void resend_requests(Entry& entry, const Turn& turn);
    void answer_requests(Entry& entry, const Turn& turn);

    // authentication.cpp
    void set_mac(Interface& interface, const MacConfig& mac);
    bool authentic(const Packet& packet, Interface& interface, const Turn& turn);
    void challenge(Interface& interface, const Turn& turn);
    void answer(Interface& interface, const Address& to, const std::vector<Tlv>& tlvs, const Turn& turn);
    void hear_again(Interface& interface, const Address& from, const Turn& turn);
    void introduce(Interface& interface, const Turn& turn);
    void say_again(Interface& interface, const Address& to, const Turn& turn);

    // sending.cpp
    void queue(Neighbour& to, const Tlv& tlv, const Turn& turn);
    void queue(Neighbour& to, const Destination& about, const Turn& turn);  // urgent
    void queue(Interface& on, const Destination& about, Outbox::Class c, const Turn& turn);
    // On all interfaces but the one that split horizon keeps silent about what was `learned_on` it.
    void queue(const Destination& about, Outbox::Class c, InterfaceId learned_on, const Turn& turn);
    void start_dump(Interface& on, const Turn& turn);
    void start_dump(Neighbour& to, const Turn& turn);
    void flush(Interface& interface, const Turn& turn);
    void flush(Neighbour& neighbour, const Turn& turn);
    void empty(Outbox& box, Interface& interface, Sender& sender, const Turn& turn);
    void continue_dump(Outbox& box, Interface& interface, Sender& sender, const Turn& turn);
    void write_updates(
        std::vector<Announcement>& updates, Interface& interface, Sender& sender, const Turn& turn
    );
    Announcement announcement(const Destination& about, const Interface& on) const;
};

}  // namespace aronet::babel
