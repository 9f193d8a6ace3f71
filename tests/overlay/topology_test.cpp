#include "overlay/topology.hpp"

#include <catch2/catch.hpp>

#include <map>
#include <set>

using namespace aronet;
using namespace aronet::overlay;

namespace {

template <class Endpoint>
Endpoint endpoint_at(const char* address, const char* serial, Family family) {
    Endpoint endpoint;
    if (*address != '\0') endpoint.address = *Address::parse(address);
    endpoint.family = endpoint.address ? endpoint.address->family() : family;
    if (*serial != '\0') endpoint.serial_number = serial;
    return endpoint;
}

EndpointConfig own(const char* address, const char* serial = "0", Family family = Family::v4) {
    return endpoint_at<EndpointConfig>(address, serial, family);
}

RegistryEndpoint theirs(const char* address, const char* serial = "0", Family family = Family::v4) {
    return endpoint_at<RegistryEndpoint>(address, serial, family);
}

Config config(std::vector<EndpointConfig> endpoints) {
    Config out;
    out.organization = "acme";
    out.common_name = "one";
    out.endpoints = std::move(endpoints);
    return out;
}

RegistryNode node(const char* name, std::vector<RegistryEndpoint> endpoints) {
    RegistryNode out;
    out.organization = "acme";
    out.common_name = name;
    out.endpoints = std::move(endpoints);
    return out;
}

}  // namespace

TEST_CASE("endpoints of one family pair up, unless neither has an address, and never with oneself") {
    const Registry registry{
        {node("one", {theirs("192.0.2.1")}),
         node("two", {theirs("192.0.2.2"), theirs("2001:db8::2", "1"), theirs("", "2")})},
        ""};
    CHECK(pairings(config({own("192.0.2.1")}), registry, {}).size() == 2);
    CHECK(pairings(config({own("")}), registry, {}).size() == 1);
    CHECK(pairings(config({own("192.0.2.1"), own("2001:db8::1", "1")}), registry, {}).size() == 3);
    CHECK(pairings(config({own("", "0", Family::v6)}), registry, {}).size() == 1);
}

TEST_CASE("names, numbers and addresses are stable, fit an interface's name and differ between the ends") {
    Registry registry;
    for (int i = 0; i < 300; ++i) {
        registry.nodes.push_back(node(("n" + std::to_string(i)).c_str(), {theirs("192.0.2.2")}));
    }
    for (const char* ifname : {"aronet", "ov", "longername"}) {
        Config c = config({own("192.0.2.1")});
        c.ifname = ifname;
        const auto first = pairings(c, registry, {});
        CHECK(first == pairings(c, registry, {}));
        std::set<std::uint32_t> numbers;
        std::set<std::string> names;
        for (const Pairing& pairing : first) {
            CHECK(pairing.if_id != 0);
            CHECK(pairing.interface.size() <= 15);
            CHECK(pairing.interface.starts_with(std::string(ifname) + "-"));
            CHECK(pairing.link_local.is_link_local());
            numbers.insert(pairing.if_id);
            names.insert(pairing.interface);
        }
        CHECK(numbers.size() == 300);
        CHECK(names.size() == 300);
    }
    // What else is in the registry does not renumber a tunnel.
    const Registry small{{registry.nodes[7]}, ""};
    const auto alone = pairings(config({own("192.0.2.1")}), small, {});
    const auto among = pairings(config({own("192.0.2.1")}), registry, {});
    CHECK(std::count(among.begin(), among.end(), alone.at(0)) == 1);
}

TEST_CASE("both ends agree on who initiates, and who cannot be reached always does") {
    const Registry registry{{node("one", {theirs("192.0.2.1")}), node("two", {theirs("192.0.2.2")})}, ""};
    Config two = config({own("192.0.2.2")});
    two.common_name = "two";
    const auto here = pairings(config({own("192.0.2.1")}), registry, {}).at(0);
    const auto there = pairings(two, registry, {}).at(0);
    CHECK(here.peer.initiate_first != there.peer.initiate_first);
    CHECK(here.peer.local == there.peer.remote);
    CHECK(here.link_local != there.link_local);
    CHECK(pairings(config({own("")}), registry, {}).at(0).peer.initiate_first);
}

namespace {

ConnectRules only(const char* common_name) { return {{{"*", common_name}, false}}; }

// Who of these has a tunnel with whom, each by its own configuration and the registry.
std::set<std::string> tunnels(const std::map<std::string, std::optional<ConnectRules>>& rules, bool told) {
    Registry registry;
    int number = 0;
    for (const auto& [name, connect] : rules) {
        registry.nodes.push_back(node(name.c_str(), {theirs(("192.0.2." + std::to_string(++number)).c_str())})
        );
        if (told) registry.nodes.back().connect = connect;
    }
    std::set<std::string> found;
    for (const RegistryNode& self : registry.nodes) {
        Config own_config = config({own(self.endpoints[0].address->to_string().c_str())});
        own_config.common_name = self.common_name;
        own_config.connect = rules.at(self.common_name);
        for (const Pairing& pairing : pairings(own_config, registry, {}))
            found.insert(self.common_name + pairing.peer.remote.common_name);
    }
    return found;
}

}  // namespace

TEST_CASE("a tunnel is where both sides want it, and both know: a hub, a list, and what is refused") {
    using Rules = std::map<std::string, std::optional<ConnectRules>>;
    const Rules hub{{"a", only("h*")}, {"b", only("h*")}, {"h", std::nullopt}};
    CHECK(tunnels(hub, true) == std::set<std::string>{"ah", "ha", "bh", "hb"});
    const Rules list{{"a", only("b")}, {"b", std::nullopt}, {"c", std::nullopt}};
    CHECK(tunnels(list, true) == std::set<std::string>{"ab", "ba", "bc", "cb"});
    const Rules but_one{
        {"a", {{{{"*", "b"}, true}, {{"*", "*"}, false}}}}, {"b", std::nullopt}, {"c", std::nullopt}};
    CHECK(tunnels(but_one, true) == std::set<std::string>{"ac", "ca", "bc", "cb"});
    const Rules nobody{{"a", ConnectRules{}}, {"b", std::nullopt}};
    CHECK(tunnels(nobody, true).empty());
    // Where the registry does not tell, only the other side asks in vain.
    CHECK(tunnels(hub, false) == std::set<std::string>{"ah", "ha", "bh", "hb"});
    CHECK(tunnels(list, false) == std::set<std::string>{"ab", "ba", "bc", "cb", "ca"});
}

TEST_CASE("nodes are told by both names, the first rule that fits one decides, also about its cost") {
    Registry registry{{node("two", {theirs("192.0.2.2")}), node("three", {theirs("192.0.2.3")})}, ""};
    registry.nodes[1].organization = "other";
    Config c = config({own("192.0.2.1")});
    c.connect = {{{{"other", "*"}, false}}};
    REQUIRE(pairings(c, registry, {}).size() == 1);
    CHECK(pairings(c, registry, {})[0].peer.remote.organization == "other");
    c.connect.reset();
    c.babel.peers = {{{"acme", "t*"}, 100}, {{"*", "*"}, 7}};
    for (const Pairing& pairing : pairings(c, registry, {}))
        CHECK(pairing.cost == (pairing.peer.remote.organization == "acme" ? 100 : 7));
}

TEST_CASE("without serial numbers the older identity says where an endpoint is") {
    const Registry registry{{node("two", {theirs("2001:db8::2", ""), theirs("", "", Family::v4)})}, ""};
    const auto list = pairings(config({own("2001:db8::1", ""), own("192.0.2.1", "")}), registry, {});
    REQUIRE(list.size() == 2);
    std::set<std::string> ids;
    for (const Pairing& pairing : list) ids.insert(pairing.peer.remote.to_string());
    CHECK(ids.contains("O=acme,CN=two,D=[2001:db8::2]:12025"));
    CHECK(ids.contains("O=acme,CN=two,D=0.0.0.0:12025"));
}

TEST_CASE("an endpoint given as a range takes the local address that lies in it, a mark goes to the peer") {
    EndpointConfig endpoint = own("");
    endpoint.address_range = *Prefix::parse("10.0.0.0/8");
    endpoint.fwmark = 42;
    const Registry registry{{node("two", {theirs("192.0.2.2")})}, ""};
    const std::vector<Address> local{*Address::parse("192.168.1.1"), *Address::parse("10.1.2.3")};
    const auto pairing = pairings(config({endpoint}), registry, local).at(0);
    CHECK(pairing.peer.local_address == *Address::parse("10.1.2.3"));
    CHECK(pairing.peer.mark == 42);
    endpoint.fwmark.reset();
    Config without = config({endpoint});
    CHECK(pairings(without, registry, local).at(0).peer.mark == without.fwmark);
    without.fwmark = 0;
    CHECK(!pairings(without, registry, local).at(0).peer.mark);
}
