#pragma once

// TUN devices: IP packets without any header of the driver's own.

#include "daemon/descriptor.hpp"

#include <cstdint>
#include <string>

namespace aronet::daemon {

// Makes the device in the namespace of the calling thread; it may be moved from there, and goes when the
// descriptor is closed. MTU 0: the kernel's choice. 0 or an errno: EEXIST when there is a link of this name.
int open_tun(const std::string& name, std::uint32_t mtu, Descriptor& opened);

// The file that devices are made by, where the system has none. That takes more than CAP_NET_ADMIN.
void provide_tun();

bool is_attached(int tun, const std::string& name);  // false once somebody has removed or renamed the device

}  // namespace aronet::daemon
