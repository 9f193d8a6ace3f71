#include "overlay/way_out.hpp"

#include "overlay/desired.hpp"

namespace aronet::overlay {

using netlink::Space;

WayOut::WayOut(const Config& config) : ifname_(config.ifname) {
    for (const Space space : {Space::underlay, overlay_space(config)}) {
        needed_[{space, "net.ipv4.ip_forward"}] = Family::v4;
        needed_[{space, "net.ipv6.conf.all.forwarding"}] = Family::v6;
    }
}

bool WayOut::is_default(const netlink::RouteKey& key) const {
    return key.space == Space::underlay && key.table == netlink::kMainTable && key.destination.is_any() &&
           !key.source;
}

bool WayOut::see(const netlink::ForeignRoute& notice) {
    const netlink::Route& route = notice.route;
    // Through a link of ours a packet would come back.
    if (!is_default(route.key) || is_ours(ifname_, route.link)) return false;
    const Default seen{route.link, route.kind == netlink::RouteKind::unicast};
    if (fresh_) fresh_->insert_or_assign(route.key, seen);
    routes_.insert_or_assign(route.key, seen);
    return true;
}

bool WayOut::see(const netlink::ForeignRouteGone& notice) {
    if (fresh_) fresh_->erase(notice.key);
    return routes_.erase(notice.key) > 0;
}

bool WayOut::see(const netlink::LinkDown& notice) {
    if (notice.space != Space::underlay || up_.erase(notice.name) == 0) return false;
    const auto over_it = [&](const auto& entry) { return entry.second.link == notice.name; };
    if (fresh_) std::erase_if(*fresh_, over_it);
    if (std::erase_if(routes_, over_it) == 0) return false;
    lost_.insert(notice.name);
    return true;
}

bool WayOut::see(const netlink::LinkUp& notice) {
    if (notice.space != Space::underlay || is_ours(ifname_, notice.name)) return false;
    up_.insert(notice.name);
    return lost_.erase(notice.name) > 0;
}

bool WayOut::see(const netlink::SysctlValue& notice) {
    const SysctlName name{notice.space, notice.key};
    if (!needed_.contains(name)) return false;
    const bool on = notice.value != "0";
    const auto [known, is_new] = forwards_.try_emplace(name, on);
    return std::exchange(known->second, on) != on || is_new;
}

void WayOut::looked_again() {
    if (!fresh_) return;
    routes_ = std::move(*fresh_);
    fresh_.reset();
}

std::string WayOut::obstacle(Family family) const {
    for (const auto& [name, of] : needed_) {
        if (of != family) continue;
        const auto known = forwards_.find(name);
        if (known == forwards_.end()) return name.second + " is not known";
        if (!known->second) return name.second + " is 0";
    }
    // In the order of their metrics.
    for (const auto& [key, route] : routes_) {
        if (key.destination.family() != family || !(route.link.empty() || up_.contains(route.link))) continue;
        return route.leads_somewhere ? "" : "the underlay's default route leads nowhere";
    }
    return "the underlay has no default route";
}

}  // namespace aronet::overlay
