#pragma once

// config.json and registry.json out of their texts (docs/configuration.md). Pure: files are read by the
// caller.

#include "overlay/config.hpp"
#include "overlay/document.hpp"

#include <functional>
#include <string_view>

namespace aronet::overlay {

// Gives the contents of the private key's file, or what went wrong.
using ReadKey = std::function<base::Result<base::Secret>(const std::string& path)>;

// nullopt when `problems` has errors; warnings may be there in any case.
std::optional<Config> parse_config(
    std::string_view text, const std::string& file, const ReadKey& read_key, Problems& problems
);
std::optional<Registry> parse_registry(std::string_view text, const std::string& file, Problems& problems);

// R of a network: the /80 that the node keeps for itself, N + (0xffff << 48) (docs/configuration.md,
// addresses).
Prefix reserved_range(const Prefix& network);

void read_babel(
    const Value& babel, const ReadKey& read_key, bool has_tunnels, Config& config
);                                                                                    // parse_babel.cpp
void read_ike_peers(const Value& peers, const ReadKey& read_key, IkeConfig& config);  // parse_ike.cpp
// parse_roles.cpp
NodePattern read_node_pattern(const Value& value);  // organization, common_name
std::optional<ConnectRules> read_connect(const Value& list);
std::vector<PeerCost> read_peer_costs(const Value& list);
std::vector<Exit> read_exits(const Value& list);
std::vector<SegmentList> read_segments(const Value& list, std::uint32_t mtu);  // of the tunnels

// Pieces that the files are made of. What is absent leaves `out` as it is.
void read_duration(const Value& value, Duration low, Duration high, Duration& out);
template <class T>
void read_number(const Value& value, std::uint64_t low, std::uint64_t high, T& out) {
    if (value.is_absent()) return;
    const auto number = value.number(low, high);
    if (number) out = static_cast<T>(*number);
}
std::optional<std::string> read_name(const Value& value);           // of an organization or a node
std::optional<Prefix> read_any_prefix(const Value& value);          // host bits allowed
std::optional<Prefix> read_prefix(const Value& value);              // that may be some node's
std::vector<Prefix> read_prefixes(const Value& value);              // absent: none
std::optional<Prefix> read_network(const Value& value);             // IPv6, /64 or shorter
std::vector<ike::PublicKey> read_public_keys(const Value& value);   // one, or two; absent: none
std::optional<std::string> read_serial_number(const Value& value);  // absent: nullopt, without an error
void refuse_reserved(
    const Value& prefixes, const std::vector<Prefix>& list, const std::optional<Prefix>& network
);

// Two endpoints of one node that peers could not tell apart: by serial number, else by where they are.
template <class Endpoint>
bool have_one_identity(const Endpoint& a, const Endpoint& b) {
    if (a.serial_number || b.serial_number) return a.serial_number == b.serial_number;
    return std::tie(a.family, a.address, a.port) == std::tie(b.family, b.address, b.port);
}

struct Location {  // address, port and family of an endpoint
    std::optional<Address> address;
    std::optional<Prefix> range;
    std::string hostname;
    Family family = Family::v4;
    std::uint16_t port = 0;
};
std::optional<Location> read_location(const Value& endpoint, bool range_allowed);

extern const std::vector<std::string> kPrefixSpellings;  // prefixs, prefixes, extra_network

}  // namespace aronet::overlay
