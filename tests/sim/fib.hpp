#pragma once

// The simulated kernel's routes, found by longest prefix, then lowest metric, as Linux has it.

#include "netlink/kernel.hpp"

#include <map>

namespace aronet::sim {

class Fib {
public:
    using Routes = std::map<netlink::RouteKey, netlink::Route>;

    void put(const netlink::Route& route);
    void remove(const netlink::RouteKey& key);
    const netlink::Route* lookup(netlink::Space space, std::uint32_t table, const netlink::Address& to) const;
    // The one to that address alone over that link, whatever its table.
    const netlink::Route* over(const std::string& link, const netlink::Address& to) const;
    const Routes& all() const { return routes_; }

private:
    Routes routes_;
    std::map<std::pair<base::Family, unsigned>, unsigned> lengths_;  // how many routes have such a length
};

}  // namespace aronet::sim
