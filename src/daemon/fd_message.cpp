#include "daemon/fd_message.hpp"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace aronet::daemon {
namespace {

constexpr std::size_t kTextMax = 64u << 10;

struct Control {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kDescriptorsMax)> space{};
};

}  // namespace

int send_message(int socket, const std::string& text, const std::vector<int>& descriptors) {
    Control control;
    iovec vector{const_cast<char*>(text.data()), text.size()};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    if (!descriptors.empty()) {
        const std::size_t size = sizeof(int) * descriptors.size();
        message.msg_control = control.space.data();
        message.msg_controllen = CMSG_SPACE(size);
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(size);
        std::memcpy(CMSG_DATA(header), descriptors.data(), size);
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL) >= 0 ? 0 : errno;
}

bool is_trusted(int socket) {
    ucred peer{};
    socklen_t size = sizeof peer;
    const bool known = getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0;
    return known && (peer.uid == 0 || peer.uid == geteuid());
}

std::optional<FdMessage> receive_message(int socket) {
    Control control;
    FdMessage received;
    received.text.resize(kTextMax);
    iovec vector{received.text.data(), received.text.size()};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control.space.data();
    message.msg_controllen = control.space.size();
    const ssize_t size = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    if (size <= 0) return std::nullopt;
    received.text.resize(static_cast<std::size_t>(size));
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
         header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        std::vector<int> numbers((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        std::memcpy(numbers.data(), CMSG_DATA(header), numbers.size() * sizeof(int));
        for (const int number : numbers) received.descriptors.emplace_back(number);
    }
    return received;
}

}  // namespace aronet::daemon
