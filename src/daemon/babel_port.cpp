#include "daemon/babel_port.hpp"

#include "daemon/netns.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace aronet::daemon {
namespace {

constexpr std::uint16_t kPort = 6696;  // RFC 8966 section 5
constexpr int kFair = 4;               // datagrams in a row before the kernel is told what they brought
constexpr int kPatience = 4096;        // before time goes on
const base::Address kGroup = *base::Address::parse("ff02::1:6");

UdpOptions options() {
    UdpOptions options;
    options.port = kPort;
    options.link_scope = true;
    return options;
}

}  // namespace

BabelPort::BabelPort(boost::asio::io_context& io) : io_(io), opened_(io, 1) {}

std::string BabelPort::open(int namespace_fd, const std::string& vrf) {
    if (socket_) return bind_again(vrf);
    UdpOptions wanted = options();
    wanted.device = vrf;
    wanted.receive_buffer = 8 << 20;  // all neighbours may tell all they know at once
    base::Result<Descriptor> descriptor = base::Error{};
    inside_namespace(namespace_fd, [&] { descriptor = open_udp(wanted); });
    if (!descriptor) return descriptor.error().text;
    namespace_fd_ = namespace_fd;
    socket_ = std::make_unique<UdpSocket>(io_, std::move(*descriptor), kPort);
    add_holder();
    for (const auto& [index, name] : name_of_) join_if_wanted(name, index);
    opened_.try_send(boost::system::error_code());
    return "";
}

// A socket is bound to the number of its VRF, which is another one now.
std::string BabelPort::bind_again(const std::string& vrf) {
    const int fd = socket_->descriptor();
    const bool fine =
        vrf.empty() || setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, vrf.data(), socklen_t(vrf.size())) == 0;
    return fine ? "" : std::strerror(errno);
}

void BabelPort::link_up(const std::string& name, std::uint32_t index) {
    const auto known = index_of_.find(name);
    if (known != index_of_.end() && known->second != index) link_gone(name);
    index_of_[name] = index;
    name_of_[index] = name;
    join_if_wanted(name, index);
}

void BabelPort::listen(const std::string& link) {
    wanted_.insert(link);
    const auto it = index_of_.find(link);
    if (it != index_of_.end()) join_if_wanted(link, it->second);
}

void BabelPort::join_if_wanted(const std::string& name, std::uint32_t index) {
    if (socket_ && wanted_.contains(name)) join(index);
}

void BabelPort::link_gone(const std::string& name) {
    const auto it = index_of_.find(name);
    if (it == index_of_.end()) return;
    // The kernel would keep the membership of a link that is no more, and count it.
    for (const Descriptor& holder : holders_) leave_group(holder.get(), kGroup, it->second);
    ways_.erase(name);
    name_of_.erase(it->second);
    index_of_.erase(it);
}

// A socket gets what any socket of its namespace has joined (IPV6_MULTICAST_ALL), so memberships can be
// spread over sockets that do nothing else once one has reached the limit of net.core.optmem_max.
void BabelPort::join(std::uint32_t index) {
    for (const Descriptor& holder : holders_) {
        const int error = join_group(holder.get(), kGroup, index);
        if (error != ENOMEM && error != ENOBUFS) return;
    }
    add_holder();
    join_group(holders_.back().get(), kGroup, index);
}

void BabelPort::add_holder() {
    inside_namespace(namespace_fd_, [&] {
        holders_.emplace_back(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    });
}

bool BabelPort::send(
    const std::string& link, const base::Address& from, const base::Address& to, base::ByteView bytes
) {
    const auto it = index_of_.find(link);
    if (it == index_of_.end() || !socket_) return false;
    if (to == kGroup && send_to_group(link, from, bytes)) return true;
    return socket_->send(from, {to, kPort}, it->second, bytes);
}

bool BabelPort::send_to_group(const std::string& link, const base::Address& from, base::ByteView bytes) {
    const auto [it, added] = ways_.try_emplace(link);
    Way& way = it->second;
    if (added || way.from != from) {
        way.from = from;
        inside_namespace(namespace_fd_, [&] {
            way.socket = open_to_group(socket_->descriptor(), options(), from, kGroup, index_of_.at(link));
        });
    }
    return way.socket && ::send(way.socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) >= 0;
}

boost::asio::awaitable<void> BabelPort::receive(Received received) {
    received_ = std::move(received);
    co_await opened_.async_receive(boost::asio::use_awaitable);
    for (;;) {
        co_await socket_->readable();
        while (take(kFair)) co_await boost::asio::post(io_, boost::asio::use_awaitable);
    }
}

void BabelPort::take() {
    if (socket_) take(kPatience);
}

// False once there is nothing more.
bool BabelPort::take(int most) {
    for (int taken = 0; taken < most; ++taken) {
        const auto arrival = socket_->receive();
        if (!arrival) return false;
        const auto name = name_of_.find(arrival->interface_index);
        if (name != name_of_.end()) received_(name->second, *arrival);
    }
    return true;
}

}  // namespace aronet::daemon
