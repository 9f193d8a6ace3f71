#include "overlay/sightings.hpp"

#include <algorithm>

namespace aronet::overlay {
namespace {

using babel::Destination;
using base::Prefix;

// The kernel's limit.
std::array<char, 16> short_name(const std::string& link) {
    std::array<char, 16> name{};
    std::copy_n(link.begin(), std::min(link.size(), name.size()), name.begin());
    return name;
}

Destination host(const Address& address) { return Destination::of(Prefix::host(address)); }

}  // namespace

Destination destination_of(const netlink::RouteKey& key) {
    return {key.destination, key.source.value_or(Prefix::any(key.destination.family()))};
}

Sightings::Sightings(netlink::Space space, babel::MetricRules redistribute)
    : space_(space), rules_(std::move(redistribute)) {}

bool Sightings::see(const netlink::LinkUp& notice) {
    if (notice.space != space_) return false;
    LinkSight& link = links_[notice.name];
    const bool news = !std::exchange(link.up, true) || link.mtu != notice.mtu;
    link.mtu = notice.mtu;
    return news;
}

// Its routes carry nothing now, and whether those of IPv4 come back with it the kernel does not say.
bool Sightings::see(const netlink::LinkDown& notice) {
    const auto link = links_.find(notice.name);
    if (notice.space != space_ || link == links_.end() || !std::exchange(link->second.up, false))
        return false;
    if (link->second.addresses.empty()) links_.erase(link);
    std::erase_if(routes_, [&](const auto& route) {
        const bool goes = route.second.link == short_name(notice.name);
        if (goes) touched_.insert(route.first.about);
        return goes;
    });
    return true;
}

bool Sightings::see(const netlink::AddressAppeared& notice) {
    if (notice.space != space_ || notice.link.empty()) return false;
    if (!links_[notice.link].addresses.insert(notice.address).second) return false;
    holders_[notice.address].insert(notice.link);
    touched_.insert(host(notice.address));
    return true;
}

bool Sightings::see(const netlink::AddressVanished& notice) {
    const auto link = links_.find(notice.link);
    if (notice.space != space_ || link == links_.end() || link->second.addresses.erase(notice.address) == 0)
        return false;
    if (link->second.addresses.empty() && !link->second.up) links_.erase(link);
    const auto holders = holders_.find(notice.address);
    holders->second.erase(notice.link);
    if (holders->second.empty()) holders_.erase(holders);
    touched_.insert(host(notice.address));
    return true;
}

Sightings::RouteId Sightings::id_of(const netlink::RouteKey& key) {
    return {destination_of(key), key.table, key.metric};
}

bool Sightings::see(const netlink::ForeignRoute& notice) {
    const netlink::Route& route = notice.route;
    if (route.key.space != space_) return false;
    const RouteId id = id_of(route.key);
    const babel::Metric* metric =
        first_match(rules_, {.about = id.about, .interface = route.link, .protocol = notice.protocol});
    if (metric == nullptr || *metric == babel::kInfinity) return forget(id);
    const Offer offer{short_name(route.link), *metric};
    if (std::exchange(routes_[id], offer) == offer) return false;
    touched_.insert(id.about);
    return true;
}

bool Sightings::see(const netlink::ForeignRouteGone& notice) {
    return notice.key.space == space_ && forget(id_of(notice.key));
}

bool Sightings::forget(const RouteId& id) {
    if (routes_.erase(id) == 0) return false;
    touched_.insert(id.about);
    return true;
}

std::optional<babel::Metric> Sightings::offered(const Destination& about) const {
    if (babel::martian(about.prefix)) return std::nullopt;
    babel::Metric best = babel::kInfinity;
    const auto consider = [&](const babel::Subject& subject) {
        if (const babel::Metric* metric = first_match(rules_, subject)) best = std::min(best, *metric);
    };
    const auto holders = holders_.find(about.prefix.address());
    if (about.prefix.is_host() && !about.source_specific() && holders != holders_.end()) {
        for (const std::string& link : holders->second)
            consider({.about = about, .interface = link, .local = true});
    }
    for (auto it = routes_.lower_bound({about}); it != routes_.end() && it->first.about == about; ++it)
        best = std::min(best, it->second.metric);
    return best == babel::kInfinity ? std::nullopt : std::optional(best);
}

std::set<Destination> Sightings::destinations() const {
    std::set<Destination> all;
    for (const auto& [address, links] : holders_) all.insert(host(address));
    for (const auto& [id, offer] : routes_) all.insert(id.about);
    return all;
}

std::set<Destination> Sightings::take_touched() { return std::exchange(touched_, {}); }

bool Sightings::wants_routes() const {
    return std::any_of(rules_.begin(), rules_.end(), [](const auto& rule) {
        return !rule.match.local && rule.verdict != babel::kInfinity;
    });
}

}  // namespace aronet::overlay
