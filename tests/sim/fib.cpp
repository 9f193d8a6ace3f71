#include "fib.hpp"

namespace aronet::sim {

void Fib::put(const netlink::Route& route) {
    const auto [it, is_new] = routes_.insert_or_assign(route.key, route);
    const netlink::Prefix& destination = it->first.destination;
    lengths_[{destination.family(), destination.length()}] += is_new ? 1 : 0;
}

void Fib::remove(const netlink::RouteKey& key) {
    if (routes_.erase(key) == 0) return;
    const auto length = lengths_.find({key.destination.family(), key.destination.length()});
    if (--length->second == 0) lengths_.erase(length);
}

const netlink::Route* Fib::lookup(netlink::Space space, std::uint32_t table, const netlink::Address& to)
    const {
    for (auto length = lengths_.rbegin(); length != lengths_.rend(); ++length) {
        if (length->first.first != to.family()) continue;
        netlink::RouteKey key;
        key.space = space;
        key.table = table;
        key.destination = {to, length->first.second};
        const netlink::Route* best = nullptr;
        for (auto it = routes_.lower_bound(key); it != routes_.end(); ++it) {
            const netlink::RouteKey& found = it->first;
            if (found.space != space || found.table != table || found.destination != key.destination) break;
            if (best == nullptr || found.metric < best->key.metric) best = &it->second;
        }
        if (best != nullptr) return best;
    }
    return nullptr;
}

const netlink::Route* Fib::over(const std::string& link, const netlink::Address& to) const {
    const netlink::Route* route = nullptr;
    for (auto table = routes_.begin(); table != routes_.end();) {
        netlink::RouteKey key = table->first;
        key.destination = netlink::Prefix::host(to);
        key.source.reset();
        key.metric = 0;
        for (auto it = routes_.lower_bound(key); it != routes_.end(); ++it) {
            const netlink::RouteKey& found = it->first;
            if (std::tie(found.space, found.table, found.destination) !=
                std::tie(key.space, key.table, key.destination))
                break;
            if (it->second.link == link) route = &it->second;
        }
        table =
            routes_.lower_bound({key.space, key.table + 1, netlink::Prefix::any(base::Family::v4), {}, 0});
    }
    return route;
}

}  // namespace aronet::sim
