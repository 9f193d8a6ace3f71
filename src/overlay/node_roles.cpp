// What this node is to the others beyond its own prefixes, an exit, and whether they are what the registry
// says.

#include "overlay/host_side.hpp"
#include "overlay/node_state.hpp"
#include "overlay/origins.hpp"

#include <algorithm>

namespace aronet::overlay {
namespace {

using namespace std::chrono_literals;

constexpr Duration kClaimsLook = 20s;

std::string words_for(const Exit& exit) {
    const std::string source = exit.about.source_specific() ? " from " + exit.about.source.to_string() : "";
    return "the exit " + exit.about.prefix.to_string() + source;
}

}  // namespace

// ---- exits

std::optional<babel::Metric> Node::State::exit_metric(const babel::Destination& about) const {
    for (const Exit& exit : config.exits) {
        if (exit.about == about && way_out.obstacle(about.prefix.family()).empty()) return exit.metric;
    }
    return std::nullopt;
}

// Announced, or taken back, and told of when that changes.
void Node::State::offer_exits() {
    if (phase != Phase::running) return;
    for (const Exit& exit : config.exits) {
        offer(exit.about);
        const std::string obstacle = way_out.obstacle(exit.about.prefix.family());
        const auto [told, is_new] = exits_told.try_emplace(exit.about, "not known");
        if (told->second == obstacle) continue;
        const bool was_open = !is_new && told->second.empty();
        told->second = obstacle;
        if (obstacle.empty()) {
            say(base::Level::info, words_for(exit) + " is announced");
        } else if (was_open) {
            say(base::Level::warning, words_for(exit) + " is taken back: " + obstacle);
        }
    }
}

// ---- whose the prefixes are

// Found twice: after a restart a prefix has two origins for a while.
void Node::State::look_at_claims() {
    claims_due = now + kClaimsLook;
    Origins origins(holders, config.organization + "/" + config.common_name);
    speaker.for_each_claim([&](const babel::Claim& claim) {
        const bool begins_there = claim.on && claim.received == 0;
        const auto tunnel = begins_there ? tunnels.find(*claim.on) : tunnels.end();
        origins.see(claim, tunnel == tunnels.end() ? "" : tunnel->second.peer_name());
    });
    std::set<std::string> found = origins.disputes(), both;
    for (const std::string& text : found) {
        if (!suspected.contains(text)) continue;
        both.insert(text);
        if (!disputes.contains(text)) say(base::Level::warning, base::printable(text, 300));
    }
    suspected = std::move(found);
    disputes = std::move(both);
}

// ---- what is wrong at present

std::vector<std::string> Node::State::present_warnings() const {
    std::vector<std::string> list = warnings;
    for (std::string& trouble : keeper.troubles()) list.push_back(std::move(trouble));
    list.insert(list.end(), disputes.begin(), disputes.end());
    for (const Exit& exit : config.exits) {
        const std::string obstacle = way_out.obstacle(exit.about.prefix.family());
        if (!obstacle.empty()) list.push_back(words_for(exit) + " is not announced: " + obstacle);
    }
    for (const Prefix& prefix : lists_out_of_force(config, registry))
        list.push_back(
            "the segments for " + prefix.to_string() +
            " are not in force: a node is not known, or the prefix holds one of the segments"
        );
    for (const auto& [if_id, tunnel] : tunnels) {
        const ike::Peer& peer = tunnel.pairing.peer;
        const bool is_left_out = peer.mark.value_or(0) == config.fwmark;
        if (is_left_out || !has_host_table(config) || !peer.remote_endpoint ||
            !holders.contain(Prefix::host(peer.remote_endpoint->address)))
            continue;
        list.push_back(
            tunnel.pairing.interface +
            ": its packets have a mark of their own, and a prefix of the registry "
            "holds the peer's address: they need a rule before 32000"
        );
    }
    for (const babel::NeighbourView& view : speaker.neighbours()) {
        if (view.refused == 0) continue;
        const auto tunnel = tunnels.find(view.on);
        const std::string who = tunnel != tunnels.end()
                                    ? tunnel->second.peer_name()
                                    : view.address.to_string() + " on " + link_of(view.on);
        list.push_back(
            who + " announces more than " + std::to_string(view.routes_max) + " routes: the rest is refused"
        );
    }
    return list;
}

}  // namespace aronet::overlay
