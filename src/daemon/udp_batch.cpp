#include "daemon/udp_batch.hpp"

#include <netinet/in.h>

#include <cerrno>
#include <cstring>

namespace aronet::daemon {
namespace {

using base::Address;
using base::Byte;
using base::Endpoint;

int set(int descriptor, int level, int option) {
    const int on = 1;
    return setsockopt(descriptor, level, option, &on, sizeof on) == 0 ? 0 : errno;
}

template <class T>
T value_of(const cmsghdr* control) {
    T value;
    std::memcpy(&value, CMSG_DATA(control), sizeof value);
    return value;
}

bool is(const cmsghdr* control, int level, int type) {
    return control->cmsg_level == level && control->cmsg_type == type;
}

// One ancillary datum appended to a buffer that has the room; returns the bytes it takes.
std::size_t write_control(char* out, const void* value, std::size_t size, int level, int type) {
    cmsghdr header{};
    header.cmsg_len = CMSG_LEN(size);
    header.cmsg_level = level;
    header.cmsg_type = type;
    std::memset(out, 0, CMSG_SPACE(size));
    std::memcpy(out, &header, sizeof header);
    std::memcpy(out + CMSG_LEN(0), value, size);
    return CMSG_SPACE(size);
}

socklen_t to_sockaddr(const Endpoint& endpoint, sockaddr_storage& out) {
    out = {};
    if (endpoint.address.is_v4()) {
        auto& v4 = reinterpret_cast<sockaddr_in&>(out);
        v4.sin_family = AF_INET;
        v4.sin_port = htons(endpoint.port);
        std::memcpy(&v4.sin_addr, endpoint.address.bytes().data(), 4);
        return sizeof v4;
    }
    auto& v6 = reinterpret_cast<sockaddr_in6&>(out);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(endpoint.port);
    std::memcpy(&v6.sin6_addr, endpoint.address.bytes().data(), 16);
    return sizeof v6;
}

Address address_of(const in_addr& address) {
    return *Address::from_bytes({reinterpret_cast<const Byte*>(&address), 4});
}
Address address_of(const in6_addr& address) {
    return *Address::from_bytes({reinterpret_cast<const Byte*>(&address), 16});
}

}  // namespace

int ask_for_ancillary(int descriptor, base::Family family) {
    const bool v4 = family == base::Family::v4;
    if (const int error =
            v4 ? set(descriptor, IPPROTO_IP, IP_PKTINFO) : set(descriptor, IPPROTO_IPV6, IPV6_RECVPKTINFO))
        return error;
    return v4 ? set(descriptor, IPPROTO_IP, IP_RECVTOS) : set(descriptor, IPPROTO_IPV6, IPV6_RECVTCLASS);
}

ReceiveBatch::ReceiveBatch() {
    for (std::size_t i = 0; i < kBatchSize; ++i) vectors_[i] = {slots_.at(i).data(), kSlotSize};
}

std::size_t ReceiveBatch::receive(int descriptor) {
    for (std::size_t i = 0; i < kBatchSize; ++i) {
        msghdr& message = messages_[i].msg_hdr;
        message.msg_name = &names_[i];
        message.msg_namelen = sizeof names_[i];
        message.msg_iov = &vectors_[i];
        message.msg_iovlen = 1;
        message.msg_control = controls_[i].data();
        message.msg_controllen = controls_[i].size();
    }
    const int count = recvmmsg(descriptor, messages_.data(), kBatchSize, MSG_DONTWAIT, nullptr);
    return count > 0 ? static_cast<std::size_t>(count) : 0;
}

Endpoint ReceiveBatch::from(std::size_t i) const {
    if (names_[i].ss_family == AF_INET) {
        const auto& v4 = reinterpret_cast<const sockaddr_in&>(names_[i]);
        return {address_of(v4.sin_addr), ntohs(v4.sin_port)};
    }
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(names_[i]);
    return {address_of(v6.sin6_addr), ntohs(v6.sin6_port)};
}

Address ReceiveBatch::to(std::size_t i) {
    msghdr& message = messages_[i].msg_hdr;
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
        if (is(c, IPPROTO_IP, IP_PKTINFO)) return address_of(value_of<in_pktinfo>(c).ipi_addr);
        if (is(c, IPPROTO_IPV6, IPV6_PKTINFO)) return address_of(value_of<in6_pktinfo>(c).ipi6_addr);
    }
    return Address::any(names_[i].ss_family == AF_INET ? base::Family::v4 : base::Family::v6);
}

std::uint8_t ReceiveBatch::traffic_class(std::size_t i) {
    msghdr& message = messages_[i].msg_hdr;
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
        if (is(c, IPPROTO_IP, IP_TOS)) return value_of<std::uint8_t>(c);
        if (is(c, IPPROTO_IPV6, IPV6_TCLASS)) return static_cast<std::uint8_t>(value_of<int>(c));
    }
    return 0;
}

SendBatch::SendBatch() {
    for (std::size_t i = 0; i < kBatchSize; ++i) {
        messages_[i].msg_hdr.msg_iov = &vectors_[i];
        messages_[i].msg_hdr.msg_iovlen = 1;
        messages_[i].msg_hdr.msg_control = controls_[i].data();
    }
}

void SendBatch::start(const Way& way) {
    count_ = 0;
    control_size_ = 0;
    family_ = way.to.family();
    name_size_ = to_sockaddr(way.to, name_);
    if (way.mark) append_control(&*way.mark, sizeof *way.mark, SOL_SOCKET, SO_MARK);
    if (way.from.is_any()) return;
    if (way.from.is_v4()) {
        in_pktinfo info{};
        std::memcpy(&info.ipi_spec_dst, way.from.bytes().data(), 4);
        append_control(&info, sizeof info, IPPROTO_IP, IP_PKTINFO);
    } else {
        in6_pktinfo info{};
        std::memcpy(&info.ipi6_addr, way.from.bytes().data(), 16);
        append_control(&info, sizeof info, IPPROTO_IPV6, IPV6_PKTINFO);
    }
}

void SendBatch::append_control(const void* value, std::size_t size, int level, int type) {
    control_size_ += write_control(control_.data() + control_size_, value, size, level, type);
}

void SendBatch::add(const esp::Packet& packet) {
    const std::size_t i = count_++;
    const bool v4 = family_ == base::Family::v4;
    const int traffic_class = packet.traffic_class;
    std::memcpy(controls_[i].data(), control_.data(), control_size_);
    const std::size_t more = write_control(
        controls_[i].data() + control_size_,
        &traffic_class,
        sizeof traffic_class,
        v4 ? IPPROTO_IP : IPPROTO_IPV6,
        v4 ? IP_TOS : IPV6_TCLASS
    );
    vectors_[i] = {packet.bytes().data(), packet.size};
    messages_[i].msg_hdr.msg_name = &name_;
    messages_[i].msg_hdr.msg_namelen = name_size_;
    messages_[i].msg_hdr.msg_controllen = control_size_ + more;
}

SendBatch::Outcome SendBatch::send(int descriptor) {
    Outcome outcome;
    for (std::size_t at = 0; at < count_;) {
        const int went = sendmmsg(
            descriptor, messages_.data() + at, static_cast<unsigned>(count_ - at), MSG_DONTWAIT | MSG_NOSIGNAL
        );
        if (went > 0) {
            outcome.sent += static_cast<std::size_t>(went);
            at += static_cast<std::size_t>(went);
        } else if (errno == EAGAIN || errno == ENOBUFS) {
            outcome.full += count_ - at;
            break;
        } else {
            ++(errno == EMSGSIZE ? outcome.too_big : outcome.refused);
            ++at;  // an error belongs to the first one only
        }
    }
    count_ = 0;
    return outcome;
}

}  // namespace aronet::daemon
