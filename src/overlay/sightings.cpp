#include "overlay/sightings.hpp"

#include <algorithm>

namespace aronet::overlay {
namespace {

using babel::Destination;
using base::Prefix;

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
    for (auto it = routes_.begin(); it != routes_.end();) {
        const auto gone =
            std::erase_if(it->second, [&](const auto& entry) { return entry.second.link == notice.name; });
        if (gone > 0) touched_.insert(it->first);
        it = it->second.empty() ? routes_.erase(it) : std::next(it);
    }
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

bool Sightings::see(const netlink::ForeignRoute& notice) {
    const netlink::RouteKey& key = notice.route.key;
    if (key.space != space_) return false;
    const Destination about = destination_of(key);
    const Seen seen{notice.protocol, notice.route.link};
    const auto [it, is_new] = routes_[about].try_emplace(key, seen);
    if (!is_new && it->second == seen) return false;
    it->second = seen;
    touched_.insert(about);
    return true;
}

bool Sightings::see(const netlink::ForeignRouteGone& notice) {
    const Destination about = destination_of(notice.key);
    const auto found = routes_.find(about);
    if (found == routes_.end() || found->second.erase(notice.key) == 0) return false;
    if (found->second.empty()) routes_.erase(found);
    touched_.insert(about);
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
    if (const auto routes = routes_.find(about); routes != routes_.end()) {
        for (const auto& [key, seen] : routes->second)
            consider({.about = about, .interface = seen.link, .protocol = seen.protocol});
    }
    return best == babel::kInfinity ? std::nullopt : std::optional(best);
}

std::set<Destination> Sightings::destinations() const {
    std::set<Destination> all;
    for (const auto& [address, links] : holders_) all.insert(host(address));
    for (const auto& [about, routes] : routes_) all.insert(about);
    return all;
}

std::set<Destination> Sightings::take_touched() { return std::exchange(touched_, {}); }

bool Sightings::wants_routes() const {
    return std::any_of(rules_.begin(), rules_.end(), [](const auto& rule) {
        return !rule.match.local && rule.verdict != babel::kInfinity;
    });
}

}  // namespace aronet::overlay
