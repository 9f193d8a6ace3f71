// MACs on an interface (RFC 8967, 9467): what a verdict means for neighbours, and challenges in time.

#include "babel/sending.hpp"

namespace aronet::babel {

void Speaker::State::set_mac(Interface& interface, const MacConfig& mac) {
    if (mac.keys.empty()) {
        interface.mac.reset();
        timers.stop({Due::challenge, interface.id});
    } else if (interface.mac) {
        interface.mac->set(mac);
    } else {
        const std::size_t peers_max = 2 * config.neighbours_per_interface_max + kStrangersMax;
        interface.mac = std::make_unique<MacLink>(mac, peers_max, random);
    }
}

bool Speaker::State::authentic(const Packet& packet, Interface& interface, const Turn& turn) {
    const bool neighbour = find_neighbour(interface, packet.from) != nullptr;
    const MacLink::Verdict verdict = interface.mac->judge(packet, neighbour, turn.now);
    for (const MacDrop part : verdict.ignored) drop(to_string(part), interface.id, packet.from, turn);
    if (verdict.refused && !verdict.accepted) {
        drop(to_string(*verdict.refused), interface.id, packet.from, turn);
    } else if (verdict.refused) {
        drops.count("not authentic, but accepted as configured", turn.now);
    }
    answer(interface, packet.from, verdict.answers, turn);
    if (verdict.proven) hear_again(interface, packet.from, turn);
    if (verdict.unheard) say_again(interface, packet.from, turn);
    return verdict.accepted;
}

void Speaker::State::challenge(Interface& interface, const Turn& turn) {
    while (const auto due = interface.mac->due(turn.now)) answer(interface, due->to, due->tlvs, turn);
    if (const auto next = interface.mac->deadline()) timers.set({Due::challenge, interface.id}, *next);
}

// Before anything else on this interface: until then the peer drops what we send (section 4.3.1.2).
void Speaker::State::answer(
    Interface& interface, const Address& to, const std::vector<Tlv>& tlvs, const Turn& turn
) {
    Sender sender(interface, to, turn);
    for (const Tlv& tlv : tlvs) sender.add(tlv);
    sender.finish();
    if (const auto next = interface.mac->deadline()) arm(Due::challenge, interface.id, *next);
}

// It may have told of routes that are gone, or of itself, in the packets that we dropped.
void Speaker::State::hear_again(Interface& interface, const Address& from, const Turn& turn) {
    const bool known = find_neighbour(interface, from) != nullptr;
    Neighbour* neighbour = greet(interface, from, turn);
    introduce(interface, turn);
    if (known && neighbour->reachable()) queue(*neighbour, Tlv(RouteRequest{}), turn);
}

void Speaker::State::say_again(Interface& interface, const Address& to, const Turn& turn) {
    Neighbour* neighbour = greet(interface, to, turn);
    if (neighbour == nullptr) return;
    neighbour->ihu_wanted = true;
    introduce(interface, turn);
    if (neighbour->reachable()) start_dump(*neighbour, turn);
}

// Nobody without a key can bring this about, so it needs no limit.
void Speaker::State::introduce(Interface& interface, const Turn& turn) {
    interface.quick_allowed_at = turn.now;
    start_quick_hellos(interface, turn.now);
}

}  // namespace aronet::babel
