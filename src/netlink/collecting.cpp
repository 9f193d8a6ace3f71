// What dumps give is collected here, until it is whole.

#include "netlink/task.hpp"

#include <linux/rtnetlink.h>
#include <linux/xfrm.h>

#include <cerrno>

namespace aronet::netlink {
namespace {

constexpr unsigned kBeginnings = 20;  // others wait meanwhile

template <class Each>
void for_each_collected(Task& task, const Each& each) {
    if (task.snapshot) {
        Snapshot& s = *task.snapshot;
        each(s.links), each(s.addresses), each(s.routes), each(s.rules), each(s.sas), each(s.policies);
    }
    if (task.counters) each(task.counters->sas);
    if (task.link_counters) each(task.link_counters->links);
    each(task.masters);
}

}  // namespace

void Task::begin_dump() {
    before_dump.clear();
    for_each_collected(*this, [&](const auto& list) { before_dump.push_back(list.size()); });
}

void Task::forget_dump() {
    auto size = before_dump.begin();
    for_each_collected(*this, [&](auto& list) {
        list.erase(list.begin() + static_cast<std::ptrdiff_t>(*size++), list.end());
    });
}

bool Task::start_over() {
    has_holes = false;
    if (++beginnings == kBeginnings) return false;
    next_phase = 0;
    before_dump.clear();
    for_each_collected(*this, [&](auto& list) { list.clear(); });
    if (snapshot) snapshot->has_other_sas = false;
    return true;
}

void Task::collect(Channel channel, const nlmsghdr* message, const KnownLinks& links) {
    if (counters && message->nlmsg_type == XFRM_MSG_NEWSA) {
        if (const auto sa = read_counters(message)) counters->sas.push_back(*sa);
    }
    if (link_counters && message->nlmsg_type == RTM_NEWSTATS) {
        const auto count = read_link_count(message);
        if (!count) return;
        const std::string name = links.name_of(space_of(channel), count->index);
        if (!name.empty()) link_counters->links.push_back({name, count->sent, count->received});
    }
    if (!snapshot) return;
    Snapshot& all = *snapshot;
    const Space space = space_of(channel);
    const auto is_ours = [&](const std::string& name) {
        return !name.empty() && name.starts_with(link_prefix);
    };
    if (channel == Channel::xfrm) {
        if (message->nlmsg_type == XFRM_MSG_NEWSA) {
            const auto sa = read_sa(message);
            if (sa && sa->if_id != 0) all.sas.push_back(*sa);
            all.has_other_sas |= sa && sa->if_id == 0;
        } else if (message->nlmsg_type == XFRM_MSG_NEWPOLICY) {
            if (const auto policy = read_policy(message)) join(*policy, all.policies);
        }
    } else if (message->nlmsg_type == RTM_NEWLINK) {
        auto found = read_link(message);
        if (!found || !is_ours(found->link.name) || !found->kind_known || !found->is_ours()) return;
        found->link.space = space;
        masters.push_back(found->master_index);
        all.links.push_back(found->link);
    } else if (message->nlmsg_type == RTM_NEWADDR) {
        auto found = read_address(message);
        const std::string name = found ? links.name_of(space, found->index) : "";
        if (!is_ours(name) && name != "lo") return;
        found->address.space = space;
        found->address.link = name;
        all.addresses.push_back(found->address);
    } else if (message->nlmsg_type == RTM_NEWROUTE) {
        auto found = read_route(message);
        if (!found || found->protocol != kProtocol) return;
        found->route.key.space = space;
        if (found->route.kind == RouteKind::unicast) found->route.link = links.name_of(space, found->index);
        all.routes.push_back(found->route);
    } else if (message->nlmsg_type == RTM_NEWRULE) {
        auto found = read_rule(message);
        if (!found || found->protocol != kProtocol) return;
        found->rule.space = space;
        all.rules.push_back(found->rule);
    }
}

}  // namespace aronet::netlink
