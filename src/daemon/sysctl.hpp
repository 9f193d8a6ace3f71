#pragma once

// Kernel parameters by their dotted names, read and written in a network namespace.

#include "base/result.hpp"
#include "daemon/netns.hpp"

#include <string>

namespace aronet::daemon {

// "net.ipv6.conf.eth0/1.forwarding" → the path below /proc/sys; a slash in the name stands for a dot in a
// link's name.
std::string sysctl_path(const std::string& key);
// Without the line end; E is an errno.
base::Result<std::string, int> read_sysctl(const Netns& space, const std::string& key);
int write_sysctl(const Netns& space, const std::string& key, const std::string& value);  // 0 or an errno

}  // namespace aronet::daemon
