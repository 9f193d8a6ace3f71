#pragma once

// The inside of a Speaker: its tables and timers, and the functions on them by subject.
// links.cpp: Hellos, IHUs, costs. probing.cpp: neighbours that fall silent under traffic. routes.cpp: updates
// and expiry. selection.cpp: the choice, and what follows from it. requests.cpp: requests of both kinds.
// news.cpp: what waits to be told. sending.cpp: packets, dumps, acknowledgments. authentication.cpp: MACs and
// challenges. configuration.cpp: another one of what runs. speaker.cpp: the door, packets in, time.

#include "babel/alarms.hpp"
#include "babel/calendar.hpp"
#include "babel/mac.hpp"
#include "babel/packet.hpp"
#include "babel/queue.hpp"
#include "babel/table.hpp"

#include <set>

namespace aronet::babel {

struct Interface {
    struct Repeat {  // news that are sent a second time
        Instant due;
        Version from = 0, to = 0;
    };

    InterfaceId id = 0;
    InterfaceConfig config;
    std::uint16_t suspicion = 0;
    SeqNo hello_seqno = 0;
    unsigned quick_hellos_left = 0;
    Duration quick_gap{};  // to the next one, where somebody is still missing
    Instant quick_allowed_at{};
    Instant hello_allowed_at{};
    Duration hello_gap = kHelloGap;
    unsigned hellos_sent = 0;
    Duration hello_interval{};   // as last promised
    Duration update_interval{};  // as last promised
    std::uint16_t opaque = 0;    // of the last acknowledgment asked for
    std::optional<Traffic> traffic;
    Instant flows_until;
    std::uint64_t packets_sent = 0, packets_at_last_look = 0;  // our own, of `traffic`
    Outbox outbox;
    Version told = 0;   // the first change in the journal that this interface was not told of
    Version whole = 0;  // the same, when it last was told everything
    std::vector<Repeat> repeats;
    std::map<Address, NeighbourId> neighbours;
    std::unique_ptr<MacLink> mac;  // only with keys

    bool splits(InterfaceId learned_on) const { return config.split_horizon && learned_on == id; }
    std::size_t payload_max() const {
        const std::size_t payload = std::max(config.mtu, kPacketSizeMin + kIpAndUdpSize) - kIpAndUdpSize;
        return std::min(payload, kPayloadMax) - (mac ? mac->overhead() : 0);
    }
};

// At equal times what changes the tables comes first, then what tells of it.

struct Turn {  // one call from outside
    Instant now;
    Actions& out;
};

class Sender;

struct Item {  // an update to be written; `entry` is null for a destination that we know nothing of
    Announcement update;
    Entry* entry = nullptr;
};

enum class News : std::uint8_t { loss, other };  // a loss of the route, or of the router it led to

struct Choice {
    NeighbourId best = kNobody;
    bool better_waits = false;  // hysteresis holds back a better one
};

struct Speaker::State {
    SpeakerConfig config;
    base::Random& random;
    SeqNo seqno;
    std::optional<Instant> began;  // with the first interface
    bool stopped = false;
    std::set<Destination> resumed;  // that an earlier process announced
    std::map<InterfaceId, Interface> interfaces;
    std::vector<std::unique_ptr<Neighbour>> neighbours;  // by NeighbourId; empty slots are used again
    std::size_t neighbour_count = 0, away = 0;           // of these
    Table table;
    Journal journal;
    std::vector<EntryId> later;  // changes that may wait for company
    Instant news_allowed_at{}, losses_allowed_at{};
    bool losses_wait = false;  // among the news
    Queue dumps{kDumpsAtOnce};
    Calendar timers;
    Alarms alarms;      // of entries
    Instant last_turn;  // alarms are near to it
    Instant last_tick;
    std::optional<Holders> allowed;
    std::size_t installed_count = 0;  // entries with something in the forwarding table
    base::Drops drops;

    // speaker.cpp
    // What follows from silence only where all that has arrived was heard.
    void run_due(const Turn& turn, bool all_heard = false);
    void replace_v4(Interface& on, const std::optional<Address>& v4, const Turn& turn);
    void tell_again_by_holder(const Turn& turn);
    void fire(Due what, std::uint32_t id, const Turn& turn);
    bool is_resuming() const { return timers.at({Due::resumed, 0}).has_value(); }
    void resumption_over(const Turn& turn);
    // Announced by an earlier process, and not yet learned anew: nothing is said of it meanwhile.
    bool is_awaited(const Entry& entry) const {
        const bool theirs = !entry.is_own() && entry.told_router_id != config.router_id;
        return theirs && entry.selected == kNobody && entry.told_reachable() && is_resuming();
    }
    SeqNo next_hello(Interface& interface, const Turn& turn);
    void raise_seqno(const Turn& turn);
    void receive(const Packet& packet, Interface& interface, const Turn& turn);
    void take(const Event& event, Neighbour& from, const Turn& turn);
    void drop(std::string_view reason, InterfaceId on, const Address& from, const Turn& turn);
    void arm(Due what, std::uint32_t id, Instant at);  // the earlier of this and what is set
    void arm(const Entry& entry, Instant at) { alarms.set_if_earlier(entry.id, at); }
    void arm(Entry& entry, Entry::Time which, Instant at);

    // configuration.cpp
    void configure(Interface& on, const InterfaceConfig& wanted, const Turn& turn);
    void judge_again(Interface& on, const Turn& turn);
    void learn_again(Interface& on, const Turn& turn);

    // links.cpp
    Neighbour* find_neighbour(const Interface& interface, const Address& address);
    Neighbour* greet(Interface& interface, const Address& address, const Turn& turn);
    void remove_neighbour(NeighbourId id, const Turn& turn);
    void receive_hello(Neighbour& from, const Hello& hello, Instant received_at, const Turn& turn);
    void forget_earlier_life(Neighbour& neighbour, const Turn& turn);
    void receive_ihu(Neighbour& from, const Ihu& ihu, bool rtt_usable, const Turn& turn);
    bool said_to_earlier_life(const Ihu::Echo& echo, Instant now) const;
    void hello_missed(
        NeighbourId id, HelloHistory Neighbour::*history, Duration interval, Due timer, const Turn& turn
    );
    void ihu_expired(NeighbourId id, const Turn& turn);
    void update_cost(Neighbour& neighbour, const Turn& turn);
    void became_reachable(Neighbour& neighbour, const Turn& turn);
    Duration hello_interval(const Interface& interface) const;
    Duration update_interval(const Interface& interface) const;
    void want_hello(Interface& interface, Instant now);
    void start_quick_hellos(Interface& interface, Instant now);
    bool somebody_missing(const Interface& interface) const;
    bool unproven(const Neighbour& neighbour) const;
    void ask_whether_heard(Interface& interface, Sender& sender, const Turn& turn);
    void send_hello(Interface& interface, const Turn& turn);
    Instant in_company(Instant at, const Interface& on, const Turn& turn) const;
    Ihu ihu_for(Neighbour& neighbour);
    void write_hello(Interface& interface, Sender& sender, const Turn& turn);

    // probing.cpp
    bool traffic_flows(Interface& interface, const Traffic& counters, const Turn& turn);
    void nobody_listens(Neighbour& n, const Turn& turn);
    bool waits_for(Neighbour& n, const Turn& turn);
    void is_back(Neighbour& n, const Turn& turn);
    void probe(Neighbour& neighbour, const Turn& turn);
    void probe_due(NeighbourId id, const Turn& turn);
    void proven_alive(Neighbour& neighbour, const Turn& turn);

    // routes.cpp
    void receive_announcement(Neighbour& from, const Announcement& update, const Turn& turn);
    bool registered(const Interface& on, const Prefix& prefix) const;
    const Metric* import_rule(const Neighbour& from, const Destination& about, Metric metric) const;
    std::size_t routes_max(const Interface& on) const;
    void receive_route(Neighbour& from, const Announcement& update, bool admitted, const Turn& turn);
    std::string_view refusal(const Neighbour& from, const Destination& about, bool admitted, bool is_new)
        const;
    Route& add_route(Entry& entry, Neighbour& from, const Turn& turn);
    void apply(
        Entry& entry, Route& route, const Announcement& update, std::uint8_t next_hop, const Turn& turn
    );
    void retract(Entry& entry, Route& route, const Turn& turn);
    void remove_route(Entry& entry, NeighbourId neighbour);
    void tend(Entry& entry, const Turn& turn);
    bool confirm_retraction(Entry& entry, const Turn& turn);
    bool expire_routes(Entry& entry, const Turn& turn);
    void forget_if_idle(Entry& entry);

    // selection.cpp
    void reselect(Entry& entry, const Turn& turn);
    void reconsider(Entry& entry, const Route& changed, const Turn& turn);  // the others are as they were
    void adopt(Entry& entry, Choice choice, const Turn& turn);
    Choice select(const Entry& entry, Instant now) const;
    const Route* told_route(const Entry& entry) const;  // that is announced
    Installed installed(const Entry& entry) const;
    void install(Entry& entry, const Installed& before, const Turn& turn);
    void tell(Entry& entry, const Turn& turn);
    void tell_of_move(Entry& entry, InterfaceId before, const Turn& turn);

    unsigned cost(NeighbourId id) const { return neighbours[id]->cost; }
    Duration half_life(NeighbourId id) const;
    Metric metric(const Route& route) const { return plus(route.received, cost(route.neighbour)); }
    void settle(Route& route, Instant now) const;  // the smoothed metric, before the true one changes
    Metric smoothed(const Route& route, Instant now) const;

    // requests.cpp
    void receive_route_request(Neighbour& from, const RouteRequest& request, const Turn& turn);
    void receive_seqno_request(Neighbour& from, const SeqnoRequest& request, const Turn& turn);
    void forward(Entry& entry, Neighbour& from, const SeqnoRequest& request, const Turn& turn);
    const Route* way_to_forward(const Entry& entry, NeighbourId not_to) const;
    void chase(const Entry& entry, Neighbour& by, const Announcement& update, const Turn& turn);
    void ask_for_feasible(const Entry& entry, RouterId router_id, Neighbour& to, const Turn& turn);
    void starve(Entry& entry, RouterId lost, const Turn& turn);
    void send_starvation_request(const Entry& entry, const PendingRequest& pending, const Turn& turn);
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

    // news.cpp
    void publish(Entry& entry, News kind, const Turn& turn);  // to everybody, urgently
    void publish_later(Entry& entry, const Turn& turn);
    void later_due(const Turn& turn);
    void news_due(const Turn& turn);
    void write_news(Interface& interface, Sender& sender, const Turn& turn);
    void write_repeats(Interface& interface, Sender& sender, const Turn& turn);
    void write_changes(Version& from, Version to, Interface& interface, Sender& sender, const Turn& turn);
    bool dump_will_tell(const Announcement& update, const Interface& on) const;
    bool quiet(const Entry& entry, const Interface& on) const;
    bool told_to_all(const Entry& entry) const;  // and acknowledged
    void trim_journal(const Turn& turn);
    void queue(Neighbour& to, const Tlv& tlv, const Turn& turn);
    void queue(Interface& on, const Tlv& tlv, const Turn& turn);
    void owe(Neighbour& to, const Destination& about, const Turn& turn, unsigned attempts = 0);
    void owe(Interface& on, const Destination& about, const Turn& turn);

    // sending.cpp
    void start_interval(Interface& on, const Turn& turn);
    std::size_t dump_portion() const;
    void start_dump(Interface& on, const Turn& turn);
    void start_dump(Neighbour& to, const Turn& turn);
    void admit_dump(std::optional<NeighbourId> next, const Turn& turn);
    void flush(Interface& interface, const Turn& turn);
    void flush(Neighbour& neighbour, const Turn& turn);
    void write_waiting(Interface& interface, Sender& sender, const Turn& turn);
    void empty(Outbox& box, Interface& interface, Sender& sender, const Turn& turn);
    void continue_dump(Outbox& box, Interface& interface, Sender& sender, const Turn& turn);
    void arm_again(const Outbox& box, bool room, Due timer, std::uint32_t id, const Turn& turn);
    std::vector<Neighbour*> listeners(const Interface& interface) const;
    void write_updates(std::vector<Item>& items, Interface& interface, Sender& sender, const Turn& turn);
    Announcement announcement(const Destination& about, const Entry* entry, const Interface& on) const;
    void receive_ack(Neighbour& from, const Ack& ack, const Turn& turn);
    void resume(Neighbour& neighbour, const Turn& turn);
    void delivery_due(NeighbourId id, const Turn& turn);
};

}  // namespace aronet::babel
