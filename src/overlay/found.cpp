// Which of what is in the kernel is ours.

#include "overlay/desired.hpp"
#include "overlay/host_side.hpp"

#include <algorithm>
#include <set>

namespace aronet::overlay {
namespace {

using netlink::Link;
using netlink::LinkAddress;
using netlink::Route;
using netlink::Snapshot;
using netlink::Space;

// In a table of ours, or out of a link of ours: other daemons of our kind may run on this host, too.
bool is_ours(const Config& config, const Route& route) {
    if (is_ours(config, route.link) || route.key.space == Space::overlay) return true;
    std::set<std::uint32_t> tables{overlay_table(config)};
    for (const auto& rule : config.babel.install) {
        if (rule.verdict.table) tables.insert(*rule.verdict.table);
    }
    if (config.mode == Mode::netns || !tables.contains(route.key.table)) return false;
    return route.link.empty() || std::ranges::any_of(config.babel.interfaces, [&](const InterfaceRule& rule) {
               return babel::fits(rule.name, route.link);
           });
}

// Where the host looks before its own table: that of the configuration, and those of an earlier run, which
// had routes out of our links in them.
std::set<std::uint32_t> host_tables(const Snapshot& snapshot, const Config& config) {
    std::set<std::uint32_t> tables;
    for (const Route& route : snapshot.routes) {
        if (route.key.space == Space::underlay && is_ours(config, route.link)) tables.insert(route.key.table);
    }
    tables.erase(netlink::kMainTable);
    if (config.mode == Mode::vrf) tables.erase(config.route_table);
    if (has_host_table(config)) tables.insert(config.host_table);
    return tables;
}

}  // namespace

// Tunnels have a hexadecimal number, the original's too. Another link that begins so is somebody else's.
bool is_ours(const std::string& ifname, const std::string& name) {
    const std::string begin = ifname + "-";
    const std::string_view rest = name.starts_with(begin) ? std::string_view(name).substr(begin.size()) : "";
    if (name == ifname || rest == "x") return true;  // shared_link()
    return !rest.empty() && rest.size() <= 8 && rest.find_first_not_of("0123456789abcdef") == rest.npos;
}

Objects found(const Snapshot& snapshot, const Config& config) {
    Objects out;
    std::set<std::pair<Space, std::string>> ours;
    for (const Link& link : snapshot.links) {
        // The veth's end in the namespace comes and goes with the other one.
        const bool is_veth = std::holds_alternative<netlink::Veth>(link.kind);
        const bool is_far_end = is_veth && link.space == Space::overlay;
        if (!is_ours(config, link.name) || is_far_end) continue;
        out.links.push_back(link);
        ours.emplace(link.space, link.name);
        if (is_veth) ours.emplace(Space::overlay, link.name);
    }
    for (const LinkAddress& address : snapshot.addresses) {
        const bool on_ours = ours.contains({address.space, address.link});
        if (on_ours || address.link == kLoopback) out.addresses.push_back(address);
    }
    const std::set<std::uint32_t> of_host = host_tables(snapshot, config);
    for (const Route& route : snapshot.routes) {
        const bool in_host_table = route.key.space == Space::underlay && of_host.contains(route.key.table);
        if (is_ours(config, route) || (in_host_table && route.link.empty())) out.routes.push_back(route);
    }
    for (const netlink::Rule& rule : snapshot.rules) {
        // Others may have the number, and rules for our table.
        const bool asks_for_all = !rule.from && !rule.to && rule.space == Space::underlay;
        if (rule.priority == kHostRule && asks_for_all && of_host.contains(rule.table))
            out.rules.push_back(rule);
    }
    return out;
}

}  // namespace aronet::overlay
