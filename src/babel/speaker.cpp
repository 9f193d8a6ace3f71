#include "babel/speaker.hpp"

#include "babel/sending.hpp"
#include "base/result.hpp"

namespace aronet::babel {

namespace {

const SpeakerConfig& checked(const SpeakerConfig& config) {
    base::ensure(valid(config.router_id), "a valid router-id");
    return config;
}

}  // namespace

Speaker::Speaker(const SpeakerConfig& config, base::Random& random)
    : state_(new State{.config = checked(config), .random = random, .seqno = config.seqno}) {}

Speaker::~Speaker() = default;

void Speaker::resume(const std::vector<Distance>& distances, Duration patience, Instant now) {
    State& s = *state_;
    s.began = now - kSourceLifetime;
    for (const Distance& distance : distances) {
        s.resumed.insert(distance.destination);
        if (distance.router_id == s.config.router_id) continue;  // what was our own, and may be so no more
        Entry& entry = s.table.find_or_add(distance.destination);
        entry.sent(distance.router_id, distance.seqno, distance.metric, now + kSourceLifetime);
        s.arm(entry, now + kSourceLifetime);
        entry.told_router_id = distance.router_id;
        entry.told_metric = distance.metric;
        entry.version = s.journal.add(entry.id);  // told: a way that moves is retracted where it goes to
    }
    s.timers.set({Due::resumed, 0}, now + patience);
}

void Speaker::State::raise_seqno(const Turn& turn) {
    ++seqno;
    if (config.remembers) turn.out.emplace_back(SeqnoRaised{seqno});
}

void Speaker::State::resumption_over(const Turn& turn) {
    for (const Destination& about : std::exchange(resumed, {})) {
        Entry* entry = table.find(about);
        if (entry == nullptr || entry->selected != kNobody || entry->is_own() || !entry->told_reachable()) {
            for (auto& [id, on] : interfaces) {
                if (announcement(about, entry, on).metric == kInfinity) owe(on, about, turn);
            }
            if (entry == nullptr || !entry->is_own())
                turn.out.emplace_back(ForgetDistance{about, config.router_id});
            continue;
        }
        entry->told_metric = kInfinity;
        publish(*entry, News::loss, turn);
        starve(*entry, entry->told_router_id, turn);
    }
}

// A start is told at once: those who knew us before forget it, and send what they know (section 3.8.2.1
// and 4.6.9).
void Speaker::add_interface(InterfaceId id, const InterfaceConfig& config, Instant now, Actions& out) {
    if (state_->stopped) return;
    remove_interface(id, now, out);
    const Turn turn{now, out};
    if (!state_->began) state_->began = now;
    Interface& added = state_->interfaces[id];
    added.id = id;
    added.config = config;
    added.config.mac = {};  // the keys are where they are used, and nowhere else
    state_->set_mac(added, config.mac);
    added.hello_seqno = config.next_hello.value_or(static_cast<SeqNo>(state_->random.u32()));
    added.hello_interval = state_->hello_interval(added);
    added.update_interval = state_->update_interval(added);
    added.told = added.whole = state_->journal.head();
    if (!config.next_hello) added.outbox.add(Tlv(Update{.interval = Interval::of(added.update_interval)}));
    added.outbox.add(Tlv(RouteRequest{}));
    state_->start_quick_hellos(added, now);
    state_->timers.set({Due::periodic, id}, now + state_->random.jitter(added.update_interval, 50));
    state_->run_due(turn);
}

void Speaker::remove_interface(InterfaceId id, Instant now, Actions& out) {
    const auto it = state_->interfaces.find(id);
    if (it == state_->interfaces.end()) return;
    const Turn turn{now, out};
    while (!it->second.neighbours.empty())
        state_->remove_neighbour(it->second.neighbours.begin()->second, turn);
    for (const Due due : {Due::own_hello, Due::periodic, Due::outbox, Due::challenge})
        state_->timers.stop({due, id});
    state_->interfaces.erase(it);
    state_->run_due(turn);
}

// Neighbours take a metric that grew for unfeasible, unless the seqno grows with it (section 3.5.1).
void Speaker::announce(const Destination& own, Metric metric, Instant now, Actions& out) {
    if (state_->stopped || metric == kInfinity) return;
    const Turn turn{now, out};
    Entry& entry = state_->table.find_or_add(own);
    if (entry.own == metric) return;
    if (entry.own < metric) state_->raise_seqno(turn);
    entry.own = metric;
    if (state_->config.remembers)
        out.emplace_back(KeepDistance{{own, state_->config.router_id, state_->seqno, metric}});
    state_->reselect(entry, turn);
    state_->run_due(turn);
}

void Speaker::withdraw(const Destination& own, Instant now, Actions& out) {
    Entry* entry = state_->table.find(own);
    if (entry == nullptr || !entry->is_own()) return;
    const Turn turn{now, out};
    entry->own = kInfinity;
    if (state_->config.remembers) out.emplace_back(ForgetDistance{own, state_->config.router_id});
    state_->reselect(*entry, turn);
    state_->forget_if_idle(*entry);
    state_->run_due(turn);
}

void Speaker::accept_only(std::optional<Holders> allowed, Instant now, Actions& out) {
    const Turn turn{now, out};
    state_->allowed = std::move(allowed);
    for (const EntryId id : state_->table.ids()) {
        Entry& entry = *state_->table.at(id);
        if (!state_->allowed || state_->allowed->contain(entry.prefix)) continue;
        std::vector<NeighbourId> refused;
        for (Route& route : entry.routes) {
            const Neighbour& by = *state_->neighbours[route.neighbour];
            if (!by.interface->config.bounded) continue;
            if (state_->import_rule(by, entry.about(), route.received) != nullptr) continue;
            route.received = kInfinity;
            refused.push_back(route.neighbour);
        }
        state_->reselect(entry, turn);
        for (const NeighbourId neighbour : refused) state_->remove_route(entry, neighbour);
        const Installed before = state_->installed(entry);
        entry.set(&Rare::hold_until, std::nullopt);
        state_->install(entry, before, turn);
        state_->forget_if_idle(entry);
    }
    // What was refused before may be wanted now, and nobody repeats it for a long time.
    for (const auto& n : state_->neighbours) {
        if (n && n->reachable()) state_->queue(*n, Tlv(RouteRequest{}), turn);
    }
    state_->tell_again_by_holder(turn);
    state_->run_due(turn);
}

// Whose a prefix is may decide about what is announced.
void Speaker::State::tell_again_by_holder(const Turn& turn) {
    const auto asks = [](const auto& rule) { return !rule.match.organization.empty(); };
    const bool any = std::any_of(interfaces.begin(), interfaces.end(), [&](const auto& each) {
        const MetricRules& exports = each.second.config.exports;
        return std::any_of(exports.begin(), exports.end(), asks);
    });
    if (!any) return;
    for (const EntryId id : table.ids()) {
        Entry& entry = *table.at(id);
        if (entry.told_reachable() && !is_awaited(entry)) publish(entry, News::other, turn);
    }
}

// Every announcement of an IPv4 prefix carries the next hop, or tells by its encoding that there is none (RFC
// 9229 section 2.1): all of them are said again.
void Speaker::change_interface(
    InterfaceId id, std::size_t mtu, const std::optional<Address>& v4, Instant now, Actions& out
) {
    const auto it = state_->interfaces.find(id);
    if (it == state_->interfaces.end()) return;
    const Turn turn{now, out};
    it->second.config.mtu = mtu;
    if (it->second.config.v4 != v4) state_->replace_v4(it->second, v4, turn);
    state_->run_due(turn);
}

// Some peers never let a route go to another next hop: what the old one was said to carry is retracted before
// it is announced anew. Nothing is lost by it, since packets to an address that has gone arrive no more.
void Speaker::State::replace_v4(Interface& on, const std::optional<Address>& v4, const Turn& turn) {
    if (on.config.v4 && !on.neighbours.empty()) {
        std::vector<Item> items;
        for (auto it = table.after(std::nullopt); it != table.end(); ++it) {
            Entry& entry = *it;
            const Destination& about = entry.about();
            if (about.prefix.family() != base::Family::v4) continue;
            if (announcement(about, &entry, on).metric == kInfinity) continue;
            items.push_back({{.about = about, .interval = Interval::of(on.update_interval)}, &entry});
        }
        Sender sender(on, multicast_group(), turn);
        write_updates(items, on, sender, turn);
        sender.finish();
    }
    on.config.v4 = v4;
    for (const auto& [address, slot] : on.neighbours) {
        Neighbour& n = *neighbours[slot];
        if (n.outbox.dump) n.outbox.dump->after.reset();  // what it has told is no longer so
        n.outbox.dump_allowed_at = turn.now;
        start_dump(n, turn);
    }
}

void Speaker::set_mac(InterfaceId id, const MacConfig& mac, Instant now, Actions& out) {
    const auto it = state_->interfaces.find(id);
    if (it == state_->interfaces.end()) return;
    state_->set_mac(it->second, mac);
    state_->run_due({now, out});
}

void Speaker::suspect(InterfaceId id, std::uint16_t extra_cost, Instant now, Actions& out) {
    const auto it = state_->interfaces.find(id);
    if (it == state_->interfaces.end() || it->second.suspicion == extra_cost) return;
    const Turn turn{now, out};
    it->second.suspicion = extra_cost;
    for (const auto& [address, neighbour] : it->second.neighbours) {
        state_->update_cost(*state_->neighbours[neighbour], turn);
    }
    state_->run_due(turn);
}

bool Speaker::traffic(InterfaceId id, const Traffic& counters, Instant now, Actions& out) {
    const auto it = state_->interfaces.find(id);
    if (it == state_->interfaces.end()) return false;
    const Turn turn{now, out};
    if (!state_->traffic_flows(it->second, counters, turn)) return false;
    state_->run_due(turn);
    return true;
}

bool Speaker::vacant(InterfaceId id, const Address& there, Instant now, Actions& out) {
    const auto it = state_->interfaces.find(id);
    if (it == state_->interfaces.end()) return false;
    const auto neighbour = it->second.neighbours.find(there);
    if (neighbour == it->second.neighbours.end()) return false;
    const Turn turn{now, out};
    Neighbour& n = *state_->neighbours[neighbour->second];
    state_->nobody_listens(n, turn);
    const bool is_waited_for = n.probing.vacant(now);
    state_->run_due(turn);
    return is_waited_for;
}

void Speaker::ask(InterfaceId id, Instant now, Actions& out) {
    const auto it = state_->interfaces.find(id);
    if (it == state_->interfaces.end()) return;
    const Turn turn{now, out};
    for (const auto& [address, neighbour] : it->second.neighbours)
        state_->waits_for(*state_->neighbours[neighbour], turn);
    state_->run_due(turn);
}

// Twice, since nobody waits for an acknowledgment any more; and a Hello with a short interval makes the
// neighbours miss us soon, should both get lost.
void Speaker::stop(Instant now, Actions& out) {
    if (state_->stopped) return;
    const Turn turn{now, out};
    for (auto& [id, interface] : state_->interfaces) {
        for (int copy = 0; copy < 2; ++copy) {
            Sender sender(interface, multicast_group(), turn);
            sender.add(Tlv(Hello{.seqno = state_->next_hello(interface, turn), .interval = {10}}));
            sender.add(Tlv(Update{.interval = Interval::of(interface.update_interval)}));
            sender.finish();
        }
    }
    for_each_installed([&](const Destination& about, Installed::Kind kind) {
        out.emplace_back(RemoveRoute{about, kind});
    });
    state_->installed_count = 0;
    state_->stopped = true;
    state_->timers = {};
    state_->alarms = {};
    state_->table = {};
    state_->neighbours.clear();
    state_->interfaces.clear();
}

void Speaker::handle(const Packet& packet, Instant now, Actions& out) {
    if (state_->stopped) return;
    const Turn turn{now, out};
    const auto it = state_->interfaces.find(packet.in);
    if (it == state_->interfaces.end()) {
        state_->drop("no such interface", packet.in, packet.from, turn);
    } else if (packet.from_port != kPort) {
        state_->drop("wrong source port", packet.in, packet.from, turn);
    } else if (!packet.from.is_v6() || !packet.from.is_link_local()) {
        state_->drop("source is not link-local", packet.in, packet.from, turn);
    } else if (packet.to != it->second.config.link_local && packet.to != multicast_group()) {
        state_->drop("not sent to us", packet.in, packet.from, turn);
    } else if (packet.from != it->second.config.link_local) {  // our own multicast may come back
        state_->receive(packet, it->second, turn);
    }
    state_->last_turn = now;
}

void Speaker::tick(Instant now, Actions& out) {
    state_->last_tick = now;
    state_->run_due({now, out}, true);
}

std::optional<base::Deadline> Speaker::deadline() const {
    const auto event = state_->timers.next();
    const auto entry = state_->alarms.next(state_->last_turn);
    if (!event && !entry) return std::nullopt;
    const Instant soonest = state_->last_tick + 1ns;
    if (!event || (entry && *entry < *event))
        return base::Deadline{std::max(*entry, soonest), "a route or a request"};
    return base::Deadline{std::max(*event, soonest), "a Hello, an update or a neighbour"};
}

std::vector<NeighbourView> Speaker::neighbours() const {
    std::vector<NeighbourView> views;
    for (const auto& [id, interface] : state_->interfaces) {
        for (const auto& [address, slot] : interface.neighbours) {
            const Neighbour& n = *state_->neighbours[slot];
            views.push_back(
                {id,
                 address,
                 n.multicast.bits(),
                 n.rxcost(interface.config),
                 n.txcost,
                 n.cost,
                 n.rtt.smoothed(),
                 n.reachable(),
                 n.since,
                 n.entries.size(),
                 state_->routes_max(interface),
                 n.refused,
                 n.probing.dead}
            );
        }
    }
    return views;
}

std::vector<RouteView> Speaker::routes() const {
    std::vector<RouteView> views;
    for (const Entry& entry : state_->table) {
        for (const Route& r : entry.routes) {
            const Neighbour& n = *state_->neighbours[r.neighbour];
            views.push_back(
                {entry.about(),
                 n.interface->id,
                 n.address,
                 n.next_hops[r.next_hop],
                 r.router_id,
                 r.seqno,
                 r.received,
                 state_->metric(r),
                 feasible(entry, r),
                 r.neighbour == entry.selected,
                 Instant(std::chrono::seconds(r.since))}
            );
        }
    }
    return views;
}

void Speaker::for_each_claim(const std::function<void(const Claim&)>& each) const {
    for (const Entry& entry : state_->table) {
        const Destination about = entry.about();
        if (entry.is_own()) each({about, state_->config.router_id, std::nullopt, entry.own});
        for (const Route& route : entry.routes) {
            if (route.received == kInfinity) continue;
            each({about, route.router_id, state_->neighbours[route.neighbour]->interface->id, route.received}
            );
        }
    }
}

Installed Speaker::installed(const Destination& about) const {
    const Entry* entry = state_->table.find(about);
    return entry == nullptr ? Installed() : state_->installed(*entry);
}

void Speaker::for_each_installed(const std::function<void(const Destination&, Installed::Kind)>& each) const {
    for (const Entry& entry : state_->table) {
        if (entry.installed != Installed::Kind::nothing) each(entry.about(), entry.installed);
    }
}

std::size_t Speaker::installed_count() const { return state_->installed_count; }

SeqNo Speaker::seqno() const { return state_->seqno; }
RouterId Speaker::router_id() const { return state_->config.router_id; }

const base::Drops& Speaker::drops() const { return state_->drops; }

// ---- packets in ----

void Speaker::State::receive(const Packet& packet, Interface& interface, const Turn& turn) {
    if (interface.mac && !authentic(packet, interface, turn)) return;
    PacketReader reader(packet.bytes, packet.from);
    const Instant received_at = std::min(packet.received_at, turn.now);
    bool rtt_usable = false;  // RFC 9616 3.3: an echo counts beside the stamp of a Hello in the same packet
    bool says_hello = false;
    Neighbour* from = nullptr;
    while (const auto event = reader.next()) {
        if (const auto* reason = std::get_if<Malformed>(&*event)) {
            drop(to_string(*reason), interface.id, packet.from, turn);
            continue;
        }
        if (from == nullptr) from = greet(interface, packet.from, turn);
        if (from == nullptr) return;
        if (const auto* hello = std::get_if<Hello>(&*event)) {
            receive_hello(*from, *hello, received_at, turn);
            says_hello = true;
            rtt_usable = rtt_usable || hello->timestamp.has_value();
        } else if (const auto* ihu = std::get_if<Ihu>(&*event)) {
            receive_ihu(*from, *ihu, rtt_usable, turn);
        } else {
            take(*event, *from, turn);
        }
        // Who asks whether its Hello arrived may be waiting for an IHU.
        if (says_hello && std::holds_alternative<AckRequest>(*event)) queue(*from, Tlv(ihu_for(*from)), turn);
    }
}

void Speaker::State::take(const Event& event, Neighbour& from, const Turn& turn) {
    if (const auto* update = std::get_if<Announcement>(&event)) {
        receive_announcement(from, *update, turn);
    } else if (const auto* wanted = std::get_if<RouteRequest>(&event)) {
        receive_route_request(from, *wanted, turn);
    } else if (const auto* seqno_request = std::get_if<SeqnoRequest>(&event)) {
        receive_seqno_request(from, *seqno_request, turn);
    } else if (const auto* asked = std::get_if<AckRequest>(&event)) {
        queue(from, Tlv(Ack{asked->opaque}), turn);
    } else if (const auto* ack = std::get_if<Ack>(&event)) {
        receive_ack(from, *ack, turn);
    }
}

void Speaker::State::drop(std::string_view reason, InterfaceId on, const Address& from, const Turn& turn) {
    std::uint64_t suppressed = 0;
    if (!drops.count(reason, turn.now, &suppressed)) return;
    std::string text =
        "babel: dropped from " + from.to_string() + " on interface " + std::to_string(on) + ": ";
    text += reason;
    if (suppressed > 0) text += " (and " + std::to_string(suppressed) + " more before)";
    turn.out.emplace_back(base::Note{base::Level::info, std::move(text)});
}

// ---- time ----

// The tables first, so that what is sent afterwards is what they say now. Only so much in one turn: what is
// said leaves after it, and answers should not count as late for that.
void Speaker::State::run_due(const Turn& turn, bool all_heard) {
    last_turn = turn.now;
    for (const std::size_t enough = turn.out.size() + kActionsAtOnce; turn.out.size() < enough;) {
        if (const auto entry = alarms.expired(turn.now)) {
            tend(*table.at(*entry), turn);
            continue;
        }
        const auto due = all_heard ? timers.expired(turn.now) : timers.expired_act(turn.now);
        if (!due) return;
        fire(due->first, due->second, turn);
    }
}

void Speaker::State::fire(Due what, std::uint32_t id, const Turn& turn) {
    switch (what) {
        case Due::multicast_hello:
            return hello_missed(id, &Neighbour::multicast, neighbours[id]->multicast_interval, what, turn);
        case Due::unicast_hello:
            return hello_missed(id, &Neighbour::unicast, neighbours[id]->unicast_interval, what, turn);
        case Due::ihu:
            return ihu_expired(id, turn);
        case Due::own_hello:
            return send_hello(interfaces.at(id), turn);
        case Due::periodic:
            return start_dump(interfaces.at(id), turn);
        case Due::delivery:
            return delivery_due(id, turn);
        case Due::probe:
            return probe_due(id, turn);
        case Due::later:
            return later_due(turn);
        case Due::news:
            return news_due(turn);
        case Due::outbox:
            return flush(interfaces.at(id), turn);
        case Due::neighbour_outbox:
            return flush(*neighbours[id], turn);
        case Due::challenge:
            return challenge(interfaces.at(id), turn);
        case Due::resumed:
            return resumption_over(turn);
    }
}

void Speaker::State::arm(Due what, std::uint32_t id, Instant at) {
    const auto set = timers.at({what, id});
    if (!set || at < *set) timers.set({what, id}, at);
}

void Speaker::State::arm(Entry& entry, Entry::Time which, Instant at) {
    entry.set(which, at);
    arm(entry, at);
}

}  // namespace aronet::babel
