#include "daemon/babel_port.hpp"

#include "daemon/log.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <sys/socket.h>

#include <cerrno>

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

// A socket is bound to the number of its VRF, which is another one when that was made anew; to bind it to
// another one takes CAP_NET_RAW.
std::string BabelPort::open(Netns& space, const std::string& vrf) {
    const std::uint32_t index = vrf.empty() ? 0 : index_of_.at(vrf);
    if (socket_ && index == vrf_) return "";
    UdpOptions wanted = options();
    wanted.device = vrf;
    wanted.receive_buffer = 8 << 20;  // all neighbours may tell all they know at once
    auto descriptor = open_udp(space, wanted);
    if (!descriptor) return descriptor.error().text;
    vrf_ = index;
    former_ = std::move(socket_);
    socket_ = std::make_unique<UdpSocket>(io_, std::move(*descriptor), kPort);
    if (former_) {
        former_->close();
        return "";
    }
    space_ = &space;
    for (const auto& [link, name] : name_of_) join_if_wanted(name, link);
    opened_.try_send(boost::system::error_code());
    return "";
}

void BabelPort::link_up(const std::string& name, std::uint32_t index) {
    const auto known = index_of_.find(name);
    if (known != index_of_.end() && known->second != index) forget(name);
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
    wanted_.erase(name);
    forget(name);
}

void BabelPort::forget(const std::string& name) {
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
    if (add_holder()) {
        join_group(holders_.back().get(), kGroup, index);
    } else {
        write_log({base::Level::error, "Babel: no socket to hear " + name_of_[index] + " with"});
    }
}

bool BabelPort::add_holder() {
    Descriptor holder = space_->open_socket(AF_INET6, SOCK_DGRAM);
    if (!holder) return false;
    holders_.push_back(std::move(holder));
    return true;
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
        // What was handed over is for hearing; to be slower at speaking is all that its lack does.
        way.socket =
            space_->was_handed_over()
                ? Descriptor()
                : open_to_group(*space_, socket_->descriptor(), options(), from, kGroup, index_of_.at(link));
    }
    return way.socket && ::send(way.socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) >= 0;
}

boost::asio::awaitable<void> BabelPort::receive(Received received, Refused refused) {
    received_ = std::move(received);
    refused_ = std::move(refused);
    co_await opened_.async_receive(boost::asio::use_awaitable);
    for (;;) {
        const bool is_open = co_await socket_->readable();
        if (!is_open) continue;  // there is another one
        take_refusals();
        while (take(kFair)) co_await boost::asio::post(io_, boost::asio::use_awaitable);
    }
}

void BabelPort::take_refusals() {
    while (const auto refusal = socket_->refusal()) {
        const auto name = name_of_.find(refusal->interface_index);
        if (name != name_of_.end()) refused_(name->second, refusal->there);
    }
}

void BabelPort::take() {
    if (!socket_ || !received_) return;
    take_refusals();  // before what the next process says, which is later
    take(kPatience);
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
