// What must hold after every event, and what must be reached after quiet.

#include "host.hpp"

#include <algorithm>

namespace aronet::sim {
namespace {

using base::Address;

constexpr Duration kLonely = std::chrono::seconds(60);  // an SA without its other half may be so old

Address within(const base::Prefix& prefix) { return prefix.address().plus(1); }

}  // namespace

const World::Host* World::next_hop(const Host& host, const Address& to) const {
    const auto* route = host.kernel.lookup(host.space, host.table, to);
    if (route == nullptr || route->kind != netlink::RouteKind::unicast || !route->key.destination.length())
        return nullptr;
    const auto sa = host.kernel.outbound(route->link);
    const Host* other = sa ? owner_of(sa->destination) : nullptr;
    const bool arrives =
        other != nullptr && !is_cut(host.number, other->number) && other->kernel.inbound(sa->id.spi, sa->key);
    return arrives ? other : nullptr;
}

World::Walk World::walk(const Host& from, const Address& to) const {
    const Host* at = &from;
    for (std::size_t hops = 0; hops <= hosts_.size(); ++hops) {
        if (at->network.contains(to) || at->prefix.contains(to)) return Walk::reached;
        at = next_hop(*at, to);
        if (at == nullptr) return Walk::lost;
    }
    return Walk::loop;  // more hops than hosts
}

bool World::reaches(std::size_t from, std::size_t to) const {
    const Host& target = *hosts_[to];
    return walk(*hosts_[from], within(target.network)) == Walk::reached &&
           walk(*hosts_[from], within(target.prefix)) == Walk::reached;
}

template <class Visit>
void World::visit_unreached(Visit visit) const {
    for (const auto& from : hosts_) {
        for (const std::size_t number : from->members) {
            const Host& to = *hosts_[number];
            if (!from->alive || !to.alive || from->number == number) continue;
            for (const Address& address : {within(to.network), within(to.prefix)}) {
                if (walk(*from, address) != Walk::reached && !visit(*from, address)) return;
            }
        }
    }
}

std::vector<std::string> World::unreached() const {
    std::vector<std::string> list;
    visit_unreached([&](const Host& from, const Address& address) {
        list.push_back(from.plan.name + " cannot reach " + address.to_string());
        return true;
    });
    return list;
}

// Asked five times a second: answered anew only when something has changed.
bool World::all_reached() {
    std::uint64_t generation = disturbances_;
    for (const auto& host : hosts_) generation += host->kernel.generation();
    if (reached_ && reached_->first == generation) return reached_->second;
    bool all = true;
    visit_unreached([&](const Host&, const Address&) { return all = false; });
    reached_ = {generation, all};
    return all;
}

// The world around the kernels has changed: everything is to be checked again.
void World::disturb() {
    ++disturbances_;
    for (auto& host : hosts_) host->links_checked = host->loops_checked = std::nullopt;
}

// After each event of a host: no route of it over a link that is not there, no loop through it. A loop that
// comes to be goes through the host whose kernel changed, so that an event that changes none needs no walk.
void World::check(Host& host) {
    const std::uint64_t generation = host.kernel.generation();
    if (host.links_checked != generation) check_links(host);
    host.links_checked = generation;
    if (host.loops_checked == generation || now_ < unsettled_until_) return;
    host.loops_checked = generation;
    for (const auto& to : hosts_) {
        for (const Address& address : {within(to->network), within(to->prefix)}) {
            if (walk(host, address) == Walk::loop)
                violate("a loop towards " + address.to_string() + " through " + host.plan.name);
        }
    }
}

void World::check_links(const Host& host) {
    for (const auto& [key, route] : host.kernel.routes()) {
        if (route.kind == netlink::RouteKind::unicast && !host.kernel.link_is_up(route.link)) {
            violate(host.plan.name + ": a route over a link that is gone");
        }
    }
}

void World::check_sas() {
    using Half = std::tuple<std::uint32_t, base::Direction, base::ByteView>;
    const auto less = [](const Half& a, const Half& b) {
        const auto& [spi_a, direction_a, key_a] = a;
        const auto& [spi_b, direction_b, key_b] = b;
        if (std::tie(spi_a, direction_a) != std::tie(spi_b, direction_b))
            return std::tie(spi_a, direction_a) < std::tie(spi_b, direction_b);
        return std::ranges::lexicographical_compare(key_a, key_b);
    };
    std::map<Half, std::set<std::size_t>, decltype(less)> holders(less);
    for (const auto& host : hosts_) {
        for (const auto& [id, sa] : host->kernel.sas())
            holders[{id.spi, sa.direction, sa.key}].insert(host->number);
    }
    std::set<std::pair<std::size_t, base::SaId>> lonely;
    for (const auto& host : hosts_) {
        if (!host->alive) continue;
        for (const auto& [id, sa] : host->kernel.sas()) {
            const auto other =
                sa.direction == base::Direction::in ? base::Direction::out : base::Direction::in;
            const auto found = holders.find({id.spi, other, sa.key});
            const std::size_t own = found != holders.end() && found->second.contains(host->number) ? 1 : 0;
            if (found == holders.end() || found->second.size() == own) lonely.emplace(host->number, id);
        }
    }
    std::erase_if(lonely_since_, [&](const auto& entry) { return !lonely.contains(entry.first); });
    for (const auto& one : lonely) {
        const auto since = lonely_since_.try_emplace(one, now_).first->second;
        if (now_ - since > kLonely) violate(hosts_[one.first]->plan.name + ": an SA without its other half");
    }
}

void World::violate(const std::string& text) {
    violations_.push_back(std::to_string(base::milliseconds(now_.time_since_epoch())) + " ms: " + text);
}

}  // namespace aronet::sim
