// Whether a kernel has what its node thinks that it has, and what it wants there: no more and no less.

#include "host.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace aronet::sim {
namespace {

using namespace std::chrono_literals;
using Words = std::set<std::string>;

// What is in one of the two alone.
void compare(const std::string& host, const Words& there, const Words& wanted, Words& out) {
    for (const std::string& one : wanted) {
        if (!there.contains(one)) out.insert(host + " misses " + one);
    }
    for (const std::string& one : there) {
        if (!wanted.contains(one)) out.insert(host + " has too much: " + one);
    }
}

template <class Wish, class Objects>
void describe_all(const Objects& objects, Words& out) {
    for (const auto& object : objects) out.insert(netlink::describe(Wish{object}));
}

bool is_far_end(const netlink::Link& link) {
    return std::holds_alternative<netlink::Veth>(link.kind) && link.space == netlink::Space::overlay;
}

bool is_babels(const netlink::Route& route) { return route.key.metric == overlay::kBabelMetric; }

std::string way(const std::string& to, const std::string& over, const std::string& by) {
    return "to " + to + " over " + over + " by " + by;
}

std::string sending(
    const std::string& interface, const std::string& spi, const std::string& from, const std::string& to
) {
    return interface + " sends on " + spi + " from " + from + " to " + to;
}

std::string address_of(const nlohmann::json& endpoint) {  // of IPv4, as everybody has here
    const std::string text = endpoint.is_string() ? endpoint.get<std::string>() : "nowhere";
    return text.substr(0, text.rfind(':'));
}

// SAs and policies by the tunnels that are up.
Words keys_of(const nlohmann::json& tunnels, Words& up) {
    Words words;
    for (const auto& tunnel : tunnels.at("tunnels")) {
        const std::string stage = tunnel.at("state"), interface = tunnel.at("interface");
        if (stage != "linked" && stage != "routed") continue;
        up.insert(interface);
        words.insert(interface + " in " + tunnel.at("spi_in").get<std::string>());
        words.insert(interface + " out " + tunnel.at("spi_out").get<std::string>());
        words.insert(sending(
            interface, tunnel.at("spi_out"), address_of(tunnel.at("local")), address_of(tunnel.at("remote"))
        ));
    }
    return words;
}

// Which link carries what the status shows as a tunnel.
void agree_on_carriers(const nlohmann::json& tunnels, std::vector<overlay::Pairing>& pairings) {
    for (overlay::Pairing& pairing : pairings) {
        for (const auto& tunnel : tunnels.at("tunnels")) {
            if (tunnel.at("interface") != pairing.interface) continue;
            const auto& link = tunnel.at("link");
            pairing.carrier = link.is_null()              ? overlay::Carrier::undecided
                              : link == pairing.interface ? overlay::Carrier::own
                                                          : overlay::Carrier::shared;
        }
    }
}

std::map<std::uint32_t, std::string> names_of(const std::vector<overlay::Pairing>& pairings) {
    std::map<std::uint32_t, std::string> names;
    for (const overlay::Pairing& pairing : pairings) names[pairing.if_id] = pairing.interface;
    return names;
}

// The tunnel that a route leads over: its link's, or the one it names.
std::string way_of(const netlink::Route& route, std::map<std::uint32_t, std::string> names) {
    const auto* encap = std::get_if<netlink::XfrmEncap>(&route.encap);
    return encap == nullptr ? route.link : names[encap->if_id];
}

Words keys_in(const Kernel& kernel, std::map<std::uint32_t, std::string> names) {
    Words words;
    for (const auto& [id, sa] : kernel.sas())
        words.insert(
            names[sa.if_id] + (sa.direction == base::Direction::in ? " in " : " out ") + base::to_hex(id.spi)
        );
    for (const auto& [if_id, policies] : kernel.policies())
        words.insert(sending(
            names[if_id],
            base::to_hex(policies.spi_out),
            policies.local.to_string(),
            policies.remote.to_string()
        ));
    return words;
}

}  // namespace

Words World::inexact(Host& host) {
    const overlay::Config config = host.config();
    const overlay::Registry registry = registry_of(host.members);
    const auto tunnels = nlohmann::json::parse(ask(host.number, "tunnels"));
    auto pairings = overlay::pairings(config, registry, {});
    agree_on_carriers(tunnels, pairings);
    const auto names = names_of(pairings);
    // The kernel of a simulation grants strict VRFs to who asks for them.
    const overlay::Objects wanted = overlay::desired(config, registry, pairings, true);
    Words there, expected, up;
    for (const netlink::Link& link : host.kernel.links()) {
        if (!is_far_end(link)) there.insert(netlink::describe(netlink::AddLink{link}));
    }
    for (const netlink::Link& link : wanted.links) {
        if (!is_far_end(link)) expected.insert(netlink::describe(netlink::AddLink{link}));
    }
    describe_all<netlink::AddAddress>(host.kernel.addresses(), there);
    describe_all<netlink::AddAddress>(wanted.addresses, expected);
    describe_all<netlink::AddRule>(host.kernel.rules(), there);
    describe_all<netlink::AddRule>(wanted.rules, expected);
    describe_all<netlink::AddRoute>(wanted.routes, expected);
    for (const auto& [key, route] : host.kernel.routes()) {
        const bool held = route.kind == netlink::RouteKind::unreachable;  // for a while, where there was one
        if (!is_babels(route)) there.insert(netlink::describe(netlink::AddRoute{route}));
        if (is_babels(route) && !held)
            there.insert(way(
                key.destination.to_string(), way_of(route, names), route.via ? route.via->to_string() : ""
            ));
    }
    const auto routes = nlohmann::json::parse(ask(host.number, "routes"));
    for (const auto& route : routes.at("routes")) {
        if (route.at("selected"))
            expected.insert(way(route.at("destination"), route.at("interface"), route.at("next_hop")));
    }
    expected.merge(keys_of(tunnels, up));
    there.merge(keys_in(host.kernel, names));
    Words wrong;
    compare(host.plan.name, there, expected, wrong);
    for (const overlay::Pairing& pairing : pairings) {
        const auto peer = std::ranges::find_if(hosts_, [&](const auto& other) {
            return other->plan.name == pairing.peer.remote.common_name;
        });
        const bool is_wanted = can_talk(host, **peer);
        if (is_wanted == up.contains(pairing.interface)) continue;
        wrong.insert(
            host.plan.name + "'s tunnel to " + (*peer)->plan.name + (is_wanted ? " is down" : " is up")
        );
    }
    return wrong;
}

Words World::inexact_for(Duration duration) {
    constexpr int kLooks = 4;
    Words lasting;
    std::vector<Host*> suspects;
    for (const auto& host : hosts_) {
        if (host->is_awake()) suspects.push_back(host.get());
    }
    for (int look = 0; look < kLooks && !suspects.empty() && violations_.empty(); ++look) {
        Words all;
        std::erase_if(suspects, [&](Host* host) {
            Words wrong = inexact(*host);
            if (look > 0) std::erase_if(wrong, [&](const auto& one) { return !lasting.contains(one); });
            const bool is_exact = wrong.empty();
            all.merge(std::move(wrong));
            return is_exact;
        });
        lasting = std::move(all);
        run_for(duration / kLooks);
    }
    return lasting;
}

}  // namespace aronet::sim
