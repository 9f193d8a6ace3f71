#include "ike/ground.hpp"

#include "ike/session.hpp"

namespace aronet::ike {

Ground::Ground(EngineConfig engine_config, base::Random& engine_random)
    : config(std::move(engine_config)), signing_key(config.private_key), random(engine_random) {
    std::array<base::Byte, 4> bytes{};
    random.fill(bytes);
    decoy = Address::v4(bytes);
}

const Peer* Ground::peer(PeerId id) const {
    const auto it = peers.find(id);
    return it == peers.end() ? nullptr : &it->second;
}

const Peer* Ground::find(const std::optional<Identity>& local, const Identity& remote) const {
    if (local) {
        const auto it = by_identity.find({*local, remote});
        return it == by_identity.end() ? nullptr : peer(it->second);
    }
    const auto it = by_remote.find(remote);
    return it == by_remote.end() || it->second.size() != 1 ? nullptr : peer(*it->second.begin());
}

void Ground::add(const Peer& peer) {
    remove(peer.id);
    peers[peer.id] = peer;
    by_identity[{peer.local, peer.remote}] = peer.id;
    by_remote[peer.remote].insert(peer.id);
    with_psk += peer.psk.empty() ? 0 : 1;
    with_ppk += peer.ppk ? 1 : 0;
}

void Ground::try_next_endpoint(PeerId id) {
    Peer& known = peers.at(id);
    if (!known.remote_endpoint || known.other_endpoints.empty()) return;
    known.other_endpoints.push_back(*known.remote_endpoint);
    known.remote_endpoint = known.other_endpoints.front();
    known.other_endpoints.erase(known.other_endpoints.begin());
}

void Ground::remove(PeerId id) {
    const auto it = peers.find(id);
    if (it == peers.end()) return;
    const auto named = by_identity.find({it->second.local, it->second.remote});
    if (named != by_identity.end() && named->second == id) by_identity.erase(named);
    const auto remote = by_remote.find(it->second.remote);
    remote->second.erase(id);
    if (remote->second.empty()) by_remote.erase(remote);
    with_psk -= it->second.psk.empty() ? 0 : 1;
    with_ppk -= it->second.ppk ? 1 : 0;
    peers.erase(it);
}

SessionKey Ground::new_ike_spi() {
    for (;;) {
        const SessionKey spi = random.u64();
        if (spi >= 256 && ike_spis.insert(spi).second) return spi;
    }
}

std::uint32_t Ground::new_esp_spi() {
    for (;;) {
        const std::uint32_t spi = random.u32();
        if (spi >= 256 && esp_spis.insert(spi).second) return spi;
    }
}

void Turn::drop(std::string_view reason, const Endpoint& from, std::string_view who) {
    std::uint64_t suppressed = 0;
    if (!ground.drops.count(reason, now, &suppressed)) return;
    std::string text = "dropped from ";
    text += from.to_string();
    if (!who.empty()) text.append(" (").append(base::printable(who)).append(")");
    text.append(": ").append(reason);
    if (suppressed != 0) text += " (and " + std::to_string(suppressed) + " more since the last line)";
    note(base::Level::info, std::move(text));
}

}  // namespace aronet::ike
