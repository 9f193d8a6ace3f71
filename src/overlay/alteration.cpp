#include "overlay/alteration.hpp"

#include <algorithm>

namespace aronet::overlay {
namespace {

struct Key {
    const char* name;
    bool (*differs)(const Config& running, const Config& wanted);
    const char* why_not = nullptr;  // it cannot be another
};

template <auto Member>
bool differs(const Config& a, const Config& b) {
    return a.*Member != b.*Member;
}
template <auto Member>
bool differs_in_babel(const Config& a, const Config& b) {
    return a.babel.*Member != b.babel.*Member;
}
template <auto Member>
bool differs_in_ike(const Config& a, const Config& b) {
    return a.ike.*Member != b.ike.*Member;
}
template <auto Member>
bool differs_in_registry(const Config& a, const Config& b) {
    return a.registry.*Member != b.registry.*Member;
}

bool has_script(const EndpointConfig& endpoint) { return !endpoint.updown.empty(); }
// What the process has given up for good since it had no use for it. (So with ports below 1024: the kernel
// says so when one is to be opened.)
bool needs_scripts_anew(const Config& running, const Config& wanted) {
    return std::ranges::none_of(running.endpoints, has_script) &&
           std::ranges::any_of(wanted.endpoints, has_script);
}

constexpr const char* kWhoWeAre = "who this node is to the others cannot change under their SAs";
constexpr const char* kNames = "links, routes and sockets are named by it";
constexpr const char* kProcess = "the process was set up by it";

const Key kKeys[] = {
    {"private_key", differs<&Config::public_key>, kWhoWeAre},
    {"organization", differs<&Config::organization>, kWhoWeAre},
    {"common_name", differs<&Config::common_name>, kWhoWeAre},
    {"daemon.network", differs<&Config::network>, "what the others route here is the registry's to say"},
    {"daemon.ifname", differs<&Config::ifname>, kNames},
    {"daemon.netns_name",
     [](const Config& a, const Config& b) { return a.mode == Mode::netns && a.netns_name != b.netns_name; },
     kNames},
    {"daemon.route_table", differs<&Config::route_table>, kNames},
    {"daemon.host_table", differs<&Config::host_table>, kNames},
    {"daemon.mode", differs<&Config::mode>, kNames},
    {"daemon.runtime_dir", differs<&Config::runtime_dir>, kNames},
    {"daemon.state_dir", differs<&Config::state_dir>, kNames},
    {"daemon.datapath", differs<&Config::datapath>, kProcess},
    {"daemon.links", differs<&Config::links>, "the peers were told how their tunnels go"},
    {"daemon.fwmark", differs<&Config::fwmark>, kProcess},
    {"daemon.clamp_mss", differs<&Config::clamp_mss>, kProcess},
    {"daemon.seccomp", differs<&Config::seccomp>, kProcess},
    {"daemon.core_dumps", differs<&Config::core_dumps>, kProcess},
    {"registry.ca_file", differs_in_registry<&RegistrySourceConfig::ca_file>, kProcess},
    {"registry.public_key", differs_in_registry<&RegistrySourceConfig::public_keys>, kProcess},
    {"endpoints",
     [](const Config& a, const Config& b) { return a.endpoints.empty() != b.endpoints.empty(); },
     "a node with tunnels is another process than one without"},
    {"endpoints", needs_scripts_anew, "the process gave up to run an updown script"},

    {"daemon.prefixes", differs<&Config::prefixes>},
    {"daemon.extra_ip", differs<&Config::extra_ip>},
    {"daemon.mtu", differs<&Config::mtu>},
    {"daemon.ipv4_transport", differs<&Config::ipv4_transport>},
    {"daemon.sysctl", differs<&Config::sysctl>},
    {"log.level", differs<&Config::log_level>},
    {"log.format", differs<&Config::log_format>},
    {"exit", differs<&Config::exits>},
    {"connect", differs<&Config::connect>},
    {"segments", differs<&Config::segments>},
    {"endpoints", differs<&Config::endpoints>},
    {"registry.interval", differs_in_registry<&RegistrySourceConfig::interval>},
    {"babel.hello_interval", differs_in_babel<&BabelConfig::hello_interval>},
    {"babel.update_interval", differs_in_babel<&BabelConfig::update_interval>},
    {"babel.rxcost", differs_in_babel<&BabelConfig::rxcost>},
    {"babel.rtt_cost", differs_in_babel<&BabelConfig::rtt_cost>},
    {"babel.rtt_min", differs_in_babel<&BabelConfig::rtt_min>},
    {"babel.rtt_max", differs_in_babel<&BabelConfig::rtt_max>},
    {"babel.only_registered_prefixes", differs_in_babel<&BabelConfig::only_registered_prefixes>},
    {"babel.max_routes", differs_in_babel<&BabelConfig::max_routes>},
    {"babel.transit", differs_in_babel<&BabelConfig::transit>},
    {"babel.peers", differs_in_babel<&BabelConfig::peers>},
    {"babel.interfaces", differs_in_babel<&BabelConfig::interfaces>},
    {"babel.import", differs_in_babel<&BabelConfig::imports>},
    {"babel.export", differs_in_babel<&BabelConfig::exports>},
    {"babel.redistribute", differs_in_babel<&BabelConfig::redistribute>},
    {"babel.redistribute_tables", differs_in_babel<&BabelConfig::redistribute_tables>},
    {"babel.install", differs_in_babel<&BabelConfig::install>},
    {"ike.dpd_interval", differs_in_ike<&IkeConfig::dpd_interval>},
    {"ike.keepalive_interval", differs_in_ike<&IkeConfig::keepalive_interval>},
    {"ike.suspicion_time", differs_in_ike<&IkeConfig::suspicion_time>},
    {"ike.replay_window", differs_in_ike<&IkeConfig::replay_window>},
    {"ike.esn", differs_in_ike<&IkeConfig::esn>},
    {"ike.fragment_size", differs_in_ike<&IkeConfig::fragment_size>},
    {"ike.peers", differs_in_ike<&IkeConfig::peers>},
    {"ike.ike_lifetime", differs_in_ike<&IkeConfig::ike_lifetime>},
    {"ike.child_lifetime", differs_in_ike<&IkeConfig::child_lifetime>},
    {"ike.child_bytes", differs_in_ike<&IkeConfig::child_bytes>},
    {"ike.child_packets", differs_in_ike<&IkeConfig::child_packets>},
};

}  // namespace

std::vector<std::string> lasting_keys() {
    std::vector<std::string> names;
    for (const Key& key : kKeys) {
        if (key.why_not != nullptr) names.emplace_back(key.name);
    }
    return names;
}

std::vector<std::string> refused_changes(const Config& running, const Config& wanted) {
    std::vector<std::string> lines;
    for (const Key& key : kKeys) {
        if (key.why_not == nullptr || !key.differs(running, wanted)) continue;
        const auto place = wanted.places.find(key.name);
        const std::string where = place == wanted.places.end() ? "" : place->second + ": ";
        lines.push_back(
            where + key.name + ": cannot be another while the daemon runs: " + key.why_not + "; restart it"
        );
    }
    return lines;
}

bool is_elsewhere(const Config& running, const Config& wanted) {
    return std::ranges::any_of(
               kKeys,
               [&](const Key& key) {
                   return (key.why_not == kWhoWeAre || key.why_not == kNames) && key.differs(running, wanted);
               }
           ) ||
           (wanted.endpoints.empty() && !running.endpoints.empty());  // nobody goes on with the tunnels
}

std::vector<std::string> changed_keys(const Config& running, const Config& wanted) {
    std::vector<std::string> names;
    for (const Key& key : kKeys) {
        if (key.why_not == nullptr && key.differs(running, wanted)) names.emplace_back(key.name);
    }
    return names;
}

}  // namespace aronet::overlay
