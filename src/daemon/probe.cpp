#include "daemon/probe.hpp"

#include "daemon/clock.hpp"
#include "daemon/netlink_socket.hpp"
#include "netlink/codec.hpp"
#include "netlink/session.hpp"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <thread>

namespace aronet::daemon {
namespace {

using netlink::Channel;

// A Session on blocking sockets, for a few changes before there is an event loop.
class Trial {
public:
    // With the overlay's namespace where there is one.
    explicit Trial(Netns* overlay = nullptr) {
        Netns here;
        const auto open = [&](Channel channel, Netns& space, int protocol) {
            auto fd = open_netlink(space, protocol, {});
            if (fd) sockets_[static_cast<std::size_t>(channel)] = std::move(*fd);
        };
        open(Channel::underlay_route, here, NETLINK_ROUTE);
        open(Channel::xfrm, here, NETLINK_XFRM);
        if (overlay == nullptr) return;
        open(Channel::overlay_route, *overlay, NETLINK_ROUTE);
        session_.use_overlay(overlay->descriptor());
    }

    netlink::Done perform(netlink::Wish wish) {
        session_.handle(netlink::Change{1, std::move(wish)}, now(), output_);
        // Long: the first SA loads and tests the kernel's algorithms, and a slow machine starts several
        // nodes.
        const base::Instant end = now() + std::chrono::seconds(120);
        while (now() < end) {
            for (auto& notice : output_.notices) {
                if (auto* all = std::get_if<netlink::Snapshot>(&notice)) snapshot = std::move(*all);
                if (const auto* done = std::get_if<netlink::Done>(&notice)) {
                    const netlink::Done answer = *done;
                    output_.clear();
                    return answer;
                }
            }
            output_.notices.clear();
            exchange();
        }
        return {1, ETIMEDOUT, "no answer from netlink"};
    }

    netlink::Snapshot snapshot;  // the last that was taken

private:
    void exchange() {
        auto output = std::exchange(output_, {});
        for (const auto& message : output.send) {
            const int fd = sockets_[static_cast<std::size_t>(message.channel)].get();
            [[maybe_unused]] const auto sent = send(fd, message.bytes.data(), message.bytes.size(), 0);
        }
        for (const Channel channel : {Channel::underlay_route, Channel::overlay_route, Channel::xfrm}) {
            pollfd ready{sockets_[static_cast<std::size_t>(channel)].get(), POLLIN, 0};
            if (ready.fd < 0) continue;
            if (poll(&ready, 1, 10) <= 0) continue;
            const ssize_t size = recv(ready.fd, buffer_.data(), buffer_.size(), 0);
            if (size > 0) session_.handle(channel, {buffer_.data(), std::size_t(size)}, now(), output_);
            if (channel == Channel::xfrm) base::wipe(buffer_);  // SAs show their keys
        }
    }

    netlink::Session session_;
    netlink::SessionOutput output_;
    std::array<Descriptor, 3> sockets_;
    std::array<base::Byte, 65536> buffer_;
};

// Of nobody else, for a moment.
constexpr std::uint32_t kIfId = UINT32_MAX;
constexpr const char* kLink = "aronet-probe";

base::Sa sample_sa() {
    base::Sa sa;
    sa.source = {*base::Address::parse("192.0.2.1"), 4500};
    sa.destination = {*base::Address::parse("192.0.2.2"), 4500};
    sa.spi = UINT32_MAX;
    sa.reqid = sa.if_id = kIfId;
    sa.key = base::Secret(base::key_size(sa.suite));
    return sa;
}

std::string try_esp() {
    Trial trial;
    netlink::Link link;
    link.name = kLink;
    link.kind = netlink::Tunnel{kIfId};
    const auto words = [](const netlink::Done& done) {
        return done.text.empty() ? std::string(std::strerror(done.error)) : done.text;
    };
    if (const auto done = trial.perform(netlink::AddLink{link}); done.error != 0) {
        return "no XFRM interface: " + words(done);
    }
    const auto added = trial.perform(netlink::AddSa{sample_sa()});
    trial.perform(netlink::RemoveSa{sample_sa().id(), sample_sa().source.address});
    trial.perform(netlink::RemoveLink{netlink::Space::underlay, kLink});
    return added.error == 0 ? "" : "no ESP: " + words(added);
}

}  // namespace

std::string why_no_kernel_esp() {
    std::string why;
    std::thread([&] {
        const bool possible = unshare(CLONE_NEWNET) == 0 || errno == EPERM;
        why = possible ? try_esp() : std::strerror(errno);
    }).join();
    return why;
}

base::Result<netlink::Snapshot> take_snapshot(const std::string& link_prefix, Netns* overlay) {
    Trial trial(overlay);
    const auto done = trial.perform(netlink::TakeSnapshot{link_prefix, {}});
    if (done.error != 0) return base::Error{done.text};
    return std::move(trial.snapshot);
}

bool has_filter_table(const std::string& name) {
    Netns here;
    const auto socket = open_netlink(here, NETLINK_NETFILTER, {});
    const base::Bytes question = netlink::ask_for_filter_table(name);
    if (!socket || ::send(socket->get(), question.data(), question.size(), 0) < 0) return false;
    alignas(nlmsghdr) std::array<base::Byte, 8192> answer;
    for (;;) {  // what it is, and then that this was it; the kernel says both within send()
        const ssize_t size = recv(socket->get(), answer.data(), answer.size(), MSG_DONTWAIT);
        if (size <= 0) return false;
        std::optional<int> error;
        netlink::for_each_message(
            {answer.data(), static_cast<std::size_t>(size)},
            [&](const nlmsghdr* message) {
                if (message->nlmsg_type != NLMSG_ERROR) return;
                if (const auto said = netlink::read_acknowledgement(message)) error = said->error;
            }
        );
        if (error) return *error == 0;
    }
}

std::vector<base::Address> local_addresses() {
    std::vector<base::Address> addresses;
    ifaddrs* list = nullptr;
    if (getifaddrs(&list) != 0) return addresses;
    for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
        if (entry->ifa_addr == nullptr) continue;
        std::optional<base::Address> address;
        if (entry->ifa_addr->sa_family == AF_INET) {
            const auto* v4 = reinterpret_cast<const sockaddr_in*>(entry->ifa_addr);
            address = base::Address::from_bytes({reinterpret_cast<const base::Byte*>(&v4->sin_addr), 4});
        } else if (entry->ifa_addr->sa_family == AF_INET6) {
            const auto* v6 = reinterpret_cast<const sockaddr_in6*>(entry->ifa_addr);
            address = base::Address::from_bytes({reinterpret_cast<const base::Byte*>(&v6->sin6_addr), 16});
        }
        if (address && !address->is_loopback() && !address->is_link_local()) addresses.push_back(*address);
    }
    freeifaddrs(list);
    return addresses;
}

}  // namespace aronet::daemon
