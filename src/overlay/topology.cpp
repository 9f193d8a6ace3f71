#include "overlay/topology.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace aronet::overlay {
namespace {

// Nodes without serial numbers are named by where their endpoint is (docs/ike.md, identities).
std::string location_words(const std::optional<Address>& address, std::uint16_t port) {
    return base::Endpoint{address.value_or(Address::any(Family::v4)), port}.to_string();
}

template <class Endpoint>
ike::Identity identity(
    const std::string& organization, const std::string& common_name, const Endpoint& endpoint
) {
    if (endpoint.serial_number) return {organization, common_name, *endpoint.serial_number, false};
    return {organization, common_name, location_words(endpoint.address, endpoint.port), true};
}

std::optional<Address> local_address(const EndpointConfig& endpoint, const std::vector<Address>& known) {
    if (endpoint.address) return endpoint.address;
    if (!endpoint.address_range) return std::nullopt;
    const auto found = std::find_if(known.begin(), known.end(), [&](const Address& address) {
        return endpoint.address_range->contains(address);
    });
    return found == known.end() ? std::nullopt : std::optional(*found);
}

std::string digest(const std::string& text, std::size_t octets) {
    const auto hash = ike::sha256(base::as_bytes(text));
    return base::to_hex(base::ByteView(hash).first(octets));
}

Address link_local(const std::string& by) {
    return *Address::from_bytes(*base::from_hex("fe80000000000000" + digest(by, 8)));
}

// The interface's address on the tunnel: its own half of fe80::/64, different on both ends.
Address link_local(const ike::Peer& peer) {
    return link_local(peer.local.to_string() + "\n" + peer.remote.to_string());
}

// As many hexadecimal digits as an interface name leaves room for.
std::size_t digits_for(const std::string& ifname) {
    return std::min<std::size_t>(8, kIfNameMax - 1 - ifname.size());
}

std::string hex_name(std::uint32_t number, std::size_t digits) {
    return base::to_hex(number).substr(8 - digits);
}

// Numbers by hash, so that they do not depend on what else is in the registry; the few that collide move on
// to the next free one in the order of the pairs' names.
void number(std::vector<Pairing>& list, const std::string& ifname) {
    const std::size_t digits = digits_for(ifname);
    std::map<std::uint32_t, const Pairing*> taken;
    for (Pairing& pairing : list) {
        const std::string text = pairing.peer.local.to_string() + "-" + pairing.peer.remote.to_string();
        const std::uint32_t mask = digits == 8 ? 0xffffffff : (1u << (4 * digits)) - 1;
        auto id = static_cast<std::uint32_t>(std::stoul(digest(text, 4), nullptr, 16)) & mask;
        while (id == 0 || id >= kOrdinaryIdMin || taken.contains(id)) id = (id + 1) & mask;
        taken.emplace(id, &pairing);
        pairing.if_id = pairing.peer.id = pairing.peer.if_id = pairing.peer.reqid = id;
        pairing.interface = ifname + "-" + hex_name(id, digits);
    }
}

template <class Rule>
const Rule* first_for(
    const std::vector<Rule>& rules, const std::string& organization, const std::string& name
) {
    const auto rule = std::find_if(rules.begin(), rules.end(), [&](const Rule& each) {
        return each.nodes.fits(organization, name);
    });
    return rule == rules.end() ? nullptr : &*rule;
}

void share(const RegistryNode& node, const std::vector<IkePeer>& rules, ike::Peer& peer) {
    const auto* rule = first_for(rules, node.organization, node.common_name);
    if (rule == nullptr) return;
    peer.psk = rule->psk;
    peer.ppk = rule->ppk;
}

bool admits(
    const std::optional<ConnectRules>& rules, const std::string& organization, const std::string& name
) {
    if (!rules) return true;
    const auto* rule = first_for(*rules, organization, name);
    return rule != nullptr && !rule->refused;
}

Pairing pair_up(
    const Config& config,
    const EndpointConfig& own,
    const RegistryNode& node,
    const RegistryEndpoint& other,
    const std::vector<Address>& local_addresses
) {
    Pairing pairing;
    ike::Peer& peer = pairing.peer;
    peer.local = identity(config.organization, config.common_name, own);
    peer.remote = identity(node.organization, node.common_name, other);
    peer.remote_keys = node.keys;
    share(node, config.ike.peers, peer);
    peer.child.esn = config.ike.esn ? ike::Esn::preferred : ike::Esn::no;
    peer.child.replay_window = config.ike.replay_window;
    peer.local_port = own.port;
    peer.local_address = local_address(own, local_addresses);
    peer.family = own.family;
    if (other.address) peer.remote_endpoint = base::Endpoint{*other.address, other.port};
    // Nobody can come to an endpoint without an address, so it does not wait to be visited.
    const bool reachable = own.address || own.address_range || !own.hostname.empty();
    peer.only_we_initiate = !reachable;
    peer.initiate_first = !reachable || peer.local.encode() < peer.remote.encode();
    peer.mark = own.fwmark;
    if (!peer.mark && config.fwmark != 0) peer.mark = config.fwmark;
    pairing.hostname = other.hostname;
    pairing.remote_port = other.port;
    pairing.updown = own.updown;
    const auto* dearer = first_for(config.babel.peers, node.organization, node.common_name);
    pairing.cost = dearer != nullptr ? dearer->cost : std::uint16_t(0);
    pairing.link_local = link_local(peer);
    pairing.on_shared = {shared_link_local(peer.local), shared_link_local(peer.remote)};
    return pairing;
}

}  // namespace

Address shared_link_local(const ike::Identity& endpoint) {
    ike::Identity node = endpoint;
    node.qualifier.clear();
    node.is_description = false;
    constexpr std::size_t kOfNode = netlink::kPinLength / 8 - 8;
    const std::string low = digest(node.to_string(), kOfNode) + digest(endpoint.to_string(), 8 - kOfNode);
    return *Address::from_bytes(*base::from_hex("fe80000000000000" + low));
}

netlink::Pin pin_on_shared(const Pairing& pairing) {
    return {pairing.on_shared.own, Prefix(pairing.on_shared.peer, netlink::kPinLength).address()};
}

// Where the registry has no key, or a secret may count instead, it is not for us to say.
std::string refused_by_others(const Config& config, const Registry& registry) {
    const auto own = std::ranges::find_if(registry.nodes, [&](const RegistryNode& node) {
        return node.organization == config.organization && node.common_name == config.common_name;
    });
    if (registry.nodes.empty()) return "";
    if (own == registry.nodes.end())
        return "the registry does not have this node: the others will not let it in";
    const bool has_secrets =
        std::ranges::any_of(config.ike.peers, [](const IkePeer& peer) { return !peer.psk.empty(); });
    if (own->keys.empty() || has_secrets || std::ranges::count(own->keys, config.public_key) > 0) return "";
    return "the registry has another public key of this node's organization than that of its private_key: "
           "the others will not let it in (`aronet pub` prints the entry)";
}

bool connected(const Config& config, const RegistryNode& node) {
    return admits(config.connect, node.organization, node.common_name) &&
           admits(node.connect, config.organization, config.common_name);
}

std::vector<Pairing> pairings(
    const Config& config, const Registry& registry, const std::vector<Address>& local_addresses
) {
    std::vector<Pairing> list;
    for (const RegistryNode& node : registry.nodes) {
        if (node.organization == config.organization && node.common_name == config.common_name) continue;
        if (!connected(config, node)) continue;
        for (const EndpointConfig& own : config.endpoints) {
            const bool own_known = own.address || own.address_range || !own.hostname.empty();
            for (const RegistryEndpoint& other : node.endpoints) {
                const bool other_known = other.address || !other.hostname.empty();
                if (own.family != other.family || (!own_known && !other_known)) continue;
                list.push_back(pair_up(config, own, node, other, local_addresses));
            }
        }
    }
    std::sort(list.begin(), list.end(), [](const Pairing& a, const Pairing& b) {
        return std::tie(a.peer.local, a.peer.remote) < std::tie(b.peer.local, b.peer.remote);
    });
    number(list, config.ifname);
    std::sort(list.begin(), list.end(), [](const Pairing& a, const Pairing& b) { return a.if_id < b.if_id; });
    return list;
}

// The address of an endpoint can be found over one tunnel. Where several of ours lead to it, one of them has
// the link; the one that has it already.
void share_out(std::vector<Pairing>& pairings) {
    std::map<Address, Pairing*> first;
    for (Pairing& pairing : pairings) {
        Pairing*& chosen = first[pairing.on_shared.peer];
        if (chosen == nullptr || pairing.carrier == Carrier::shared) chosen = &pairing;
    }
    // Policies let in whatever begins like a node's addresses (kPinLength): where those of two nodes do, by a
    // name that somebody has searched for, each would be heard as the other.
    std::map<Address, std::set<std::pair<std::string, std::string>>> nodes;
    for (const Pairing& pairing : pairings) {
        const ike::Identity& remote = pairing.peer.remote;
        nodes[pin_on_shared(pairing).peer].emplace(remote.organization, remote.common_name);
    }
    for (Pairing& pairing : pairings) {
        pairing.peer.may_share_link = first.at(pairing.on_shared.peer) == &pairing &&
                                      nodes.at(pin_on_shared(pairing).peer).size() == 1;
    }
}

}  // namespace aronet::overlay
