#pragma once

// A Babel speaker (RFC 8966) with RTT (RFC 9616), IPv4 via IPv6 (RFC 9229), source-specific routes (RFC 9079)
// and MAC authentication (RFC 8967, 9467). It knows neighbours, sources, routes and pending requests; it
// knows no socket, no kernel and no clock. Bytes and the time go in, packets and wishes for the forwarding
// table come out.

#include "babel/filter.hpp"
#include "babel/mac_key.hpp"
#include "babel/types.hpp"
#include "base/log.hpp"
#include "base/random.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace aronet::babel {

struct SpeakerConfig {
    RouterId router_id = 0;  // neither all zeros nor all ones
    SeqNo seqno = 0;
    bool remembers = false;  // tells what a process that goes on in its place has to know
    std::size_t neighbours_per_interface_max = 256;  // a LAN has many; a stranger may pretend to be more
    bool transit = true;  // false: announces its own alone, so that nobody goes anywhere else through it
};

// How a link is judged (RFC 8966 A.2): 2-out-of-3, the same with RTT, ETX.
enum class LinkType : std::uint8_t { wired, tunnel, lossy };

struct InterfaceConfig {
    Address link_local;         // our own, stable
    std::optional<Address> v4;  // absent: IPv4 is announced with AE 4
    LinkType type = LinkType::tunnel;
    std::uint16_t rxcost = 32;
    // Absent: chosen by the number of neighbours and of routes, so that the load stays bounded.
    std::optional<Duration> hello_interval = std::chrono::seconds(20);
    std::optional<Duration> update_interval = std::chrono::seconds(80);
    std::uint16_t rtt_cost = 1024;  // added at rtt_max and above; 0: no RTT metric
    Duration rtt_min = std::chrono::milliseconds(10);
    Duration rtt_max = std::chrono::milliseconds(1024);
    bool split_horizon = true;  // RFC 8966 3.7.4: only right on point-to-point links
    std::size_t mtu = 1400;     // of the interface, headers included
    MacConfig mac;              // RFC 8967; the packets must then leave from link_local
    bool bounded = true;        // learns only what accept_only() allows, and what rules let in beyond that
    // Of one neighbour; absent: by what accept_only() allows, where that counts. The very prefixes that it
    // names are learned in any case.
    std::optional<std::size_t> routes_max;
    MetricRules imports, exports;
    std::optional<SeqNo> next_hello;  // where an earlier process of ours was, and has not said goodbye

    bool operator==(const InterfaceConfig&) const = default;
};

struct Packet {
    base::ByteView bytes;  // UDP payload
    Address from, to;      // to: our link-local or ff02::1:6
    std::uint16_t from_port = 6696;
    InterfaceId in = 0;
    Instant received_at;  // kernel time stamp, for the RTT
};

struct Send {  // from and to UDP port 6696, hop limit 1
    InterfaceId on;
    Address from, to;  // our link-local; a neighbour or ff02::1:6
    base::Bytes bytes;
};
struct InstallRoute {  // atomically replaces whatever the same destination had
    Destination destination;
    InterfaceId on;
    Address next_hop;
    Metric metric;  // at this moment; that it changes is not worth another action
    Installed::Kind before;
};
struct InstallUnreachable {  // replaces as well; held after a loss (RFC 8966 3.5.4)
    Destination destination;
    Installed::Kind before;
};
struct RemoveRoute {
    Destination destination;
    Installed::Kind before;
};
// Only where SpeakerConfig::remembers: a feasibility distance, and how far Hellos and the own seqno have
// come.
struct Distance {
    Destination destination;
    RouterId router_id;
    SeqNo seqno;
    Metric metric;
    bool operator==(const Distance&) const = default;
};
struct KeepDistance {
    Distance distance;
};
struct ForgetDistance {
    Destination destination;
    RouterId router_id;
};
struct HelloSaid {
    InterfaceId on;
    SeqNo next;
};
struct SeqnoRaised {
    SeqNo seqno;
};
using Action = std::variant<
    Send,
    InstallRoute,
    InstallUnreachable,
    RemoveRoute,
    KeepDistance,
    ForgetDistance,
    HelloSaid,
    SeqnoRaised,
    base::Note>;
using Actions = std::vector<Action>;

struct Traffic {  // the counters of an interface, from whatever start
    std::uint64_t sent = 0, received = 0;
};

struct NeighbourView {
    InterfaceId on;
    Address address;
    std::uint16_t hello_history, rxcost, txcost;
    unsigned cost;
    std::optional<Duration> rtt;
    bool reachable;
    Instant since;
    std::size_t routes, routes_max, refused;  // refused: updates beyond that, since there was room
    bool dead;                                // it answers no probes; see Speaker::traffic
};
struct RouteView {
    Destination destination;
    InterfaceId on;
    Address neighbour, next_hop;
    RouterId router_id;
    SeqNo seqno;
    Metric received_metric, metric;
    bool feasible, selected;
    Instant since;
};
// What we, or a neighbour, say of a destination and the router that it begins at.
struct Claim {
    const Destination& about;
    RouterId router_id;
    std::optional<InterfaceId> on;  // none: it is us
    Metric received;
};

class Speaker {
public:
    Speaker(const SpeakerConfig& config, base::Random& random);  // `random` outlives the speaker
    ~Speaker();

    // Goes on in the place of an earlier process, of whose end nobody was told: what that has announced
    // counts as told. What has no route some time later is retracted. Before any interface is added.
    void resume(const std::vector<Distance>& distances, Duration patience, Instant now);
    void add_interface(InterfaceId id, const InterfaceConfig& config, Instant now, Actions& out);
    void remove_interface(InterfaceId id, Instant now, Actions& out);  // its neighbours and routes go at once
    // What the kernel may change under a running interface: its MTU, and its IPv4 address.
    void change_interface(
        InterfaceId id, std::size_t mtu, const std::optional<Address>& v4, Instant now, Actions& out
    );
    // Another configuration of a running interface, with the address and the type that it has: neighbours
    // stay, and of their routes what its rules let in.
    void configure(InterfaceId id, const InterfaceConfig& config, Instant now, Actions& out);
    void set_transit(bool transit, Instant now, Actions& out);  // see SpeakerConfig
    void announce(const Destination& own, Metric metric, Instant now, Actions& out);
    void withdraw(const Destination& own, Instant now, Actions& out);
    // Prefixes that may be learned on bounded interfaces: each update must lie within one. nullopt:
    // everything but martians. Rules that ask whose a prefix is go by the same.
    void accept_only(std::optional<Holders> allowed, Instant now, Actions& out);
    // Other keys: neighbours and routes stay.
    void set_mac(InterfaceId id, const MacConfig& mac, Instant now, Actions& out);
    // Raises a neighbour's cost on suspicion of the tunnel below it, or withdraws the suspicion.
    void suspect(InterfaceId id, std::uint16_t extra_cost, Instant now, Actions& out);
    // What the interface carried: while it sends, its next hops are asked whether they are still there. True
    // if it sends more than this protocol: worth a look several times a second.
    bool traffic(InterfaceId id, const Traffic& counters, Instant now, Actions& out);
    // The host there answers what we sent to the neighbour by saying that nobody listens: the way there and
    // back works, its routing process is away. It is waited for, within bounds, for another to go on.
    bool vacant(InterfaceId id, const Address& there, Instant now, Actions& out);
    // Somebody doubts that the neighbours there are alive: they are asked at once.
    void ask(InterfaceId id, Instant now, Actions& out);
    void stop(
        Instant now, Actions& out
    );  // wildcard retractions and a last Hello on every interface (section 4.9)

    // What follows from it, but for routes and drops, is left to the next tick, so that all that has arrived
    // is heard before anything is said.
    void handle(const Packet& packet, Instant now, Actions& out);
    // Here conclusions are drawn from silence: hand over first what has arrived. Works off so much at most
    // that its answers can be heard in time; the deadline tells if more waits.
    void tick(Instant now, Actions& out);
    std::optional<base::Deadline> deadline() const;

    std::vector<NeighbourView> neighbours() const;
    std::vector<RouteView> routes() const;
    void for_each_claim(const std::function<void(const Claim&)>& each) const;  // by destination
    // The state of the forwarding table after all actions so far.
    Installed installed(const Destination& about) const;
    void for_each_installed(const std::function<void(const Destination&, Installed::Kind)>& each) const;
    std::size_t installed_count() const;
    SeqNo seqno() const;
    RouterId router_id() const;
    const base::Drops& drops() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace aronet::babel
