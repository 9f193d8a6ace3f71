// Changes in the words of `ip` and `sysctl`: for people, and for a shell.

#include "base/overloaded.hpp"
#include "netlink/change.hpp"

namespace aronet::netlink {
namespace {

std::string ip(Space space, const std::string& rest) {
    return (space == Space::overlay ? "ip -n overlay " : "ip ") + rest;
}

std::string hex(std::uint32_t number) { return "0x" + base::to_hex(number); }

std::string link_words(const Link& link) {
    std::string words = "link add " + link.name;
    if (link.mtu != 0) words += " mtu " + std::to_string(link.mtu);
    std::visit(
        base::Overloaded{
            [&](const Vrf& vrf) { words += " type vrf table " + std::to_string(vrf.table); },
            [&](const Tunnel& tunnel) { words += " type xfrm if_id " + hex(tunnel.if_id); },
            [&](const Tun&) { words += " type tun"; },
            [&](const Veth& veth) { words += " type veth peer name " + veth.peer; },
            [&](const External&) { words += " type xfrm external"; },
        },
        link.kind
    );
    if (link.multicast) words += " multicast on";
    if (!link.master.empty()) words += " master " + link.master;
    return words;
}

std::string address_words(const LinkAddress& address) {
    const std::string text = address.address.to_string();
    const std::string length = "/" + std::to_string(address.prefix_length);
    return text + (address.peer ? " peer " + address.peer->to_string() + length : length) + " dev " +
           address.link;
}

std::string encap_words(const Encap& encap) {
    return std::visit(
        base::Overloaded{
            [](std::monostate) { return std::string(); },
            [](const Seg6LocalEnd&) { return std::string(" encap seg6local action End"); },
            [](const Seg6LocalEndDx4& dx4) {
                return " encap seg6local action End.DX4 nh4 " + dx4.next_hop.to_string();
            },
            [](const Seg6LocalEndDx6& dx6) {
                return " encap seg6local action End.DX6 nh6 " + dx6.next_hop.to_string();
            },
            [](const Seg6LocalEndDt46& dt) {
                return " encap seg6local action End.DT46 vrftable " + std::to_string(dt.vrf_table);
            },
            [](const XfrmEncap& xfrm) { return " encap xfrm if_id " + hex(xfrm.if_id); },
            [](const Seg6Encap& seg6) {
                std::string words =
                    std::string(" encap seg6 mode ") + (seg6.reduced ? "encap.red" : "encap") + " segs ";
                for (const Address& segment : seg6.segments) {
                    words += (&segment == &seg6.segments.front() ? "" : ",") + segment.to_string();
                }
                return words;
            },
        },
        encap
    );
}

std::string key_words(const RouteKey& key) {
    std::string words = key.destination.to_string();
    if (key.source) words += " from " + key.source->to_string();
    return words;
}

std::string key_tail(const RouteKey& key) {
    std::string words = " table " + std::to_string(key.table) + " proto " + std::to_string(kProtocol);
    if (key.metric != 0) words += " metric " + std::to_string(key.metric);
    return words;
}

std::string route_words(const Route& route) {
    std::string words = route.kind == RouteKind::unreachable ? "unreachable "
                        : route.kind == RouteKind::blackhole ? "blackhole "
                        : route.kind == RouteKind::skip      ? "throw "
                                                             : "";
    // iproute2 loses the word behind this one.
    const bool is_last = std::holds_alternative<XfrmEncap>(route.encap);
    words += key_words(route.key) + (is_last ? "" : encap_words(route.encap));
    if (route.via) {
        const bool other_family = route.via->family() != route.key.destination.family();
        words += std::string(" via ") + (other_family ? "inet6 " : "") + route.via->to_string();
    }
    if (!route.link.empty()) words += " dev " + route.link;
    if (route.onlink) words += " onlink";
    if (route.mtu != 0) words += " mtu " + std::to_string(route.mtu);
    if (route.pref_src) words += " src " + route.pref_src->to_string();
    return words + key_tail(route.key) + (is_last ? encap_words(route.encap) : "");
}

std::string rule_words(const Rule& rule) {
    std::string words = "pref " + std::to_string(rule.priority) + (rule.unless_fits ? " not" : "");
    if (rule.from) words += " from " + rule.from->to_string();
    if (rule.to) words += " to " + rule.to->to_string();
    if (rule.mark) words += " fwmark " + hex(*rule.mark);
    return words + (rule.table != 0 ? " lookup " + std::to_string(rule.table) : " unreachable");
}

std::string family_flag(Family family) { return family == Family::v6 ? "-6 " : ""; }

std::string sa_words(const base::SaId& id, const Address& source) {
    return "src " + source.to_string() + " dst " + id.destination.to_string() + " proto esp spi " +
           hex(id.spi);
}

// ---- as commands

using Lines = std::vector<std::string>;

class Commands {
public:
    explicit Commands(std::string netns) : netns_(std::move(netns)) {}

    Lines operator()(const AddNamespace& w) const { return {"ip netns add " + w.name}; }
    Lines operator()(const RemoveNamespace& w) const { return {"ip netns del " + w.name}; }
    Lines operator()(const AddLink& w) const;
    Lines operator()(const RemoveLink& w) const { return {in(w.space, "link del " + w.name)}; }
    Lines operator()(const AddAddress& w) const {
        const char* at_once = w.address.address.is_v6() ? " nodad" : "";
        return {in(w.address.space, "addr replace " + address_words(w.address) + at_once)};
    }
    Lines operator()(const RemoveAddress& w) const {
        return {in(w.address.space, "addr del " + address_words(w.address))};
    }
    Lines operator()(const AddRoute& w) const {
        const RouteKey& key = w.route.key;
        return {
            in(key.space, family_flag(key.destination.family()) + "route replace " + route_words(w.route))};
    }
    Lines operator()(const RemoveRoute& w) const {
        const std::string words = key_words(w.key) + key_tail(w.key);
        return {in(w.key.space, family_flag(w.key.destination.family()) + "route del " + words)};
    }
    Lines operator()(const AddRule& w) const { return rule("add", w.rule); }
    Lines operator()(const RemoveRule& w) const { return rule("del", w.rule); }
    Lines operator()(const AddSa& w) const {
        return {"# an SA and its keys: " + sa_words(w.sa.id(), w.sa.source.address)};
    }
    Lines operator()(const MoveSa& w) const {
        return {"# an SA goes to " + w.destination.to_string() + ": spi " + hex(w.id.spi)};
    }
    Lines operator()(const RemoveSa& w) const { return {"ip xfrm state delete " + sa_words(w.id, w.source)}; }
    Lines operator()(const SetPolicies& w) const;
    Lines operator()(const RemovePolicies& w) const;
    Lines operator()(const SetSysctl& w) const {
        const std::string enter = w.space == Space::overlay ? "ip netns exec " + netns_ + " " : "";
        return {enter + "sysctl -w " + w.key + "=" + w.value};
    }
    Lines operator()(const ClampSegments& w) const;
    Lines alter(const Link& from, const Link& to) const;
    template <class Question>
    Lines operator()(const Question&) const {
        return {};
    }

private:
    std::string in(Space space, const std::string& rest) const {
        return (space == Space::overlay ? "ip -n " + netns_ + " " : "ip ") + rest;
    }
    Lines rule(const char* verb, const Rule& rule) const {
        const std::string words = rule_words(rule) + " protocol " + std::to_string(kProtocol);
        return {in(rule.space, family_flag(rule.family) + "rule " + verb + " " + words)};
    }

    std::string netns_;
};

constexpr const char* kDirections[] = {"in", "fwd", "out"};

std::string policy_words(
    const char* verb,
    const std::string& from,
    const std::string& to,
    const char* direction,
    std::uint32_t if_id
) {
    return std::string("ip xfrm policy ") + verb + " src " + from + " dst " + to + " dir " + direction +
           " if_id " + hex(if_id);
}

template <class Each>
Lines for_all_policies(
    std::uint32_t if_id, const std::optional<Pin>& pin, const char* verb, const Each& rest
) {
    Lines lines;
    if (pin) {
        const bool names_peer = pin->names_peer();
        const std::string own = pin->own.to_string() + "/128";
        const std::string peer = names_peer ? Prefix(pin->peer, kPinLength).to_string() : "fe80::/10";
        const char* all = names_peer ? "::/0" : "fe80::/10";
        lines.push_back(policy_words(verb, "fe80::/10", all, "in", if_id) + rest("in", kUnpinnedPriority));
        lines.push_back(policy_words(verb, peer, own, "in", if_id) + rest("in", kPinPriority));
    }
    for (const char* everything : {"0.0.0.0/0", "::/0"}) {
        for (const char* direction : kDirections) {
            lines.push_back(
                policy_words(verb, everything, everything, direction, if_id) +
                rest(direction, kPolicyPriority)
            );
        }
    }
    return lines;
}

// SAs of a tunnel live where its link was made.
Lines Commands::operator()(const AddLink& w) const {
    const Link& link = w.link;
    const bool has_sas = std::holds_alternative<Tunnel>(link.kind) ||
                         std::holds_alternative<Tun>(link.kind) ||
                         std::holds_alternative<External>(link.kind);
    const bool moves = link.space == Space::overlay && has_sas;
    const Space made_in = moves ? Space::underlay : link.space;
    const auto* veth = std::get_if<Veth>(&link.kind);
    Lines lines;
    if (std::holds_alternative<Tun>(link.kind)) {
        lines.push_back(in(made_in, "tuntap add dev " + link.name + " mode tun"));
    } else {
        Link bare{.space = made_in, .name = link.name, .kind = link.kind};
        std::string words = link_words(bare);
        if (veth != nullptr && veth->peer_space != link.space) words += " netns " + netns_;
        lines.push_back(in(made_in, words));
    }
    if (moves) lines.push_back("ip link set " + link.name + " netns " + netns_);
    std::string set = "link set " + link.name + " alias '" + mark_of(link.name) + "'";
    if (link.mtu != 0) set += " mtu " + std::to_string(link.mtu);
    if (!link.master.empty()) set += " master " + link.master;
    lines.push_back(in(link.space, set));
    if (!link.keep_link_local) lines.push_back(in(link.space, "link set " + link.name + " addrgenmode none"));
    lines.push_back(in(link.space, "link set " + link.name + (link.multicast ? " multicast on up" : " up")));
    if (veth != nullptr) lines.push_back(in(veth->peer_space, "link set " + veth->peer + " up"));
    return lines;
}

Lines Commands::alter(const Link& from, const Link& to) const {
    Lines lines;
    std::string set;
    if (to.mtu != 0 && to.mtu != from.mtu) set += " mtu " + std::to_string(to.mtu);
    if (!to.master.empty() && to.master != from.master) set += " master " + to.master;
    const auto line = [&](const std::string& what) {
        lines.push_back(in(to.space, "link set " + to.name + what));
    };
    if (!set.empty()) line(set);
    if (!to.keep_link_local && from.keep_link_local) line(" addrgenmode none");
    const bool multicast = to.multicast && !from.multicast;
    if (multicast || !from.up) line(multicast ? " multicast on up" : " up");
    return lines;
}

Lines Commands::operator()(const ClampSegments& w) const {
    const std::string table = "inet " + w.table;
    Lines lines{
        "nft add table " + table,
        "nft 'add chain " + table + " forward { type filter hook forward priority mangle; }'",
        "nft flush chain " + table + " forward"};
    for (const char* side : {"iifname", "oifname"}) {
        for (const Family family : {Family::v4, Family::v6}) {
            const bool is_v4 = family == Family::v4;
            lines.push_back(
                "nft 'add rule " + table + " forward " + side + " \"" + w.link + "\" meta nfproto " +
                (is_v4 ? "ipv4" : "ipv6") + " tcp flags & syn != 0 tcp option maxseg size set " +
                std::to_string(is_v4 ? w.ipv4 : w.ipv6) + "'"
            );
        }
    }
    return lines;
}

Lines Commands::operator()(const SetPolicies& w) const {
    const Policies& p = w.policies;
    return for_all_policies(
        p.if_id,
        p.pin,
        "update",
        [&](const std::string& direction, std::uint32_t priority) {
            const bool out = direction == "out";
            const Address& from = out ? p.local : p.remote;
            const Address& to = out ? p.remote : p.local;
            const std::string first = " priority " + std::to_string(priority);
            if (priority == kUnpinnedPriority) return first + " action block";
            return first + " tmpl src " + from.to_string() + " dst " + to.to_string() + " proto esp" +
                   (out ? " spi " + hex(p.spi_out) : "") + " reqid " + std::to_string(p.reqid) +
                   " mode tunnel";
        }
    );
}

Lines Commands::operator()(const RemovePolicies& w) const {
    return for_all_policies(w.if_id, w.pin, "delete", [](const auto&, std::uint32_t) {
        return std::string();
    });
}

}  // namespace

std::vector<std::string> commands(const Wish& wish, const std::string& netns) {
    return std::visit(Commands(netns), wish);
}

std::vector<std::string> alterations(const Link& from, const Link& to, const std::string& netns) {
    return Commands(netns).alter(from, to);
}

std::string describe(const Wish& wish) {
    return std::visit(
        base::Overloaded{
            [](const AddNamespace& w) { return "ip netns add " + w.name; },
            [](const RemoveNamespace& w) { return "ip netns del " + w.name; },
            [](const AddLink& w) { return ip(w.link.space, link_words(w.link)); },
            [](const RemoveLink& w) { return ip(w.space, "link del " + w.name); },
            [](const AddAddress& w) { return ip(w.address.space, "addr add " + address_words(w.address)); },
            [](const RemoveAddress& w) {
                return ip(w.address.space, "addr del " + address_words(w.address));
            },
            [](const AddRoute& w) {
                const auto& key = w.route.key;
                return ip(
                    key.space, family_flag(key.destination.family()) + "route replace " + route_words(w.route)
                );
            },
            [](const RemoveRoute& w) {
                return ip(
                    w.key.space,
                    family_flag(w.key.destination.family()) + "route del " + key_words(w.key) +
                        key_tail(w.key)
                );
            },
            [](const AddRule& w) {
                return ip(w.rule.space, family_flag(w.rule.family) + "rule add " + rule_words(w.rule));
            },
            [](const RemoveRule& w) {
                return ip(w.rule.space, family_flag(w.rule.family) + "rule del " + rule_words(w.rule));
            },
            [](const AddSa& w) {
                return "ip xfrm state add " + sa_words(w.sa.id(), w.sa.source.address) + " if_id " +
                       hex(w.sa.if_id);
            },
            [](const MoveSa& w) {
                return "move to " + w.source.to_string() + " > " + w.destination.to_string() + " of the SA " +
                       hex(w.id.spi) + " at " + w.id.destination.to_string();
            },
            [](const RemoveSa& w) { return "ip xfrm state delete " + sa_words(w.id, w.source); },
            [](const SetPolicies& w) {
                return "ip xfrm policy update dir in/fwd/out if_id " + hex(w.policies.if_id) + " spi " +
                       hex(w.policies.spi_out);
            },
            [](const RemovePolicies& w) {
                return "ip xfrm policy delete dir in/fwd/out if_id " + hex(w.if_id);
            },
            [](const SetSysctl& w) { return "sysctl -w " + w.key + "=" + w.value; },
            [](const GetSysctl& w) { return "sysctl " + w.key; },
            [](const ClampSegments& w) {
                return "nft add table inet " + w.table + ": tcp maxseg of " + w.link + " at most " +
                       std::to_string(w.ipv4) + " (IPv4), " + std::to_string(w.ipv6) + " (IPv6)";
            },
            [](const ReadCounters&) { return std::string("ip -s xfrm state"); },
            [](const ReadLinkCounters&) { return std::string("ip -s link"); },
            [](const TakeSnapshot& w) { return "ip link show " + w.link_prefix + "*"; },
        },
        wish
    );
}

}  // namespace aronet::netlink
