#include "overlay/parse.hpp"

#include <algorithm>
#include <charconv>

namespace aronet::overlay {
namespace {

bool is_hostname(std::string_view text) {
    const bool fine = std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
               c == '.' || c == '_';
    });
    const bool has_letter =
        std::any_of(text.begin(), text.end(), [](char c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; });
    return fine && has_letter && text.size() <= 253 && text.front() != '-' && text.front() != '.';
}

// Of one host, and with a meaning beyond one link.
bool is_unicast(const Address& address) {
    return !address.is_any() && !address.is_multicast() && !(address.is_v6() && address.is_link_local());
}

// Peers compare names as text: "O=..,CN=.." without a way to escape (a comma, a slash in front, blanks at the
// ends). Nor may one be a way out of a folder, should somebody name a file by it.
bool is_plain(const std::string& name) {
    const bool leads_out = ("/" + name + "/").find("/../") != std::string::npos;
    return !leads_out && name != "*" && name.front() != '/' && name.front() != ' ' && name.back() != ' ' &&
           name.find_first_of(",\t\r\n") == std::string::npos && name.size() <= 128;
}

void refuse_name(const Value& value) {
    value.error(
        "must not be \"*\", hold a comma, a line break or \"../\", start with a slash, have blanks at its "
        "ends "
        "or more than 128 characters: " +
        value.found()
    );
}

// False: reported.
bool read_address(const Value& value, bool range_allowed, Location& location) {
    if (value.is_absent() || value.is_null()) return true;
    const auto text = value.string();
    if (!text) return false;
    location.address = Address::parse(*text);
    if (location.address && is_unicast(*location.address)) return true;
    if (location.address) {
        value.expected("the address of one host, or null where it is not known");
        return false;
    }
    if (text->find('/') != std::string::npos) {
        location.range = Prefix::parse(*text);
        if (location.range && range_allowed) return true;
        value.expected(range_allowed ? "an address or a range" : "an address or a domain name");
        return false;
    }
    if (is_hostname(*text)) {
        location.hostname = *text;
        return true;
    }
    value.expected("an address, a domain name or null");
    return false;
}

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

// Halves and quarters of everything are what they say, though they begin where "this host" does.
bool is_of_each_host(const Prefix& prefix) {
    constexpr unsigned kThisHost = 8;
    const Address& a = prefix.address();
    const bool is_this = a == Address::any(a.family()) && prefix.length() >= kThisHost;
    return is_this || a.is_link_local() || a.is_multicast() || a.is_loopback();
}

}  // namespace

const std::vector<std::string> kPrefixSpellings{"prefixs", "prefixes", "extra_network"};

Prefix reserved_range(const Prefix& network) {
    return Prefix(network.address().plus(std::uint64_t{0xffff} << 48), 80);
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

std::optional<std::string> read_name(const Value& value) {
    if (value.is_absent()) return std::nullopt;
    const auto name = value.string();
    if (!name) return std::nullopt;
    if (is_plain(*name)) return name;
    refuse_name(value);
    return std::nullopt;
}

std::optional<Prefix> read_any_prefix(const Value& value) {
    const auto text = value.string();
    const auto prefix = text ? Prefix::parse(*text) : std::nullopt;
    if (text && !prefix) value.expected("a prefix like \"192.168.1.0/24\" or \"fd00::/64\"");
    return prefix;
}

std::optional<Prefix> read_prefix(const Value& value) {
    const auto prefix = read_any_prefix(value);
    if (!prefix) return std::nullopt;
    if (prefix->is_any()) {
        value.error(
            prefix->to_string() + " would lead all traffic into the overlay, that of its tunnels too"
        );
    } else if (is_of_each_host(*prefix)) {
        value.error(prefix->to_string() + " means something else on every host: it cannot be routed");
    } else {
        return prefix;
    }
    return std::nullopt;
}

std::vector<Prefix> read_prefixes(const Value& value) {
    std::vector<Prefix> list;
    if (value.is_absent() || value.is_null()) return list;
    for (const Value& element : value.elements()) {
        const auto prefix = read_prefix(element);
        if (prefix) list.push_back(*prefix);
    }
    return list;
}

std::optional<Prefix> read_network(const Value& value) {
    const auto network = read_prefix(value);
    if (!network) return std::nullopt;
    if (network->family() == Family::v6 && network->length() <= 64 && network->length() > 0) return network;
    value.expected("an IPv6 prefix of length 1 to 64");
    return std::nullopt;
}

std::optional<std::string> read_serial_number(const Value& value) {
    if (value.is_absent() || value.is_null()) return std::nullopt;
    if (value.is_number()) {
        const auto number = value.number(0, UINT64_MAX);
        return number ? std::optional(std::to_string(*number)) : std::nullopt;
    }
    const auto text = value.string();
    if (text && !is_plain(*text)) refuse_name(value);
    return text;
}

void refuse_reserved(
    const Value& prefixes, const std::vector<Prefix>& list, const std::optional<Prefix>& network
) {
    if (!network) return;
    for (const Prefix& prefix : list) {
        // A prefix that holds the whole network is a route towards this node all the same.
        if (!reserved_range(*network).contains(prefix)) continue;
        prefixes.error(
            prefix.to_string() + " lies in " + reserved_range(*network).to_string() +
            ", which the node keeps for itself"
        );
    }
}

std::optional<Location> read_location(const Value& endpoint, bool range_allowed) {
    Location location;
    bool fine = read_address(endpoint.member("address"), range_allowed, location);
    const auto port = endpoint.required({"port"});
    const auto number = port.is_absent() ? std::nullopt : port.number(1, 65535);
    if (number) location.port = static_cast<std::uint16_t>(*number);
    fine = fine && number.has_value();

    const Value family = endpoint.member("address_family");
    std::optional<Family> known;
    if (location.address) known = location.address->family();
    if (location.range) known = location.range->family();
    if (family.is_absent() || family.is_null()) {
        if (!known && fine) {
            family.error("is missing: without an address nothing says whether this is \"ip4\" or \"ip6\"");
            fine = false;
        }
        location.family = known.value_or(Family::v4);
        return fine ? std::optional(location) : std::nullopt;
    }
    const auto said = family.one_of({"ip4", "ip6"});
    if (!said) return std::nullopt;
    location.family = *said == 0 ? Family::v4 : Family::v6;
    if (known && *known != location.family) {
        family.error("does not fit the address: " + family.found());
        return std::nullopt;
    }
    return fine ? std::optional(location) : std::nullopt;
}

}  // namespace aronet::overlay
