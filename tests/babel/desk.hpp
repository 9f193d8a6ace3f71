#pragma once

// One Speaker on a desk: scripted neighbours, virtual time, and everything it said.

#include "babel/forwarding.hpp"
#include "babel/packet.hpp"

#include <catch2/catch.hpp>

#include <map>
#include <set>

namespace aronet::babel {

inline Address ip(const char* text) { return Address::parse(text).value(); }
inline Prefix net(const char* text) { return Prefix::parse(text).value(); }
inline Destination to(const char* text) { return Destination::of(net(text)); }

// Prefixes that somebody of an organization has been given.
inline void give(Holders& holders, const char* organization, std::initializer_list<const char*> prefixes) {
    for (const char* prefix : prefixes) holders.add(net(prefix), {organization, "node"});
}
inline Holders given(std::initializer_list<const char*> prefixes) {
    Holders holders;
    give(holders, "acme", prefixes);
    return holders;
}

inline constexpr RouterId kUs = 0x0200'0000'0000'0001;

struct Sent {
    Instant at;
    InterfaceId on = 0;
    Address to;
    std::vector<Event> events;
    base::Bytes bytes;

    template <class T>
    std::vector<T> all() const {
        std::vector<T> found;
        for (const Event& e : events) {
            if (const auto* t = std::get_if<T>(&e)) found.push_back(*t);
        }
        return found;
    }
};

struct Announce {  // an update as the scripted neighbours write it
    const char* prefix;
    Metric metric = 100;
    RouterId router_id = 0xaa;
    SeqNo seqno = 1;
    Duration interval = std::chrono::seconds(4);

    Announcement operator()() const {
        return {
            .about = to(prefix),
            .router_id = router_id,
            .seqno = seqno,
            .interval = Interval::of(interval),
            .metric = metric};
    }
};

class Desk {
public:
    explicit Desk(SpeakerConfig config = {.router_id = kUs, .seqno = 10}, std::uint64_t seed = 1);

    static InterfaceConfig link(const char* address = "fe80::1", LinkType type = LinkType::wired);
    void plug(InterfaceId id, const InterfaceConfig& config);
    void unplug(InterfaceId id);

    // A scripted neighbour that says Hello and IHU by itself and acknowledges what asks for it, a millisecond
    // later; already heard twice, hence reachable.
    void befriend(InterfaceId on, const Address& address, std::uint16_t rxcost = 96);
    void silence(const Address& address) { friends_.erase(address); }

    void say(InterfaceId on, const Address& from, const std::vector<Tlv>& tlvs);
    void say(InterfaceId on, const Address& from, const Announce& update) { announce(on, from, {update()}); }
    void announce(InterfaceId on, const Address& from, const std::vector<Announcement>& updates);
    void retract(InterfaceId on, const Address& from, const char* prefix) {
        say(on, from, Announce{prefix, kInfinity});
    }
    void say_raw(InterfaceId on, const Address& from, const base::Bytes& packet);
    void deliver(const Packet& packet);

    void pass(Duration d);  // ticks whenever asked for, neighbours saying their Hellos
    void forget() { sent.clear(); }

    template <class T>
    std::vector<T> said(InterfaceId on = 0, std::optional<Address> only_to = std::nullopt) const {
        std::vector<T> found;
        for (const Sent& s : sent) {
            if ((on != 0 && s.on != on) || (only_to && s.to != *only_to)) continue;
            for (const T& t : s.all<T>()) found.push_back(t);
        }
        return found;
    }
    // The last thing announced about a prefix on an interface since the last forget().
    std::optional<Announcement> announced(InterfaceId on, const Destination& about) const;
    std::optional<RouteView> route(const Destination& about, const Address& neighbour) const;
    std::optional<NeighbourView> neighbour(const Address& address) const;
    std::uint64_t dropped(const std::string& reason) const;

    base::Random random;
    Speaker speaker;
    Instant now{std::chrono::seconds(1000)};
    Actions actions;
    std::vector<Sent> sent;
    std::vector<base::Note> notes;
    Forwarding forwarding;

private:
    struct Friend {
        InterfaceId on = 0;
        std::uint16_t rxcost = 96;
        SeqNo hello_seqno = 0;
        Instant next_hello;
    };
    struct OwedAck {
        Instant at;
        InterfaceId on = 0;
        Address from;
        std::uint16_t opaque = 0;
    };
    void hello_from(const Address& address, Friend& f);
    void acknowledge(const Sent& s);
    void pay_acks();
    void collect();

    std::map<InterfaceId, InterfaceConfig> links_;
    std::map<Address, Friend> friends_;
    std::vector<OwedAck> acks_;
};

}  // namespace aronet::babel
