#include "babel/desk.hpp"

#include "babel/constants.hpp"

namespace aronet::babel {

Desk::Desk(SpeakerConfig config, std::uint64_t seed)
    : random(base::Random::from_number(seed)), speaker(config, random) {}

InterfaceConfig Desk::link(const char* address, LinkType type) {
    InterfaceConfig config;
    config.link_local = ip(address);
    config.type = type;
    config.rxcost = 96;
    config.hello_interval = 4s;
    config.update_interval = 16s;
    config.rtt_cost = type == LinkType::tunnel ? 150 : 0;
    config.rtt_max = 120ms;
    config.mtu = 1500;
    return config;
}

void Desk::plug(InterfaceId id, const InterfaceConfig& config) {
    links_[id] = config;
    speaker.add_interface(id, config, now, actions);
    collect();
}

void Desk::unplug(InterfaceId id) {
    std::erase_if(friends_, [&](const auto& f) { return f.second.on == id; });
    links_.erase(id);
    speaker.remove_interface(id, now, actions);
    collect();
}

void Desk::befriend(InterfaceId on, const Address& address, std::uint16_t rxcost) {
    Friend& f = friends_[address] = {on, rxcost, 7, now};
    hello_from(address, f);
    hello_from(address, f);
}

void Desk::hello_from(const Address& address, Friend& f) {
    const Hello hello{.seqno = f.hello_seqno++, .interval = Interval::of(4s)};
    say(f.on,
        address,
        {hello, Ihu{.address = links_.at(f.on).link_local, .rxcost = f.rxcost, .interval = Interval::of(12s)}}
    );
    f.next_hello = now + 4s;
}

void Desk::say(InterfaceId on, const Address& from, const std::vector<Tlv>& tlvs) {
    PacketWriter writer(1400);
    for (const Tlv& tlv : tlvs) REQUIRE(writer.add(tlv));
    say_raw(on, from, writer.finish());
}

void Desk::announce(InterfaceId on, const Address& from, const std::vector<Announcement>& updates) {
    PacketWriter writer(1400);
    for (const Announcement& update : updates) {
        if (writer.add(update, Encoding::v4_via_v6)) continue;
        say_raw(on, from, writer.finish());
        REQUIRE(writer.add(update, Encoding::v4_via_v6));
    }
    say_raw(on, from, writer.finish());
}

void Desk::say_raw(InterfaceId on, const Address& from, const base::Bytes& packet) {
    deliver({.bytes = packet, .from = from, .to = multicast_group(), .in = on, .received_at = now});
}

void Desk::deliver(const Packet& packet) {
    speaker.handle(packet, now, actions);
    speaker.tick(now, actions);
    collect();
}

void Desk::pass(Duration d) {
    const Instant end = now + d;
    for (;;) {
        Instant next = end;
        if (const auto due = speaker.deadline()) next = std::min(next, due->at);
        for (const auto& [address, f] : friends_) next = std::min(next, f.next_hello);
        for (const OwedAck& ack : acks_) next = std::min(next, ack.at);
        now = std::max(now, next);
        pay_acks();
        for (auto& [address, f] : friends_) {
            if (f.next_hello <= now) hello_from(address, f);
        }
        speaker.tick(now, actions);
        collect();
        const auto due = speaker.deadline();
        REQUIRE((!due || due->at > now));
        if (now >= end) return;
    }
}

void Desk::collect() {
    forwarding.changed.clear();
    for (const Action& action : actions) {
        forwarding.obey(action);
        if (const auto* note = std::get_if<base::Note>(&action)) notes.push_back(*note);
        const auto* send = std::get_if<Send>(&action);
        if (send == nullptr) continue;
        Sent s{now, send->on, send->to, {}, send->bytes};
        PacketReader reader(
            send->bytes, links_.count(send->on) ? links_.at(send->on).link_local : ip("fe80::1")
        );
        while (auto event = reader.next()) {
            REQUIRE_FALSE(std::holds_alternative<Malformed>(*event));
            s.events.push_back(std::move(*event));
        }
        REQUIRE(send->bytes.size() + 48 <= (links_.count(send->on) ? links_.at(send->on).mtu : 1500));
        acknowledge(s);
        sent.push_back(std::move(s));
    }
    actions.clear();
    if (speaker.installed_count() != forwarding.ways.size()) FAIL("the speaker counts other routes");
    for (const Destination& d : forwarding.changed) {
        const Installed told = speaker.installed(d);
        const bool same =
            told.kind == forwarding.kind(d) &&
            (told.kind != Installed::Kind::route || forwarding.ways.at(d).next_hop == told.next_hop);
        if (!same) FAIL("the speaker believes to have installed something else");
    }
    for (const RouteView& r : speaker.routes()) {
        if (r.selected && (!r.feasible || r.metric == kInfinity)) FAIL("an unfeasible route is selected");
    }
}

void Desk::acknowledge(const Sent& s) {
    for (const AckRequest& request : s.all<AckRequest>()) {
        for (const auto& [address, f] : friends_) {
            if (f.on == s.on && (s.to == address || s.to.is_multicast()))
                acks_.push_back({s.at + 1ms, s.on, address, request.opaque});
        }
    }
}

void Desk::pay_acks() {
    const std::vector<OwedAck> owed = std::exchange(acks_, {});
    for (const OwedAck& ack : owed) {
        if (ack.at > now)
            acks_.push_back(ack);
        else if (friends_.count(ack.from) > 0)
            say(ack.on, ack.from, {Ack{ack.opaque}});
    }
}

std::optional<Announcement> Desk::announced(InterfaceId on, const Destination& about) const {
    std::optional<Announcement> last;
    for (const Announcement& a : said<Announcement>(on)) {
        if (a.about == about) last = a;
    }
    return last;
}

std::optional<RouteView> Desk::route(const Destination& about, const Address& neighbour) const {
    for (const RouteView& r : speaker.routes()) {
        if (r.destination == about && r.neighbour == neighbour) return r;
    }
    return std::nullopt;
}

std::optional<NeighbourView> Desk::neighbour(const Address& address) const {
    for (const NeighbourView& n : speaker.neighbours()) {
        if (n.address == address) return n;
    }
    return std::nullopt;
}

std::uint64_t Desk::dropped(const std::string& reason) const {
    const auto it = speaker.drops().totals().find(reason);
    return it == speaker.drops().totals().end() ? 0 : it->second;
}

}  // namespace aronet::babel
