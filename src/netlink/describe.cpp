// Changes in the words of `ip` and `sysctl`.

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
            [](const Seg6LocalEndDt46& dt) {
                return " encap seg6local action End.DT46 vrftable " + std::to_string(dt.vrf_table);
            },
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
    words += key_words(route.key) + encap_words(route.encap);
    if (route.via) {
        const bool other_family = route.via->family() != route.key.destination.family();
        words += std::string(" via ") + (other_family ? "inet6 " : "") + route.via->to_string();
    }
    if (!route.link.empty()) words += " dev " + route.link;
    if (route.onlink) words += " onlink";
    if (route.mtu != 0) words += " mtu " + std::to_string(route.mtu);
    if (route.pref_src) words += " src " + route.pref_src->to_string();
    return words + key_tail(route.key);
}

std::string rule_words(const Rule& rule) {
    std::string words = "pref " + std::to_string(rule.priority);
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

}  // namespace

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
            [](const ReadCounters&) { return std::string("ip -s xfrm state"); },
            [](const ReadLinkCounters&) { return std::string("ip -s link"); },
            [](const TakeSnapshot& w) { return "ip link show " + w.link_prefix + "*"; },
        },
        wish
    );
}

}  // namespace aronet::netlink
