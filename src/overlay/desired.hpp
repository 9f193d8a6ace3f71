#pragma once

// What the kernel should look like around the tunnels (docs/architecture.md, kernel state), as values, and
// the changes that lead there. Routes of Babel, SAs and policies come and go with events and are not in here.

#include "netlink/change.hpp"
#include "overlay/config.hpp"
#include "overlay/topology.hpp"

#include <map>
#include <vector>

namespace aronet::overlay {

struct Objects {
    std::vector<netlink::Link> links;  // in the order they have to be made
    std::vector<netlink::LinkAddress> addresses;
    std::vector<netlink::Route> routes;
    std::vector<netlink::Rule> rules;
};

netlink::Space overlay_space(const Config& config);
std::uint32_t overlay_table(const Config& config);
inline constexpr const char* kLoopback = "lo";  // carries our addresses where there is no main interface
// Priority of the rules for the host's table: before "main".
inline constexpr std::uint32_t kHostRule = 32000;
inline constexpr std::uint32_t kBabelMetric = 32;          // what the original's routing daemon uses
inline constexpr std::uint32_t kCarriedMetric = 16;        // before what Babel finds
inline constexpr std::uint32_t kWayOutMetric = 1024;       // behind Babel's, and the networks of addresses
inline constexpr std::uint32_t kGuardMetric = 4278198272;  // behind everything else
// What the kernel leaves free for a packet that carries another: a header of IPv6, and one with all segments.
constexpr std::uint32_t headroom(std::size_t segments) {
    return static_cast<std::uint32_t>(40 + 8 + 16 * segments);
}

// The link of all tunnels without one of their own.
std::string shared_link(const Config& config);
// What one tunnel adds to it all.
Objects objects_of(const Config& config, const Pairing& pairing);

inline constexpr const char* kStrictVrf = "net.vrf.strict_mode";
// `strict`: a table has one VRF at most (net.vrf.strict_mode), without which there is no End.DT46.
Objects desired(
    const Config& config, const Registry& registry, const std::vector<Pairing>& pairings, bool strict = false
);

// What a snapshot shows of ours: what has to do with links of ours, or is in a table of ours. Babel's routes
// are among it.
Objects found(const netlink::Snapshot& snapshot, const Config& config);
bool is_ours(const std::string& ifname, const std::string& link);  // by its name
inline bool is_ours(const Config& config, const std::string& link) { return is_ours(config.ifname, link); }

// Of TCP that is forwarded over the main interface: what fits into a tunnel. None: it is not wanted.
std::optional<netlink::ClampSegments> clamp(const Config& config);

struct Sysctl {
    netlink::Space space = netlink::Space::underlay;
    std::string key, value;
};
std::vector<Sysctl> sysctls(const Config& config);
std::string link_in(const std::string& sysctl);  // whose it is; empty: of no link, or of all
std::vector<Sysctl> link_sysctls(
    const Config& config, const std::string& link
);  // of a tunnel or the main interface
Sysctl rp_filter_of(const Config& config, const std::string& link);

}  // namespace aronet::overlay
