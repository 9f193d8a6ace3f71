#include "netlink/session.hpp"

#include "netlink/task.hpp"

#include <linux/rtnetlink.h>
#include <linux/xfrm.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <list>

namespace aronet::netlink {
namespace {

constexpr std::array<int, 6> kRouteGroups{
    RTNLGRP_LINK,
    RTNLGRP_IPV4_IFADDR,
    RTNLGRP_IPV6_IFADDR,
    RTNLGRP_IPV4_ROUTE,
    RTNLGRP_IPV6_ROUTE,
    RTNLGRP_NEXTHOP};
constexpr std::array<int, 2> kXfrmGroups{XFRMNLGRP_EXPIRE, XFRMNLGRP_MAPPING};

Space space_of(Channel channel) {
    return channel == Channel::overlay_route ? Space::overlay : Space::underlay;
}

}  // namespace

std::span<const int> groups(Channel channel) {
    if (channel == Channel::xfrm) return kXfrmGroups;
    return std::span(kRouteGroups).first(5);
}

struct Session::State {
    // One request that has not been answered, and whose it is.
    struct Pending {
        std::list<Task>::iterator task;
        Request request;  // kept for a dump that has to be taken again
    };

    KnownLinks links;
    std::set<std::uint32_t> watched_tables;
    std::set<RouteKey> removing;  // by us, so that its notice is no loss
    int overlay_fd = -1;
    std::deque<Task> waiting;
    std::list<Task> running;
    std::map<std::uint32_t, Pending> pending;  // by sequence number
    std::uint32_t next_sequence = 1;
    std::map<Channel, Bytes> burst;

    void start_tasks(base::Instant now, SessionOutput& out);
    bool may_start(const Task& task) const;
    void advance(std::list<Task>::iterator task, base::Instant now, SessionOutput& out);
    void send(std::list<Task>::iterator task, Request request);
    void flush(SessionOutput& out);
    void finish(std::list<Task>::iterator task, SessionOutput& out);
    void fail(std::list<Task>::iterator task, int error, std::string text);

    void receive(Channel channel, const nlmsghdr* message, base::Instant now, SessionOutput& out);
    void answered(Pending& pending, const Acknowledgement& answer, base::Instant now, SessionOutput& out);
    void dump_ended(std::uint32_t sequence, base::Instant now, SessionOutput& out);
    void learn(Channel channel, const nlmsghdr* message, bool in_dump, SessionOutput& out);
    void learn_route(Channel channel, const nlmsghdr* message, SessionOutput& out);
    void learn_loss(const RouteKey& key, SessionOutput& out);
    void learn_address(Channel channel, const nlmsghdr* message, SessionOutput& out);
    void collect(Task& task, Channel channel, const nlmsghdr* message);
    bool is_being_made(Space space, const std::string& name) const;
    std::string name_of(Space space, std::uint32_t index) const;
};

Session::Session() : state_(std::make_unique<State>()) {}
Session::~Session() = default;

void Session::use_overlay(int namespace_fd) { state_->overlay_fd = namespace_fd; }

void Session::handle(Change change, base::Instant now, SessionOutput& out) {
    state_->waiting.push_back(make_task(std::move(change)));
    state_->start_tasks(now, out);
}

void Session::handle(Channel channel, base::ByteView bytes, base::Instant now, SessionOutput& out) {
    for_each_message(bytes, [&](const nlmsghdr* message) { state_->receive(channel, message, now, out); });
    state_->start_tasks(now, out);
}

// What was lost may have been the answer to anything: everything in flight on the channel counts as
// unanswered and is timed out by tick(); links are learned anew because their notices may be missing.
void Session::lost(Channel channel, base::Instant, SessionOutput& out) {
    if (channel != Channel::xfrm) state_->links.clear();
    out.notices.push_back(Lost{});
}

void Session::tick(base::Instant now, SessionOutput& out) {
    std::vector<std::list<Task>::iterator> late;
    for (auto task = state_->running.begin(); task != state_->running.end(); ++task) {
        if (task->sent_at + kAnswerTime <= now) late.push_back(task);
    }
    for (const auto task : late) {
        std::erase_if(state_->pending, [&](const auto& entry) { return entry.second.task == task; });
        state_->fail(task, ETIMEDOUT, "");
        state_->finish(task, out);
    }
    if (!late.empty()) state_->start_tasks(now, out);
}

std::optional<base::Deadline> Session::deadline() const {
    std::optional<base::Instant> first;
    for (const Task& task : state_->running) {
        if (!first || task.sent_at < *first) first = task.sent_at;
    }
    if (!first) return std::nullopt;
    return base::Deadline{*first + kAnswerTime, "an answer from the kernel is overdue"};
}

bool Session::idle() const { return state_->running.empty() && state_->waiting.empty(); }

void Session::State::start_tasks(base::Instant now, SessionOutput& out) {
    while (!waiting.empty() && may_start(waiting.front())) {
        running.push_back(std::move(waiting.front()));
        waiting.pop_front();
        const auto task = std::prev(running.end());
        if (task->removes) removing.insert(*task->removes);
        if (task->snapshot) watched_tables = task->watched_tables;
        std::vector<Request> first = std::move(task->requests);
        task->requests.clear();
        task->sent_at = now;
        for (Request& request : first) send(task, std::move(request));
        if (task->unanswered == 0) advance(task, now, out);
    }
    flush(out);
}

// Requests go out in order and the kernel works on them in order, so changes may follow each other closely:
// as soon as all requests of the one before are out, unless it changes links, whose names the others need.
bool Session::State::may_start(const Task& task) const {
    if (running.empty()) return true;
    if (running.size() >= kWindow || task.is_exclusive) return false;
    return !running.back().is_exclusive && running.back().is_all_sent();
}

void Session::State::advance(std::list<Task>::iterator task, base::Instant now, SessionOutput& out) {
    while (task->error == 0 && task->unanswered == 0 && task->next_phase < task->phases.size()) {
        const Surroundings around{links, overlay_fd};
        auto requests = task->phases[task->next_phase++](around);
        if (!requests) {
            fail(task, requests.error().value, "");
            break;
        }
        task->sent_at = now;
        for (Request& request : *requests) send(task, std::move(request));
    }
    if (task->unanswered == 0) finish(task, out);
}

void Session::State::send(std::list<Task>::iterator task, Request request) {
    const std::uint32_t sequence = next_sequence++;
    std::memcpy(request.bytes.data() + offsetof(nlmsghdr, nlmsg_seq), &sequence, sizeof sequence);
    Bytes& datagram = burst[request.channel];
    datagram.insert(datagram.end(), request.bytes.begin(), request.bytes.end());
    datagram.resize(MNL_ALIGN(datagram.size()));
    if (!request.is_dump) {
        base::wipe(request.bytes);
        request.bytes.clear();
    }
    ++task->unanswered;
    pending.emplace(sequence, Pending{task, std::move(request)});
}

void Session::State::flush(SessionOutput& out) {
    for (auto& [channel, bytes] : burst) {
        const bool joins = !out.send.empty() && out.send.back().channel == channel;
        if (joins) {
            Bytes& datagram = out.send.back().bytes;
            datagram.insert(datagram.end(), bytes.begin(), bytes.end());
            base::wipe(bytes);
        } else {
            out.send.push_back({channel, std::move(bytes)});
        }
    }
    burst.clear();
}

void Session::State::fail(std::list<Task>::iterator task, int error, std::string text) {
    if (task->error != 0) return;
    task->error = error;
    task->text = text.empty() ? std::strerror(error) : std::move(text);
}

void Session::State::finish(std::list<Task>::iterator task, SessionOutput& out) {
    if (task->error == 0 && task->announces) {
        const LinkState* link = links.find(task->announces->first, task->announces->second);
        if (link != nullptr && link->up) {
            out.notices.push_back(LinkUp{task->announces->first, link->link.name, link->index, link->link.mtu}
            );
        }
    }
    if (task->error == 0 && task->link_counters) out.notices.push_back(std::move(*task->link_counters));
    if (task->error == 0 && task->counters) out.notices.push_back(std::move(*task->counters));
    if (task->error == 0 && task->snapshot) out.notices.push_back(std::move(*task->snapshot));
    out.notices.push_back(Done{task->id, task->error, std::move(task->text)});
    running.erase(task);
}

void Session::State::receive(
    Channel channel, const nlmsghdr* message, base::Instant now, SessionOutput& out
) {
    const auto found = pending.find(message->nlmsg_seq);
    const bool is_answer =
        message->nlmsg_seq != 0 && found != pending.end() && found->second.request.channel == channel;
    if (message->nlmsg_type == NLMSG_ERROR) {
        const auto answer = read_acknowledgement(message);
        if (answer && is_answer) {
            Pending done = std::move(found->second);
            pending.erase(found);
            answered(done, *answer, now, out);
        }
        return;
    }
    if (is_answer && found->second.request.is_dump) {
        if ((message->nlmsg_flags & NLM_F_DUMP_INTR) != 0) found->second.request.fine.push_back(EINTR);
        if (message->nlmsg_type == NLMSG_DONE) return dump_ended(message->nlmsg_seq, now, out);
        learn(channel, message, true, out);
        return collect(*found->second.task, channel, message);
    }
    learn(channel, message, false, out);
}

void Session::State::answered(
    Pending& done, const Acknowledgement& answer, base::Instant now, SessionOutput& out
) {
    const auto task = done.task;
    --task->unanswered;
    const auto& fine = done.request.fine;
    if (answer.error != 0 && std::find(fine.begin(), fine.end(), answer.error) == fine.end()) {
        fail(task, answer.error, answer.text);
    }
    if (task->removes && answer.error != 0) removing.erase(*task->removes);
    if (task->unanswered == 0) advance(task, now, out);
}

// EINTR among the errors that are fine marks a dump during which things changed: what it gave may be
// inconsistent.
void Session::State::dump_ended(std::uint32_t sequence, base::Instant now, SessionOutput& out) {
    Pending done = std::move(pending.at(sequence));
    pending.erase(sequence);
    auto& fine = done.request.fine;
    const auto interrupted = std::find(fine.begin(), fine.end(), EINTR);
    --done.task->unanswered;
    if (interrupted != fine.end()) {
        fine.erase(std::remove(fine.begin(), fine.end(), EINTR), fine.end());
        done.task->sent_at = now;
        send(done.task, std::move(done.request));
        return flush(out);
    }
    if (done.task->unanswered == 0) advance(done.task, now, out);
}

void Session::State::learn(Channel channel, const nlmsghdr* message, bool in_dump, SessionOutput& out) {
    std::optional<Notice> notice;
    if (channel == Channel::xfrm) {
        if (message->nlmsg_type == XFRM_MSG_EXPIRE) {
            if (const auto expire = read_expire(message)) notice = *expire;
        } else if (message->nlmsg_type == XFRM_MSG_MAPPING) {
            if (const auto mapping = read_mapping(message)) notice = *mapping;
        }
    } else if (message->nlmsg_type == RTM_NEWLINK || message->nlmsg_type == RTM_DELLINK) {
        const auto link = read_link(message);
        const Space space = space_of(channel);
        if (link)
            notice = message->nlmsg_type == RTM_NEWLINK ? links.learn(space, *link, in_dump)
                                                        : links.forget(space, link->index);
        // A VRF takes a link down and up again when it gets it: of a link being made the end is told.
        if (link && is_being_made(space, link->link.name)) notice.reset();
    } else if (message->nlmsg_type == RTM_NEWADDR || message->nlmsg_type == RTM_DELADDR) {
        learn_address(channel, message, out);
    } else if (message->nlmsg_type == RTM_NEWROUTE || message->nlmsg_type == RTM_DELROUTE) {
        learn_route(channel, message, out);
    }
    if (notice) out.notices.push_back(std::move(*notice));
}

bool Session::State::is_being_made(Space space, const std::string& name) const {
    return std::any_of(running.begin(), running.end(), [&](const Task& task) {
        return task.announces == std::pair(space, name);
    });
}

std::string Session::State::name_of(Space space, std::uint32_t index) const {
    const LinkState* link = links.find(space, index);
    return link == nullptr ? "" : link->link.name;
}

void Session::State::learn_address(Channel channel, const nlmsghdr* message, SessionOutput& out) {
    const auto found = read_address(message);
    if (!found) return;
    const Space space = space_of(channel);
    const std::string link = name_of(space, found->index);
    if (message->nlmsg_type == RTM_NEWADDR) {
        if (found->usable) out.notices.push_back(AddressAppeared{space, link, found->address.address});
    } else {
        out.notices.push_back(AddressVanished{space, link, found->address.address});
    }
}

void Session::State::learn_route(Channel channel, const nlmsghdr* message, SessionOutput& out) {
    const auto header = fixed_header<rtmsg>(message);
    const bool ours = header && header->rtm_protocol == kProtocol;
    const bool gone = message->nlmsg_type == RTM_DELROUTE;
    if (ours ? !gone : watched_tables.empty()) return;
    auto found = read_route(message);
    if (!found) return;
    RouteKey& key = found->route.key;
    key.space = space_of(channel);
    if (ours) return learn_loss(key, out);
    if (!found->leads_somewhere || !watched_tables.contains(key.table)) return;
    found->route.link = name_of(key.space, found->index);
    if (gone) {
        out.notices.push_back(ForeignRouteGone{key});
    } else {
        out.notices.push_back(ForeignRoute{std::move(found->route), found->protocol});
    }
}

// We may have asked with the metric left to the kernel.
void Session::State::learn_loss(const RouteKey& key, SessionOutput& out) {
    for (const std::uint32_t metric : {key.metric, 0u}) {
        RouteKey asked = key;
        asked.metric = metric;
        if (removing.erase(asked) > 0) return;
    }
    out.notices.push_back(RouteLost{key});
}

void Session::State::collect(Task& task, Channel channel, const nlmsghdr* message) {
    if (task.counters && message->nlmsg_type == XFRM_MSG_NEWSA) {
        if (const auto sa = read_counters(message)) task.counters->sas.push_back(*sa);
    }
    if (task.link_counters && message->nlmsg_type == RTM_NEWSTATS) {
        const auto count = read_link_count(message);
        if (!count) return;
        const std::string name = name_of(space_of(channel), count->index);
        if (!name.empty()) task.link_counters->links.push_back({name, count->sent, count->received});
    }
    if (!task.snapshot) return;
    Snapshot& snapshot = *task.snapshot;
    const Space space = space_of(channel);
    const auto is_ours = [&](const std::string& name) {
        return !name.empty() && name.starts_with(task.link_prefix);
    };
    if (channel == Channel::xfrm) {
        if (message->nlmsg_type == XFRM_MSG_NEWSA) {
            const auto sa = read_sa(message);
            if (sa && sa->if_id != 0) snapshot.sas.push_back(*sa);
        } else if (message->nlmsg_type == XFRM_MSG_NEWPOLICY) {
            const auto if_id = read_policy_if_id(message);
            auto& ids = snapshot.policy_if_ids;
            if (if_id && std::find(ids.begin(), ids.end(), *if_id) == ids.end()) ids.push_back(*if_id);
        }
    } else if (message->nlmsg_type == RTM_NEWLINK) {
        auto found = read_link(message);
        if (!found || !is_ours(found->link.name) || !found->kind_known) return;
        found->link.space = space;
        found->link.master = name_of(space, found->master_index);
        snapshot.links.push_back(found->link);
    } else if (message->nlmsg_type == RTM_NEWADDR) {
        auto found = read_address(message);
        if (!found || !is_ours(name_of(space, found->index))) return;
        found->address.space = space;
        found->address.link = name_of(space, found->index);
        snapshot.addresses.push_back(found->address);
    } else if (message->nlmsg_type == RTM_NEWROUTE) {
        auto found = read_route(message);
        if (!found || found->protocol != kProtocol) return;
        found->route.key.space = space;
        if (found->route.kind == RouteKind::unicast) found->route.link = name_of(space, found->index);
        snapshot.routes.push_back(found->route);
    } else if (message->nlmsg_type == RTM_NEWRULE) {
        auto found = read_rule(message);
        if (!found || found->protocol != kProtocol) return;
        found->rule.space = space;
        snapshot.rules.push_back(found->rule);
    }
}

}  // namespace aronet::netlink
