#include "kernel.hpp"

#include <algorithm>
#include <cerrno>

namespace aronet::sim {

using netlink::Link;
using netlink::Notice;
using netlink::Space;

std::vector<Notice> Kernel::perform(netlink::Change change) {
    Notices out;
    const bool only_asks = std::holds_alternative<netlink::GetSysctl>(change.wish) ||
                           std::holds_alternative<netlink::ReadCounters>(change.wish) ||
                           std::holds_alternative<netlink::ReadLinkCounters>(change.wish) ||
                           std::holds_alternative<netlink::TakeSnapshot>(change.wish);
    const bool only_keys = std::holds_alternative<netlink::AddSa>(change.wish) ||
                           std::holds_alternative<netlink::RemoveSa>(change.wish);
    generation_ += only_asks ? 0 : 1;
    turns_ += only_asks || only_keys || is_rekeying(change.wish) ? 0 : 1;
    ++changes_;
    const bool fails = fail_at_ != 0 && changes_ >= fail_at_ && changes_ < fail_at_ + fail_count_;
    failures_ += fails ? 1 : 0;
    const int error =
        fails ? fail_with_ : std::visit([&](auto& wish) { return apply(wish, out); }, change.wish);
    out.push_back(netlink::Done{change.id, error, error == 0 ? "" : "refused by the simulated kernel"});
    return out;
}

bool Kernel::is_rekeying(const netlink::Wish& wish) const {
    const auto* set = std::get_if<netlink::SetPolicies>(&wish);
    if (set == nullptr) return false;
    const auto before = policies_.find(set->policies.if_id);
    return before != policies_.end() && before->second.remote == set->policies.remote;
}

bool Kernel::is_empty() const {
    return !has_namespace_ && links_.empty() && addresses_.empty() && fib_.all().empty() && rules_.empty() &&
           sas_.empty() && policies_.empty();
}

std::vector<Link> Kernel::links() const {
    std::vector<Link> all;
    for (const auto& [name, entry] : links_) all.push_back(entry.first);
    return all;
}

std::string Kernel::audit() const {
    std::string text;
    for (const auto& [name, link] : links_) text += netlink::describe(netlink::AddLink{link.first}) + "\n";
    for (const auto& address : addresses_) text += netlink::describe(netlink::AddAddress{address}) + "\n";
    for (const auto& [key, route] : fib_.all()) text += netlink::describe(netlink::AddRoute{route}) + "\n";
    for (const auto& rule : rules_) text += netlink::describe(netlink::AddRule{rule}) + "\n";
    for (const auto& [if_id, policies] : policies_)
        text += "policies of " + std::to_string(if_id) + " towards " + policies.remote.to_string() + "\n";
    std::map<std::uint32_t, std::size_t> sas;
    for (const auto& [id, sa] : sas_) ++sas[sa.if_id];
    for (const auto& [if_id, count] : sas)
        text += std::to_string(count) + " SAs of " + std::to_string(if_id) + "\n";
    return text;
}

std::string Kernel::what_is_left() const {
    std::string text = has_namespace_ ? "namespace " : "";
    for (const auto& [name, link] : links_) text += name.second + " ";
    for (const auto& [key, route] : fib_.all()) text += key.destination.to_string() + " ";
    return text + std::to_string(sas_.size()) + " SAs " + std::to_string(policies_.size()) + " policies " +
           std::to_string(addresses_.size()) + " addresses";
}

const Link* Kernel::find(const std::string& link) const {
    for (const Space space : {Space::underlay, Space::overlay}) {
        const auto found = links_.find({space, link});
        if (found != links_.end()) return &found->second.first;
    }
    return nullptr;
}

const Link* Kernel::external() const {
    for (const auto& [name, entry] : links_) {
        if (std::holds_alternative<netlink::External>(entry.first.kind)) return &entry.first;
    }
    return nullptr;
}

// Of an external link the route says which tunnel.
std::optional<Kernel::Outbound> Kernel::outbound(const netlink::Route& route) const {
    const Link* link = find(route.link);
    if (link == nullptr) return std::nullopt;
    std::uint32_t if_id = 0;
    if (const auto* tunnel = std::get_if<netlink::Tunnel>(&link->kind)) if_id = tunnel->if_id;
    const auto* encap = std::get_if<netlink::XfrmEncap>(&route.encap);
    if (encap != nullptr && std::holds_alternative<netlink::External>(link->kind)) if_id = encap->if_id;
    const auto policies = policies_.find(if_id);
    if (policies == policies_.end()) return std::nullopt;
    const auto sa = sas_.find({policies->second.remote, policies->second.spi_out});
    if (sa == sas_.end() || sa->second.direction != base::Direction::out) return std::nullopt;
    return Outbound{sa->first, sa->second.destination, sa->second.key};
}

std::optional<Kernel::Outbound> Kernel::outbound(const std::string& link, const netlink::Address& to) const {
    netlink::Route direct;
    direct.link = link;
    const Link* there = find(link);
    if (there != nullptr && std::holds_alternative<netlink::External>(there->kind)) {
        if (const auto* route = fib_.over(link, to)) direct = *route;
    }
    return outbound(direct);
}

// What is link-local and is from there to here.
bool lets_in(const netlink::Pin& pin, const netlink::Pin& packet) {
    if (pin.names_peer())
        return packet.own == pin.own && netlink::Prefix(pin.peer, netlink::kPinLength).contains(packet.peer);
    return packet.own.is_multicast() || packet.own == pin.own;
}

std::optional<std::string> Kernel::inbound(
    std::uint32_t spi, const base::Bytes& key, const std::optional<netlink::Pin>& link_local
) const {
    const auto [first, last] = by_spi_.equal_range(spi);
    for (auto it = first; it != last; ++it) {
        const KnownSa& sa = sas_.at(it->second);
        if (sa.direction != base::Direction::in || sa.key != key) continue;
        const auto policies = policies_.find(sa.if_id);
        if (policies == policies_.end()) return std::nullopt;
        const auto& pin = policies->second.pin;
        if (pin && link_local && !lets_in(*pin, *link_local)) return std::nullopt;
        const auto tunnel = tunnels_.find(sa.if_id);
        if (tunnel != tunnels_.end()) return tunnel->second.second;
        const Link* shared = external();
        return shared == nullptr ? std::nullopt : std::optional(shared->name);
    }
    return std::nullopt;
}

void Kernel::count_outbound(const base::SaId& id, std::size_t bytes) {
    KnownSa& sa = sas_.at(id);
    sa.bytes += bytes;
    ++sa.packets;
    ++carried_[sa.if_id].sent;
}

std::optional<netlink::Mapping> Kernel::count_inbound(
    std::uint32_t spi, const base::Bytes& key, std::size_t bytes, const base::Endpoint& from
) {
    std::optional<netlink::Mapping> news;
    const auto [first, last] = by_spi_.equal_range(spi);
    for (auto it = first; it != last; ++it) {
        KnownSa& sa = sas_.at(it->second);
        if (sa.direction != base::Direction::in || sa.key != key) continue;
        sa.bytes += bytes;
        ++sa.packets;
        ++carried_[sa.if_id].received;
        if (sa.source != from) news = netlink::Mapping{it->second, from};
    }
    return news;
}

bool Kernel::has_address(const std::string& link, const netlink::Address& address) const {
    for (const Space space : {Space::underlay, Space::overlay}) {
        const auto found = addresses_.lower_bound({space, link, address, 0, {}});
        if (found != addresses_.end() &&
            std::tie(found->space, found->link, found->address) == std::tie(space, link, address))
            return true;
    }
    return false;
}

bool Kernel::link_is_up(const std::string& name) const { return find(name) != nullptr; }

// Somebody else does what the wish says: what the kernel tells everybody of it.
std::vector<Notice> Kernel::suffer(netlink::Wish wish) {
    Notices out;
    ++generation_;
    ++turns_;
    std::visit([&](auto& each) { apply(each, out); }, wish);
    if (const auto* route = std::get_if<netlink::RemoveRoute>(&wish))
        out.push_back(netlink::RouteLost{route->key});
    if (const auto* route = std::get_if<netlink::AddRoute>(&wish))
        out.push_back(netlink::RouteLost{route->route.key});
    if (const auto* rule = std::get_if<netlink::RemoveRule>(&wish))
        out.push_back(netlink::RuleLost{rule->rule});
    if (const auto* gone = std::get_if<netlink::RemoveAddress>(&wish)) {
        const auto& address = gone->address;
        out.push_back(netlink::AddressVanished{address.space, address.link, address.address});
    }
    if (const auto* sa = std::get_if<netlink::RemoveSa>(&wish)) out.push_back(netlink::SaLost{sa->id});
    if (const auto* sa = std::get_if<netlink::MoveSa>(&wish)) out.push_back(netlink::SaLost{sa->id});
    if (const auto* policies = std::get_if<netlink::RemovePolicies>(&wish))
        out.push_back(netlink::PoliciesLost{policies->if_id});
    if (const auto* altered = std::get_if<netlink::SetPolicies>(&wish))
        out.push_back(netlink::PoliciesLost{altered->policies.if_id});
    if (const auto* link = std::get_if<netlink::AddLink>(&wish)) {
        out.clear();
        const bool up = link->link.up;
        out.push_back(
            up ? Notice(netlink::LinkAltered{link->link})
               : Notice(netlink::LinkDown{link->link.space, link->link.name})
        );
    }
    return out;
}

// The stranger's link is told of as one without our mark.
std::vector<Notice> Kernel::occupy(const Link& link) {
    Notices out;
    ++generation_;
    ++turns_;
    remove_link({link.space, link.name}, out);
    strangers_.insert({link.space, link.name});
    out.push_back(netlink::LinkUp{link.space, link.name, next_index_++, 1500, false, false});
    return out;
}

std::vector<Notice> Kernel::vacate(const Link& link) {
    strangers_.erase({link.space, link.name});
    return {netlink::LinkDown{link.space, link.name}};
}

int Kernel::apply(netlink::AddNamespace&, Notices&) {
    has_namespace_ = true;
    return 0;
}

int Kernel::apply(netlink::RemoveNamespace&, Notices& out) {
    has_namespace_ = false;
    while (true) {
        const auto inside = links_.lower_bound({Space::overlay, ""});
        if (inside == links_.end()) break;
        remove_link(LinkName(inside->first), out);
    }
    for (const auto& [key, route] : Fib::Routes(fib_.all())) {
        if (key.space == Space::overlay) fib_.remove(key);
    }
    return 0;
}

int Kernel::apply(netlink::AddLink& wish, Notices& out) {
    const Link& link = wish.link;
    if (link.space == Space::overlay && !has_namespace_) return EINVAL;
    if (!link.master.empty() && !links_.contains({link.space, link.master})) return ENODEV;
    const LinkName name{link.space, link.name};
    if (strangers_.contains(name)) return EEXIST;
    const Link* other = std::holds_alternative<netlink::External>(link.kind) ? external() : nullptr;
    if (other != nullptr && other->name != link.name) return EEXIST;  // there can be one
    const auto there = links_.find(name);
    if (there != links_.end() && there->second.first.kind != link.kind) remove_link(name, out);
    const auto [it, is_new] = links_.try_emplace(name, link, next_index_);
    next_index_ += is_new ? 1 : 0;
    it->second.first = link;
    if (const auto* tunnel = std::get_if<netlink::Tunnel>(&link.kind)) tunnels_[tunnel->if_id] = name;
    if (const auto* veth = std::get_if<netlink::Veth>(&link.kind)) {
        Link peer;
        peer.space = veth->peer_space;
        peer.name = veth->peer;
        peer.kind = netlink::Veth{link.name, link.space};
        links_.try_emplace({peer.space, peer.name}, peer, next_index_++);
        out.push_back(netlink::LinkUp{peer.space, peer.name, next_index_ - 1, 1500});
    }
    out.push_back(netlink::LinkUp{link.space, link.name, it->second.second, link.mtu});
    return 0;
}

// What hangs on a link goes with it; of the routes only those of IPv6 are told.
void Kernel::remove_link(const LinkName& name, Notices& out) {
    const auto found = links_.find(name);
    if (found == links_.end()) return;
    const Link link = found->second.first;
    links_.erase(found);
    if (const auto* tunnel = std::get_if<netlink::Tunnel>(&link.kind)) tunnels_.erase(tunnel->if_id);
    if (const auto* veth = std::get_if<netlink::Veth>(&link.kind))
        links_.erase({veth->peer_space, veth->peer});
    std::erase_if(addresses_, [&](const auto& address) {
        return address.link == name.second && !links_.contains({address.space, address.link});
    });
    for (const auto& [key, route] : Fib::Routes(fib_.all())) {
        if (route.link.empty() || links_.contains({key.space, route.link})) continue;
        if (key.destination.family() == base::Family::v6) out.push_back(netlink::RouteLost{key});
        fib_.remove(key);
    }
    out.push_back(netlink::LinkDown{name.first, name.second});
}

int Kernel::apply(netlink::RemoveLink& wish, Notices& out) {
    remove_link({wish.space, wish.name}, out);
    return 0;
}

int Kernel::apply(netlink::AddAddress& wish, Notices& out) {
    auto& address = wish.address;
    if (!links_.contains({address.space, address.link})) return ENODEV;
    address.marked = true;
    addresses_.insert(address);
    out.push_back(netlink::AddressAppeared{address.space, address.link, address.address});
    return 0;
}

// With the last address of IPv4 go the routes of IPv4 over its link, of which nothing is told.
int Kernel::apply(netlink::RemoveAddress& wish, Notices&) {
    const auto& gone = wish.address;
    addresses_.erase(gone);
    const bool has_another = std::ranges::any_of(addresses_, [&](const auto& other) {
        return other.space == gone.space && other.link == gone.link && other.address.is_v4();
    });
    if (gone.address.is_v6() || has_another) return 0;
    for (const auto& [key, route] : Fib::Routes(fib_.all())) {
        const bool over_it = key.space == gone.space && route.link == gone.link;
        if (over_it && key.destination.family() == base::Family::v4) fib_.remove(key);
    }
    return 0;
}

int Kernel::apply(netlink::AddRoute& wish, Notices&) {
    const netlink::Route& route = wish.route;
    if (route.kind == netlink::RouteKind::unicast && !links_.contains({route.key.space, route.link}))
        return ENODEV;
    fib_.put(route);
    return 0;
}

int Kernel::apply(netlink::RemoveRoute& wish, Notices&) {
    fib_.remove(wish.key);
    return 0;
}

int Kernel::apply(netlink::AddRule& wish, Notices&) {
    rules_.insert(wish.rule);
    return 0;
}

int Kernel::apply(netlink::RemoveRule& wish, Notices&) {
    rules_.erase(wish.rule);
    return 0;
}

int Kernel::apply(netlink::AddSa& wish, Notices&) {
    if (refuse_sa_ != 0 && refuse_after_-- == 0) return std::exchange(refuse_sa_, 0);
    const base::Sa& sa = wish.sa;
    if (sa.key.size() != base::key_size(sa.suite) || sa.spi < 256) return EINVAL;
    const base::ByteView key = sa.key.view();
    if (!sas_.contains(sa.id())) by_spi_.emplace(sa.spi, sa.id());
    sas_[sa.id()] = {
        sa.direction,
        sa.if_id,
        sa.source,
        sa.destination,
        {key.begin(), key.end()},
        ++sas_given_,
        0,
        0,
        sa.mark.value_or(0)};
    return 0;
}

int Kernel::apply(netlink::MoveSa& wish, Notices&) {
    const auto found = sas_.find(wish.id);
    if (found == sas_.end()) return ESRCH;
    KnownSa moved = found->second;
    moved.source = wish.source;
    moved.destination = wish.destination;
    const base::SaId to{wish.destination.address, wish.id.spi};
    if (!sas_.contains(to)) by_spi_.emplace(to.spi, to);
    sas_[to] = std::move(moved);
    return 0;
}

int Kernel::apply(netlink::RemoveSa& wish, Notices&) {
    if (sas_.erase(wish.id) == 0) return 0;
    const auto [first, last] = by_spi_.equal_range(wish.id.spi);
    by_spi_.erase(std::find_if(first, last, [&](const auto& entry) { return entry.second == wish.id; }));
    return 0;
}

int Kernel::apply(netlink::SetPolicies& wish, Notices&) {
    policies_[wish.policies.if_id] = wish.policies;
    return 0;
}

int Kernel::apply(netlink::RemovePolicies& wish, Notices&) {
    policies_.erase(wish.if_id);
    return 0;
}

int Kernel::apply(netlink::SetSysctl& wish, Notices&) {
    sysctls_[{wish.space, wish.key}] = wish.value;
    return 0;
}

int Kernel::apply(netlink::GetSysctl& wish, Notices& out) {
    const auto [it, is_new] = sysctls_.try_emplace({wish.space, wish.key}, "0");
    out.push_back(netlink::SysctlValue{wish.space, wish.key, it->second});
    return 0;
}

int Kernel::apply(netlink::ClampSegments&, Notices&) { return 0; }  // no TCP here

int Kernel::apply(netlink::ReadCounters&, Notices& out) {
    netlink::Counters counters;
    for (const auto& [id, sa] : sas_) counters.sas.push_back({id, sa.bytes, sa.packets, std::nullopt});
    out.push_back(std::move(counters));
    ++counters_read_;
    return 0;
}

int Kernel::apply(netlink::ReadLinkCounters& wish, Notices& out) {
    netlink::LinkCounters counters{wish.space, {}};
    for (const auto& [if_id, name] : tunnels_) {
        const Carried& c = carried_[if_id];
        counters.links.push_back({name.second, c.sent, c.received});
    }
    out.push_back(std::move(counters));
    return 0;
}

int Kernel::apply(netlink::TakeSnapshot& wish, Notices& out) {
    netlink::Snapshot snapshot;
    for (const auto& [name, entry] : links_) {
        if (name.second.starts_with(wish.link_prefix)) snapshot.links.push_back(entry.first);
    }
    snapshot.addresses.assign(addresses_.begin(), addresses_.end());
    for (const auto& [key, route] : fib_.all()) snapshot.routes.push_back(route);
    snapshot.rules.assign(rules_.begin(), rules_.end());
    for (const auto& [id, sa] : sas_) {
        const bool is_out = sa.direction == base::Direction::out;
        snapshot.sas.push_back(
            {id,
             sa.source.address,
             sa.if_id,
             sa.if_id,
             is_out ? sa.destination.port : std::uint16_t(0),
             sa.mark,
             sa.number}
        );
    }
    for (const auto& [if_id, policies] : policies_) snapshot.policies.push_back(policies);
    out.push_back(std::move(snapshot));
    return 0;
}

}  // namespace aronet::sim
