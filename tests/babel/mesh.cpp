#include "babel/mesh.hpp"

#include "babel/constants.hpp"

#include <algorithm>

namespace aronet::babel {

namespace {
// How long two origins of a prefix, of which one is no more, may disagree: a route of the old one lives
// for 3.5 of its update intervals (16 s) where nothing came through since.
constexpr Duration kTwoOrigins = 60s;
}  // namespace

Destination Mesh::own(NodeId node) {
    std::array<base::Byte, 16> octets{0xfd, 0x11};
    octets[14] = static_cast<base::Byte>(node >> 8);
    octets[15] = static_cast<base::Byte>(node);
    return Destination::of(Prefix::host(Address::v6(octets)));
}

Address Mesh::address(std::size_t link, bool side) {
    std::array<base::Byte, 16> octets{0xfe, 0x80};
    octets[12] = side ? 1 : 2;
    octets[14] = static_cast<base::Byte>(link >> 8);
    octets[15] = static_cast<base::Byte>(link);
    return Address::v6(octets);
}

Mesh::NodeId Mesh::add_node() {
    nodes_.emplace_back();
    start(nodes_.size() - 1);
    return nodes_.size() - 1;
}

void Mesh::start(NodeId id) {
    Node& node = nodes_[id];
    // Under the name it had, with a seqno newer than all it said before: what neighbours remember of it
    // counts on. Our daemon keeps neither; with name() a node does as it does.
    SeqNo seqno =
        node.speaker ? static_cast<SeqNo>(node.speaker->seqno() + 1) : static_cast<SeqNo>(random_.u32());
    if (node.seqno) seqno = *std::exchange(node.seqno, std::nullopt);
    if (node.router_id == 0) node.router_id = 0x1000 + id;
    if (node.announced_as != 0 && node.announced_as != node.router_id)
        node.two_origins_until = now_ + kTwoOrigins;
    node.announced_as = node.router_id;
    node.speaker.reset();
    node.forwarding = {};
    node.own = {own(id)};
    node.random.reset(new base::Random(base::Random::from_number(random_.u64())));
    const SpeakerConfig speaker{.router_id = node.router_id, .seqno = seqno};
    node.speaker = std::make_unique<Speaker>(speaker, *node.random);
    node.speaker->announce(own(id), 0, now_, actions_);
    perform(id);
}

void Mesh::name(NodeId node, RouterId id, std::optional<SeqNo> seqno) {
    nodes_[node].router_id = id;
    nodes_[node].seqno = seqno;
}

void Mesh::announce(NodeId node, const Destination& d) {
    nodes_[node].own.insert(d);
    nodes_[node].speaker->announce(d, 0, now_, actions_);
    perform(node);
}

void Mesh::withdraw(NodeId node, const Destination& d) {
    nodes_[node].own.erase(d);
    nodes_[node].speaker->withdraw(d, now_, actions_);
    perform(node);
}

void Mesh::lose(NodeId from, NodeId to, unsigned percent) {
    Link& l = links_[link_of(from, to)];
    (l.a == from ? l.loss_from_a : l.loss_from_b) = percent;
}

void Mesh::plug(NodeId id, std::size_t link) {
    if (id == kCaller) return;
    InterfaceConfig c = config;
    c.link_local = address(link, links_[link].a == id);
    c.rxcost = links_[link].cost;
    nodes_[id].up.insert(static_cast<InterfaceId>(link + 1));
    nodes_[id].speaker->add_interface(static_cast<InterfaceId>(link + 1), c, now_, actions_);
    perform(id);
}

void Mesh::connect(NodeId a, NodeId b, std::uint16_t cost, Duration delay) {
    links_.push_back({a, b, cost, delay});
    plug(a, links_.size() - 1);
    plug(b, links_.size() - 1);
}

std::size_t Mesh::open_end(NodeId node) {
    links_.push_back({node, kCaller});
    plug(node, links_.size() - 1);
    return links_.size() - 1;
}

void Mesh::hear(std::size_t link, const Address& from, bool multicast, base::Bytes bytes) {
    const Link& l = links_[link];
    deliver({now_, 0, l.a, link, std::move(bytes), multicast, l.life}, from);
}

std::size_t Mesh::link_of(NodeId a, NodeId b) const {
    for (std::size_t i = 0; i < links_.size(); ++i) {
        if ((links_[i].a == a && links_[i].b == b) || (links_[i].a == b && links_[i].b == a)) return i;
    }
    throw Broken("no such link");
}

void Mesh::cut(NodeId a, NodeId b) { cut(link_of(a, b)); }

void Mesh::cut(std::size_t link) {
    if (!links_[link].up) return;
    links_[link].up = false;
    for (const NodeId id : {links_[link].a, links_[link].b}) {
        if (id == kCaller) continue;
        nodes_[id].up.erase(static_cast<InterfaceId>(link + 1));
        nodes_[id].speaker->remove_interface(static_cast<InterfaceId>(link + 1), now_, actions_);
        perform(id);
    }
}

void Mesh::restore(NodeId a, NodeId b) { restore(link_of(a, b)); }

void Mesh::restore(std::size_t link) {
    links_[link].silent = false;
    if (links_[link].up) return;
    links_[link].up = true;
    plug(links_[link].a, link);
    plug(links_[link].b, link);
}

void Mesh::silence(NodeId a, NodeId b, bool silent) { links_[link_of(a, b)].silent = silent; }

void Mesh::restart(NodeId id, bool noticed) {
    for (Link& l : links_) {
        if (l.a == id || l.b == id) l.from(id).restarted = l.from(id).last;
    }
    start(id);
    nodes_[id].up.clear();
    for (std::size_t i = 0; i < links_.size(); ++i) {
        if (!links_[i].up || (links_[i].a != id && links_[i].b != id)) continue;
        if (noticed) ++links_[i].life;
        if (noticed) plug(across(i, id), i);
        plug(id, i);
    }
}

void Mesh::set_mac(NodeId id, const MacConfig& mac) {
    for (const InterfaceId link : nodes_[id].up) nodes_[id].speaker->set_mac(link, mac, now_, actions_);
    perform(id);
}

void Mesh::perform(NodeId id) {
    Actions actions;
    actions.swap(actions_);
    Node& node = nodes_[id];
    for (const Action& action : actions) {
        node.forwarding.obey(action);
        const auto* send = std::get_if<Send>(&action);
        if (send == nullptr) continue;
        ++packets_;
        bytes_ += send->bytes.size();
        const std::size_t link = send->on - 1;
        Link& l = links_[link];
        if (!l.up || l.silent) continue;
        const NodeId to = across(link, id);
        Link::Order& order = l.from(id);
        for (const Duration delay : journeys(id, link, *send)) {
            if (to == kCaller) continue;
            const Instant at = std::max(now_ + delay, orderly ? order.last : order.restarted);
            order.last = std::max(order.last, at);
            flights_.push({at, order_++, to, link, send->bytes, send->to.is_multicast(), l.life});
        }
    }
    for (const Destination& d : std::exchange(node.forwarding.changed, {})) check_no_loop(id, d);
    if (node.due) due_.erase({*node.due, id});
    const auto due = node.speaker->deadline();
    node.due = due ? std::optional(due->at) : std::nullopt;
    if (due) due_.insert({due->at, id});
}

std::vector<Duration> Mesh::journeys(NodeId from, std::size_t link, const Send& send) {
    if (wire) return wire(send);
    const Link& l = links_[link];
    const unsigned loss = std::max(loss_percent_, l.a == from ? l.loss_from_a : l.loss_from_b);
    if (random_.below(100) < loss) return {};
    return {random_.between(l.delay, l.delay * 2)};
}

void Mesh::deliver(const Flight& flight, const Address& from) {
    Node& node = nodes_[flight.to];
    const auto in = static_cast<InterfaceId>(flight.link + 1);
    const Link& l = links_[flight.link];
    if (node.up.count(in) == 0 || l.silent || l.life != flight.life) return;
    const Address mine = address(flight.link, l.a == flight.to);
    node.speaker->handle(
        {.bytes = flight.bytes,
         .from = from,
         .to = flight.multicast ? multicast_group() : mine,
         .in = in,
         .received_at = now_},
        now_,
        actions_
    );
    perform(flight.to);
}

void Mesh::look(std::vector<Traffic>& counters, bool busy) {
    counters.resize(links_.size());
    for (std::size_t i = 0; i < links_.size(); ++i) {
        const Link& l = links_[i];
        if (!l.up) continue;
        counters[i].sent += busy ? 1000 : 0;
        counters[i].received += busy && !l.silent ? 1000 : 0;
        for (const NodeId id : {l.a, l.b}) {
            if (id == kCaller) continue;
            nodes_[id].speaker->traffic(static_cast<InterfaceId>(i + 1), counters[i], now_, actions_);
            perform(id);
        }
    }
}

bool Mesh::step(Instant end) {
    Instant next = end;
    if (!due_.empty()) next = std::min(next, due_.begin()->first);
    if (!flights_.empty() && flights_.top().at <= next && flights_.top().at < end) {
        const Flight flight = flights_.top();
        flights_.pop();
        now_ = std::max(now_, flight.at);
        deliver(flight, address(flight.link, links_[flight.link].a != flight.to));
        return true;
    }
    now_ = std::max(now_, next);
    if (due_.empty() || due_.begin()->first >= end) return false;
    const NodeId ticking = due_.begin()->second;
    nodes_[ticking].speaker->tick(now_, actions_);
    const auto due = nodes_[ticking].speaker->deadline();
    if (due && due->at <= now_)
        throw Broken("after a tick the deadline lies in the past: " + std::string(due->why));
    perform(ticking);
    return true;
}

void Mesh::run(Duration d) {
    const Instant end = now_ + d;
    while (step(end)) {}
    check_feasible();
}

Duration Mesh::run_until_whole(Duration at_most) {
    const Instant start = now_;
    while (!whole() && now_ - start < at_most) {
        for (const Instant end = now_ + 10ms; step(end);) {}
    }
    check_feasible();
    return now_ - start;
}

std::optional<Mesh::NodeId> Mesh::next_hop(NodeId at, const Destination& d) const {
    const auto way = nodes_[at].forwarding.ways.find(d);
    if (way == nodes_[at].forwarding.ways.end() || way->second.unreachable) return std::nullopt;
    const NodeId next = across(way->second.on - 1, at);
    return next == kCaller ? std::nullopt : std::optional(next);
}

bool Mesh::reaches(NodeId from, NodeId to) const {
    NodeId at = from;
    for (std::size_t hops = 0; hops <= nodes_.size(); ++hops) {
        if (at == to) return true;
        const auto way = nodes_[at].forwarding.ways.find(own(to));
        if (way == nodes_[at].forwarding.ways.end() || way->second.unreachable) return false;
        const Link& l = links_[way->second.on - 1];
        if (!l.up || l.silent) return false;
        at = across(way->second.on - 1, at);
        if (at == kCaller) return false;
    }
    return false;
}

bool Mesh::whole() const {
    for (NodeId a = 0; a < nodes_.size(); ++a) {
        for (NodeId b = 0; b < nodes_.size(); ++b) {
            if (!reaches(a, b)) return false;
        }
    }
    return true;
}

bool Mesh::knows(NodeId node, const Destination& d) const {
    const auto way = nodes_[node].forwarding.ways.find(d);
    return way != nodes_[node].forwarding.ways.end() && !way->second.unreachable;
}

// The nodes in a circle that the forwarding tables lead into from here; none where there is none.
std::vector<Mesh::NodeId> Mesh::loop_behind(NodeId from, const Destination& d) const {
    std::vector<NodeId> path{from};
    while (const auto next = next_hop(path.back(), d)) {
        const auto before = std::find(path.begin(), path.end(), *next);
        if (before != path.end()) return {before, path.end()};
        path.push_back(*next);
    }
    return {};
}

bool Mesh::several_origins(const Destination& d) const {
    return std::any_of(nodes_.begin(), nodes_.end(), [&](const Node& node) {
        return node.own.count(d) > 0 && now_ < node.two_origins_until;
    });
}

// What a node changes in its own table leads into no circle. Routes to one router make none without
// exception, also while their prefix has another origin (RFC 8966 2.7); routes to two may for a moment.
void Mesh::check_no_loop(NodeId changed, const Destination& d) const {
    const std::vector<NodeId> loop = loop_behind(changed, d);
    if (loop.empty()) return;
    std::set<RouterId> routers;
    for (const NodeId node : loop) {
        for (const RouteView& r : nodes_[node].speaker->routes())
            if (r.selected && r.destination == d) routers.insert(r.router_id);
    }
    if (routers.size() > 1 && several_origins(d)) return;
    if (excuse && excuse(routers)) return;
    throw Broken("a forwarding loop towards " + d.prefix.to_string() + " by node " + std::to_string(changed));
}

// RFC 8966 3.6: no selected route is unfeasible, nor has an infinite metric.
void Mesh::check_feasible() const {
    for (const Node& node : nodes_) {
        if (node.speaker->installed_count() != node.forwarding.ways.size())
            throw Broken("a speaker believes to have installed something else");
        for (const RouteView& r : node.speaker->routes()) {
            if (r.selected && (!r.feasible || r.metric == kInfinity))
                throw Broken("an unfeasible route is selected");
        }
    }
}

// --- Shapes ---

void line(Mesh& mesh, std::size_t count, Duration delay) {
    for (std::size_t i = 0; i < count; ++i) mesh.add_node();
    for (std::size_t i = 0; i + 1 < count; ++i) mesh.connect(i, i + 1, 96, delay);
}

void ring(Mesh& mesh, std::size_t count) {
    line(mesh, count);
    mesh.connect(count - 1, 0);
}

InterfaceConfig four_seconds(const std::vector<MacKey>& keys) {
    InterfaceConfig config;
    config.hello_interval = std::chrono::seconds(4);
    config.update_interval = std::chrono::seconds(16);
    config.type = LinkType::wired;
    config.mac.keys = keys;
    return config;
}

}  // namespace aronet::babel
