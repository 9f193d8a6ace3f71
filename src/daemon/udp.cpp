#include "daemon/udp.hpp"

#include "daemon/clock.hpp"
#include "netlink/kernel.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <linux/errqueue.h>
#include <linux/udp.h>
#include <linux/xfrm.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <utility>

namespace aronet::daemon {
namespace {

using base::Address;
using base::Endpoint;

constexpr std::size_t kDatagramMax = 65535;

socklen_t to_sockaddr(
    const Address& address, std::uint16_t port, std::uint32_t index, sockaddr_storage& out
) {
    out = {};
    if (address.is_v4()) {
        auto& v4 = reinterpret_cast<sockaddr_in&>(out);
        v4.sin_family = AF_INET;
        v4.sin_port = htons(port);
        std::memcpy(&v4.sin_addr, address.bytes().data(), 4);
        return sizeof v4;
    }
    auto& v6 = reinterpret_cast<sockaddr_in6&>(out);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    v6.sin6_scope_id = address.is_link_local() || address.is_multicast() ? index : 0;
    std::memcpy(&v6.sin6_addr, address.bytes().data(), 16);
    return sizeof v6;
}

Endpoint from_sockaddr(const sockaddr_storage& storage) {
    if (storage.ss_family == AF_INET) {
        const auto& v4 = reinterpret_cast<const sockaddr_in&>(storage);
        return {
            *Address::from_bytes({reinterpret_cast<const base::Byte*>(&v4.sin_addr), 4}), ntohs(v4.sin_port)};
    }
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(storage);
    return {
        *Address::from_bytes({reinterpret_cast<const base::Byte*>(&v6.sin6_addr), 16}), ntohs(v6.sin6_port)};
}

void set(int fd, int level, int option, int value) { setsockopt(fd, level, option, &value, sizeof value); }

void set_receive_buffer(int fd, int size) {
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0)
        set(fd, SOL_SOCKET, SO_RCVBUF, size);
}

// IKE must reach its peer even where another daemon's policies would catch the packets.
void bypass_policies(int fd, bool v4) {
    xfrm_userpolicy_info policy{};
    policy.action = XFRM_POLICY_ALLOW;
    policy.sel.family = v4 ? AF_INET : AF_INET6;
    for (const auto direction : {XFRM_POLICY_IN, XFRM_POLICY_OUT}) {
        policy.dir = static_cast<__u8>(direction);
        setsockopt(
            fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_XFRM_POLICY : IPV6_XFRM_POLICY, &policy, sizeof policy
        );
    }
}

void set_link_scope(int fd) {
    set(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 1);
    set(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 1);
    set(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0);
    set(fd, IPPROTO_IPV6, IPV6_TCLASS, 0xc0);
    set(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
}

void set_family_options(int fd, const UdpOptions& options) {
    const bool v4 = options.family == base::Family::v4;
    if (v4) {
        set(fd, IPPROTO_IP, IP_PKTINFO, 1);
        // A large IKE message to a peer without RFC 7383 must be allowed to be fragmented on its way.
        set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
    } else {
        set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
        set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
        set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT);
    }
    if (options.link_scope) set_link_scope(fd);
    if (options.past_policies) bypass_policies(fd, v4);
}

base::Error failed(const UdpOptions& options, const char* what) {
    return {"UDP port " + std::to_string(options.port) + ": " + what + ": " + std::strerror(errno)};
}

struct Control {
    alignas(cmsghdr) std::array<char, 256> space{};
};

void read_control(msghdr& message, Arrival& arrival) {
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            in_pktinfo info;
            std::memcpy(&info, CMSG_DATA(c), sizeof info);
            arrival.interface_index = static_cast<std::uint32_t>(info.ipi_ifindex);
            arrival.to.address = *Address::from_bytes({reinterpret_cast<base::Byte*>(&info.ipi_addr), 4});
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            in6_pktinfo info;
            std::memcpy(&info, CMSG_DATA(c), sizeof info);
            arrival.interface_index = info.ipi6_ifindex;
            arrival.to.address = *Address::from_bytes({reinterpret_cast<base::Byte*>(&info.ipi6_addr), 16});
        } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
            timespec stamp;
            std::memcpy(&stamp, CMSG_DATA(c), sizeof stamp);
            arrival.at = from_wall_clock(stamp, arrival.at);
        }
    }
}

template <class Value>
void add_control(msghdr& message, Control& control, int level, int type, const Value& info) {
    message.msg_control = control.space.data();
    message.msg_controllen = CMSG_SPACE(sizeof info);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = level;
    header->cmsg_type = type;
    header->cmsg_len = CMSG_LEN(sizeof info);
    std::memcpy(CMSG_DATA(header), &info, sizeof info);
}

void pin_source(msghdr& message, Control& control, const Address& from, std::uint32_t index) {
    if (from.is_v4()) {
        in_pktinfo info{};
        info.ipi_ifindex = static_cast<int>(index);
        std::memcpy(&info.ipi_spec_dst, from.bytes().data(), 4);
        add_control(message, control, IPPROTO_IP, IP_PKTINFO, info);
    } else {
        in6_pktinfo info{};
        info.ipi6_ifindex = index;
        std::memcpy(&info.ipi6_addr, from.bytes().data(), 16);
        add_control(message, control, IPPROTO_IPV6, IPV6_PKTINFO, info);
    }
}

ipv6_mreq membership(const Address& group, std::uint32_t interface_index) {
    ipv6_mreq request{};
    std::memcpy(&request.ipv6mr_multiaddr, group.bytes().data(), 16);
    request.ipv6mr_interface = interface_index;
    return request;
}

}  // namespace

base::Result<Descriptor> open_udp(Netns& space, const UdpOptions& options) {
    const int domain = options.family == base::Family::v4 ? AF_INET : AF_INET6;
    Descriptor fd = space.open_socket(domain, SOCK_DGRAM);
    if (!fd) return failed(options, "socket");
    set_receive_buffer(fd.get(), options.receive_buffer);
    set(fd.get(), SOL_SOCKET, SO_TIMESTAMPNS, 1);
    set_family_options(fd.get(), options);
    if (options.mark != 0 &&
        setsockopt(fd.get(), SOL_SOCKET, SO_MARK, &options.mark, sizeof options.mark) != 0) {
        return failed(options, "mark");
    }
    const std::string& device = options.device;
    if (!device.empty() &&
        setsockopt(
            fd.get(), SOL_SOCKET, SO_BINDTODEVICE, device.c_str(), static_cast<socklen_t>(device.size())
        ) != 0) {
        return failed(options, "bind to device");
    }
    const int encapsulation = UDP_ENCAP_ESPINUDP;
    if (options.esp_in_udp &&
        setsockopt(fd.get(), IPPROTO_UDP, UDP_ENCAP, &encapsulation, sizeof encapsulation) != 0) {
        return failed(options, "ESP in UDP");
    }
    sockaddr_storage address;
    const socklen_t size = to_sockaddr(Address::any(options.family), options.port, 0, address);
    if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0) {
        const bool may_be_held = errno == EADDRINUSE && options.esp_in_udp;
        return failed(
            options, may_be_held ? "bind (another daemon's, or held for one: `aronet hold`)" : "bind"
        );
    }
    return fd;
}

// The port is shared only once it is ours, so nobody else's socket can take it beside this one.
Descriptor open_to_group(
    Netns& space,
    int beside,
    const UdpOptions& options,
    const Address& from,
    const Address& group,
    std::uint32_t interface_index
) {
    Descriptor fd = space.open_socket(AF_INET6, SOCK_DGRAM);
    if (!fd) return {};
    for (const int one : {beside, fd.get()}) set(one, SOL_SOCKET, SO_REUSEPORT, 1);
    set_family_options(fd.get(), options);
    sockaddr_storage name;
    socklen_t size = to_sockaddr(from, options.port, interface_index, name);
    if (bind(fd.get(), reinterpret_cast<sockaddr*>(&name), size) != 0) return {};
    size = to_sockaddr(group, options.port, interface_index, name);
    if (connect(fd.get(), reinterpret_cast<sockaddr*>(&name), size) != 0) return {};
    return fd;
}

// Datagrams that were taken from the kernel with one call. A burst of updates is thousands of them.
struct UdpSocket::Batch {
    static constexpr std::size_t kSize = 8;

    std::unique_ptr<base::Byte[]> space = std::make_unique_for_overwrite<base::Byte[]>(kSize * kDatagramMax);
    std::array<sockaddr_storage, kSize> from;
    std::array<iovec, kSize> vectors;
    std::array<Control, kSize> controls;
    std::array<mmsghdr, kSize> messages;
    std::size_t next = 0, end = 0;
    bool drained = false;  // by the last call: it brought fewer than it could have

    bool refill(int descriptor);
    base::ByteView bytes(std::size_t i) const {
        return {static_cast<base::Byte*>(vectors[i].iov_base), messages[i].msg_len};
    }
};

bool UdpSocket::Batch::refill(int descriptor) {
    next = end = 0;
    if (std::exchange(drained, false)) return false;
    for (std::size_t i = 0; i < kSize; ++i) {
        vectors[i] = {space.get() + i * kDatagramMax, kDatagramMax};
        msghdr& message = messages[i].msg_hdr = {};
        message.msg_name = &from[i];
        message.msg_namelen = sizeof from[i];
        message.msg_iov = &vectors[i];
        message.msg_iovlen = 1;
        message.msg_control = controls[i].space.data();
        message.msg_controllen = controls[i].space.size();
    }
    for (;;) {
        const int count = recvmmsg(descriptor, messages.data(), kSize, MSG_DONTWAIT, nullptr);
        if (count > 0) {
            end = static_cast<std::size_t>(count);
            drained = end < kSize;
            return true;
        }
        // An ICMP error of an earlier send is reported here once; it is no reason to stop reading.
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EBADF) return false;
    }
}

UdpSocket::UdpSocket(boost::asio::io_context& io, Descriptor descriptor, std::uint16_t port)
    : socket_(io, descriptor.release()), port_(port), batch_(std::make_unique<Batch>()) {}

UdpSocket::~UdpSocket() = default;

boost::asio::awaitable<bool> UdpSocket::readable() {
    const auto [error] =
        co_await socket_.async_wait(socket_.wait_read, boost::asio::as_tuple(boost::asio::use_awaitable));
    co_return !error;
}

std::optional<Arrival> UdpSocket::receive() {
    Batch& batch = *batch_;
    if (batch.next == batch.end && !batch.refill(socket_.native_handle())) return std::nullopt;
    const std::size_t i = batch.next++;
    Arrival arrival{batch.bytes(i), from_sockaddr(batch.from[i]), {}, 0, now()};
    read_control(batch.messages[i].msg_hdr, arrival);
    arrival.to.port = port_;
    return arrival;
}

std::optional<Refusal> UdpSocket::refusal() {
    for (;;) {
        sockaddr_storage name{};
        Control control;
        msghdr message{};
        message.msg_name = &name;
        message.msg_namelen = sizeof name;
        message.msg_control = control.space.data();
        message.msg_controllen = control.space.size();
        if (recvmsg(socket_.native_handle(), &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) return std::nullopt;
        for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
            if (c->cmsg_level != IPPROTO_IPV6 || c->cmsg_type != IPV6_RECVERR) continue;
            sock_extended_err error;
            std::memcpy(&error, CMSG_DATA(c), sizeof error);
            if (error.ee_origin != SO_EE_ORIGIN_ICMP6 || error.ee_errno != ECONNREFUSED) continue;
            const auto& to = reinterpret_cast<const sockaddr_in6&>(name);
            // On a link of many each could speak of the others: only the node that was asked
            // (netlink::kPinLength) says that nobody listens.
            sockaddr_in6 by{};
            if (c->cmsg_len < CMSG_LEN(sizeof error + sizeof by)) continue;
            std::memcpy(&by, CMSG_DATA(c) + sizeof error, sizeof by);  // SO_EE_OFFENDER
            if (std::memcmp(&by.sin6_addr, &to.sin6_addr, netlink::kPinLength / 8) != 0) continue;
            return Refusal{from_sockaddr(name).address, to.sin6_scope_id};
        }
    }
}

bool UdpSocket::send(
    const Address& from, const Endpoint& to, std::uint32_t interface_index, base::ByteView bytes
) {
    sockaddr_storage name;
    msghdr message{};
    message.msg_namelen = to_sockaddr(to.address, to.port, interface_index, name);
    message.msg_name = &name;
    iovec vector{const_cast<base::Byte*>(bytes.data()), bytes.size()};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    Control control;
    if (!from.is_any() || interface_index != 0) pin_source(message, control, from, interface_index);
    ssize_t sent = sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL);
    // What became of an earlier one is told once, instead of sending.
    if (sent < 0 && errno != EAGAIN) sent = sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL);
    return sent == static_cast<ssize_t>(bytes.size());
}

int join_group(int descriptor, const Address& group, std::uint32_t interface_index) {
    const ipv6_mreq request = membership(group, interface_index);
    const int result = setsockopt(descriptor, IPPROTO_IPV6, IPV6_JOIN_GROUP, &request, sizeof request);
    return result == 0 || errno == EADDRINUSE ? 0 : errno;
}

void leave_group(int descriptor, const Address& group, std::uint32_t interface_index) {
    const ipv6_mreq request = membership(group, interface_index);
    setsockopt(descriptor, IPPROTO_IPV6, IPV6_LEAVE_GROUP, &request, sizeof request);
}

}  // namespace aronet::daemon
