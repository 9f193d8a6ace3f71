#include "netlink/task.hpp"

#include "base/overloaded.hpp"

#include <linux/rtnetlink.h>
#include <linux/xfrm.h>

#include <cerrno>

namespace aronet::netlink {
namespace {

using Requests = base::Result<std::vector<Request>, Errno>;

Request on(Space space, Bytes bytes, std::vector<int> fine = {}) {
    return {route_channel(space), std::move(bytes), std::move(fine), false};
}

std::vector<Request> one(Request request) {
    std::vector<Request> list;
    list.push_back(std::move(request));
    return list;
}

Task::Phase look_up(Space space, const std::string& name, std::vector<int> fine) {
    return [request = on(space, get_link(name), std::move(fine))](const Surroundings&) -> Requests {
        return one(request);
    };
}

// A link of ours that somebody, or an earlier run, made differently has to be made anew.
bool is_as_wished(const LinkState& found, const Link& wished, const KnownLinks& links) {
    if (const auto* veth = std::get_if<Veth>(&wished.kind)) {
        const bool has_both_ends = links.find(veth->peer_space, veth->peer) != nullptr;
        return has_both_ends && found.kind_known && std::holds_alternative<Veth>(found.link.kind);
    }
    return found.kind_known && found.link.kind == wished.kind;
}

Errno taken(const LinkState& by) {
    const std::string kind = by.kind.empty() ? "" : " (" + by.kind + ")";
    return {EEXIST, "there is a link of this name" + kind + " that is not ours"};
}

// The kernel has one tunnel interface of a number, and one external one; of VRFs with one table neither would
// be by itself.
Errno taken(const LinkState& by, const Link& link) {
    std::string what = "the external interface of this namespace";
    if (const auto* tunnel = std::get_if<Tunnel>(&link.kind)) what = "if_id 0x" + base::to_hex(tunnel->if_id);
    if (const auto* vrf = std::get_if<Vrf>(&link.kind)) what = "table " + std::to_string(vrf->table);
    return {EEXIST, what + " is that of " + by.link.name + ", which is not ours"};
}

// The SAs of a tunnel live where the interface was created, and whoever reads a TUN device is in the
// underlay: made there, then moved.
bool moves(const Link& link) {
    const auto& kind = link.kind;
    const bool made_below = std::holds_alternative<Tunnel>(kind) || std::holds_alternative<Tun>(kind) ||
                            std::holds_alternative<External>(kind);
    return made_below && link.space == Space::overlay;
}

// A TUN device is made by whoever reads it: it is fetched, or there already.
Requests fetch_tun(const Link& link, const Surroundings& around) {
    const LinkState* there = around.links.find(link.space, link.name);
    const bool fits = there != nullptr && is_as_wished(*there, link, around.links);
    if (fits && there->is_ours()) return std::vector<Request>();
    const LinkState* made = around.links.find(Space::underlay, link.name);
    if (moves(link) && made != nullptr && is_as_wished(*made, link, around.links)) {
        if (there != nullptr) return taken(*there);
        return one(on(Space::underlay, move_link(link.name, around.overlay_fd)));
    }
    if (there == nullptr) return Errno{ENODEV};
    if (!fits) return taken(*there);
    return std::vector<Request>();
}

Requests make_link(const Link& link, const Surroundings& around) {
    std::vector<Request> requests;
    if (std::holds_alternative<Tun>(link.kind)) return fetch_tun(link, around);
    if (const LinkState* found = around.links.find(link.space, link.name)) {
        if (!found->is_ours()) return taken(*found);
        if (is_as_wished(*found, link, around.links)) return requests;
        requests.push_back(on(link.space, delete_link(link.name), {ENODEV}));
    } else if (const LinkState* renamed = around.links.find_marked(link.space, mark_of(link.name))) {
        requests.push_back(on(link.space, delete_link(renamed->link.name), {ENODEV}));
    }
    const auto* veth = std::get_if<Veth>(&link.kind);
    const bool peer_elsewhere = veth != nullptr && veth->peer_space != link.space;
    if (const auto* left = moves(link) ? around.links.find(Space::underlay, link.name) : nullptr) {
        if (!left->is_ours()) return taken(*left);
        requests.push_back(on(Space::underlay, delete_link(link.name), {ENODEV}));
    }
    const Space made_in = moves(link) ? Space::underlay : link.space;
    if (const auto* rival = around.links.find_rival(made_in, link)) return taken(*rival, link);
    requests.push_back(on(made_in, create_link(link, peer_elsewhere ? around.overlay_fd : -1)));
    if (moves(link)) requests.push_back(on(Space::underlay, move_link(link.name, around.overlay_fd)));
    return requests;
}

Requests give_properties(const Link& link, const Surroundings& around) {
    const LinkState* found = around.links.find(link.space, link.name);
    if (found == nullptr) return Errno{ENODEV};
    std::uint32_t master = 0;
    if (!link.master.empty()) {
        const LinkState* vrf = around.links.find(link.space, link.master);
        if (vrf == nullptr) return Errno{ENODEV};
        master = vrf->index;
    }
    std::vector<Request> requests;
    requests.push_back(on(link.space, set_link_properties(link, found->index, master, found->unfinished)));
    if (!link.keep_link_local) requests.push_back(on(link.space, set_no_link_local(found->index)));
    requests.push_back(on(link.space, set_link_up(found->index, link.multicast)));
    if (const auto* veth = std::get_if<Veth>(&link.kind)) {
        requests.push_back(on(veth->peer_space, set_link_up_by_name(veth->peer)));
        requests.push_back(on(veth->peer_space, get_link(veth->peer)));
    }
    return requests;
}

void plan(Task& task, AddLink wish) {
    const Link& link = wish.link;
    task.announces = {link.space, link.name};
    task.phases.push_back(look_up(link.space, link.name, {ENODEV}));
    if (!link.master.empty()) task.phases.push_back(look_up(link.space, link.master, {}));
    if (moves(link)) task.phases.push_back(look_up(Space::underlay, link.name, {ENODEV}));
    if (const auto* veth = std::get_if<Veth>(&link.kind))
        task.phases.push_back(look_up(veth->peer_space, veth->peer, {ENODEV}));
    task.phases.push_back([link](const Surroundings& around) { return make_link(link, around); });
    task.phases.push_back(look_up(link.space, link.name, {}));
    task.phases.push_back([link](const Surroundings& around) { return give_properties(link, around); });
    task.phases.push_back(look_up(link.space, link.name, {}));
}

void plan(Task& task, RemoveLink wish) {
    task.phases.push_back(look_up(wish.space, wish.name, {ENODEV}));
    task.phases.push_back([wish](const Surroundings& around) -> Requests {
        const LinkState* found = around.links.find(wish.space, wish.name);
        if (found == nullptr || !found->is_ours()) return std::vector<Request>();
        return one(on(wish.space, delete_link(wish.name), {ENODEV}));
    });
}

// Requests that need the index of a link: asks for it first where it is not known yet.
void plan_with_index(
    Task& task,
    Space space,
    const std::string& link,
    std::vector<int> fine,
    std::function<Bytes(std::uint32_t index)> encode
) {
    task.phases.push_back([space, link, fine](const Surroundings& around) -> Requests {
        if (around.links.find(space, link) != nullptr) return std::vector<Request>();
        return one(on(space, get_link(link), fine));
    });
    task.phases.push_back([space, link, fine, encode](const Surroundings& around) -> Requests {
        const LinkState* found = around.links.find(space, link);
        if (found != nullptr) return one(on(space, encode(found->index), fine));
        if (fine.empty()) return Errno{ENODEV};
        return std::vector<Request>();  // what was on a link that is gone is gone
    });
}

void plan(Task& task, AddAddress wish) {
    plan_with_index(
        task,
        wish.address.space,
        wish.address.link,
        {},
        [address = wish.address](std::uint32_t index) { return add_address(address, index); }
    );
}

void plan(Task& task, RemoveAddress wish) {
    plan_with_index(
        task,
        wish.address.space,
        wish.address.link,
        {ENODEV, EADDRNOTAVAIL},
        [address = wish.address](std::uint32_t index) { return remove_address(address, index); }
    );
}

// Over a link that is not known yet; all other changes of routes are single requests (session.cpp).
void plan(Task& task, AddRoute wish) {
    const Route& route = wish.route;
    plan_with_index(task, route.key.space, route.link, {}, [route](std::uint32_t index) {
        return add_route(route, index);
    });
}

void plan(Task& task, AddRule wish) {
    task.requests = one(on(wish.rule.space, add_rule(wish.rule), {EEXIST}));
}

void plan(Task& task, RemoveRule wish) {
    task.requests = one(on(wish.rule.space, remove_rule(wish.rule), {ENOENT, ESRCH}));
}

Request xfrm(Bytes bytes, std::vector<int> fine = {}) {
    return {Channel::xfrm, std::move(bytes), std::move(fine), false};
}

void plan(Task& task, AddSa wish) {
    task.requests.push_back(xfrm(remove_sa(wish.sa.id(), wish.sa.source.address), {ESRCH}));
    task.requests.push_back(xfrm(add_sa(wish.sa)));
}

// In steps, as only the kernel knows the numbers that the SA has come to.
void plan(Task& task, MoveSa wish) {
    task.requests = one(xfrm(get_sa(wish.id)));
    task.phases.push_back([wish](const Surroundings& around) -> Requests {
        if (around.shown_sa.empty()) return Errno{ESRCH};
        std::vector<Request> requests;
        for (Bytes& message : move_sa(reinterpret_cast<const nlmsghdr*>(around.shown_sa.data()), wish))
            requests.push_back(xfrm(std::move(message), {ESRCH, EEXIST}));
        if (requests.empty()) return Errno{EKEYREJECTED};
        requests.back().fine.clear();
        return requests;
    });
}

void plan(Task& task, RemoveSa wish) { task.requests = one(xfrm(remove_sa(wish.id, wish.source), {ESRCH})); }

void plan(Task& task, SetPolicies wish) {
    for (Bytes& message : set_policies(wish.policies)) task.requests.push_back(xfrm(std::move(message)));
}

void plan(Task& task, RemovePolicies wish) {
    for (Bytes& message : remove_policies(wish.if_id, wish.pin))
        task.requests.push_back(xfrm(std::move(message), {ENOENT}));
}

// Links first: everything else is told by index. A socket answers one dump at a time.
void plan(Task& task, TakeSnapshot wish) {
    task.snapshot.emplace();
    task.link_prefix = std::move(wish.link_prefix);
    task.watched_tables = std::move(wish.watched_tables);
    const auto ask = [&](Channel channel, std::uint16_t type, std::uint8_t family, std::vector<int> fine = {}
                     ) {
        const Request request{channel, dump(type, family), std::move(fine), true};
        task.phases.push_back([request](const Surroundings& around) -> Requests {
            if (request.channel == Channel::overlay_route && around.overlay_fd < 0)
                return std::vector<Request>();
            return one(request);
        });
    };
    for (const Channel channel : {Channel::underlay_route, Channel::overlay_route}) {
        ask(channel, RTM_GETLINK, AF_UNSPEC);
        ask(channel, RTM_GETADDR, AF_UNSPEC);
        for (const auto family : {std::uint8_t(AF_INET), std::uint8_t(AF_INET6)}) {
            ask(channel, RTM_GETROUTE, family);
            ask(channel, RTM_GETRULE, family, {EOPNOTSUPP});
        }
    }
    ask(Channel::xfrm, XFRM_MSG_GETSA, 0, {EOPNOTSUPP});
    ask(Channel::xfrm, XFRM_MSG_GETPOLICY, 0, {EOPNOTSUPP});
}

void plan(Task& task, ReadCounters) {
    task.counters.emplace();
    task.requests.push_back({Channel::xfrm, dump(XFRM_MSG_GETSA), {}, true});
}

void plan(Task& task, ReadLinkCounters wish) {
    task.link_counters.emplace().space = wish.space;
    task.requests.push_back({route_channel(wish.space), dump_link_counters(), {}, true});
}

template <class T>
void plan(Task& task, T) {  // namespaces and sysctls are no netlink
    task.phases.push_back([](const Surroundings&) -> Requests { return Errno{EOPNOTSUPP}; });
}

}  // namespace

Task::~Task() {
    for (Request& request : requests) base::wipe(request.bytes);
    base::wipe(shown_sa);
}

bool is_exclusive(const Wish& wish) {
    return std::holds_alternative<AddLink>(wish) || std::holds_alternative<RemoveLink>(wish) ||
           std::holds_alternative<TakeSnapshot>(wish) || std::holds_alternative<ReadCounters>(wish) ||
           std::holds_alternative<ReadLinkCounters>(wish);
}

bool is_removal(const Wish& wish) {
    return std::holds_alternative<RemoveLink>(wish) || std::holds_alternative<RemoveAddress>(wish) ||
           std::holds_alternative<RemoveRoute>(wish) || std::holds_alternative<RemoveRule>(wish);
}

bool needs_overlay(const Wish& wish) {
    const auto in = [](Space space) { return space == Space::overlay; };
    return std::visit(
        base::Overloaded{
            [&](const AddLink& w) {
                const auto* veth = std::get_if<Veth>(&w.link.kind);
                return in(w.link.space) || (veth != nullptr && in(veth->peer_space));
            },
            [&](const RemoveLink& w) { return in(w.space); },
            [&](const AddAddress& w) { return in(w.address.space); },
            [&](const RemoveAddress& w) { return in(w.address.space); },
            [&](const AddRoute& w) { return in(w.route.key.space); },
            [&](const RemoveRoute& w) { return in(w.key.space); },
            [&](const AddRule& w) { return in(w.rule.space); },
            [&](const RemoveRule& w) { return in(w.rule.space); },
            [&](const ReadLinkCounters& w) { return in(w.space); },
            [](const auto&) { return false; },
        },
        wish
    );
}

Task make_task(Change change) {
    Task task;
    task.id = change.id;
    task.is_exclusive = is_exclusive(change.wish);
    std::visit([&](auto&& wish) { plan(task, std::move(wish)); }, std::move(change.wish));
    return task;
}

std::vector<Notice> KnownLinks::learn(Space space, const LinkState& state, bool in_dump) {
    const auto [it, is_new] = links_.try_emplace({space, state.index});
    const LinkState before = std::exchange(it->second, state);
    if (!is_new) indexes_.erase({space, before.link.name});
    indexes_[{space, state.link.name}] = state.index;
    // What was ours stays ours, whatever its alias says by now: its number is no other link's.
    const bool was_ours = !is_new && before.is_ours();
    if (was_ours && !state.is_ours()) it->second.mark = before.mark;
    std::vector<Notice> news;
    const bool renamed = !is_new && before.link.name != state.link.name;
    if (!is_new && before.up && (!state.up || renamed)) news.push_back(LinkDown{space, before.link.name});
    if (!state.up) return news;
    const bool same = !is_new && before.up && !renamed && before.link.mtu == state.link.mtu;
    if (!same || in_dump) {
        const bool is_ours = it->second.is_ours();
        news.push_back(LinkUp{space, state.link.name, state.index, state.link.mtu, false, is_ours});
    }
    const bool unmarked = was_ours && !renamed && !state.is_ours();
    const bool altered = before.master_index != state.master_index || before.link != state.link || unmarked;
    if (!in_dump && was_ours && altered) {
        Link link = state.link;
        link.space = space;
        const LinkState* master = find(space, state.master_index);
        link.master = master == nullptr ? "" : master->link.name;
        news.push_back(LinkAltered{std::move(link), unmarked});
    }
    return news;
}

const LinkState* KnownLinks::find_marked(Space space, const std::string& mark) const {
    for (auto it = links_.lower_bound({space, 0}); it != links_.end() && it->first.first == space; ++it) {
        if (it->second.mark == mark) return &it->second;
    }
    return nullptr;
}

const LinkState* KnownLinks::find_rival(Space space, const Link& link) const {
    const bool is_single = std::holds_alternative<Tunnel>(link.kind) ||
                           std::holds_alternative<Vrf>(link.kind) ||
                           std::holds_alternative<External>(link.kind);
    if (!is_single) return nullptr;
    for (auto it = links_.lower_bound({space, 0}); it != links_.end() && it->first.first == space; ++it) {
        const LinkState& other = it->second;
        const bool is_renamed = other.mark == mark_of(link.name);  // it gives way
        if (other.kind_known && other.link.kind == link.kind && !other.is_ours() && !is_renamed)
            return &other;
    }
    return nullptr;
}

std::optional<Notice> KnownLinks::forget(Space space, std::uint32_t index) {
    const auto it = links_.find({space, index});
    if (it == links_.end()) return std::nullopt;
    LinkDown notice{space, it->second.link.name};
    indexes_.erase({space, notice.name});
    links_.erase(it);
    return notice;
}

const LinkState* KnownLinks::find(Space space, const std::string& name) const {
    const auto it = indexes_.find({space, name});
    return it == indexes_.end() ? nullptr : find(space, it->second);
}

std::string KnownLinks::name_of(Space space, std::uint32_t index) const {
    const LinkState* link = find(space, index);
    return link == nullptr ? "" : link->link.name;
}

void KnownLinks::clear() {
    links_.clear();
    indexes_.clear();
}

const LinkState* KnownLinks::find(Space space, std::uint32_t index) const {
    const auto it = links_.find({space, index});
    return it == links_.end() ? nullptr : &it->second;
}

}  // namespace aronet::netlink
