#include "netlink/session.hpp"

#include "netlink/task.hpp"

#include <linux/rtnetlink.h>
#include <linux/xfrm.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <list>

namespace aronet::netlink {
struct Session::State {
    // One request that has not been answered, and whose it is.
    struct Pending {
        std::list<Task>::iterator task;
        Request request;  // kept for a dump that has to be taken again
    };

    // A route on its way: one request and no more. There may be tens of thousands, so they are no tasks.
    struct RouteChange {
        ChangeId id;
        std::uint32_t sequence;
        Channel channel;
        bool removes;
        base::Instant sent_at;
    };

    KnownLinks links;
    std::set<std::uint32_t> watched_tables;
    int overlay_fd = -1;
    std::deque<Change> waiting;
    std::list<Task> running;
    std::deque<RouteChange> routes;            // that have not been answered, in the order they were sent
    std::map<std::uint32_t, Pending> pending;  // by sequence number
    std::uint32_t next_sequence = 1;
    std::map<Channel, std::uint32_t> ports;  // the kernel's names for our sockets

    void start_changes(base::Instant now, SessionOutput& out);
    bool may_start(const Wish& wish) const;
    void start(Task task, base::Instant now, SessionOutput& out);
    bool start_route(const Change& change, base::Instant now, SessionOutput& out);
    std::optional<Bytes> route_request(const Wish& wish) const;
    void advance(std::list<Task>::iterator task, base::Instant now, SessionOutput& out);
    void send(std::list<Task>::iterator task, Request request, SessionOutput& out);
    std::uint32_t append(Channel channel, ByteView request, bool may_stay_open, SessionOutput& out);
    void finish(std::list<Task>::iterator task, SessionOutput& out);
    void fail(std::list<Task>::iterator task, int error, std::string text);

    void receive(Channel channel, const nlmsghdr* message, base::Instant now, SessionOutput& out);
    void answered(Pending& pending, const Acknowledgement& answer, base::Instant now, SessionOutput& out);
    void route_answered(Channel channel, std::uint32_t sequence, Acknowledgement answer, SessionOutput& out);
    void end_routes(Channel channel, std::uint32_t last, SessionOutput& out);
    void dump_ended(const nlmsghdr* message, base::Instant now, SessionOutput& out);
    void learn(Channel channel, const nlmsghdr* message, bool in_dump, SessionOutput& out);
    bool is_own(Channel asked_on, const nlmsghdr* message) const;
    void learn_link(Channel channel, const nlmsghdr* message, bool in_dump, SessionOutput& out);
    void learn_route(Channel channel, const nlmsghdr* message, bool in_dump, SessionOutput& out);
    void learn_address(Channel channel, const nlmsghdr* message, SessionOutput& out);
    void tell_of_link(Space space, const std::string& name, Notice notice, SessionOutput& out);
};

Session::Session() : state_(std::make_unique<State>()) {}
Session::~Session() = default;

void Session::use_port(std::uint32_t of_xfrm) { state_->ports[Channel::xfrm] = of_xfrm; }

void Session::use_overlay(int namespace_fd) { state_->overlay_fd = namespace_fd; }

void Session::handle(Change change, base::Instant now, SessionOutput& out) {
    state_->waiting.push_back(std::move(change));
    state_->start_changes(now, out);
}

void Session::handle(Channel channel, base::ByteView bytes, base::Instant now, SessionOutput& out) {
    for_each_message(bytes, [&](const nlmsghdr* message) { state_->receive(channel, message, now, out); });
    state_->start_changes(now, out);
}

// What was lost may have been the answer to anything: everything in flight on the channel counts as
// unanswered and is timed out by tick(), but routes, which are all told again; links are learned anew because
// their notices may be missing.
void Session::lost(Channel channel, base::Instant now, SessionOutput& out) {
    const bool of_routes = channel == Channel::underlay_route || channel == Channel::overlay_route;
    if (of_routes) state_->links.clear();
    for (auto& [sequence, waiting] : state_->pending) {
        if (!waiting.request.is_dump) continue;
        waiting.request.is_torn |= waiting.request.channel == channel;
        waiting.task->has_holes |= waiting.task->snapshot.has_value();  // all is told by links
    }
    state_->end_routes(channel, state_->next_sequence, out);
    out.notices.push_back(Lost{});
    state_->start_changes(now, out);
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
    auto& routes = state_->routes;
    for (; !routes.empty() && routes.front().sent_at + kAnswerTime <= now; routes.pop_front()) {
        out.notices.push_back(Done{routes.front().id, ETIMEDOUT, std::strerror(ETIMEDOUT)});
    }
    state_->start_changes(now, out);
}

std::optional<base::Deadline> Session::deadline() const {
    std::optional<base::Instant> first;
    for (const Task& task : state_->running) {
        if (!first || task.sent_at < *first) first = task.sent_at;
    }
    const auto& routes = state_->routes;
    if (!routes.empty() && (!first || routes.front().sent_at < *first)) first = routes.front().sent_at;
    if (!first) return std::nullopt;
    return base::Deadline{*first + kAnswerTime, "an answer from the kernel is overdue"};
}

bool Session::idle() const {
    return state_->running.empty() && state_->routes.empty() && state_->waiting.empty();
}

void Session::State::start_changes(base::Instant now, SessionOutput& out) {
    while (!waiting.empty() && may_start(waiting.front().wish)) {
        Change change = std::move(waiting.front());
        waiting.pop_front();
        if (overlay_fd < 0 && needs_overlay(change.wish)) {
            if (is_removal(change.wish)) {  // what is in no namespace is gone
                out.notices.push_back(Done{change.id, 0, {}});
            } else {
                out.notices.push_back(Done{change.id, ENETDOWN, "there is no namespace for it yet"});
            }
            continue;
        }
        if (!start_route(change, now, out)) start(make_task(std::move(change)), now, out);
    }
}

// Requests go out in order and the kernel works on them in order, so changes may follow each other closely:
// as soon as all requests of the one before are out, unless it changes links, whose names the others need.
bool Session::State::may_start(const Wish& wish) const {
    if (running.empty() && routes.empty()) return true;
    if (running.size() + routes.size() >= kWindow || is_exclusive(wish)) return false;
    return running.empty() || (!running.back().is_exclusive && running.back().is_all_sent());
}

void Session::State::start(Task started, base::Instant now, SessionOutput& out) {
    running.push_back(std::move(started));
    const auto task = std::prev(running.end());
    if (task->snapshot) watched_tables = task->watched_tables;
    std::vector<Request> first = std::move(task->requests);
    task->requests.clear();
    task->sent_at = now;
    for (Request& request : first) send(task, std::move(request), out);
    if (task->unanswered == 0) advance(task, now, out);
}

// False: it is none, or its link has to be looked up first.
bool Session::State::start_route(const Change& change, base::Instant now, SessionOutput& out) {
    const auto request = route_request(change.wish);
    if (!request) return false;
    const auto* add = std::get_if<AddRoute>(&change.wish);
    const RouteKey& key = add != nullptr ? add->route.key : std::get<RemoveRoute>(change.wish).key;
    const Channel channel = route_channel(key.space);
    const std::uint32_t sequence = append(channel, *request, true, out);
    routes.push_back({change.id, sequence, channel, add == nullptr, now});
    return true;
}

std::optional<Bytes> Session::State::route_request(const Wish& wish) const {
    if (const auto* remove = std::get_if<RemoveRoute>(&wish)) return remove_route(remove->key);
    const auto* add = std::get_if<AddRoute>(&wish);
    if (add == nullptr) return std::nullopt;
    const Route& route = add->route;
    if (route.link.empty()) return add_route(route, 0);
    const LinkState* link = links.find(route.key.space, route.link);
    return link == nullptr ? std::nullopt : std::optional(add_route(route, link->index));
}

void Session::State::advance(std::list<Task>::iterator task, base::Instant now, SessionOutput& out) {
    if (task->has_holes && task->unanswered == 0 && !task->start_over()) fail(task, ENOBUFS, "");
    while (task->error == 0 && task->unanswered == 0 && task->next_phase < task->phases.size()) {
        const Surroundings around{links, overlay_fd, task->shown_sa};
        auto requests = task->phases[task->next_phase++](around);
        if (!requests) {
            fail(task, requests.error().value, requests.error().text);
            break;
        }
        task->sent_at = now;
        for (Request& request : *requests) send(task, std::move(request), out);
    }
    if (task->unanswered == 0) finish(task, out);
}

void Session::State::send(std::list<Task>::iterator task, Request request, SessionOutput& out) {
    const std::uint32_t sequence = append(request.channel, request.bytes, false, out);
    if (!request.is_dump) {
        base::wipe(request.bytes);
        request.bytes.clear();
    } else {
        task->begin_dump();
    }
    ++task->unanswered;
    pending.emplace(sequence, Pending{task, std::move(request)});
}

// The sequence number it got. The kernel tells of errors unasked, and works on one message after the other:
// if another follows in the same datagram, the answer to that is an answer to this one.
std::uint32_t Session::State::append(
    Channel channel, ByteView request, bool may_stay_open, SessionOutput& out
) {
    constexpr std::size_t kFull = 32 * 1024;
    const bool joins = !out.send.empty() && out.send.back().channel == channel &&
                       out.send.back().bytes.size() + request.size() <= kFull;
    if (!joins) out.send.push_back({channel, {}, {}});
    Outgoing& datagram = out.send.back();
    const auto header_at = [&](std::size_t start) {
        return reinterpret_cast<nlmsghdr*>(datagram.bytes.data() + start);
    };
    if (datagram.open_end) header_at(*datagram.open_end)->nlmsg_flags &= static_cast<__u16>(~NLM_F_ACK);
    const std::size_t start = datagram.bytes.size();
    datagram.bytes.insert(datagram.bytes.end(), request.begin(), request.end());
    datagram.open_end = may_stay_open ? std::optional(start) : std::nullopt;
    if (channel == Channel::xfrm) header_at(start)->nlmsg_pid = ports[channel];
    return header_at(start)->nlmsg_seq = next_sequence++;
}

void Session::State::fail(std::list<Task>::iterator task, int error, std::string text) {
    if (task->error != 0) return;
    task->error = error;
    task->text = text.empty() ? std::strerror(error) : std::move(text);
}

void Session::State::finish(std::list<Task>::iterator task, SessionOutput& out) {
    if (task->error == 0 && task->announces) {
        const auto& [space, name] = *task->announces;
        const LinkState* link = links.find(space, name);
        if (link != nullptr && link->up) {
            out.notices.push_back(LinkUp{space, name, link->index, link->link.mtu, task->was_down});
        } else if (link != nullptr && !link->link.up) {  // somebody was quick
            out.notices.push_back(LinkDown{space, name});
        }
    }
    if (task->error == 0 && task->link_counters) out.notices.push_back(std::move(*task->link_counters));
    if (task->error == 0 && task->counters) out.notices.push_back(std::move(*task->counters));
    if (task->error == 0 && task->snapshot) {
        // Masters may have been told of behind what belongs to them.
        for (std::size_t i = 0; i < task->masters.size(); ++i) {
            Link& link = task->snapshot->links[i];
            link.master = links.name_of(link.space, task->masters[i]);
        }
        out.notices.push_back(std::move(*task->snapshot));
    }
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
        if (!answer) return;
        if (channel != Channel::xfrm) ports[channel] = message->nlmsg_pid;
        route_answered(channel, message->nlmsg_seq, *answer, out);
        if (is_answer) {
            Pending done = std::move(found->second);
            pending.erase(found);
            answered(done, *answer, now, out);
        }
        return;
    }
    if (is_answer && found->second.request.is_dump) {
        if ((message->nlmsg_flags & NLM_F_DUMP_INTR) != 0) found->second.request.is_torn = true;
        if (message->nlmsg_type == NLMSG_DONE) return dump_ended(message, now, out);
        learn(channel, message, true, out);
        return found->second.task->collect(channel, message, links);
    }
    if (is_answer && channel == Channel::xfrm && message->nlmsg_type == XFRM_MSG_NEWSA) {
        const auto* bytes = reinterpret_cast<const Byte*>(message);
        found->second.task->shown_sa.assign(bytes, bytes + message->nlmsg_len);
        return;
    }
    // Of a dump that was given up, or is nobody's.
    if (message->nlmsg_seq != 0 && (message->nlmsg_flags & NLM_F_MULTI) != 0) return;
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
    if (task->unanswered == 0) advance(task, now, out);
}

void Session::State::route_answered(
    Channel channel, std::uint32_t sequence, Acknowledgement answer, SessionOutput& out
) {
    end_routes(channel, sequence, out);
    const auto route = std::find_if(routes.begin(), routes.end(), [&](const RouteChange& r) {
        return r.sequence == sequence && r.channel == channel;
    });
    if (route == routes.end()) return;
    // What is not there, maybe not even the table (ENETUNREACH, IPv6), has been removed.
    const bool absent = answer.error == ESRCH || answer.error == ENOENT || answer.error == ENETUNREACH;
    if (route->removes && absent) answer = {};
    std::string text = answer.error != 0 && answer.text.empty() ? std::strerror(answer.error) : answer.text;
    out.notices.push_back(Done{route->id, answer.error, std::move(text)});
    routes.erase(route);
}

// Those sent before the `last` have succeeded.
void Session::State::end_routes(Channel channel, std::uint32_t last, SessionOutput& out) {
    std::erase_if(routes, [&](const RouteChange& route) {
        const bool before = static_cast<std::int32_t>(route.sequence - last) < 0;
        if (route.channel != channel || !before) return false;
        out.notices.push_back(Done{route.id, 0, {}});
        return true;
    });
}

// What a dump gave during which things changed may be inconsistent. One that the kernel gave up says why at
// its end.
void Session::State::dump_ended(const nlmsghdr* message, base::Instant now, SessionOutput& out) {
    Pending done = std::move(pending.at(message->nlmsg_seq));
    pending.erase(message->nlmsg_seq);
    const auto given_up = fixed_header<std::int32_t>(message);
    if (given_up && *given_up < 0) return answered(done, {-*given_up, {}}, now, out);
    if (done.task->has_holes || !done.request.is_torn) return answered(done, {}, now, out);
    --done.task->unanswered;
    done.task->sent_at = now;
    done.task->forget_dump();
    done.request.is_torn = false;
    send(done.task, std::move(done.request), out);
}

void Session::State::learn(Channel channel, const nlmsghdr* message, bool in_dump, SessionOutput& out) {
    const auto tell = [&](auto notice) {
        if (notice) out.notices.push_back(std::move(*notice));
    };
    if (channel == Channel::xfrm) {
        if (message->nlmsg_type == XFRM_MSG_EXPIRE) tell(read_expire(message));
        if (message->nlmsg_type == XFRM_MSG_MAPPING) tell(read_mapping(message));
    } else if (channel == Channel::xfrm_notices) {
        if (is_own(Channel::xfrm, message)) return;
        tell(read_lost_sa(message));
        tell(read_lost_policy(message));
    } else if (message->nlmsg_type == RTM_NEWLINK || message->nlmsg_type == RTM_DELLINK) {
        learn_link(channel, message, in_dump, out);
    } else if (message->nlmsg_type == RTM_NEWADDR || message->nlmsg_type == RTM_DELADDR) {
        learn_address(channel, message, out);
    } else if (message->nlmsg_type == RTM_NEWROUTE || message->nlmsg_type == RTM_DELROUTE) {
        learn_route(channel, message, in_dump, out);
    } else if (const auto change = read_parameter_change(message)) {
        const std::string of = links.name_of(space_of(channel), change->index);
        if (change->index == 0 || !of.empty()) out.notices.push_back(SysctlTouched{space_of(channel), of});
    } else if (message->nlmsg_type == RTM_DELRULE) {
        auto gone = read_rule(message);
        if (!gone || gone->protocol != kProtocol) return;
        gone->rule.space = space_of(channel);
        out.notices.push_back(RuleLost{gone->rule});
    }
}

// What we asked for ourselves carries the name of our socket.
bool Session::State::is_own(Channel asked_on, const nlmsghdr* message) const {
    const auto port = ports.find(asked_on);
    return port != ports.end() && port->second != 0 && message->nlmsg_pid == port->second;
}

// A VRF takes a link down and up again when it gets it: of a link being made the end is told.
void Session::State::learn_link(Channel channel, const nlmsghdr* message, bool in_dump, SessionOutput& out) {
    const auto link = read_link(message);
    if (!link) return;
    const Space space = space_of(channel);
    if (message->nlmsg_type == RTM_DELLINK) {
        const auto gone = links.forget(space, link->index);
        if (gone) tell_of_link(space, link->link.name, *gone, out);
        return;
    }
    for (Notice& notice : links.learn(space, *link, in_dump))
        tell_of_link(space, link->link.name, std::move(notice), out);
}

void Session::State::tell_of_link(Space space, const std::string& name, Notice notice, SessionOutput& out) {
    const auto maker = std::ranges::find_if(running, [&](const Task& task) {
        return task.announces == std::pair(space, name);
    });
    if (maker == running.end()) return out.notices.push_back(std::move(notice));
    if (std::holds_alternative<LinkDown>(notice)) maker->was_down = true;
}

void Session::State::learn_address(Channel channel, const nlmsghdr* message, SessionOutput& out) {
    const auto found = read_address(message);
    if (!found) return;
    const Space space = space_of(channel);
    const std::string link = links.name_of(space, found->index);
    if (message->nlmsg_type == RTM_NEWADDR) {
        if (found->usable) out.notices.push_back(AddressAppeared{space, link, found->address.address});
    } else {
        out.notices.push_back(AddressVanished{space, link, found->address.address});
    }
}

void Session::State::learn_route(Channel channel, const nlmsghdr* message, bool in_dump, SessionOutput& out) {
    const auto header = fixed_header<rtmsg>(message);
    const bool ours = header && header->rtm_protocol == kProtocol;
    const bool gone = message->nlmsg_type == RTM_DELROUTE;
    // Of a route that another one replaces nothing else is told; one under our number may be ours, altered.
    const bool in_place = !gone && !in_dump && (message->nlmsg_flags & NLM_F_REPLACE) != 0;
    if (ours ? in_dump || is_own(channel, message) : watched_tables.empty() && !in_place) return;
    auto found = read_route(message);
    if (!found) return;
    RouteKey& key = found->route.key;
    key.space = space_of(channel);
    if (ours || in_place) out.notices.push_back(RouteLost{key});
    if (ours) return;
    if (!found->leads_somewhere || !watched_tables.contains(key.table)) return;
    if (gone) return out.notices.push_back(ForeignRouteGone{key});
    found->route.link = links.name_of(key.space, found->index);
    out.notices.push_back(ForeignRoute{std::move(found->route), found->protocol});
}

}  // namespace aronet::netlink
