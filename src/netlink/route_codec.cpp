// Routes with their encapsulations, and rules (rtnetlink(7), linux/seg6_local.h, linux/fib_rules.h).

#include "netlink/codec.hpp"

#include <linux/fib_rules.h>
#include <linux/lwtunnel.h>
#include <linux/rtnetlink.h>
#include <linux/seg6.h>
#include <linux/seg6_iptunnel.h>
#include <linux/seg6_local.h>

#include <algorithm>

namespace aronet::netlink {
namespace {

std::uint8_t af(Family family) { return family == Family::v4 ? AF_INET : AF_INET6; }

// RFC 8754 2: the segment list is written last segment first.
Bytes segment_routing_header(const Seg6Encap& encap) {
    Bytes bytes;
    base::Writer out(bytes);
    const auto count = static_cast<std::uint8_t>(encap.segments.size());
    out.u8(0);                                     // next header, filled in by the kernel
    out.u8(static_cast<std::uint8_t>(2 * count));  // length in units of eight octets behind the first
    out.u8(4);                                     // routing type
    out.u8(static_cast<std::uint8_t>(count - 1));  // segments left
    out.u8(static_cast<std::uint8_t>(count - 1));  // last entry
    out.u8(0);
    out.u16(0);
    for (auto segment = encap.segments.rbegin(); segment != encap.segments.rend(); ++segment) {
        out.put(segment->bytes());
    }
    return bytes;
}

struct PutEncap {
    Builder& out;

    void operator()(std::monostate) const {}
    void operator()(const Seg6LocalEnd&) const {
        local([&] { out.put_u32(SEG6_LOCAL_ACTION, SEG6_LOCAL_ACTION_END); });
    }
    void operator()(const Seg6LocalEndDx4& encap) const {
        local([&] {
            out.put_u32(SEG6_LOCAL_ACTION, SEG6_LOCAL_ACTION_END_DX4);
            out.put(SEG6_LOCAL_NH4, encap.next_hop.bytes());
        });
    }
    void operator()(const Seg6LocalEndDx6& encap) const {
        local([&] {
            out.put_u32(SEG6_LOCAL_ACTION, SEG6_LOCAL_ACTION_END_DX6);
            out.put(SEG6_LOCAL_NH6, encap.next_hop.bytes());
        });
    }
    void operator()(const Seg6LocalEndDt46& encap) const {
        local([&] {
            out.put_u32(SEG6_LOCAL_ACTION, SEG6_LOCAL_ACTION_END_DT46);
            out.put_u32(SEG6_LOCAL_VRFTABLE, encap.vrf_table);
        });
    }
    void operator()(const Seg6Encap& encap) const {
        const std::int32_t mode = encap.reduced ? SEG6_IPTUN_MODE_ENCAP_RED : SEG6_IPTUN_MODE_ENCAP;
        Bytes value(sizeof mode);
        std::memcpy(value.data(), &mode, sizeof mode);
        const Bytes header = segment_routing_header(encap);
        value.insert(value.end(), header.begin(), header.end());
        out.nest(RTA_ENCAP, [&] { out.put(SEG6_IPTUNNEL_SRH, value); });
        out.put_u16(RTA_ENCAP_TYPE, LWTUNNEL_ENCAP_SEG6);
    }
    void operator()(const XfrmEncap& encap) const {
        out.nest(RTA_ENCAP, [&] { out.put_u32(LWT_XFRM_IF_ID, encap.if_id); });
        out.put_u16(RTA_ENCAP_TYPE, LWTUNNEL_ENCAP_XFRM);
    }
    void local(const std::function<void()>& inside) const {
        out.nest(RTA_ENCAP, inside);
        out.put_u16(RTA_ENCAP_TYPE, LWTUNNEL_ENCAP_SEG6_LOCAL);
    }
};

void put_via(Builder& out, const Address& via, Family destination) {
    if (via.family() == destination) return out.put(RTA_GATEWAY, via.bytes());
    Bytes value(2);  // RTA_VIA: the family in host order, then the address
    const std::uint16_t family = af(via.family());
    std::memcpy(value.data(), &family, sizeof family);
    value.insert(value.end(), via.bytes().begin(), via.bytes().end());
    out.put(RTA_VIA, value);
}

rtmsg& route_header(Builder& out, const RouteKey& key) {
    auto& header = out.header<rtmsg>();
    header.rtm_family = af(key.destination.family());
    header.rtm_dst_len = static_cast<unsigned char>(key.destination.length());
    header.rtm_src_len = static_cast<unsigned char>(key.source ? key.source->length() : 0);
    header.rtm_table = static_cast<unsigned char>(key.table < 256 ? key.table : RT_TABLE_UNSPEC);
    header.rtm_protocol = kProtocol;
    return header;
}

void put_key(Builder& out, const RouteKey& key) {
    if (key.destination.length() > 0) out.put(RTA_DST, key.destination.address().bytes());
    if (key.source && key.source->length() > 0) out.put(RTA_SRC, key.source->address().bytes());
    out.put_u32(RTA_TABLE, key.table);
    if (key.metric != 0) out.put_u32(RTA_PRIORITY, key.metric);
}

unsigned char type_of(RouteKind kind) {
    switch (kind) {
        case RouteKind::unicast:
            return RTN_UNICAST;
        case RouteKind::unreachable:
            return RTN_UNREACHABLE;
        case RouteKind::blackhole:
            return RTN_BLACKHOLE;
        case RouteKind::skip:
            return RTN_THROW;
    }
    return RTN_UNSPEC;
}

RouteKind kind_of(unsigned char type) {
    switch (type) {
        case RTN_UNREACHABLE:
        case RTN_PROHIBIT:
            return RouteKind::unreachable;
        case RTN_BLACKHOLE:
            return RouteKind::blackhole;
        case RTN_THROW:
            return RouteKind::skip;
        default:
            return RouteKind::unicast;
    }
}

std::optional<Prefix> read_prefix(
    const Attributes& attributes, std::uint16_t type, std::uint8_t family, unsigned length
) {
    const Family of = family == AF_INET ? Family::v4 : Family::v6;
    const auto bytes = attributes.find(type);
    if (!bytes) return length == 0 ? std::optional(Prefix::any(of)) : std::nullopt;
    const auto address = Address::from_bytes(*bytes);
    if (!address || address->family() != of || length > base::bits(of)) return std::nullopt;
    return Prefix(*address, length);
}

std::optional<Address> read_via(const Attributes& attributes) {
    if (const auto gateway = attributes.find(RTA_GATEWAY)) return Address::from_bytes(*gateway);
    if (const auto via = attributes.find(RTA_VIA); via && via->size() > 2)
        return Address::from_bytes(via->subspan(2));
    return std::nullopt;
}

Encap read_encap(const Attributes& attributes) {
    const Attributes encap = attributes.nested(RTA_ENCAP);
    const auto type = attributes.u16(RTA_ENCAP_TYPE).value_or(0);
    if (type == LWTUNNEL_ENCAP_SEG6_LOCAL) {
        const auto action = encap.u32(SEG6_LOCAL_ACTION).value_or(0);
        if (action == SEG6_LOCAL_ACTION_END) return Seg6LocalEnd{};
        if (action == SEG6_LOCAL_ACTION_END_DT46)
            return Seg6LocalEndDt46{encap.u32(SEG6_LOCAL_VRFTABLE).value_or(0)};
        const bool is_dx4 = action == SEG6_LOCAL_ACTION_END_DX4, is_dx6 = action == SEG6_LOCAL_ACTION_END_DX6;
        const auto next_hop =
            Address::from_bytes(encap.find(is_dx4 ? SEG6_LOCAL_NH4 : SEG6_LOCAL_NH6).value_or(ByteView()));
        if (is_dx4 && next_hop) return Seg6LocalEndDx4{*next_hop};
        if (is_dx6 && next_hop) return Seg6LocalEndDx6{*next_hop};
    }
    if (type == LWTUNNEL_ENCAP_XFRM) return XfrmEncap{encap.u32(LWT_XFRM_IF_ID).value_or(0)};
    if (type != LWTUNNEL_ENCAP_SEG6) return std::monostate();
    base::Reader in(encap.find(SEG6_IPTUNNEL_SRH).value_or(ByteView()));
    std::int32_t mode = 0;
    if (const ByteView bytes = in.take(sizeof mode); !in.failed())
        std::memcpy(&mode, bytes.data(), sizeof mode);
    in.skip(8);
    Seg6Encap found{{}, mode == SEG6_IPTUN_MODE_ENCAP_RED};
    while (in.left() >= 16) found.segments.insert(found.segments.begin(), *Address::from_bytes(in.take(16)));
    return found;
}

Builder rule_message(std::uint16_t type, std::uint16_t flags, const Rule& rule) {
    Builder out(type, static_cast<std::uint16_t>(flags | NLM_F_ACK));
    auto& header = out.header<fib_rule_hdr>();
    header.family = af(rule.family);
    header.dst_len = static_cast<__u8>(rule.to ? rule.to->length() : 0);
    header.src_len = static_cast<__u8>(rule.from ? rule.from->length() : 0);
    header.table = static_cast<__u8>(rule.table < 256 ? rule.table : RT_TABLE_UNSPEC);
    header.action = rule.table != 0 ? FR_ACT_TO_TBL : FR_ACT_UNREACHABLE;
    header.flags = rule.unless_fits ? FIB_RULE_INVERT : 0;
    if (rule.to) out.put(FRA_DST, rule.to->address().bytes());
    if (rule.from) out.put(FRA_SRC, rule.from->address().bytes());
    out.put_u32(FRA_PRIORITY, rule.priority);
    if (rule.mark) out.put_u32(FRA_FWMARK, *rule.mark);
    if (rule.table != 0) out.put_u32(FRA_TABLE, rule.table);
    out.put_u8(FRA_PROTOCOL, kProtocol);
    return out;
}

}  // namespace

Bytes add_route(const Route& route, std::uint32_t index) {
    Builder out(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE);
    auto& header = route_header(out, route.key);
    header.rtm_type = type_of(route.kind);
    const bool on_link =
        route.kind == RouteKind::unicast && !route.via && route.key.destination.family() == Family::v4;
    header.rtm_scope = on_link ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
    header.rtm_flags = route.onlink ? unsigned(RTNH_F_ONLINK) : 0u;
    put_key(out, route.key);
    if (index != 0) out.put_u32(RTA_OIF, index);
    if (route.via) put_via(out, *route.via, route.key.destination.family());
    if (route.pref_src) out.put(RTA_PREFSRC, route.pref_src->bytes());
    if (route.mtu != 0) out.nest(RTA_METRICS, [&] { out.put_u32(RTAX_MTU, route.mtu); });
    std::visit(PutEncap{out}, route.encap);
    return out.take();
}

Bytes remove_route(const RouteKey& key) {
    Builder out(RTM_DELROUTE, NLM_F_ACK);
    route_header(out, key).rtm_scope = RT_SCOPE_NOWHERE;
    put_key(out, key);
    return out.take();
}

Bytes add_rule(const Rule& rule) { return rule_message(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, rule).take(); }

Bytes remove_rule(const Rule& rule) { return rule_message(RTM_DELRULE, 0, rule).take(); }

std::optional<RouteState> read_route(const nlmsghdr* message) {
    const auto header = fixed_header<rtmsg>(message);
    if (!header || (header->rtm_family != AF_INET && header->rtm_family != AF_INET6)) return std::nullopt;
    const Attributes attributes(message, sizeof(rtmsg));
    const auto destination = read_prefix(attributes, RTA_DST, header->rtm_family, header->rtm_dst_len);
    if (!destination) return std::nullopt;
    RouteState state;
    state.protocol = header->rtm_protocol;
    state.index = attributes.u32(RTA_OIF).value_or(0);
    Route& route = state.route;
    route.key.table = attributes.u32(RTA_TABLE).value_or(header->rtm_table);
    route.key.destination = *destination;
    route.key.metric = attributes.u32(RTA_PRIORITY).value_or(0);
    if (header->rtm_src_len > 0) {
        route.key.source = read_prefix(attributes, RTA_SRC, header->rtm_family, header->rtm_src_len);
        if (!route.key.source) return std::nullopt;
    }
    route.kind = kind_of(header->rtm_type);
    const auto type = header->rtm_type;
    state.leads_somewhere =
        (header->rtm_flags & RTM_F_CLONED) == 0 &&
        (type == RTN_UNICAST || type == RTN_UNREACHABLE || type == RTN_BLACKHOLE || type == RTN_PROHIBIT);
    route.via = read_via(attributes);
    route.onlink = (header->rtm_flags & RTNH_F_ONLINK) != 0;
    route.mtu = attributes.nested(RTA_METRICS).u32(RTAX_MTU).value_or(0);
    if (const auto source = attributes.find(RTA_PREFSRC)) route.pref_src = Address::from_bytes(*source);
    route.encap = read_encap(attributes);
    return state;
}

std::optional<RuleState> read_rule(const nlmsghdr* message) {
    const auto header = fixed_header<fib_rule_hdr>(message);
    if (!header || (header->family != AF_INET && header->family != AF_INET6)) return std::nullopt;
    const Attributes attributes(message, sizeof(fib_rule_hdr));
    RuleState state;
    state.protocol = attributes.u8(FRA_PROTOCOL).value_or(0);
    Rule& rule = state.rule;
    rule.family = header->family == AF_INET ? Family::v4 : Family::v6;
    rule.priority = attributes.u32(FRA_PRIORITY).value_or(0);
    if (header->dst_len > 0) rule.to = read_prefix(attributes, FRA_DST, header->family, header->dst_len);
    if (header->src_len > 0) rule.from = read_prefix(attributes, FRA_SRC, header->family, header->src_len);
    rule.mark = attributes.u32(FRA_FWMARK);
    rule.table = header->action == FR_ACT_TO_TBL ? attributes.u32(FRA_TABLE).value_or(header->table) : 0;
    rule.unless_fits = (header->flags & FIB_RULE_INVERT) != 0;
    return state;
}

}  // namespace aronet::netlink
