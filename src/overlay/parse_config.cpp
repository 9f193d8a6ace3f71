#include "overlay/alteration.hpp"
#include "overlay/parse.hpp"

#include <algorithm>
#include <charconv>
#include <set>

namespace aronet::overlay {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t kDefaultTable = 253, kLocalTable = 255;
constexpr const char* kCannotCarry = "needs a \"network\", and another mode than \"none\"";
constexpr std::string_view kBareKey = "MC4CAQAwBQYDK2VwBCIE";  // how every Ed25519 key begins inside its PEM

// The command that mends it: a file that was made is none that it could be confused with.
std::string mended(const std::string& path, std::string_view pem) {
    if (pem.find("BEGIN ENCRYPTED ") != std::string_view::npos)
        return "; without a passphrase: openssl pkey -in " + path + " -out NEW.key";
    return "; for a new one: aronet keygen -o NEW.key";
}

void read_private_key(const Value& value, const ReadKey& read_key, Config& config) {
    if (value.is_absent()) return value.warning("is missing: nothing can be run without it");
    const auto text = value.string();
    if (!text) return;
    const bool is_inline = text->find("-----BEGIN ") != std::string::npos;
    if (!is_inline && text->find(kBareKey) != std::string::npos) {
        // No path: it must not be shown as one.
        return value.error(
            "expected a PEM file's name, or its text with the \"-----BEGIN PRIVATE KEY-----\" line"
        );
    }
    base::Result<base::Secret> key = base::Error{};
    std::string remedy;
    if (is_inline) {
        key = ike::parse_private_key(*text);
    } else {
        auto pem = read_key(*text);
        if (!pem) return value.error(pem.error().text);
        const base::ByteView bytes = pem->view();
        const std::string_view there(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        key = ike::parse_private_key(there);
        remedy = mended(*text, there);
    }
    if (!key) return value.error(is_inline ? key.error().text : *text + ": " + key.error().text + remedy);
    config.private_key = std::move(*key);
    config.public_key = ike::public_key_of(config.private_key);
}

std::optional<std::uint32_t> read_mark(const Value& value) {
    if (value.is_absent() || value.is_null()) return std::nullopt;
    if (value.is_number()) {
        const auto number = value.number(0, UINT32_MAX);
        return number ? std::optional(static_cast<std::uint32_t>(*number)) : std::nullopt;
    }
    const auto text = value.string();
    if (!text) return std::nullopt;
    const bool is_hex = text->starts_with("0x");
    const std::string_view digits = std::string_view(*text).substr(is_hex ? 2 : 0);
    std::uint32_t mark = 0;
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), mark, is_hex ? 16 : 10);
    if (error == std::errc() && end == digits.data() + digits.size()) return mark;
    value.expected("a mark like 42 or \"0x2a\"");
    return std::nullopt;
}

void read_endpoint(const Value& value, Config& config) {
    if (!value.is_object()) return;
    value.warn_of_unknown({"address", "address_family", "port", "serial_number", "fwmark", "updown"});
    const auto location = read_location(value, true);
    const Value serial = value.member("serial_number"), updown = value.member("updown");
    EndpointConfig endpoint;
    endpoint.serial_number = read_serial_number(serial);
    endpoint.fwmark = read_mark(value.member("fwmark"));
    if (!updown.is_absent() && !updown.is_null()) endpoint.updown = updown.string().value_or("");
    if (!location) return;
    endpoint.address = location->address;
    endpoint.address_range = location->range;
    endpoint.hostname = location->hostname;
    endpoint.family = location->family;
    endpoint.port = location->port;
    for (const EndpointConfig& other : config.endpoints) {
        if (have_one_identity(endpoint, other)) serial.error("an endpoint before this one has the same");
    }
    config.endpoints.push_back(std::move(endpoint));
}

void read_interface_name(const Value& value, Config& config) {
    if (value.is_absent()) return;
    const auto name = value.string();
    if (!name) return;
    const bool fine = std::all_of(name->begin(), name->end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
               c == '-' || c == '.';
    });
    // Tunnel interfaces are called NAME-xx, with at least four hexadecimal digits to tell them apart.
    if (fine && name->size() <= kIfNameMax - 5 && *name != "." && *name != "..") {
        config.ifname = *name;
    } else {
        value.expected("an interface name of at most 10 letters, digits, '-', '_' or '.'");
    }
}

void read_mode(const Value& daemon, Config& config) {
    const Value mode = daemon.member("mode"), use_netns = daemon.member("use_netns");
    if (!mode.is_absent()) {
        config.mode = static_cast<Mode>(mode.one_of({"vrf", "netns", "none"}).value_or(0));
    }
    if (use_netns.is_absent()) return;
    const auto choice = use_netns.boolean();
    if (!choice) return;
    const Mode wanted = *choice ? Mode::netns : Mode::vrf;
    if (!mode.is_absent() && wanted != config.mode)
        use_netns.error("says otherwise than \"mode\": keep one of them");
    config.mode = wanted;
}

void read_extra_ip(const Value& value, Config& config) {
    if (value.is_absent() || value.is_null()) return;
    for (const Value& element : value.elements()) {
        const auto text = element.string();
        const auto prefix = text ? Prefix::parse(*text) : std::nullopt;
        const auto address = text ? Address::parse(text->substr(0, text->find('/'))) : std::nullopt;
        if (prefix && address) {
            config.extra_ip.emplace_back(*address, prefix->length());
        } else if (text) {
            element.expected("an address, with or without a prefix length");
        }
    }
}

void read_runtime(const Value& daemon, Config& config) {
    const Value directory = daemon.member("runtime_dir"), netns = daemon.member("netns_name");
    const Value seccomp = daemon.member("seccomp");
    if (!seccomp.is_absent())
        config.seccomp = static_cast<SeccompChoice>(seccomp.one_of({"enforce", "log", "off"}).value_or(0));
    const Value state = daemon.member("state_dir");
    if (!directory.is_absent()) config.runtime_dir = directory.string().value_or("");
    if (!state.is_absent()) config.state_dir = state.string().value_or("");
    if (!netns.is_absent()) {
        config.netns_name = netns.string().value_or("");
        if (config.netns_name.find('/') != std::string::npos) netns.expected("a name without slashes");
    }
    for (const char* obsolete : {"charon_path", "bird_path", "birdc_path", "swanctl_path"}) {
        const Value value = daemon.member(obsolete);
        if (!value.is_absent()) value.warning("is not needed: there are no external daemons");
    }
}

void read_daemon(const Value& daemon, bool has_tunnels, Config& config) {
    if (daemon.is_absent()) return daemon.warning("is missing: there is no overlay to put anything in");
    if (!daemon.is_object()) return;
    daemon.warn_of_unknown({"prefixs",      "prefixes",   "extra_network", "network",        "ifname",
                            "route_table",  "use_netns",  "mode",          "extra_ip",       "netns_name",
                            "runtime_dir",  "state_dir",  "charon_path",   "bird_path",      "birdc_path",
                            "swanctl_path", "mtu",        "datapath",      "sysctl",         "seccomp",
                            "core_dumps",   "host_table", "fwmark",        "ipv4_transport", "clamp_mss",
                            "links"});
    const Value network = daemon.member("network"), prefixes = daemon.member(kPrefixSpellings);
    if (!network.is_absent()) {
        config.network = read_network(network);
    } else if (has_tunnels) {
        network.warning("is missing: this node has no address of its own in the overlay");
    }
    config.prefixes = read_prefixes(prefixes);
    refuse_reserved(prefixes, config.prefixes, config.network);
    read_interface_name(daemon.member("ifname"), config);
    read_mode(daemon, config);
    config.route_table = config.mode == Mode::vrf ? 128 : 254;
    read_number(daemon.member("route_table"), 1, 0xfffffffe, config.route_table);
    const Value host_table = daemon.member("host_table");
    read_number(host_table, 1, 0xfffffffe, config.host_table);
    if (config.host_table == kDefaultTable || config.host_table == kLocalTable)
        host_table.error("is a table of the kernel's own: expected another, or 254");
    if (config.mode == Mode::vrf && config.host_table == config.route_table)
        host_table.error("is the VRF's table: packets would not find the way into it");
    config.fwmark = read_mark(daemon.member("fwmark")).value_or(config.fwmark);
    read_extra_ip(daemon.member("extra_ip"), config);
    read_runtime(daemon, config);
    read_number(daemon.member("mtu"), 1280, 65535, config.mtu);
    const Value transport = daemon.member("ipv4_transport");
    if (!transport.is_absent())
        config.ipv4_transport = static_cast<Ipv4Transport>(transport.one_of({"via6", "srv6"}).value_or(0));
    const bool can_carry = config.mode != Mode::none && config.network;
    if (config.ipv4_transport == Ipv4Transport::srv6 && !can_carry) transport.error(kCannotCarry);
    const Value datapath = daemon.member("datapath"), sysctl = daemon.member("sysctl");
    const Value links = daemon.member("links");
    if (!links.is_absent())
        config.links = static_cast<Links>(links.one_of({"per-peer", "shared"}).value_or(0));
    if (!datapath.is_absent()) {
        config.datapath =
            static_cast<DatapathChoice>(datapath.one_of({"auto", "kernel", "user"}).value_or(0));
    }
    if (!sysctl.is_absent())
        config.sysctl = static_cast<SysctlChoice>(sysctl.one_of({"apply", "check"}).value_or(0));
    const Value clamps = daemon.member("clamp_mss");
    if (!clamps.is_absent()) config.clamp_mss = clamps.boolean().value_or(true);
    const Value dumps = daemon.member("core_dumps");
    if (!dumps.is_absent()) config.core_dumps = dumps.boolean().value_or(false);
}

// Often enough to be tested, and no more often than old SAs leave.
void read_lifetime(const Value& value, Duration& out) {
    read_duration(value, 0s, 24h * 30, out);
    if (out > 0s && out < 10s) value.expected("0, or a time of at least 10s");
}

// Smaller ones would be reached again before the keys are changed.
void read_limit(const Value& value, std::uint64_t least, std::uint64_t& out) {
    read_number(value, 0, std::uint64_t{1} << 53, out);
    if (out > 0 && out < least) value.expected("0, or at least " + std::to_string(least));
}

void read_ike(const Value& ike, const ReadKey& read_key, IkeConfig& config) {
    if (ike.is_absent() || !ike.is_object()) return;
    ike.warn_of_unknown(
        {"dpd_interval",
         "keepalive_interval",
         "suspicion_time",
         "replay_window",
         "esn",
         "fragment_size",
         "peers",
         "ike_lifetime",
         "child_lifetime",
         "child_bytes",
         "child_packets"}
    );
    read_duration(ike.member("dpd_interval"), 0s, 1h, config.dpd_interval);
    read_duration(ike.member("keepalive_interval"), 1s, 1h, config.keepalive_interval);
    read_duration(ike.member("suspicion_time"), 0s, 1h, config.suspicion_time);
    read_number(ike.member("replay_window"), 32, 4096, config.replay_window);
    const Value esn = ike.member("esn");
    if (!esn.is_absent()) config.esn = esn.boolean().value_or(false);
    read_number(ike.member("fragment_size"), 300, 65535, config.fragment_size);
    read_ike_peers(ike.member("peers"), read_key, config);
    read_lifetime(ike.member("ike_lifetime"), config.ike_lifetime);
    read_lifetime(ike.member("child_lifetime"), config.child_lifetime);
    read_limit(ike.member("child_bytes"), 1'000'000, config.child_bytes);
    read_limit(ike.member("child_packets"), 1000, config.child_packets);
}

void read_registry_source(const Value& registry, RegistrySourceConfig& config) {
    if (registry.is_absent() || !registry.is_object()) return;
    registry.warn_of_unknown({"interval", "ca_file", "public_key"});
    read_duration(registry.member("interval"), 5s, 24h, config.interval);
    const Value authorities = registry.member("ca_file"), key = registry.member("public_key");
    if (!authorities.is_absent()) config.ca_file = authorities.string().value_or("");
    if (key.is_absent()) return;
    config.public_keys = read_public_keys(key);
    // What asks for signatures must not come to mean that none are needed.
    if (config.public_keys.empty()) key.error("holds no key that a registry could be signed with");
}

void read_log(const Value& log, Config& config) {
    if (log.is_absent() || !log.is_object()) return;
    log.warn_of_unknown({"level", "format"});
    const Value level = log.member("level"), format = log.member("format");
    const std::vector<std::string> levels{"debug", "info", "warning", "error"};
    if (!level.is_absent()) config.log_level = levels[level.one_of(levels).value_or(1)];
    if (!format.is_absent())
        config.log_format = static_cast<LogFormat>(format.one_of({"text", "json"}).value_or(0));
}

// Who the node is matters to those it makes tunnels with.
void read_names(const Value& root, bool has_tunnels, Config& config) {
    const auto find = [&](const char* key) { return has_tunnels ? root.required({key}) : root.member(key); };
    config.organization = read_name(find("organization")).value_or("");
    config.common_name = read_name(find("common_name")).value_or("");
}

// By its name, with dots.
std::string place_of(const Value& root, const std::string& name) {
    Value value = root;
    for (std::size_t begin = 0; begin < name.size() && value.has_members();) {
        const std::size_t end = std::min(name.find('.', begin), name.size());
        value = value.member(name.substr(begin, end - begin));
        begin = end + 1;
    }
    return value.place();
}

// None: a router of Babel without tunnels.
void read_endpoints(const Value& endpoints, Config& config) {
    if (endpoints.is_absent()) return;
    for (const Value& endpoint : endpoints.elements()) read_endpoint(endpoint, config);
}

}  // namespace

std::optional<Config> parse_config(
    std::string_view text, const std::string& file, const ReadKey& read_key, Problems& problems
) {
    const auto document = Document::parse(text, file, problems);
    if (!document) return std::nullopt;
    const Value root = document->root(problems);
    if (!root.is_object()) return std::nullopt;
    root.warn_of_unknown(
        {"private_key",
         "organization",
         "common_name",
         "daemon",
         "endpoints",
         "connect",
         "exit",
         "segments",
         "babel",
         "ike",
         "registry",
         "log"}
    );
    Config config;
    const Value endpoints = root.member("endpoints"), key = root.member("private_key");
    const bool has_tunnels = !endpoints.is_array() || !endpoints.elements().empty();
    if (has_tunnels || !key.is_absent()) read_private_key(key, read_key, config);
    read_names(root, has_tunnels, config);
    read_daemon(root.member("daemon"), has_tunnels, config);
    read_babel(root.member("babel"), read_key, has_tunnels, config);
    read_ike(root.member("ike"), read_key, config.ike);
    read_registry_source(root.member("registry"), config.registry);
    config.connect = read_connect(root.member("connect"));
    config.exits = read_exits(root.member("exit"));
    config.segments = read_segments(root.member("segments"), config.mtu);
    const bool can_carry = config.mode != Mode::none && config.network;
    if (!config.segments.empty() && !can_carry) root.member("segments").error(kCannotCarry);
    read_log(root.member("log"), config);
    read_endpoints(root.required({"endpoints"}), config);
    if (!has_tunnels && config.babel.interfaces.empty()) {
        endpoints.warning("is empty, and so is babel.interfaces: there is nobody to talk to");
    }
    if (problems.has_errors()) return std::nullopt;
    for (const std::string& name : lasting_keys()) config.places.emplace(name, place_of(root, name));
    return config;
}

}  // namespace aronet::overlay
