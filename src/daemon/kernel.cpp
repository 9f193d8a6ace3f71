#include "daemon/kernel.hpp"

#include "base/overloaded.hpp"
#include "daemon/clock.hpp"
#include "daemon/log.hpp"
#include "daemon/path_watch.hpp"
#include "daemon/sysctl.hpp"
#include "netlink/codec.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <linux/netlink.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace aronet::daemon {
namespace {

using netlink::Channel;

int protocol_of(Channel channel) {
    const bool is_xfrm = channel == Channel::xfrm || channel == Channel::xfrm_notices;
    return is_xfrm ? NETLINK_XFRM : NETLINK_ROUTE;
}

// What the kernel does within a system call, and what it tells, may be thousands of links at once. Babel's
// Hellos must not wait for all of them: after so long, or so many datagrams, it is everybody else's turn.
constexpr auto kTurn = std::chrono::milliseconds(10);
constexpr int kFair = 256;

template <class T, class... Ts>
bool holds(const std::variant<Ts...>& value) {
    return std::holds_alternative<T>(value);
}

}  // namespace

Kernel::Kernel(boost::asio::io_context& io, Datapath* datapath, Netns overlay)
    : io_(io),
      datapath_(datapath),
      overlay_(std::move(overlay)),
      overlay_entered_(io, 1),
      overlay_named_(io, 1) {
    for (const Channel channel : {Channel::underlay_route, Channel::xfrm, Channel::xfrm_notices}) {
        auto opened = open_netlink(here_, protocol_of(channel), netlink::groups(channel));
        if (!opened) throw std::runtime_error(opened.error().text);
        sockets_[static_cast<std::size_t>(channel)] =
            std::make_unique<NetlinkSocket>(io_, std::move(*opened));
    }
    const std::uint32_t port = socket(Channel::xfrm).port();
    session_.use_port(port);
    socket(Channel::xfrm_notices).ignore_changes_of(port);
}

void Kernel::perform(netlink::Change change, base::Instant now) {
    waiting_.push_back(std::move(change));
    // Of those there may be hundreds.
    if (!is_of_device(waiting_.back().wish)) advance(now);
}

void Kernel::tick(base::Instant now) {
    worked_ = {};
    session_.tick(now, output_);
    if (datapath_ != nullptr) datapath_->let_go();
    advance(now);
}

std::optional<base::Deadline> Kernel::deadline() const {
    if (worked_ >= kTurn && !waiting_.empty() && session_.idle())
        return base::Deadline{{}, "the rest of what is to be done here"};
    return session_.deadline();
}

std::vector<netlink::Notice> Kernel::take_notices(base::Instant now) {
    advance(now);
    flush(now);
    return std::exchange(notices_, {});
}

boost::asio::awaitable<void> Kernel::receive(Channel channel, std::function<void()> woken) {
    if (channel == Channel::overlay_route)
        co_await overlay_entered_.async_receive(boost::asio::use_awaitable);
    for (;;) {
        co_await socket(channel).readable();
        bool overrun = false;
        int taken = 0;
        while (const auto received = socket(channel).receive(overrun)) {
            session_.handle(channel, received->bytes, now(), output_);
            if (protocol_of(channel) == NETLINK_XFRM) socket(channel).forget();  // SAs show their keys
            // At once: what comes next may be the end of a dump that is not whole.
            if (received->cut) session_.lost(channel, now(), output_);
            // Until an overrun queue is empty the kernel drops its answers, too: nothing is asked before.
            if (overrun || ++taken % kFair != 0) continue;
            advance(now());
            woken();
            co_await boost::asio::post(io_, boost::asio::use_awaitable);
        }
        if (overrun) session_.lost(channel, now(), output_);
        advance(now());
        woken();
    }
}

// The kernel tells nobody of it: it is a file.
boost::asio::awaitable<void> Kernel::watch_name(std::function<void()> woken) {
    co_await overlay_named_.async_receive(boost::asio::use_awaitable);
    std::vector<std::string> paths{path_of_namespace(overlay_name_)};
    PathWatch watch(io_, std::move(paths));
    std::string told;
    while (watch.works()) {
        if (watch.error() != std::exchange(told, watch.error()) && !told.empty())
            write_log({base::Level::warning, "nobody may tell when the namespace loses its name: " + told});
        if (!leads_to(overlay_name_, overlay_.descriptor())) {
            notices_.push_back(netlink::NamespaceLost{});
            woken();
        }
        co_await watch.changes();
    }
    write_log({base::Level::warning, "nobody tells when the namespace loses its name: " + watch.error()});
}

// What is not netlink happens at once, so it waits until everything before it has been answered.
void Kernel::advance(base::Instant now) {
    while (!waiting_.empty()) {
        if (is_local(waiting_.front().wish)) {
            if (!session_.idle() || worked_ >= kTurn) return;
            const base::Instant begun = daemon::now();
            remove_devices();
            netlink::Change change = std::move(waiting_.front());
            waiting_.pop_front();
            perform_here(std::move(change), now);
            worked_ += daemon::now() - begun;
        } else {
            session_.handle(std::move(waiting_.front()), now, output_);
            waiting_.pop_front();
        }
    }
}

// Those that are to go now and next, in one go.
void Kernel::remove_devices() {
    constexpr std::size_t kTogether = 128;
    if (devices_gone_ > 0) {
        --devices_gone_;
        return;
    }
    std::vector<std::string> names;
    for (const netlink::Change& change : waiting_) {
        if (!is_of_device(change.wish) || names.size() == kTogether) break;
        const auto& [space, name] = std::get<netlink::RemoveLink>(change.wish);
        if (!is_there(space) || !datapath_->has_device(tunnels_.at(name))) break;
        names.push_back(name);
    }
    if (names.size() < 2) return;
    devices_gone_ = names.size() - 1;
    const bool is_inside =
        std::get<netlink::RemoveLink>(waiting_.front().wish).space == netlink::Space::overlay;
    const Channel channel = is_inside ? Channel::overlay_route : Channel::underlay_route;
    socket(channel).send(netlink::delete_links(names));
}

void Kernel::flush(base::Instant now) {
    while (!output_.send.empty() || !output_.notices.empty()) {
        auto output = std::exchange(output_, {});
        for (auto& notice : output.notices) notices_.push_back(std::move(notice));
        for (const auto& message : output.send) {
            // The kernel answers within send(); only a full receive buffer makes it refuse, and that is an
            // overrun.
            if (socket(message.channel).send(message.bytes) != 0)
                session_.lost(message.channel, now, output_);
        }
    }
}

bool Kernel::is_of_device(const netlink::Wish& wish) const {
    const auto* remove = std::get_if<netlink::RemoveLink>(&wish);
    return datapath_ != nullptr && remove != nullptr && tunnels_.contains(remove->name);
}

bool Kernel::is_local(const netlink::Wish& wish) const {
    using namespace netlink;
    if (holds<AddNamespace>(wish) || holds<RemoveNamespace>(wish) || holds<SetSysctl>(wish) ||
        holds<GetSysctl>(wish) || holds<ClampSegments>(wish)) {
        return true;
    }
    if (datapath_ == nullptr) return false;
    if (const auto* add = std::get_if<AddLink>(&wish)) return holds<Tunnel>(add->link.kind);
    if (is_of_device(wish)) return true;
    return holds<AddSa>(wish) || holds<MoveSa>(wish) || holds<RemoveSa>(wish) || holds<SetPolicies>(wish) ||
           holds<RemovePolicies>(wish) || holds<ReadCounters>(wish);
}

void Kernel::perform_here(netlink::Change change, base::Instant now) {
    using namespace netlink;
    const auto answer = [&](int error) { done(change.id, error); };
    if (const auto* add = std::get_if<AddNamespace>(&change.wish)) {
        const int error = enter_overlay(add->name);
        return done(
            change.id,
            error,
            error == EEXIST  ? "the name is that of another namespace"
            : error == EPERM ? "only root may make or name a namespace (aronet netns prepare)"
                             : nullptr
        );
    }
    if (const auto* remove = std::get_if<RemoveNamespace>(&change.wish))
        return answer(leave_overlay(remove->name));
    if (const auto* set = std::get_if<SetSysctl>(&change.wish)) return answer(set_sysctl(*set));
    if (const auto* get = std::get_if<GetSysctl>(&change.wish)) return answer(get_sysctl(*get));
    if (const auto* clamp = std::get_if<ClampSegments>(&change.wish)) return answer(clamp_segments(*clamp));
    perform_in_datapath(std::move(change), now);
}

void Kernel::perform_in_datapath(netlink::Change change, base::Instant now) {
    using namespace netlink;
    const ChangeId id = change.id;
    std::visit(
        base::Overloaded{
            [&](AddLink&) { add_tunnel(std::move(change), now); },
            [&](RemoveLink& wish) { done(id, remove_tunnel(wish.name)); },
            [&](AddSa& wish) { done(id, datapath_->add_sa(std::move(wish.sa))); },
            [&](MoveSa& wish) { done(id, datapath_->move_sa(wish.id, wish.source, wish.destination)); },
            [&](RemoveSa& wish) { done(id, datapath_->remove_sa(wish.id)); },
            [&](SetPolicies& wish) {
                const Policies& p = wish.policies;
                done(id, datapath_->set_outbound(p.if_id, p.spi_out, p.local, p.remote));
            },
            [&](ReadCounters&) {
                output_.notices.push_back(read_counters());
                done(id, 0);
            },
            [&](RemovePolicies& wish) { done(id, datapath_->remove_outbound(wish.if_id)); },
            [&](auto&) { done(id, EOPNOTSUPP); },
        },
        change.wish
    );
}

netlink::Counters Kernel::read_counters() const {
    netlink::Counters counters;
    for (const Datapath::SaCounters& sa : datapath_->counters())
        counters.sas.push_back({sa.id, sa.bytes, sa.packets, sa.last_used});
    for (const auto& [reason, count] : datapath_->drops()) counters.drops.emplace(reason, count);
    return counters;
}

void Kernel::done(netlink::ChangeId id, int error, const char* text) {
    if (text == nullptr) text = error == 0 ? "" : std::strerror(error);
    output_.notices.push_back(netlink::Done{id, error, text});
}

bool Kernel::is_there(netlink::Space which) const {
    return which == netlink::Space::underlay || overlay_.descriptor() >= 0;
}

// A namespace that was handed over belongs to whoever made it, and is there for as long as we are.
int Kernel::enter_overlay(const std::string& name) {
    auto& socket = sockets_[static_cast<std::size_t>(Channel::overlay_route)];
    if (socket) return name_overlay(name);
    if (!overlay_.was_handed_over()) {
        if (const int error = make_namespace(name); error != 0) return error;
        auto made = Netns::of(name);
        if (!made) return made.error();
        overlay_ = std::move(*made);
    }
    auto opened = open_netlink(overlay_, NETLINK_ROUTE, netlink::groups(Channel::overlay_route));
    if (!opened) return EACCES;
    socket = std::make_unique<NetlinkSocket>(io_, std::move(*opened));
    session_.use_overlay(overlay_.descriptor());
    overlay_entered_.try_send(boost::system::error_code());
    overlay_name_ = name;
    if (leads_to(name, overlay_.descriptor())) overlay_named_.try_send(boost::system::error_code());
    return 0;
}

// We are in it whatever it is called; all that is inside is as it was.
int Kernel::name_overlay(const std::string& name) {
    if (!overlay_.was_handed_over()) return restore_name(name, overlay_.descriptor());
    return leads_to(name, overlay_.descriptor()) ? 0 : EPERM;
}

// Whoever took the name for another namespace keeps it.
int Kernel::leave_overlay(const std::string& name) {
    const bool is_ours = is_there(netlink::Space::overlay) && !overlay_.was_handed_over();
    return is_ours && leads_to(name, overlay_.descriptor()) ? remove_namespace(name) : 0;
}

// The data plane makes the device, netlink gives it its place and properties: one Done for both.
void Kernel::add_tunnel(netlink::Change change, base::Instant now) {
    netlink::Link& link = std::get<netlink::AddLink>(change.wish).link;
    if (!is_there(link.space)) return done(change.id, ENETDOWN);
    const std::uint32_t if_id = std::get<netlink::Tunnel>(link.kind).if_id;
    const int error = datapath_->add_tunnel(link.name, if_id, link.mtu);
    if (error == EEXIST) return done(change.id, error, "there is a link of this name that is not ours");
    if (error != 0) return done(change.id, error);
    tunnels_[link.name] = if_id;
    link.kind = netlink::Tun{};
    session_.handle(std::move(change), now, output_);
}

int Kernel::remove_tunnel(const std::string& name) {
    const auto tunnel = tunnels_.find(name);
    const int error = datapath_->remove_tunnel(tunnel->second);
    tunnels_.erase(tunnel);
    return error;
}

int Kernel::get_sysctl(const netlink::GetSysctl& wish) {
    if (!is_there(wish.space)) return ENETDOWN;
    const auto value = read_sysctl(space(wish.space), wish.key);
    if (!value) return value.error();
    output_.notices.push_back(netlink::SysctlValue{wish.space, wish.key, *value});
    return 0;
}

int Kernel::set_sysctl(const netlink::SetSysctl& wish) {
    if (!is_there(wish.space)) return ENETDOWN;
    return write_sysctl(space(wish.space), wish.key, wish.value);
}

// The kernel says what is wrong within send(), and nothing where nothing is.
int Kernel::clamp_segments(const netlink::ClampSegments& wish) {
    auto opened = open_netlink(here_, NETLINK_NETFILTER, {});
    if (!opened) return EPROTONOSUPPORT;
    filter_ = std::move(*opened);
    const base::Bytes batch = netlink::clamp_segments(wish);
    if (::send(filter_.get(), batch.data(), batch.size(), 0) < 0) return errno;
    alignas(nlmsghdr) std::array<base::Byte, 8192> answer;
    const ssize_t size = recv(filter_.get(), answer.data(), answer.size(), MSG_DONTWAIT);
    int error = size < 0 && errno != EAGAIN ? errno : 0;
    if (size <= 0) return error;
    netlink::for_each_message({answer.data(), static_cast<std::size_t>(size)}, [&](const nlmsghdr* message) {
        const auto said = netlink::read_acknowledgement(message);
        if (said && error == 0) error = said->error;
    });
    return error;
}

}  // namespace aronet::daemon
