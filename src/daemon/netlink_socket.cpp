#include "daemon/netlink_socket.hpp"

#include "base/secret.hpp"

#include <boost/asio/use_awaitable.hpp>

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace aronet::daemon {
namespace {

// A dump message is at most 32 KiB unless we read with more; a burst of notices waits in the kernel's buffer.
constexpr std::size_t kReadSize = 128 * 1024;
constexpr int kKernelBuffer = 8 << 20;

void set(int fd, int level, int option, int value) { setsockopt(fd, level, option, &value, sizeof value); }

constexpr std::uint32_t kAll = ~0u;  // octets: the whole message

void attach(int fd, std::span<sock_filter> program) {
    const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
    setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter);
}

std::uint32_t port_of(int fd) {
    sockaddr_nl name{};
    socklen_t size = sizeof name;
    getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size);
    return name.nl_pid;
}

// Nobody needs to hear what they have said: with ten thousand routes that is ten thousand datagrams, and room
// for them. Dumps come through, whole, and what others do to our routes.
void be_deaf_to_own_routes(int fd) {
    std::array<sock_filter, 8> program{{
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(nlmsghdr, nlmsg_type)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_NEWROUTE), 0, 4),
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(nlmsghdr, nlmsg_flags)),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, htons(NLM_F_MULTI), 2, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(nlmsghdr, nlmsg_pid)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(port_of(fd)), 1, 0),
        BPF_STMT(BPF_RET | BPF_K, kAll),
        BPF_STMT(BPF_RET | BPF_K, 0),
    }};
    attach(fd, program);
}

}  // namespace

base::Result<Descriptor> open_netlink(Netns& space, int protocol, std::span<const int> groups) {
    Descriptor fd = space.open_socket(AF_NETLINK, SOCK_RAW, protocol);
    if (!fd) return base::Error{std::string("netlink: ") + std::strerror(errno)};
    set(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, kKernelBuffer);
    set(fd.get(), SOL_NETLINK, NETLINK_EXT_ACK, 1);
    set(fd.get(), SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1);
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
        return base::Error{std::string("netlink: bind: ") + std::strerror(errno)};
    }
    if (protocol == NETLINK_ROUTE) be_deaf_to_own_routes(fd.get());
    for (const int group : groups) set(fd.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group);
    return fd;
}

NetlinkSocket::NetlinkSocket(boost::asio::io_context& io, Descriptor descriptor)
    : socket_(io, descriptor.release()), buffer_(kReadSize) {}

boost::asio::awaitable<void> NetlinkSocket::readable() {
    co_await socket_.async_wait(socket_.wait_read, boost::asio::use_awaitable);
}

std::optional<NetlinkSocket::Received> NetlinkSocket::receive(bool& overrun) {
    for (;;) {
        // With MSG_TRUNC it is the size that the datagram had.
        const ssize_t size = recv(socket_.native_handle(), buffer_.data(), buffer_.size(), MSG_TRUNC);
        if (size >= 0) {
            received_ = std::min(static_cast<std::size_t>(size), buffer_.size());
            return Received{base::ByteView(buffer_).first(received_), size > ssize_t(received_)};
        }
        if (errno == ENOBUFS) {
            overrun = true;
        } else if (errno != EINTR) {
            return std::nullopt;
        }
    }
}

std::uint32_t NetlinkSocket::port() { return port_of(socket_.native_handle()); }

void NetlinkSocket::ignore_changes_of(std::uint32_t port) {
    std::array<sock_filter, 4> program{{
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(nlmsghdr, nlmsg_pid)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(port), 1, 0),
        BPF_STMT(BPF_RET | BPF_K, kAll),
        BPF_STMT(BPF_RET | BPF_K, 0),
    }};
    attach(socket_.native_handle(), program);
}

void NetlinkSocket::forget() { base::wipe(std::span(buffer_).first(received_)); }

int NetlinkSocket::send(base::ByteView bytes) {
    const ssize_t size = ::send(socket_.native_handle(), bytes.data(), bytes.size(), 0);
    return size == static_cast<ssize_t>(bytes.size()) ? 0 : errno;
}

}  // namespace aronet::daemon
