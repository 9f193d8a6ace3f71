#include "overlay/sightings.hpp"

#include <algorithm>

namespace aronet::overlay {
namespace {

using babel::Destination;

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
    const auto number = numbers_.extract(notice.name);
    for (auto& [source, routes] : routes_) {
        routes.erase_if([&](const Route& route) {
            const bool goes = number && route.link == number.mapped();
            if (goes) touched_.insert({route.destination, source});
            return goes;
        });
    }
    std::erase_if(routes_, [](const auto& from) { return from.second.empty(); });
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

std::uint32_t Sightings::number_of(const std::string& link) {
    const auto [number, fresh] = numbers_.try_emplace(link, last_number_ + 1);
    if (fresh) ++last_number_;
    return number->second;
}

bool Sightings::see(const netlink::ForeignRoute& notice) {
    const netlink::Route& route = notice.route;
    if (route.key.space != space_) return false;
    const Destination about = destination_of(route.key);
    const babel::Metric* metric = first_match(
        rules_,
        {.about = about,
         .interface = route.link,
         .metric = route.key.metric,
         .table = route.key.table,
         .protocol = notice.protocol}
    );
    if (metric == nullptr || *metric == babel::kInfinity) return forget(route.key);
    const Route seen{about.prefix, *metric, route.key.table, route.key.metric, number_of(route.link)};
    const auto [known, fresh] = routes_[about.source].insert(seen);
    if (!fresh && known->offered == seen.offered && known->link == seen.link) return false;
    *known = seen;
    touched_.insert(about);
    return true;
}

bool Sightings::see(const netlink::ForeignRouteGone& notice) {
    return notice.key.space == space_ && forget(notice.key);
}

bool Sightings::forget(const netlink::RouteKey& key) {
    const Destination about = destination_of(key);
    const auto routes = routes_.find(about.source);
    if (routes == routes_.end()) return false;
    if (!routes->second.erase({about.prefix, {}, key.table, key.metric, {}})) return false;
    if (routes->second.empty()) routes_.erase(routes);
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
    if (const auto routes = routes_.find(about.source); routes != routes_.end()) {
        routes->second.visit_from({about.prefix}, [&](const Route& route) {
            const bool same = route.destination == about.prefix;
            if (same) best = std::min(best, route.offered);
            return same;
        });
    }
    return best == babel::kInfinity ? std::nullopt : std::optional(best);
}

std::set<Destination> Sightings::destinations() const {
    std::set<Destination> all;
    for (const auto& [address, links] : holders_) all.insert(host(address));
    for (const auto& [source, routes] : routes_) {
        routes.visit_all([&, &from = source](const Route& route) { all.insert({route.destination, from}); });
    }
    return all;
}

std::set<Destination> Sightings::take_touched() { return std::exchange(touched_, {}); }

bool Sightings::wants_routes() const {
    return std::any_of(rules_.begin(), rules_.end(), [](const auto& rule) {
        return !rule.match.local && rule.verdict != babel::kInfinity;
    });
}

}  // namespace aronet::overlay
