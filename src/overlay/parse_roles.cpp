// What a node is to the others: whom it has tunnels with, at what cost, and whether it is an exit.

#include "overlay/parse.hpp"

#include <algorithm>

namespace aronet::overlay {
namespace {

constexpr std::uint64_t kMetricMax = 65534;

std::string read_pattern(const Value& value) {
    return value.is_absent() ? "*" : value.string().value_or("*");
}

void read_source(const Value& value, Exit& exit) {
    const auto source = value.is_absent() ? std::nullopt : read_any_prefix(value);
    if (!source) return;
    if (source->family() != exit.about.prefix.family()) {
        value.error("is of another family than the prefix");
    } else if (source->family() == Family::v4) {
        value.error("is of IPv4: Linux has no routes that ask for a source there");
    } else {
        exit.about.source = *source;
    }
}

// Of one family, for all sources or for some.
void read_exit(const Value& value, std::vector<Exit>& exits) {
    const bool is_short = value.is_string();
    if (!is_short && !value.is_object()) return;
    if (!is_short) value.warn_of_unknown({"prefix", "source", "metric"});
    const Value where = is_short ? value : value.required({"prefix"});
    if (where.is_absent()) return;
    const auto prefix = read_any_prefix(where);
    if (!prefix) return;
    if (!prefix->is_any()) return where.expected("\"::/0\" or \"0.0.0.0/0\"");
    Exit exit{babel::Destination::of(*prefix), 0};
    if (!is_short) {
        read_number(value.member("metric"), 0, kMetricMax, exit.metric);
        read_source(value.member("source"), exit);
    }
    const bool known =
        std::any_of(exits.begin(), exits.end(), [&](const Exit& other) { return other.about == exit.about; });
    if (known) return value.error("an exit before this one is the same");
    exits.push_back(exit);
}

}  // namespace

NodePattern read_node_pattern(const Value& value) {
    return {read_pattern(value.member("organization")), read_pattern(value.member("common_name"))};
}

std::optional<ConnectRules> read_connect(const Value& list) {
    if (list.is_absent() || list.is_null()) return std::nullopt;
    ConnectRules rules;
    for (const Value& value : list.elements()) {
        if (!value.is_object()) continue;
        value.warn_of_unknown({"organization", "common_name", "deny"});
        const Value deny = value.member("deny");
        ConnectRule rule{read_node_pattern(value), false};
        if (!deny.is_absent()) rule.refused = deny.boolean().value_or(false);
        rules.push_back(std::move(rule));
    }
    return rules;
}

std::vector<PeerCost> read_peer_costs(const Value& list) {
    std::vector<PeerCost> costs;
    if (list.is_absent()) return costs;
    for (const Value& value : list.elements()) {
        if (!value.is_object()) continue;
        value.warn_of_unknown({"organization", "common_name", "cost"});
        PeerCost peer{read_node_pattern(value), 0};
        read_number(value.required({"cost"}), 0, kMetricMax, peer.cost);
        costs.push_back(std::move(peer));
    }
    return costs;
}

std::vector<Exit> read_exits(const Value& list) {
    std::vector<Exit> exits;
    if (list.is_absent()) return exits;
    for (const Value& value : list.elements()) read_exit(value, exits);
    return exits;
}

}  // namespace aronet::overlay
