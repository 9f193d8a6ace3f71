#pragma once

// What the kernel said of the links where the overlay lives, of their addresses and of the routes of others,
// and what of it Babel is to announce; routes that no rule wants are not remembered. Pure; it knows no
// speaker.

#include "babel/filter.hpp"
#include "base/runs.hpp"
#include "netlink/change.hpp"

#include <map>
#include <set>
#include <tuple>

namespace aronet::overlay {

using base::Address;
using base::Prefix;

babel::Destination destination_of(const netlink::RouteKey& key);

struct LinkSight {
    bool up = false;
    std::uint32_t mtu = 0;
    std::set<Address> addresses;
};

class Sightings {
public:
    Sightings(netlink::Space space, babel::MetricRules redistribute);

    // True where it was news.
    bool see(const netlink::LinkUp& notice);
    bool see(const netlink::LinkDown& notice);
    bool see(const netlink::AddressAppeared& notice);
    bool see(const netlink::AddressVanished& notice);
    bool see(const netlink::ForeignRoute& notice);
    bool see(const netlink::ForeignRouteGone& notice);

    const std::map<std::string, LinkSight>& links() const { return links_; }
    // The metric to redistribute this with, if it is there and the rules want it.
    std::optional<babel::Metric> offered(const babel::Destination& about) const;
    std::set<babel::Destination> destinations() const;  // that may be offered
    std::set<babel::Destination> take_touched();        // whose offer may have changed since the last call
    bool wants_routes() const;                          // addresses alone need no attention to routes

private:
    struct Route {  // in one space and from one source; there may be very many
        Prefix destination;
        babel::Metric offered = babel::kInfinity;
        std::uint32_t table = 0, metric = 0;
        std::uint32_t link = 0;  // its number in numbers_
        auto id() const { return std::tie(destination, table, metric); }
        bool operator<(const Route& other) const { return id() < other.id(); }
    };
    static_assert(sizeof(Route) <= 32);

    bool forget(const netlink::RouteKey& key);
    std::uint32_t number_of(const std::string& link);

    netlink::Space space_;
    babel::MetricRules rules_;
    std::map<std::string, LinkSight> links_;
    std::map<Address, std::set<std::string>> holders_;  // links by address
    std::map<Prefix, base::Runs<Route>> routes_;        // by source
    std::map<std::string, std::uint32_t> numbers_;      // of the links that routes lead over
    std::uint32_t last_number_ = 0;
    std::set<babel::Destination> touched_;
};

}  // namespace aronet::overlay
