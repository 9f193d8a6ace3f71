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
    const auto sa = host.kernel.outbound(*route);
    const Host* other = sa ? owner_of(sa->destination) : nullptr;
    const bool arrives = other != nullptr && !host.asleep && !other->asleep &&
                         !is_cut(host.number, other->number) && other->kernel.inbound(sa->id.spi, sa->key);
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

// One of those who send it round has been refused something.
bool World::is_excused(const Host& from, const Address& looping) const {
    const Host* at = &from;
    for (std::size_t i = 0; i < hosts_.size(); ++i) at = next_hop(*at, looping);  // into the loop
    for (std::size_t i = 0; i < hosts_.size(); ++i) {
        if (now_ < at->refused_until) return true;
        at = next_hop(*at, looping);
    }
    return false;
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
            if (!from->is_awake() || !to.is_awake() || from->number == number) continue;
            if (!to.members.contains(from->number)) continue;
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
    const std::uint64_t at = generation();
    if (reached_ && reached_->first == at) return reached_->second;
    bool all = true;
    visit_unreached([&](const Host&, const Address&) { return all = false; });
    reached_ = {at, all};
    return all;
}

std::uint64_t World::generation() const {
    std::uint64_t sum = disturbances_;
    for (const auto& host : hosts_) sum += host->kernel.generation();
    return sum;
}

bool World::can_talk(const Host& a, const Host& b) const {
    return a.is_awake() && b.is_awake() && !is_cut(a.number, b.number) && !is_cut(b.number, a.number) &&
           (a.finds(b) || b.finds(a)) && a.members.contains(b.number) && b.members.contains(a.number);
}

std::vector<std::size_t> World::parts() const {
    std::vector<std::size_t> part(hosts_.size(), hosts_.size());
    for (std::size_t first = 0; first < hosts_.size(); ++first) {
        if (part[first] != hosts_.size()) continue;
        std::vector<std::size_t> todo{first};
        part[first] = first;
        while (!todo.empty()) {
            const std::size_t at = todo.back();
            todo.pop_back();
            for (std::size_t next = 0; next < hosts_.size(); ++next) {
                if (part[next] != hosts_.size() || !can_talk(*hosts_[at], *hosts_[next])) continue;
                part[next] = first;
                todo.push_back(next);
            }
        }
    }
    return part;
}

void World::check_holes() {
    if (!hole_max) return;
    if (weather.loss_percent > 50) holes_.clear(), holes_seen_.reset();  // hardly a way
    if (const std::uint64_t at = generation(); holes_seen_ != at) {
        holes_seen_ = at;
        const auto part = parts();
        std::map<std::pair<std::size_t, Address>, Instant> holes;
        visit_unreached([&](const Host& from, const Address& to) {
            const auto owner = std::ranges::find_if(hosts_, [&](const auto& host) {
                return host->network.contains(to) || host->prefix.contains(to);
            });
            if (part[from.number] != part[(*owner)->number]) return true;
            const auto known = holes_.find({from.number, to});
            holes[{from.number, to}] = known != holes_.end() ? known->second : now_;
            return true;
        });
        holes_ = std::move(holes);
    }
    for (const auto& [hole, since] : holes_) {
        if (now_ - since <= *hole_max) continue;
        return violate(
            "a black hole", hosts_[hole.first]->plan.name + " does not reach " + hole.second.to_string()
        );
    }
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
    if (host.loops_checked == host.kernel.turns()) return;
    host.loops_checked = host.kernel.turns();
    for (const auto& to : hosts_) {
        if (now_ < to->unsettled_until) continue;
        for (const Address& address : {within(to->network), within(to->prefix)}) {
            if (walk(host, address) != Walk::loop) continue;
            if (is_excused(host, address)) {
                host.loops_checked.reset();  // it may not last
            } else {
                violate("a loop", "towards " + address.to_string() + " through " + host.plan.name);
            }
        }
    }
}

void World::check_links(const Host& host) {
    for (const auto& [key, route] : host.kernel.routes()) {
        if (route.kind == netlink::RouteKind::unicast && !host.kernel.link_is_up(route.link)) {
            violate("a route over a link that is gone", host.plan.name);
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
        if (now_ - since > kLonely) violate("an SA without its other half", hosts_[one.first]->plan.name);
    }
}

void World::violate(const std::string& what, const std::string& where) {
    violations_.push_back(
        {what, std::to_string(base::milliseconds(now_.time_since_epoch())) + " ms: " + what + ": " + where}
    );
}

}  // namespace aronet::sim
