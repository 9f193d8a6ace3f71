#pragma once

// config.json and registry.json as values, in every spelling the original's versions used
// (docs/configuration.md).

#include "babel/speaker.hpp"
#include "base/address.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "base/time.hpp"
#include "ike/engine.hpp"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

namespace aronet::overlay {

using base::Address;
using base::Duration;
using base::Family;
using base::Prefix;

inline constexpr std::size_t kIfNameMax = 15;

enum class Mode : std::uint8_t { vrf, netns, none };  // none: in the present namespace
enum class DatapathChoice : std::uint8_t { automatic, kernel, user };
enum class Links : std::uint8_t { per_peer, shared };  // shared: with the peers that want it, too
enum class SysctlChoice : std::uint8_t { apply, check };
enum class SeccompChoice : std::uint8_t { enforce, log, off };
enum class Ipv4Transport : std::uint8_t { via6, srv6 };  // IPv6 next hops all the way; or in IPv6
enum class LogFormat : std::uint8_t { text, json };

struct EndpointConfig {                   // of our own config.json
    std::optional<Address> address;       // absent: unknown, behind NAT
    std::optional<Prefix> address_range;  // ranet: a CIDR the local address is found in
    std::string hostname;                 // a domain name instead of an address, or empty
    Family family = Family::v4;
    std::uint16_t port = 12025;
    std::optional<std::string> serial_number;  // absent: the older identity form
    std::optional<std::uint32_t> fwmark;       // ranet: mark of the outer packets
    std::string updown;                        // ranet: script run when a connection comes or goes, or empty
    bool operator==(const EndpointConfig&) const = default;
};

using IkePort = std::pair<Family, std::uint16_t>;  // that IKE and ESP come in at

// Nodes by their names: shell patterns, as for interfaces.
struct NodePattern {
    std::string organization = "*", common_name = "*";
    bool fits(const std::string& of_organization, const std::string& of_name) const {
        return babel::fits(organization, of_organization) && babel::fits(common_name, of_name);
    }
    auto operator<=>(const NodePattern&) const = default;
};

// Who has tunnels with whom: the first that fits a node decides; none does: no tunnel.
struct ConnectRule {
    NodePattern nodes;
    bool refused = false;
    auto operator<=>(const ConnectRule&) const = default;
};
using ConnectRules = std::vector<ConnectRule>;

struct PeerCost {
    NodePattern nodes;
    std::uint16_t cost = 0;
    bool operator==(const PeerCost&) const = default;
};

// A default route that is announced while packets that leave the overlay here get on.
struct Exit {
    babel::Destination about;
    babel::Metric metric = 0;
    bool operator==(const Exit&) const = default;
};

// The way that packets take from here to a prefix of another node, whatever Babel thinks: the nodes that they
// pass, by the End SIDs that the registry's networks give them, or the SIDs themselves.
struct NodeName {
    std::string organization, common_name;
    bool operator==(const NodeName&) const = default;
};
struct SegmentList {
    Prefix prefix;
    std::vector<std::variant<NodeName, Address>> via;
    bool operator==(const SegmentList&) const = default;
};

// An ordinary interface that Babel runs on besides the tunnels. Its addresses and MTU are the kernel's to
// say.
struct InterfaceRule {
    std::string name;  // a pattern
    babel::InterfaceConfig as;
    bool operator==(const InterfaceRule&) const = default;
};

struct Installation {  // of what Babel selected
    bool refused = false;
    std::optional<std::uint32_t> table, metric;
    std::optional<Address> preferred_source;
    bool operator==(const Installation&) const = default;
};

struct BabelConfig {
    std::optional<Duration> hello_interval = std::chrono::seconds(20);
    std::optional<Duration> update_interval;  // none: chosen by the number of neighbours and routes
    std::uint16_t rxcost = 32;
    std::uint16_t rtt_cost = 1024;
    Duration rtt_min = std::chrono::milliseconds(10), rtt_max = std::chrono::milliseconds(1024);
    bool only_registered_prefixes = true;   // tunnels: learn only prefixes of the registry
    std::optional<std::size_t> max_routes;  // tunnels: of one neighbour
    bool transit = true;                    // for others
    std::vector<PeerCost> peers;            // beside rxcost, of tunnels; the first that fits a node
    std::vector<InterfaceRule> interfaces;  // the first whose pattern fits
    babel::MetricRules imports, exports, redistribute;
    std::set<std::uint32_t> redistribute_tables;  // of the kernel
    babel::Rules<Installation> install;
    bool operator==(const BabelConfig&) const = default;
};

// What we share with the nodes that fit.
struct IkePeer {
    NodePattern nodes;
    ike::SharedSecret psk;  // not empty: authenticates instead of keys
    std::optional<ike::Ppk> ppk;
    bool operator==(const IkePeer&) const = default;
};

struct IkeConfig {
    Duration dpd_interval = std::chrono::seconds(10);
    Duration keepalive_interval = std::chrono::seconds(20);
    Duration suspicion_time = std::chrono::seconds(1);
    std::uint32_t replay_window = 128;
    bool esn = false;                    // asked for; without where the peer cannot
    std::uint32_t fragment_size = 1280;  // of IP datagrams
    std::vector<IkePeer> peers;          // the first that fits a node
    // Keys are changed after so long or so much; 0: not because of that.
    Duration ike_lifetime = std::chrono::hours(4), child_lifetime = std::chrono::hours(1);
    std::uint64_t child_bytes = 0, child_packets = 0;
    bool operator==(const IkeConfig&) const = default;
};

struct RegistrySourceConfig {
    Duration interval = std::chrono::minutes(5);  // between questions to a URL
    std::string ca_file;                          // instead of the system's authorities, or empty
    std::vector<ike::PublicKey> public_keys;      // one of them signs every registry; none: not asked for
    bool operator==(const RegistrySourceConfig&) const = default;
};

struct Config {
    base::Secret private_key;  // Ed25519 seed; empty when the file has none (ranet)
    ike::PublicKey public_key{};
    std::string organization, common_name;
    std::optional<Prefix> network;  // IPv6, /64 or shorter; the original's first versions had none
    std::vector<Prefix> prefixes;   // of this node, besides its network
    std::vector<std::pair<Address, unsigned>>
        extra_ip;  // further addresses of the main interface, prefix lengths
    std::string ifname = "aronet";
    std::string netns_name = "aronet";
    std::uint32_t route_table = 128;  // the default with a VRF; 254 without
    // Of the host's routes into the overlay, which all packets look at but the marked ones: the tunnels' own.
    std::uint32_t host_table = 12025;
    std::uint32_t fwmark = 0x20a0;  // of those without a mark of their endpoint's; 0: none
    Mode mode = Mode::vrf;
    std::string runtime_dir = "/var/run/aronet";
    std::string state_dir = "/var/lib/aronet";
    std::uint32_t mtu = 1400;
    bool clamp_mss = true;  // of TCP that is forwarded
    DatapathChoice datapath = DatapathChoice::automatic;
    Links links = Links::per_peer;
    SysctlChoice sysctl = SysctlChoice::apply;
    SeccompChoice seccomp = SeccompChoice::enforce;
    bool tells_keys = false;  // by no file: a debug build alone can be asked for it
    bool core_dumps = false;  // of the process, with all its keys
    std::string log_level = "info";
    LogFormat log_format = LogFormat::text;
    BabelConfig babel;
    IkeConfig ike;
    RegistrySourceConfig registry;
    std::vector<Exit> exits;
    Ipv4Transport ipv4_transport = Ipv4Transport::via6;
    std::vector<SegmentList> segments;    // one a prefix
    std::optional<ConnectRules> connect;  // absent: with every node that would
    std::vector<EndpointConfig> endpoints;
    // Where in its file what cannot be changed while the daemon runs stands: file, line and column by key.
    std::map<std::string, std::string> places;

    std::set<IkePort> ike_ports() const {
        std::set<IkePort> ports;
        for (const EndpointConfig& endpoint : endpoints) ports.emplace(endpoint.family, endpoint.port);
        return ports;
    }
};

struct RegistryEndpoint {
    std::optional<Address> address;
    std::string hostname;
    Family family = Family::v4;
    std::uint16_t port = 12025;
    std::optional<std::string> serial_number;
    auto operator<=>(const RegistryEndpoint&) const = default;
};

struct RegistryNode {
    std::string organization, common_name;
    std::vector<ike::PublicKey> keys;  // of its organization
    std::vector<RegistryEndpoint> endpoints;
    std::optional<Prefix> network;  // ranet's remarks have none
    std::vector<Prefix> prefixes;
    std::optional<ConnectRules> connect;  // its own: those of its configuration
    auto operator<=>(const RegistryNode&) const = default;
};

struct Registry {
    std::vector<RegistryNode> nodes;  // sorted by organization, common name
    std::string version;              // hex SHA-256 of the text, for people
    bool operator==(const Registry&) const = default;
};

}  // namespace aronet::overlay
