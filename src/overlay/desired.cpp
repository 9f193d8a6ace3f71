#include "overlay/desired.hpp"

#include "overlay/host_side.hpp"
#include "overlay/parse.hpp"

#include <algorithm>
#include <set>

namespace aronet::overlay {
namespace {

using netlink::Link;
using netlink::Route;
using netlink::RouteKind;
using netlink::Space;

constexpr std::uint32_t kDefaultMetricV6 = 1024;  // the kernel's, spelt out so that a snapshot compares equal
constexpr std::uint64_t kMain = 1, kPeer = 2;     // in the reserved range
constexpr std::uint64_t kEnd = 0xa, kEndV4 = 0xb, kEndV6 = 0xc;  // SIDs, also in there
const Address kV4OfNamespace = *Address::parse("192.168.168.168");

// The two ends of the main interface: in the reserved range, or link-local where there is no network.
Address main_address(const Config& config, std::uint64_t host) {
    const Address base =
        config.network ? reserved_range(*config.network).address() : *Address::parse("fe80::");
    return base.plus(host);
}

Route device_route(Space space, std::uint32_t table, const Prefix& destination, const std::string& link) {
    Route route;
    route.key = {space, table, destination, std::nullopt, 0};
    if (destination.family() == Family::v6) route.key.metric = kDefaultMetricV6;
    route.link = link;
    return route;
}

// Whatever comes out of its encapsulation goes where the overlay's routes say: those of the VRF, and of the
// rules behind it, or those of the namespace, where a next hop that is unspecified stands for the
// destination.
void add_sids(const Config& config, bool strict, Objects& out) {
    if (!config.network || config.mode == Mode::none) return;
    const auto sid = [&](std::uint64_t host, netlink::Encap encap) {
        const Prefix prefix = Prefix::host(main_address(config, host));
        Route route = device_route(overlay_space(config), overlay_table(config), prefix, config.ifname);
        route.encap = std::move(encap);
        out.routes.push_back(route);
    };
    sid(kEnd, netlink::Seg6LocalEnd{});
    if (config.mode == Mode::vrf && strict) {
        for (const std::uint64_t host : {kEndV4, kEndV6})
            sid(host, netlink::Seg6LocalEndDt46{config.route_table});
    } else {
        sid(kEndV4, netlink::Seg6LocalEndDx4{});
        sid(kEndV6, netlink::Seg6LocalEndDx6{});
    }
}

const std::string& main_link(const Config& config) {
    static const std::string loopback = kLoopback;
    return config.mode == Mode::none ? loopback : config.ifname;
}

void add_extra_addresses(const Config& config, Objects& out) {
    for (const auto& [address, length] : config.extra_ip) {
        out.addresses.push_back({Space::underlay, main_link(config), address, length, std::nullopt});
    }
}

void add_main_addresses(const Config& config, Objects& out) {
    const std::string& link = main_link(config);
    if (config.network)
        out.addresses.push_back({Space::underlay, link, main_address(config, kMain), 128, std::nullopt});
    add_extra_addresses(config, out);
}

void add_vrf(const Config& config, Objects& out) {
    Link vrf;
    vrf.name = config.ifname;
    vrf.kind = netlink::Vrf{config.route_table};
    out.links.push_back(vrf);
    add_main_addresses(config, out);
}

// Out of the overlay to where the host is: over the veth, or to the rules behind that of the VRF.
void add_way_out(const Config& config, const babel::Destination& about, Objects& out) {
    Route route = device_route(overlay_space(config), overlay_table(config), about.prefix, "");
    route.key.metric = kWayOutMetric;
    if (about.source_specific()) route.key.source = about.source;
    if (config.mode == Mode::netns) {
        route.link = config.ifname;
        route.via = main_address(config, kMain);
    } else {
        route.kind = RouteKind::skip;
    }
    out.routes.push_back(route);
}

// In the table that the host looks at before its own: whatever wider prefix of others is in there.
void add_own_networks(const Config& config, Objects& out) {
    if (!has_host_table(config)) return;
    std::set<Prefix> own(config.prefixes.begin(), config.prefixes.end());
    if (config.network) own.insert(*config.network);
    for (const Prefix& prefix : own) {
        Route route = device_route(Space::underlay, config.host_table, prefix, "");
        route.key.metric = kWayOutMetric;
        route.kind = RouteKind::skip;
        out.routes.push_back(route);
    }
}

// What is this node's own goes there whatever wider prefix, or default route, the others announce; so does
// what leaves by an exit.
void add_ways_out(const Config& config, Objects& out) {
    if (config.mode == Mode::none) return;
    std::set<babel::Destination> all;
    if (config.network) all.insert(babel::Destination::of(*config.network));
    for (const Prefix& prefix : config.prefixes) all.insert(babel::Destination::of(prefix));
    for (const Exit& exit : config.exits) {
        // Into the namespace a default route comes with the veth.
        if (config.mode == Mode::vrf || exit.about.source_specific()) all.insert(exit.about);
    }
    for (const babel::Destination& about : all) add_way_out(config, about, out);
}

void add_veth(const Config& config, Objects& out) {
    Link veth;
    veth.name = config.ifname;
    veth.kind = netlink::Veth{config.ifname, Space::overlay};
    out.links.push_back(veth);
    const Address outside = main_address(config, kMain), inside = main_address(config, kPeer);
    out.addresses.push_back({Space::underlay, config.ifname, outside, 128, inside});
    out.addresses.push_back({Space::overlay, config.ifname, inside, 128, outside});
    out.addresses.push_back({Space::overlay, config.ifname, kV4OfNamespace, 32, std::nullopt});
    add_extra_addresses(config, out);
    // The way to the other end has to be there before anything goes through it.
    out.routes.push_back(
        device_route(Space::underlay, netlink::kMainTable, Prefix::host(inside), config.ifname)
    );
    out.routes.push_back(
        device_route(Space::overlay, netlink::kMainTable, Prefix::host(outside), config.ifname)
    );
    for (const Family family : {Family::v6, Family::v4})
        add_way_out(config, babel::Destination::of(Prefix::any(family)), out);
}

bool is_own(const Config& config, const RegistryNode& node) {
    return node.organization == config.organization && node.common_name == config.common_name;
}

void add_guard(Space space, std::uint32_t table, const Prefix& prefix, Objects& out) {
    Route guard = device_route(space, table, prefix, "");
    guard.kind = RouteKind::unreachable;
    guard.key.metric = kGuardMetric;
    out.routes.push_back(guard);
}

Address sid_of(const Prefix& network, std::uint64_t host) {
    return reserved_range(network).address().plus(host);
}

// Where a packet for the prefix comes out again at its node; nodes without a network have no SIDs.
std::optional<Address> last_segment(const RegistryNode& node, const Prefix& prefix) {
    if (!node.network) return std::nullopt;
    return sid_of(*node.network, prefix.family() == Family::v4 ? kEndV4 : kEndV6);
}

// The node that has the longest prefix that holds this one.
const RegistryNode* holder_of(const Config& config, const Registry& registry, const Prefix& prefix) {
    const RegistryNode* holder = nullptr;
    unsigned longest = 0;
    const auto look = [&](const RegistryNode& node, const Prefix& at) {
        if (!at.contains(prefix) || (holder != nullptr && at.length() <= longest)) return;
        holder = &node;
        longest = at.length();
    };
    for (const RegistryNode& node : registry.nodes) {
        if (is_own(config, node)) continue;
        if (node.network) look(node, *node.network);
        for (const Prefix& each : node.prefixes) look(node, each);
    }
    return holder;
}

std::optional<Address> end_of(const Registry& registry, const std::variant<NodeName, Address>& segment) {
    if (const auto* sid = std::get_if<Address>(&segment)) return *sid;
    const auto& name = std::get<NodeName>(segment);
    for (const RegistryNode& node : registry.nodes) {
        const bool is_it = node.organization == name.organization && node.common_name == name.common_name;
        if (is_it && node.network) return sid_of(*node.network, kEnd);
    }
    return std::nullopt;
}

Route plainly(const Config& config, const Prefix& prefix) {
    Route route = device_route(Space::underlay, config.host_table, prefix, config.ifname);
    if (config.mode == Mode::netns) route.via = main_address(config, kPeer);
    return route;
}

// The packet that carries another has to fit into a tunnel. What its header takes the kernel counts itself,
// but tells nobody whose packet it forwards into it. So IPv4 goes into the overlay by a plain route that
// knows what fits, and is carried behind it; before it the host's firewall sees what it is. IPv6 has to be
// carried before: in the overlay its segments would match the prefix again.
void add_carried(
    const Config& config, const Prefix& destination, std::vector<Address> segments, Objects& out
) {
    const std::uint32_t room = config.mtu - headroom(segments.size());
    Route carried = device_route(Space::underlay, config.host_table, destination, config.ifname);
    if (destination.family() == Family::v4) {
        Route before = plainly(config, destination);
        before.mtu = room;
        out.routes.push_back(before);
        carried = device_route(overlay_space(config), overlay_table(config), destination, config.ifname);
        carried.key.metric = kCarriedMetric;
    }
    carried.mtu = config.mtu;
    carried.encap = netlink::Seg6Encap{std::move(segments)};
    out.routes.push_back(carried);
}

// What carries is not carried: no list for a prefix that holds the segment may take it.
void add_carrier(const Config& config, const Address& sid, Objects& out) {
    const bool is_held = std::ranges::any_of(config.segments, [&](const SegmentList& list) {
        return list.prefix.contains(sid);
    });
    if (is_held) out.routes.push_back(plainly(config, Prefix::host(sid)));
}

// `only`: who has it; null where several have, of whom Babel chooses.
void add_way_in(const Config& config, const RegistryNode* only, const Prefix& prefix, Objects& out) {
    const auto last = only == nullptr ? std::nullopt : last_segment(*only, prefix);
    const bool in_ipv6 = prefix.family() == Family::v4 && config.ipv4_transport == Ipv4Transport::srv6;
    if (!in_ipv6 || !last) {
        out.routes.push_back(plainly(config, prefix));
        return;
    }
    add_carrier(config, *last, out);
    add_carried(config, prefix, {*last}, out);
}

// The way that a list asks for, with its end. None while the registry lacks a node that is to be passed, or
// that has the prefix; nor where it would be taken by what is on it.
std::optional<std::vector<Address>> way_of(
    const Config& config, const Registry& registry, const SegmentList& list
) {
    const RegistryNode* holder = holder_of(config, registry, list.prefix);
    const auto last = holder != nullptr ? last_segment(*holder, list.prefix) : std::nullopt;
    std::vector<Address> segments;
    for (const auto& each : list.via) {
        const auto end = end_of(registry, each);
        // What is nobody's would leave by the host's default route, as it is.
        if (end && holder_of(config, registry, Prefix::host(*end)) != nullptr) segments.push_back(*end);
    }
    if (!last || segments.size() != list.via.size()) return std::nullopt;
    segments.push_back(*last);
    const bool is_on_it =
        std::ranges::any_of(segments, [&](const Address& sid) { return Prefix::host(sid) == list.prefix; });
    return is_on_it ? std::nullopt : std::optional(std::move(segments));
}

// Prefixes with a way of their own. Without one the way is that which Babel finds.
std::set<Prefix> add_segment_lists(const Config& config, const Registry& registry, Objects& out) {
    std::set<Prefix> seen;
    if (config.mode == Mode::none) return seen;
    for (const SegmentList& list : config.segments) {
        auto segments = way_of(config, registry, list);
        if (!segments) continue;
        for (const Address& sid : *segments) add_carrier(config, sid, out);
        add_carried(config, list.prefix, std::move(*segments), out);
        seen.insert(list.prefix);
    }
    return seen;
}

// Towards the overlay for everything of the other nodes, and an end inside it for what Babel knows no way to;
// an end before it, too, for when there is no main interface: behind it are the host's default routes.
void add_destination(
    const Config& config, const RegistryNode* only, const Prefix& prefix, bool has_way, Objects& out
) {
    if (config.mode != Mode::none && !has_way) add_way_in(config, only, prefix, out);
    if (has_host_table(config)) add_guard(Space::underlay, config.host_table, prefix, out);
    add_guard(overlay_space(config), overlay_table(config), prefix, out);
}

// The host looks there before its own table. The tunnels' own packets do not, so that they never enter the
// overlay, not even where its prefixes hold the address of a peer.
void add_host_rules(const Config& config, Objects& out) {
    if (!has_host_table(config)) return;
    for (const Family family : {Family::v6, Family::v4}) {
        netlink::Rule rule;
        rule.family = family;
        rule.priority = kHostRule;
        rule.table = config.host_table;
        if (config.fwmark != 0) {
            rule.mark = config.fwmark;
            rule.unless_fits = true;
        }
        out.rules.push_back(rule);
    }
}

void add_destinations(const Config& config, const Registry& registry, Objects& out) {
    const std::set<Prefix> steered = add_segment_lists(config, registry, out);
    std::map<Prefix, const RegistryNode*> holders;  // null: several
    for (const RegistryNode& node : registry.nodes) {
        if (is_own(config, node)) continue;
        std::set<Prefix> prefixes(node.prefixes.begin(), node.prefixes.end());
        if (node.network) prefixes.insert(*node.network);
        for (const Prefix& prefix : prefixes) {
            const auto [holder, is_first] = holders.emplace(prefix, &node);
            if (!is_first) holder->second = nullptr;
        }
    }
    // What is ours stays here, anycast too.
    for (const Prefix& prefix : config.prefixes) holders.erase(prefix);
    if (config.network) holders.erase(*config.network);
    for (const auto& [prefix, only] : holders)
        add_destination(config, only, prefix, steered.contains(prefix), out);
}

Link tunnel_link(const Config& config, const std::string& name) {
    Link link;
    link.space = overlay_space(config);
    link.name = name;
    link.mtu = config.mtu;
    link.keep_link_local = false;
    if (config.mode == Mode::vrf) link.master = config.ifname;
    return link;
}

// With an address for each endpoint that has tunnels.
void add_shared_link(const Config& config, const std::vector<Pairing>& pairings, Objects& out) {
    Link link = tunnel_link(config, shared_link(config));
    link.kind = netlink::External{};
    std::set<Address> own;
    for (const Pairing& pairing : pairings) own.insert(pairing.on_shared.own);
    for (const Address& address : own)
        out.addresses.push_back({link.space, link.name, address, 128, std::nullopt});
    out.links.push_back(std::move(link));
}

void add_tunnel(const Config& config, const Pairing& pairing, Objects& out) {
    Link link = tunnel_link(config, pairing.interface);
    link.kind = netlink::Tunnel{pairing.if_id};
    link.multicast = true;
    out.links.push_back(link);
    out.addresses.push_back({link.space, link.name, pairing.link_local, 64, std::nullopt});
}

// Which tunnel a packet for the peer takes, its address says.
void add_shared_tunnel(const Config& config, const Pairing& pairing, Objects& out) {
    const std::string link = shared_link(config);
    const std::uint32_t table = config.mode == Mode::none ? netlink::kMainTable : overlay_table(config);
    Route route = device_route(overlay_space(config), table, Prefix::host(pairing.on_shared.peer), link);
    route.encap = netlink::XfrmEncap{pairing.if_id};
    route.pref_src = pairing.on_shared.own;  // also of the kernel's own words: the peer lets in no other
    out.routes.push_back(std::move(route));
}

void add_pairing(const Config& config, const Pairing& pairing, Objects& out) {
    if (pairing.carrier == Carrier::own) add_tunnel(config, pairing, out);
    if (pairing.carrier == Carrier::shared) add_shared_tunnel(config, pairing, out);
}

// A dot in a name is no separator.
std::string in_sysctls(std::string link) {
    std::replace(link.begin(), link.end(), '.', '/');
    return link;
}

}  // namespace

Space overlay_space(const Config& config) {
    return config.mode == Mode::netns ? Space::overlay : Space::underlay;
}

std::uint32_t overlay_table(const Config& config) {
    return config.mode == Mode::netns ? netlink::kMainTable : config.route_table;
}

bool has_host_table(const Config& config) {
    return config.mode != Mode::none && config.host_table != netlink::kMainTable;
}

std::vector<Prefix> lists_out_of_force(const Config& config, const Registry& registry) {
    std::vector<Prefix> found;
    for (const SegmentList& list : config.segments) {
        if (config.mode == Mode::none || !way_of(config, registry, list)) found.push_back(list.prefix);
    }
    return found;
}

Objects desired(
    const Config& config, const Registry& registry, const std::vector<Pairing>& pairings, bool strict
) {
    Objects out;
    if (config.mode == Mode::vrf) add_vrf(config, out);
    if (config.mode == Mode::netns) add_veth(config, out);
    if (config.mode == Mode::none) add_main_addresses(config, out);
    add_sids(config, strict, out);
    add_ways_out(config, out);
    add_own_networks(config, out);
    add_destinations(config, registry, out);
    add_host_rules(config, out);
    if (config.links == Links::shared) add_shared_link(config, pairings, out);
    for (const Pairing& pairing : pairings) add_pairing(config, pairing, out);
    return out;
}

// No hexadecimal number, as the others have.
std::string shared_link(const Config& config) { return config.ifname + "-x"; }

Objects objects_of(const Config& config, const Pairing& pairing) {
    Objects out;
    add_pairing(config, pairing, out);
    return out;
}

std::optional<netlink::ClampSegments> clamp(const Config& config) {
    constexpr std::uint32_t kTcp = 20, kIpv4 = 20, kIpv6 = 40;
    if (!config.clamp_mss || config.mode == Mode::none) return std::nullopt;
    std::uint32_t around4 = config.ipv4_transport == Ipv4Transport::srv6 ? headroom(1) : 0, around6 = 0;
    for (const SegmentList& list : config.segments) {
        std::uint32_t& around = list.prefix.family() == Family::v4 ? around4 : around6;
        around = std::max(around, headroom(list.via.size() + 1));
    }
    const auto left = [&](std::uint32_t around) {
        return static_cast<std::uint16_t>(config.mtu - kTcp - around);
    };
    return netlink::ClampSegments{
        "aronet_" + config.ifname, config.ifname, left(kIpv4 + around4), left(kIpv6 + around6)};
}

std::vector<Sysctl> sysctls(const Config& config) {
    const Space space = overlay_space(config);
    std::vector<Sysctl> out{
        {Space::underlay, "net.ipv4.ip_forward", "1"},
        {Space::underlay, "net.ipv6.conf.all.forwarding", "1"},
        {space, "net.ipv4.conf.all.rp_filter", "0"},
    };
    if (config.mode == Mode::none) return out;
    out.push_back({space, "net.ipv6.conf.all.seg6_enabled", "1"});
    if (config.mode == Mode::vrf) {
        out.push_back({space, "net.ipv4.tcp_l3mdev_accept", "1"});
        out.push_back({space, "net.ipv4.udp_l3mdev_accept", "1"});
        out.push_back({space, kStrictVrf, "1"});
    } else {
        out.push_back({space, "net.ipv4.ip_forward", "1"});
        out.push_back({space, "net.ipv6.conf.all.forwarding", "1"});
        // Errors come from other namespaces, whose only address of IPv4 is this one's, too.
        out.push_back({space, "net.ipv4.conf.all.accept_local", "1"});
    }
    return out;
}

std::vector<Sysctl> link_sysctls(const Config& config, const std::string& link) {
    std::vector<Sysctl> out{rp_filter_of(config, link)};
    // Who is a router is for Babel to say: where hosts believe advertisements though they forward, a member
    // could take their default route past every filter.
    if (link != config.ifname)
        out.push_back({overlay_space(config), "net.ipv6.conf." + in_sysctls(link) + ".accept_ra", "0"});
    if (config.mode != Mode::none)
        out.push_back({overlay_space(config), "net.ipv6.conf." + in_sysctls(link) + ".seg6_enabled", "1"});
    return out;
}

std::string link_in(const std::string& sysctl) {
    for (const std::string_view begin : {"net.ipv4.conf.", "net.ipv6.conf."}) {
        if (!sysctl.starts_with(begin)) continue;
        std::string link = sysctl.substr(begin.size(), sysctl.rfind('.') - begin.size());
        std::replace(link.begin(), link.end(), '/', '.');
        return link == "all" || link == "default" ? "" : link;
    }
    return "";
}

Sysctl rp_filter_of(const Config& config, const std::string& link) {
    return {overlay_space(config), "net.ipv4.conf." + in_sysctls(link) + ".rp_filter", "0"};
}

}  // namespace aronet::overlay
