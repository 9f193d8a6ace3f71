// What a node is to the others: whom it has tunnels with, at what cost, and whether it is an exit.

#include "overlay/desired.hpp"
#include "overlay/parse.hpp"

#include <algorithm>

namespace aronet::overlay {
namespace {

constexpr std::uint64_t kMetricMax = 65534;
constexpr std::size_t kSegmentsMax = 8;  // 128 octets of every packet

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

void read_segment(const Value& value, SegmentList& list) {
    const auto text = value.string();
    if (!text) return;
    const auto slash = text->find('/');
    if (const auto sid = Address::parse(*text); sid && sid->is_v6()) {
        list.via.emplace_back(*sid);
    } else if (slash != std::string::npos && slash > 0 && slash + 1 < text->size()) {
        list.via.emplace_back(NodeName{text->substr(0, slash), text->substr(slash + 1)});
    } else {
        value.expected("a node like \"organization/common_name\", or an IPv6 address");
    }
}

// What is carried is IPv6 as well, and wants room for it: headers of IPv6 and of routing, with all segments.
bool has_room(const SegmentList& list, std::uint32_t mtu) {
    constexpr std::uint32_t kIpv6Min = 1280;
    const std::size_t segments = list.via.size() + 1;
    return list.prefix.family() == Family::v4 || mtu >= kIpv6Min + headroom(segments);
}

void read_segment_list(const Value& value, std::uint32_t mtu, std::vector<SegmentList>& lists) {
    if (!value.is_object()) return;
    value.warn_of_unknown({"prefix", "via"});
    const Value where = value.required({"prefix"}), via = value.required({"via"});
    const auto prefix = where.is_absent() ? std::nullopt : read_prefix(where);
    if (!prefix || via.is_absent()) return;
    SegmentList list{*prefix, {}};
    for (const Value& each : via.elements()) read_segment(each, list);
    if (list.via.empty() || list.via.size() > kSegmentsMax)
        return via.expected("1 to " + std::to_string(kSegmentsMax) + " nodes or addresses");
    if (!has_room(list, mtu)) {
        const std::string larger = "a larger daemon.mtu than " + std::to_string(mtu);
        return via.error("leaves less than the 1280 octets that IPv6 takes: fewer nodes, or " + larger);
    }
    const bool known = std::any_of(lists.begin(), lists.end(), [&](const SegmentList& other) {
        return other.prefix == list.prefix;
    });
    if (known) return where.error("a list before this one has the same");
    lists.push_back(std::move(list));
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

std::vector<SegmentList> read_segments(const Value& list, std::uint32_t mtu) {
    std::vector<SegmentList> lists;
    if (list.is_absent()) return lists;
    for (const Value& value : list.elements()) read_segment_list(value, mtu, lists);
    return lists;
}

}  // namespace aronet::overlay
