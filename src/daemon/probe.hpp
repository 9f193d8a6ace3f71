#pragma once

// What this host can do, found out by trying it.

#include "base/address.hpp"

#include <string>
#include <vector>

namespace aronet::daemon {

// Makes an XFRM interface and an ESP SA, in a namespace that goes away again where one may be made, and
// removes them. Empty when that works, else why not.
std::string why_no_kernel_esp();

// The addresses of this host's interfaces, loopback and link-local ones left out.
std::vector<base::Address> local_addresses();

}  // namespace aronet::daemon
