// Links and their addresses (rtnetlink(7)).

#include "netlink/codec.hpp"

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netconf.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>

namespace aronet::netlink {
namespace {

constexpr std::uint8_t kAddrGenNone = 1;  // IN6_ADDR_GEN_MODE_NONE
// A link can be given a group when it is made, but no alias: it is in this one until it has that.
constexpr std::uint32_t kUnfinished = 0x41524f4e;
constexpr std::uint32_t kGoing = 0x41524f47;  // the group of those that are removed together

std::uint8_t af(Family family) { return family == Family::v4 ? AF_INET : AF_INET6; }

struct Kind {
    const char* operator()(const Vrf&) const { return "vrf"; }
    const char* operator()(const Tunnel&) const { return "xfrm"; }
    const char* operator()(const Tun&) const { return "tun"; }
    const char* operator()(const Veth&) const { return "veth"; }
    const char* operator()(const External&) const { return "xfrm"; }
};

void put_kind_data(Builder& out, const Link& link, int peer_namespace_fd) {
    if (const auto* vrf = std::get_if<Vrf>(&link.kind)) {
        out.put_u32(IFLA_VRF_TABLE, vrf->table);
    } else if (const auto* tunnel = std::get_if<Tunnel>(&link.kind)) {
        out.put_u32(IFLA_XFRM_IF_ID, tunnel->if_id);
    } else if (std::holds_alternative<External>(link.kind)) {
        out.put(IFLA_XFRM_COLLECT_METADATA, {});
    } else if (const auto* veth = std::get_if<Veth>(&link.kind)) {
        out.nest(VETH_INFO_PEER, [&] {
            out.embedded<ifinfomsg>();
            out.put_text(IFLA_IFNAME, veth->peer);
            if (peer_namespace_fd >= 0)
                out.put_u32(IFLA_NET_NS_FD, static_cast<std::uint32_t>(peer_namespace_fd));
        });
    }
}

Builder by_name(std::uint16_t type, std::uint16_t flags, const std::string& name) {
    Builder out(type, flags);
    out.header<ifinfomsg>();
    out.put_text(IFLA_IFNAME, name);
    return out;
}

bool read_kind(const Attributes& info, Link& link) {
    const std::string kind = info.text(IFLA_INFO_KIND);
    const Attributes data = info.nested(IFLA_INFO_DATA);
    if (kind == "vrf") {
        link.kind = Vrf{data.u32(IFLA_VRF_TABLE).value_or(0)};
    } else if (kind == "xfrm" && data.find(IFLA_XFRM_COLLECT_METADATA)) {
        link.kind = External{};
    } else if (kind == "xfrm") {
        link.kind = Tunnel{data.u32(IFLA_XFRM_IF_ID).value_or(0)};
    } else if (kind == "tun") {
        link.kind = Tun{};
    } else if (kind == "veth") {
        link.kind = Veth{};
    } else {
        return false;
    }
    return true;
}

Builder address_message(
    std::uint16_t type, std::uint16_t flags, const LinkAddress& address, std::uint32_t index
) {
    Builder out(type, static_cast<std::uint16_t>(flags | NLM_F_ACK));
    auto& header = out.header<ifaddrmsg>();
    header.ifa_family = af(address.address.family());
    header.ifa_prefixlen = static_cast<__u8>(address.prefix_length);
    header.ifa_index = index;
    if (address.address.is_link_local()) header.ifa_scope = RT_SCOPE_LINK;
    out.put(IFA_LOCAL, address.address.bytes());
    out.put(IFA_ADDRESS, address.peer.value_or(address.address).bytes());
    return out;
}

}  // namespace

std::string mark_of(const std::string& link) { return "aronet " + link; }

Bytes get_link(const std::string& name) { return by_name(RTM_GETLINK, NLM_F_ACK, name).take(); }

Bytes create_link(const Link& link, int peer_namespace_fd) {
    Builder out = by_name(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, link.name);
    out.put_u32(IFLA_GROUP, kUnfinished);
    out.nest(IFLA_LINKINFO, [&] {
        out.put_text(IFLA_INFO_KIND, std::visit(Kind(), link.kind));
        out.nest(IFLA_INFO_DATA, [&] { put_kind_data(out, link, peer_namespace_fd); });
    });
    return out.take();
}

Bytes move_link(const std::string& name, int namespace_fd) {
    Builder out = by_name(RTM_NEWLINK, NLM_F_ACK, name);
    out.put_u32(IFLA_NET_NS_FD, static_cast<std::uint32_t>(namespace_fd));
    return out.take();
}

// Without the flags: the kernel would set the link up before it reads how addresses are made.
Bytes set_link_properties(
    const Link& link, std::uint32_t index, std::uint32_t master_index, bool unfinished
) {
    Builder out(RTM_NEWLINK, NLM_F_ACK);
    out.header<ifinfomsg>().ifi_index = static_cast<int>(index);
    out.put_text(IFLA_IFALIAS, mark_of(link.name));
    if (unfinished) out.put_u32(IFLA_GROUP, 0);  // any other is somebody's, whose firewall may go by it
    if (link.mtu != 0) out.put_u32(IFLA_MTU, link.mtu);
    if (master_index != 0) out.put_u32(IFLA_MASTER, master_index);
    return out.take();
}

// By itself: with an MTU below 1280 a link has no IPv6, and everything in one message would be refused.
Bytes set_no_link_local(std::uint32_t index) {
    Builder out(RTM_NEWLINK, NLM_F_ACK);
    out.header<ifinfomsg>().ifi_index = static_cast<int>(index);
    out.nest(IFLA_AF_SPEC, [&] {
        out.nest(AF_INET6, [&] { out.put_u8(IFLA_INET6_ADDR_GEN_MODE, kAddrGenNone); });
    });
    return out.take();
}

Bytes set_link_up(std::uint32_t index, bool multicast) {
    Builder out(RTM_NEWLINK, NLM_F_ACK);
    auto& header = out.header<ifinfomsg>();
    header.ifi_index = static_cast<int>(index);
    header.ifi_flags = IFF_UP | (multicast ? unsigned(IFF_MULTICAST) : 0u);
    header.ifi_change = header.ifi_flags;
    return out.take();
}

Bytes set_link_up_by_name(const std::string& name) {
    Builder out(RTM_NEWLINK, NLM_F_ACK);
    auto& header = out.header<ifinfomsg>();
    header.ifi_flags = IFF_UP;
    header.ifi_change = IFF_UP;
    out.put_text(IFLA_IFNAME, name);
    return out.take();
}

Bytes delete_link(const std::string& name) { return by_name(RTM_DELLINK, NLM_F_ACK, name).take(); }

Bytes delete_links(const std::vector<std::string>& names) {
    Bytes all;
    const auto append = [&](Builder message) {
        const Bytes bytes = message.take();
        all.insert(all.end(), bytes.begin(), bytes.end());
    };
    for (const std::string& name : names) {
        Builder mark = by_name(RTM_NEWLINK, 0, name);
        mark.put_u32(IFLA_GROUP, kGoing);
        append(std::move(mark));
    }
    Builder out(RTM_DELLINK, 0);
    out.header<ifinfomsg>();
    out.put_u32(IFLA_GROUP, kGoing);
    append(std::move(out));
    return all;
}

Bytes add_address(const LinkAddress& address, std::uint32_t index) {
    Builder out = address_message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, address, index);
    if (address.address.is_v6()) out.put_u32(IFA_FLAGS, IFA_F_NODAD);
    out.put_u8(IFA_PROTO, kProtocol);
    return out.take();
}

Bytes remove_address(const LinkAddress& address, std::uint32_t index) {
    return address_message(RTM_DELADDR, 0, address, index).take();
}

std::optional<LinkState> read_link(const nlmsghdr* message) {
    const auto header = fixed_header<ifinfomsg>(message);
    // A bridge tells of its ports in messages of its own, which say little.
    if (!header || header->ifi_index <= 0 || header->ifi_family != AF_UNSPEC) return std::nullopt;
    const Attributes attributes(message, sizeof(ifinfomsg));
    LinkState state;
    state.index = static_cast<std::uint32_t>(header->ifi_index);
    state.up = (header->ifi_flags & IFF_UP) != 0 && (header->ifi_flags & IFF_RUNNING) != 0;
    state.master_index = attributes.u32(IFLA_MASTER).value_or(0);
    state.link.name = attributes.text(IFLA_IFNAME);
    state.link.mtu = attributes.u32(IFLA_MTU).value_or(0);
    state.link.multicast = (header->ifi_flags & IFF_MULTICAST) != 0;
    const Attributes inet6 = attributes.nested(IFLA_AF_SPEC).nested(AF_INET6);
    state.link.keep_link_local = inet6.u8(IFLA_INET6_ADDR_GEN_MODE).value_or(0) != kAddrGenNone;
    state.kind_known = read_kind(attributes.nested(IFLA_LINKINFO), state.link);
    state.kind = attributes.nested(IFLA_LINKINFO).text(IFLA_INFO_KIND);
    state.mark = attributes.text(IFLA_IFALIAS);
    state.unfinished = attributes.u32(IFLA_GROUP) == kUnfinished;
    state.link.up = (header->ifi_flags & IFF_UP) != 0;
    if (state.link.name.empty()) return std::nullopt;
    return state;
}

std::optional<AddressState> read_address(const nlmsghdr* message) {
    const auto header = fixed_header<ifaddrmsg>(message);
    if (!header || (header->ifa_family != AF_INET && header->ifa_family != AF_INET6)) return std::nullopt;
    const std::size_t width = header->ifa_family == AF_INET ? 4 : 16;
    const Attributes attributes(message, sizeof(ifaddrmsg));
    const auto address = attributes.find(IFA_ADDRESS);
    const auto local = attributes.find(IFA_LOCAL);
    const auto own = local ? local : address;
    if (!own || own->size() != width) return std::nullopt;
    AddressState state;
    state.index = header->ifa_index;
    state.address.address = *Address::from_bytes(*own);
    state.address.prefix_length = header->ifa_prefixlen;
    state.address.marked = attributes.u8(IFA_PROTO) == kProtocol;
    const std::uint32_t flags = attributes.u32(IFA_FLAGS).value_or(header->ifa_flags);
    const bool in_doubt = (flags & IFA_F_TENTATIVE) != 0 && (flags & IFA_F_OPTIMISTIC) == 0;
    state.usable = !in_doubt && (flags & IFA_F_DADFAILED) == 0;
    if (address && address->size() == width) {
        const Address other = *Address::from_bytes(*address);
        if (other != state.address.address) state.address.peer = other;
    }
    return state;
}

std::optional<ParameterChange> read_parameter_change(const nlmsghdr* message) {
    if (message->nlmsg_type != RTM_NEWNETCONF || !fixed_header<netconfmsg>(message)) return std::nullopt;
    const Attributes attributes(message, sizeof(netconfmsg));
    const auto index = static_cast<std::int32_t>(attributes.u32(NETCONFA_IFINDEX).value_or(0));
    const bool forwards = attributes.find(NETCONFA_FORWARDING).has_value();
    const bool filters = attributes.find(NETCONFA_RP_FILTER).has_value();
    if (index == NETCONFA_IFINDEX_ALL && forwards != filters) return ParameterChange{0};
    // What all forward each link is told to, too.
    if (index > 0 && filters && !forwards) return ParameterChange{static_cast<std::uint32_t>(index)};
    return std::nullopt;
}

Bytes dump_link_counters() {
    Builder out(RTM_GETSTATS, NLM_F_DUMP);
    out.header<if_stats_msg>().filter_mask = IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_64);
    return std::move(out).take();
}

std::optional<LinkCount> read_link_count(const nlmsghdr* message) {
    const auto header = fixed_header<if_stats_msg>(message);
    if (!header) return std::nullopt;
    const auto bytes = Attributes(message, sizeof(if_stats_msg)).find(IFLA_STATS_LINK_64);
    // Younger kernels append to the structure, the first two fields are those of all.
    struct {
        std::uint64_t received, sent;
    } packets;
    if (!bytes || bytes->size() < sizeof packets) return std::nullopt;
    std::memcpy(&packets, bytes->data(), sizeof packets);
    return LinkCount{header->ifindex, packets.sent, packets.received};
}

}  // namespace aronet::netlink
