#pragma once

// Many Speakers in virtual time: links that lose and delay, cuts, restarts. After every event nothing may
// loop. What goes wrong is thrown as Broken: tests and fuzzers share this.

#include "babel/forwarding.hpp"

#include <functional>
#include <memory>
#include <queue>
#include <set>

namespace aronet::babel {

class Mesh {
public:
    explicit Mesh(std::uint64_t seed) : random_(base::Random::from_number(seed)) {}

    using NodeId = std::size_t;
    NodeId add_node();
    void connect(NodeId a, NodeId b, std::uint16_t cost = 96, Duration delay = std::chrono::milliseconds(1));
    // A link of the node whose other end is played by the caller: `wire` sees what it is sent, hear()
    // answers.
    std::size_t open_end(NodeId node);
    void hear(std::size_t link, const Address& from, bool multicast, base::Bytes bytes);
    Address address_of(std::size_t link) const {
        return address(link, true);
    }  // that of the node first named
    void cut(std::size_t link);
    void restore(std::size_t link);
    void silence(std::size_t link, bool silent) { links_[link].silent = silent; }
    std::size_t links() const { return links_.size(); }
    std::pair<NodeId, NodeId> ends(std::size_t link) const { return {links_[link].a, links_[link].b}; }
    void cut(NodeId a, NodeId b);                   // both ends notice
    void silence(NodeId a, NodeId b, bool silent);  // nobody notices, nothing passes
    void restore(NodeId a, NodeId b);
    void lose(unsigned percent) { loss_percent_ = percent; }
    void lose(NodeId from, NodeId to, unsigned percent);  // on top of that, one way
    void announce(NodeId node, const Destination& d);
    void withdraw(NodeId node, const Destination& d);
    // Without a word, under its name and with the seqno after its last. Whoever restarts has forgotten which
    // routes would loop; where loss can hide the restart from the neighbours, only their noticing it (as
    // tunnels do by their keys) keeps the network free of loops. That takes longer than packets overtake one
    // another: what it sent before arrives before what it sends then.
    void restart(NodeId node, bool noticed);
    void set_mac(NodeId node, const MacConfig& mac);  // on all its links
    // What it is called from its next start on: as one that lost its state, as our daemon does with each
    // start, or that never was told it was not alone.
    void name(NodeId node, RouterId id, std::optional<SeqNo> seqno = std::nullopt);
    void run(Duration d);
    Duration run_until_whole(Duration at_most);  // how long until everybody reaches everybody

    bool whole() const;
    bool reaches(NodeId from, NodeId to) const;
    std::optional<NodeId> next_hop(NodeId at, const Destination& d) const;
    // Tells every node what its interfaces carried since it last looked: where `busy`, they sent ever more
    // and received as much as links that are not silent let through.
    void look(std::vector<Traffic>& counters, bool busy);
    std::size_t routes_at(NodeId node) const { return nodes_[node].forwarding.ways.size(); }
    std::size_t changes_at(NodeId node) const { return nodes_[node].forwarding.changes; }
    bool knows(NodeId node, const Destination& d) const;
    bool announces(NodeId node, const Destination& d) const { return nodes_[node].own.contains(d); }
    Speaker& speaker(NodeId node) { return *nodes_[node].speaker; }
    Instant now() const { return now_; }
    // What the caller did with speaker(node) is carried out.
    void perform(NodeId node);
    Actions& actions() { return actions_; }
    std::size_t size() const { return nodes_.size(); }
    std::size_t packets() const { return packets_; }
    std::size_t bytes() const { return bytes_; }
    static Destination own(NodeId node);

    bool orderly = false;    // on a link no packet overtakes another
    InterfaceConfig config;  // of every link; link_local and rxcost are set per link
    // When each copy of a packet arrives, from now. Absent: by chance, after the link's delay.
    std::function<std::vector<Duration>(const Send&)> wire;
    // Whether a loop of routes to these routers is none of the speakers' fault. Absent: never, but between
    // what a node was called before and after its last start.
    std::function<bool(const std::set<RouterId>&)> excuse;
    void check_feasible() const;

private:
    static constexpr NodeId kCaller = SIZE_MAX;
    struct Node {
        std::unique_ptr<base::Random> random;
        std::unique_ptr<Speaker> speaker;
        Forwarding forwarding;
        std::set<InterfaceId> up;
        std::set<Destination> own;
        RouterId router_id = 0;
        std::optional<SeqNo> seqno;
        RouterId announced_as = 0;
        Instant two_origins_until{};  // it announced its prefix under another name before (section 1.1)
        std::optional<Instant> due;   // as it stands in due_
    };
    struct Link {
        NodeId a = 0, b = 0;
        std::uint16_t cost = 96;
        Duration delay{};
        bool silent = false, up = true;
        unsigned life = 0;  // packets of an earlier one do not arrive
        unsigned loss_from_a = 0, loss_from_b = 0;
        struct Order {
            Instant last{}, restarted{};  // when the last packet arrives; and the last of the life before
        };
        Order from_a, from_b;
        Order& from(NodeId node) { return node == a ? from_a : from_b; }
    };
    struct Flight {
        Instant at;
        std::uint64_t order = 0;
        NodeId to = 0;
        std::size_t link = 0;
        base::Bytes bytes;
        bool multicast = false;
        unsigned life = 0;
        bool operator>(const Flight& other) const {
            return std::pair(at, order) > std::pair(other.at, other.order);
        }
    };
    NodeId across(std::size_t link, NodeId from) const {
        return links_[link].a == from ? links_[link].b : links_[link].a;
    }
    std::vector<Duration> journeys(NodeId from, std::size_t link, const Send& send);
    static Address address(std::size_t link, bool side);
    std::size_t link_of(NodeId a, NodeId b) const;
    void start(NodeId node);
    void plug(NodeId node, std::size_t link);
    void deliver(const Flight& flight, const Address& from);
    bool step(Instant end);
    std::vector<NodeId> loop_behind(NodeId from, const Destination& d) const;
    bool several_origins(const Destination& d) const;
    void check_no_loop(NodeId changed, const Destination& d) const;

    base::Random random_;
    unsigned loss_percent_ = 0;
    std::vector<Node> nodes_;
    std::vector<Link> links_;
    std::priority_queue<Flight, std::vector<Flight>, std::greater<>> flights_;
    std::set<std::pair<Instant, NodeId>> due_;
    std::uint64_t order_ = 0;
    std::size_t packets_ = 0, bytes_ = 0;
    Instant now_{std::chrono::seconds(10)};
    Actions actions_;
};

// So many nodes more, each linked to the next, in a ring the last to the first. The mesh was empty before.
void line(Mesh& mesh, std::size_t count, Duration delay = std::chrono::milliseconds(1));
void ring(Mesh& mesh, std::size_t count);

// Cables with Hellos every four seconds.
InterfaceConfig four_seconds(const std::vector<MacKey>& keys = {});

}  // namespace aronet::babel
