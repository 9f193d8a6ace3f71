#pragma once

// What this host can do, found out by trying it.

#include "base/address.hpp"
#include "base/result.hpp"
#include "daemon/netns.hpp"
#include "netlink/change.hpp"

#include <string>
#include <vector>

namespace aronet::daemon {

// Makes an XFRM interface and an ESP SA, in a namespace that goes away again where one may be made, and
// removes them. Empty when that works, else why not.
std::string why_no_kernel_esp();

// What the kernel shows of ours, in the overlay's namespace too where there is one. Nothing is changed.
base::Result<netlink::Snapshot> take_snapshot(const std::string& link_prefix, Netns* overlay);

// Whether nf_tables has a table `inet NAME`.
bool has_filter_table(const std::string& name);

// The addresses of this host's interfaces, loopback and link-local ones left out.
std::vector<base::Address> local_addresses();

}  // namespace aronet::daemon
