#include "overlay/parse.hpp"

#include <algorithm>
#include <map>

namespace aronet::overlay {
namespace {

constexpr std::size_t kNodesMax = 100'000;

std::string lower(std::string text) {
    for (char& c : text) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 32);
    }
    return text;
}

// What has been seen so far, to find two of a kind.
struct Seen {
    std::map<std::string, std::string> names;      // lower case identity → as it was written
    std::map<Prefix, std::string> reserved;        // reserved range → node
    std::map<Prefix, std::string> prefixes;        // prefix → node
    std::vector<std::pair<Value, Prefix>> claims;  // every prefix and where it stands
};

// What the original's and ranet's documentation print where a key belongs.
bool is_placeholder(const std::string& text) {
    return text == "-- raw pem of public key --" || text == "<PEM encoded public key>";
}

void read_key(const Value& value, std::vector<ike::PublicKey>& keys) {
    const auto text = value.string();
    if (!text) return;
    if (is_placeholder(*text))
        return value.warning("is the documentation's placeholder: no node of it can connect");
    const auto key = ike::parse_public_key(*text);
    if (key) {
        keys.push_back(*key);
    } else {
        value.error(key.error().text);
    }
}

void read_endpoint(const Value& value, RegistryNode& node) {
    if (!value.is_object()) return;
    value.warn_of_unknown({"address", "address_family", "port", "serial_number"});
    const auto location = read_location(value, false);
    const Value serial = value.member("serial_number");
    RegistryEndpoint endpoint;
    endpoint.serial_number = read_serial_number(serial);
    if (!location) return;
    endpoint.address = location->address;
    endpoint.hostname = location->hostname;
    endpoint.family = location->family;
    endpoint.port = location->port;
    for (const RegistryEndpoint& other : node.endpoints) {
        if (have_one_identity(endpoint, other)) {
            serial.error("another endpoint of this node has the same: two endpoints would have one identity");
        }
    }
    node.endpoints.push_back(std::move(endpoint));
}

void check_ranges(const Value& remarks, const RegistryNode& node, const std::string& name, Seen& seen) {
    if (!node.network) return;
    const Prefix own = reserved_range(*node.network);
    const auto same = seen.reserved.find(own);
    if (same != seen.reserved.end()) {
        remarks.member("network").error(
            "the reserved range " + own.to_string() + " is that of " + same->second + " too"
        );
    }
    seen.reserved.emplace(own, name);
}

void warn_of_anycast(const Value& prefixes, const RegistryNode& node, const std::string& name, Seen& seen) {
    for (const Prefix& prefix : node.prefixes) {
        const auto [other, is_new] = seen.prefixes.emplace(prefix, name);
        const std::string text = prefix.to_string();
        if (!is_new && other->second == name) prefixes.warning(text + " stands twice");
        if (!is_new && other->second != name)
            prefixes.warning(text + " is claimed by " + other->second + " too: anycast");
        seen.claims.emplace_back(prefixes, prefix);
    }
}

// Once all ranges are known. A prefix that holds a whole range is a route towards its node all the same.
void refuse_claims_of_reserved(const Seen& seen) {
    for (const auto& [value, prefix] : seen.claims) {
        if (prefix.length() < 80) continue;
        const auto range = seen.reserved.find(Prefix(prefix.address(), 80));
        if (range == seen.reserved.end()) continue;
        value.error(
            prefix.to_string() + " lies in " + range->first.to_string() + ", which " + range->second +
            " keeps for itself"
        );
    }
}

void read_remarks(const Value& remarks, RegistryNode& node, const std::string& name, Seen& seen) {
    if (remarks.is_absent()) return remarks.warning("is missing: nothing is routed to this node");
    if (!remarks.is_object()) return;
    // Anything may stand here that only people read; but what is nearly ours is meant to be.
    remarks.warn_of_misspelt({"network", "prefixs", "prefixes", "extra_network", "connect"});
    const Value network = remarks.member("network"), prefixes = remarks.member(kPrefixSpellings);
    if (network.is_absent()) {
        remarks.warning("has no \"network\": nothing is routed to this node");
    } else {
        node.network = read_network(network);
    }
    node.prefixes = read_prefixes(prefixes);
    node.connect = read_connect(remarks.member("connect"));
    check_ranges(remarks, node, name, seen);
    warn_of_anycast(prefixes, node, name, seen);
}

void read_node(const Value& value, const RegistryNode& organization, Registry& registry, Seen& seen) {
    if (!value.is_object()) return;
    value.warn_of_unknown({"common_name", "endpoints", "remarks"});
    const Value common_name = value.required({"common_name"}), endpoints = value.required({"endpoints"});
    RegistryNode node = organization;
    node.common_name = read_name(common_name).value_or("");
    const std::string name = base::printable(node.organization + "/" + node.common_name);
    if (!node.common_name.empty()) {
        // Some peers compare names without regard to case: two that differ in nothing else would be one to
        // them.
        const auto [other, is_new] =
            seen.names.emplace(lower(node.organization + "\n" + node.common_name), name);
        if (!is_new) common_name.error("the node " + other->second + " has this identity already");
    }
    if (!endpoints.is_absent()) {
        for (const Value& endpoint : endpoints.elements()) read_endpoint(endpoint, node);
    }
    read_remarks(value.member("remarks"), node, name, seen);
    registry.nodes.push_back(std::move(node));
}

void read_organization(const Value& value, Registry& registry, Seen& seen) {
    if (!value.is_object()) return;
    value.warn_of_unknown({"public_key", "organization", "nodes"});
    const Value name = value.required({"organization"}), nodes = value.required({"nodes"});
    RegistryNode common;
    common.keys = read_public_keys(value.required({"public_key"}));
    common.organization = read_name(name).value_or("");
    if (nodes.is_absent()) return;
    for (const Value& node : nodes.elements()) read_node(node, common, registry, seen);
}

}  // namespace

std::vector<ike::PublicKey> read_public_keys(const Value& value) {
    std::vector<ike::PublicKey> keys;
    if (value.is_absent()) return keys;
    if (!value.is_array()) {
        read_key(value, keys);
        return keys;
    }
    const auto elements = value.elements();
    if (elements.empty() || elements.size() > 2)
        value.error("expected one key, or two while they are being changed");
    for (const Value& element : elements) read_key(element, keys);
    return keys;
}

std::optional<Registry> parse_registry(std::string_view text, const std::string& file, Problems& problems) {
    const auto document = Document::parse(text, file, problems);
    if (!document) return std::nullopt;
    const Value root = document->root(problems);
    Registry registry;
    Seen seen;
    for (const Value& organization : root.elements()) read_organization(organization, registry, seen);
    refuse_claims_of_reserved(seen);
    if (registry.nodes.size() > kNodesMax) root.error("more than " + std::to_string(kNodesMax) + " nodes");
    if (problems.has_errors()) return std::nullopt;
    std::sort(registry.nodes.begin(), registry.nodes.end());
    registry.version = base::to_hex(ike::sha256(base::as_bytes(text)));
    return registry;
}

}  // namespace aronet::overlay
