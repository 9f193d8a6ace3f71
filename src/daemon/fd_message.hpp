#pragma once

// Text with descriptors, in one message of a Unix socket.

#include "daemon/descriptor.hpp"

#include <optional>
#include <string>
#include <vector>

namespace aronet::daemon {

inline constexpr int kDescriptorsMax = 253;  // SCM_MAX_FD

// 0 or an errno.
int send_message(int socket, const std::string& text, const std::vector<int>& descriptors);

struct FdMessage {
    std::string text;
    std::vector<Descriptor> descriptors;  // closed on exec
};
std::optional<FdMessage> receive_message(int socket);  // nullopt: the other end has gone

bool is_trusted(int socket);  // who is connected to it: root, or of our own user

}  // namespace aronet::daemon
