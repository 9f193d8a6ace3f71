#include "overlay/parse.hpp"

#include <algorithm>
#include <charconv>
#include <set>

namespace aronet::overlay {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kIfNameMax = 15;
constexpr std::string_view kBareKey = "MC4CAQAwBQYDK2VwBCIE";  // how every Ed25519 key begins inside its PEM

std::optional<Duration> parse_duration(std::string_view text) {
    double amount = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), amount);
    if (error != std::errc() || !(amount >= 0)) return std::nullopt;
    const std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
    const double scale = unit == "ms"                  ? 1e-3
                         : unit == "s" || unit.empty() ? 1
                         : unit == "m"                 ? 60
                         : unit == "h"                 ? 3600
                                                       : 0;
    if (scale == 0 || amount * scale > 1e6) return std::nullopt;
    return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(amount * scale));
}

void read_duration(const Value& value, Duration low, Duration high, Duration& out) {
    if (value.is_absent()) return;
    std::optional<Duration> duration;
    if (value.is_string()) {
        const auto text = value.string();
        if (text) duration = parse_duration(*text);
    } else if (value.is_number()) {
        const auto seconds = value.number(0, 1000000);
        if (!seconds) return;
        duration = std::chrono::seconds(*seconds);
    }
    if (duration && *duration >= low && *duration <= high) {
        out = *duration;
        return;
    }
    const auto words = [](Duration d) { return std::to_string(base::milliseconds(d)) + "ms"; };
    value.expected(
        "a time from " + words(low) + " to " + words(high) + " like \"20s\" or \"500ms\" or whole seconds"
    );
}

template <class T>
void read_number(const Value& value, std::uint64_t low, std::uint64_t high, T& out) {
    if (value.is_absent()) return;
    const auto number = value.number(low, high);
    if (number) out = static_cast<T>(*number);
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
    if (is_inline) {
        key = ike::parse_private_key(*text);
    } else {
        auto pem = read_key(*text);
        if (!pem) return value.error(pem.error().text);
        const base::ByteView bytes = pem->view();
        key = ike::parse_private_key({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    }
    if (!key) return value.error(is_inline ? key.error().text : *text + ": " + key.error().text);
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
        const auto choice = mode.one_of({"vrf", "netns"});
        if (choice) config.mode = *choice == 0 ? Mode::vrf : Mode::netns;
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
    if (!directory.is_absent()) config.runtime_dir = directory.string().value_or("");
    if (!netns.is_absent()) {
        config.netns_name = netns.string().value_or("");
        if (config.netns_name.find('/') != std::string::npos) netns.expected("a name without slashes");
    }
    for (const char* obsolete : {"charon_path", "bird_path", "birdc_path", "swanctl_path"}) {
        const Value value = daemon.member(obsolete);
        if (!value.is_absent()) value.warning("is not needed: there are no external daemons");
    }
}

void read_daemon(const Value& daemon, Config& config) {
    if (daemon.is_absent()) return daemon.warning("is missing: there is no overlay to put anything in");
    if (!daemon.is_object()) return;
    daemon.warn_of_unknown(
        {"prefixs",
         "prefixes",
         "extra_network",
         "network",
         "ifname",
         "route_table",
         "use_netns",
         "mode",
         "extra_ip",
         "netns_name",
         "runtime_dir",
         "charon_path",
         "bird_path",
         "birdc_path",
         "swanctl_path",
         "mtu",
         "datapath",
         "sysctl"}
    );
    const Value network = daemon.member("network"), prefixes = daemon.member(kPrefixSpellings);
    if (network.is_absent()) {
        network.warning("is missing: this node has no address of its own in the overlay");
    } else {
        config.network = read_network(network);
    }
    config.prefixes = read_prefixes(prefixes);
    refuse_reserved(prefixes, config.prefixes, config.network);
    read_interface_name(daemon.member("ifname"), config);
    read_mode(daemon, config);
    config.route_table = config.mode == Mode::vrf ? 128 : 254;
    read_number(daemon.member("route_table"), 1, 0xfffffffe, config.route_table);
    read_extra_ip(daemon.member("extra_ip"), config);
    read_runtime(daemon, config);
    read_number(daemon.member("mtu"), 1280, 65535, config.mtu);
    const Value datapath = daemon.member("datapath"), sysctl = daemon.member("sysctl");
    if (!datapath.is_absent()) {
        config.datapath =
            static_cast<DatapathChoice>(datapath.one_of({"auto", "kernel", "user"}).value_or(0));
    }
    if (!sysctl.is_absent())
        config.sysctl = static_cast<SysctlChoice>(sysctl.one_of({"apply", "check"}).value_or(0));
}

void read_babel(const Value& babel, BabelConfig& config) {
    if (babel.is_absent() || !babel.is_object()) return;
    babel.warn_of_unknown(
        {"hello_interval",
         "update_interval",
         "rxcost",
         "rtt_cost",
         "rtt_min",
         "rtt_max",
         "only_registered_prefixes"}
    );
    // Intervals are hundredths of a second in 16 bits on the wire (RFC 8966 4.6).
    const Value update = babel.member("update_interval");
    read_duration(babel.member("hello_interval"), 100ms, 655s, config.hello_interval);
    config.update_interval = std::min<Duration>(4 * config.hello_interval, 655s);  // RFC 8966 appendix B
    read_duration(update, 500ms, 655s, config.update_interval);
    read_number(babel.member("rxcost"), 1, 65534, config.rxcost);
    read_number(babel.member("rtt_cost"), 0, 65534, config.rtt_cost);
    read_duration(babel.member("rtt_min"), 0ms, 60s, config.rtt_min);
    read_duration(babel.member("rtt_max"), 1ms, 60s, config.rtt_max);
    if (config.rtt_max <= config.rtt_min) babel.member("rtt_max").error("must be more than rtt_min");
    const Value only = babel.member("only_registered_prefixes");
    if (!only.is_absent()) config.only_registered_prefixes = only.boolean().value_or(true);
}

void read_ike(const Value& ike, IkeConfig& config) {
    if (ike.is_absent() || !ike.is_object()) return;
    ike.warn_of_unknown({"dpd_interval", "keepalive_interval", "replay_window"});
    read_duration(ike.member("dpd_interval"), 0s, 1h, config.dpd_interval);
    read_duration(ike.member("keepalive_interval"), 1s, 1h, config.keepalive_interval);
    read_number(ike.member("replay_window"), 32, 4096, config.replay_window);
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

void read_endpoints(const Value& endpoints, Config& config) {
    if (endpoints.is_absent()) return;
    for (const Value& endpoint : endpoints.elements()) read_endpoint(endpoint, config);
    if (endpoints.is_array() && endpoints.elements().empty()) endpoints.expected("at least one endpoint");
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
        {"private_key", "organization", "common_name", "daemon", "endpoints", "babel", "ike", "log"}
    );
    Config config;
    read_private_key(root.member("private_key"), read_key, config);
    config.organization = read_name(root.required({"organization"})).value_or("");
    config.common_name = read_name(root.required({"common_name"})).value_or("");
    read_daemon(root.member("daemon"), config);
    read_babel(root.member("babel"), config.babel);
    read_ike(root.member("ike"), config.ike);
    read_log(root.member("log"), config);
    read_endpoints(root.required({"endpoints"}), config);
    if (problems.has_errors()) return std::nullopt;
    return config;
}

}  // namespace aronet::overlay
