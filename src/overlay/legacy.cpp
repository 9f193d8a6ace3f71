#include "overlay/legacy.hpp"

#include <algorithm>
#include <functional>
#include <iterator>
#include <set>
#include <sstream>

namespace aronet::overlay {
namespace {
// The peer sends on one of them; more pile up where a daemon is started again and again.
constexpr std::size_t kInboundMax = 3;

std::vector<std::string> words(const std::string& line) {
    std::istringstream in(line);
    return {std::istream_iterator<std::string>(in), std::istream_iterator<std::string>()};
}
}  // namespace

std::string whose_sas(const Pairing& pairing) {
    const ike::Peer& peer = pairing.peer;
    const std::string ends = peer.local.to_string() + "\n" + peer.remote.to_string();
    std::string line = base::to_hex(ike::sha256(base::as_bytes(ends)));
    if (!peer.psk.empty()) return line + " psk";
    for (const ike::PublicKey& key : peer.remote_keys) line += " " + base::to_hex(key);
    return line;
}

bool may_go_on(const std::string& then, const Pairing& pairing) {
    const auto before = words(then), now = words(whose_sas(pairing));
    if (before.size() < 2 || before.front() != now.front()) return false;
    return std::ranges::all_of(before, [&](const std::string& word) {
        return std::ranges::find(now, word) != now.end();
    });
}

// A tunnel is whole where its policies name an outbound SA that is there, and there is one to receive by.
std::map<std::uint32_t, Legacy> legacies(
    const netlink::Snapshot& snapshot, const std::vector<Pairing>& pairings
) {
    std::map<std::uint32_t, std::uint32_t> marks;  // of what is to be sent
    for (const Pairing& pairing : pairings) marks.emplace(pairing.if_id, pairing.peer.mark.value_or(0));
    std::map<std::uint32_t, std::vector<netlink::Snapshot::KnownSa>> sas;
    for (const auto& sa : snapshot.sas) sas[sa.if_id].push_back(sa);
    std::map<std::uint32_t, Legacy> found;
    for (const netlink::Policies& policies : snapshot.policies) {
        if (!marks.contains(policies.if_id) || policies.spi_out == 0) continue;
        Legacy legacy{policies, {policies.remote, policies.spi_out}, 0, {}};
        auto& candidates = sas[policies.if_id];
        const auto out = std::ranges::find(candidates, legacy.out, &netlink::Snapshot::KnownSa::id);
        if (out == candidates.end() || out->mark != marks.at(policies.if_id)) continue;
        legacy.port = out->port;
        std::erase_if(candidates, [&](const auto& sa) {
            return sa.id.destination != policies.local || sa.source != policies.remote;
        });
        std::ranges::sort(candidates, std::greater(), &netlink::Snapshot::KnownSa::since);
        if (candidates.size() > kInboundMax) candidates.resize(kInboundMax);
        for (const auto& sa : candidates) legacy.in.push_back(sa.id);
        if (!legacy.in.empty()) found.emplace(policies.if_id, std::move(legacy));
    }
    return found;
}

void adopt_carriers(
    const std::map<std::uint32_t, Legacy>& kept, const Config& config, std::vector<Pairing>& pairings
) {
    if (config.links == Links::per_peer) return;
    for (Pairing& pairing : pairings) {
        const auto legacy = kept.find(pairing.if_id);
        if (legacy == kept.end()) continue;
        const bool is_shared = legacy->second.policies.pin == pin_on_shared(pairing);
        pairing.carrier = is_shared ? Carrier::shared : Carrier::own;
    }
}

std::vector<netlink::Wish> clean_up(
    const netlink::Snapshot& snapshot,
    const Config& config,
    const std::vector<Pairing>& pairings,
    const std::map<std::uint32_t, Legacy>& kept
) {
    std::set<std::uint32_t> ours;
    for (const Pairing& pairing : pairings) ours.insert(pairing.if_id);
    for (const netlink::Link& link : snapshot.links) {
        const auto* tunnel = std::get_if<netlink::Tunnel>(&link.kind);
        if (tunnel != nullptr && is_ours(config, link.name)) ours.insert(tunnel->if_id);
    }
    for (const netlink::Route& route : snapshot.routes) {
        const auto* tunnel = std::get_if<netlink::XfrmEncap>(&route.encap);
        if (tunnel != nullptr && is_ours(config, route.link)) ours.insert(tunnel->if_id);
    }
    std::vector<netlink::Wish> out;
    for (const netlink::Policies& policies : snapshot.policies) {
        if (ours.contains(policies.if_id) && !kept.contains(policies.if_id))
            out.push_back(netlink::RemovePolicies{policies.if_id, policies.pin});
    }
    for (const netlink::Snapshot::KnownSa& sa : snapshot.sas) {
        const auto legacy = kept.find(sa.if_id);
        const bool stays =
            legacy != kept.end() && (legacy->second.out == sa.id ||
                                     std::ranges::find(legacy->second.in, sa.id) != legacy->second.in.end());
        if (ours.contains(sa.if_id) && !stays) out.push_back(netlink::RemoveSa{sa.id, sa.source});
    }
    return out;
}

}  // namespace aronet::overlay
