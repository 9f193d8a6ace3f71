#include "overlay/plan.hpp"

#include "overlay/keeper.hpp"
#include "overlay/legacy.hpp"

namespace aronet::overlay {
namespace {

bool removes(const netlink::Wish& wish) {
    return std::visit(
        []<class T>(const T&) {
            return std::is_same_v<T, netlink::RemoveNamespace> || std::is_same_v<T, netlink::RemoveLink> ||
                   std::is_same_v<T, netlink::RemoveAddress> || std::is_same_v<T, netlink::RemoveRoute> ||
                   std::is_same_v<T, netlink::RemoveRule> || std::is_same_v<T, netlink::RemoveSa> ||
                   std::is_same_v<T, netlink::RemovePolicies>;
        },
        wish
    );
}

// Where the data plane is our own, the tunnels are its TUN devices.
void make_tun(netlink::Wish& wish) {
    auto* add = std::get_if<netlink::AddLink>(&wish);
    const bool is_tunnel = add != nullptr && std::holds_alternative<netlink::Tunnel>(add->link.kind);
    if (is_tunnel) add->link.kind = netlink::Tun{};
}

void append(std::vector<netlink::Wish>& wishes, const std::vector<Sysctl>& list, const Present& present) {
    for (const Sysctl& sysctl : list) {
        if (present.value_of(sysctl) != sysctl.value)
            wishes.push_back(netlink::SetSysctl{sysctl.space, sysctl.key, sysctl.value});
    }
}

}  // namespace

std::vector<std::string> in_words(
    std::vector<netlink::Wish> wishes, const Config& config, bool kernel_datapath
) {
    std::vector<std::string> lines;
    for (netlink::Wish& wish : wishes) {
        if (!kernel_datapath) make_tun(wish);
        for (const std::string& line : netlink::commands(wish, config.netns_name))
            lines.push_back((removes(wish) ? "- " : "+ ") + line);
    }
    return lines;
}

std::vector<std::string> plan_start(
    const Config& config, const Registry& registry, const Host& host, const Present& present
) {
    const std::vector<Pairing> planned = pairings(config, registry, host.local_addresses);
    const Objects there = found(present.snapshot, config);
    std::vector<netlink::Wish> wishes;
    if (config.mode == Mode::netns && !present.has_namespace)
        wishes.push_back(netlink::AddNamespace{config.netns_name});
    const auto kept =
        host.kernel_datapath ? legacies(present.snapshot, planned) : std::map<std::uint32_t, Legacy>();
    for (netlink::Wish& wish : clean_up(present.snapshot, config, planned, kept))
        wishes.push_back(std::move(wish));
    const bool will_be_strict = config.sysctl == SysctlChoice::apply ||
                                present.value_of({netlink::Space::underlay, kStrictVrf, ""}) == "1";
    for (netlink::Wish& wish : difference(there, desired(config, registry, planned, will_be_strict)))
        wishes.push_back(std::move(wish));
    if (const auto segments = clamp(config); segments && !present.has_clamp) wishes.push_back(*segments);
    if (config.sysctl == SysctlChoice::apply) {
        append(wishes, sysctls(config), present);
        if (config.mode != Mode::none) append(wishes, link_sysctls(config, config.ifname), present);
        for (const Pairing& pairing : planned)
            append(wishes, link_sysctls(config, pairing.interface), present);
    }
    return in_words(std::move(wishes), config, host.kernel_datapath);
}

}  // namespace aronet::overlay
