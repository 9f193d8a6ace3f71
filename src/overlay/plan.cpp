#include "overlay/plan.hpp"

#include "overlay/keeper.hpp"
#include "overlay/legacy.hpp"

#include <algorithm>
#include <iterator>
#include <map>

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

// Of one that is there only what differs is said.
std::vector<std::string> words_for(
    const netlink::AddLink& wish, const netlink::Link* there, const std::string& netns
) {
    std::vector<std::string> lines;
    const auto add = [&](const char* sign, const std::vector<std::string>& commands) {
        for (const std::string& line : commands) lines.push_back(sign + line);
    };
    if (there != nullptr && same_kind(*there, wish.link)) {
        add("+ ", netlink::alterations(*there, wish.link, netns));
        return lines;
    }
    if (there != nullptr) add("- ", netlink::commands(netlink::RemoveLink{there->space, there->name}, netns));
    add("+ ", netlink::commands(wish, netns));
    return lines;
}

// Where the data plane is our own, the tunnels are its TUN devices.
void make_tun(netlink::Link& link) {
    if (std::holds_alternative<netlink::Tunnel>(link.kind)) link.kind = netlink::Tun{};
}

void append(std::vector<netlink::Wish>& wishes, const std::vector<Sysctl>& list, const Present& present) {
    for (const Sysctl& sysctl : list) {
        if (present.value_of(sysctl) != sysctl.value)
            wishes.push_back(netlink::SetSysctl{sysctl.space, sysctl.key, sysctl.value});
    }
}

}  // namespace

std::vector<std::string> in_words(
    std::vector<netlink::Wish> wishes,
    const std::vector<netlink::Link>& there,
    const Config& config,
    bool kernel_datapath
) {
    std::map<std::pair<netlink::Space, std::string>, netlink::Link> links;
    std::vector<std::string> lines;
    for (netlink::Link link : there) {
        if (!kernel_datapath) make_tun(link);
        links.emplace(std::pair(link.space, link.name), link);
    }
    for (netlink::Wish& wish : wishes) {
        if (auto* add = std::get_if<netlink::AddLink>(&wish)) {
            if (!kernel_datapath) make_tun(add->link);
            const auto same = links.find({add->link.space, add->link.name});
            const netlink::Link* before = same == links.end() ? nullptr : &same->second;
            for (std::string& line : words_for(*add, before, config.netns_name))
                lines.push_back(std::move(line));
            continue;
        }
        for (const std::string& line : netlink::commands(wish, config.netns_name))
            lines.push_back((removes(wish) ? "- " : "+ ") + line);
    }
    return lines;
}

std::vector<std::string> plan_start(
    const Config& config, const Registry& registry, const Host& host, const Present& present
) {
    std::vector<Pairing> planned = pairings(config, registry, host.local_addresses);
    const Objects there = found(present.snapshot, config);
    std::vector<netlink::Wish> wishes;
    if (config.mode == Mode::netns && !present.has_namespace)
        wishes.push_back(netlink::AddNamespace{config.netns_name});
    const auto kept =
        host.kernel_datapath ? legacies(present.snapshot, planned) : std::map<std::uint32_t, Legacy>();
    if (config.links == Links::shared) {
        for (Pairing& pairing : planned) pairing.carrier = Carrier::undecided;  // until the peers are met
    }
    adopt_carriers(kept, config, planned);
    for (netlink::Wish& wish : clean_up(present.snapshot, config, planned, kept))
        wishes.push_back(std::move(wish));
    const bool will_be_strict = config.sysctl == SysctlChoice::apply ||
                                present.value_of({netlink::Space::underlay, kStrictVrf, ""}) == "1";
    // What routes need is between them and the links.
    auto changes = difference(there, desired(config, registry, planned, will_be_strict));
    const auto routes = std::stable_partition(changes.begin(), changes.end(), [](const netlink::Wish& wish) {
        return !std::holds_alternative<netlink::AddRoute>(wish);
    });
    const auto take = [&](auto from, auto to) {
        wishes.insert(wishes.end(), std::make_move_iterator(from), std::make_move_iterator(to));
    };
    take(changes.begin(), routes);
    if (const auto segments = clamp(config); segments && !present.has_clamp) wishes.push_back(*segments);
    if (config.sysctl == SysctlChoice::apply) {
        append(wishes, sysctls(config), present);
        if (config.mode != Mode::none) append(wishes, link_sysctls(config, config.ifname), present);
        if (config.links == Links::shared) append(wishes, link_sysctls(config, shared_link(config)), present);
        for (const Pairing& pairing : planned) {
            if (pairing.carrier == Carrier::own)
                append(wishes, link_sysctls(config, pairing.interface), present);
        }
    }
    take(routes, changes.end());
    return in_words(std::move(wishes), there.links, config, host.kernel_datapath);
}

}  // namespace aronet::overlay
