#pragma once

// Kernel parameters by their dotted names, read and written in the namespace of the calling thread.

#include "base/result.hpp"

#include <string>

namespace aronet::daemon {

// "net.ipv6.conf.eth0/1.forwarding" → the path below /proc/sys; a slash in the name stands for a dot in a
// link's name.
std::string sysctl_path(const std::string& key);
base::Result<std::string, int> read_sysctl(const std::string& key);  // without the line end; E is an errno
int write_sysctl(const std::string& key, const std::string& value);  // 0 or an errno

}  // namespace aronet::daemon
