#include "netlink/task.hpp"

#include <linux/rtnetlink.h>
#include <linux/xfrm.h>

#include <array>

namespace aronet::netlink {
namespace {

constexpr std::array<int, 9> kRouteGroups{
    RTNLGRP_LINK,
    RTNLGRP_IPV4_IFADDR,
    RTNLGRP_IPV6_IFADDR,
    RTNLGRP_IPV4_ROUTE,
    RTNLGRP_IPV6_ROUTE,
    RTNLGRP_IPV4_RULE,
    RTNLGRP_IPV6_RULE,
    RTNLGRP_IPV4_NETCONF,
    RTNLGRP_IPV6_NETCONF};
constexpr std::array<int, 2> kXfrmGroups{XFRMNLGRP_EXPIRE, XFRMNLGRP_MAPPING};
constexpr std::array<int, 2> kXfrmNoticeGroups{XFRMNLGRP_SA, XFRMNLGRP_POLICY};

}  // namespace

Space space_of(Channel channel) {
    return channel == Channel::overlay_route ? Space::overlay : Space::underlay;
}

Channel route_channel(Space space) {
    return space == Space::overlay ? Channel::overlay_route : Channel::underlay_route;
}

std::span<const int> groups(Channel channel) {
    if (channel == Channel::xfrm) return kXfrmGroups;
    if (channel == Channel::xfrm_notices) return kXfrmNoticeGroups;
    return kRouteGroups;
}

}  // namespace aronet::netlink
