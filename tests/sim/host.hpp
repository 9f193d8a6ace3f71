#pragma once

// One node of the simulated network, and what of it outlives a restart.

#include "world.hpp"

namespace aronet::sim {

struct World::Host {
    std::size_t number = 0;
    HostPlan plan;
    base::Secret key;
    ike::PublicKey public_key;
    base::Address address;    // its own
    bool has_address = true;  // or its kernel does not say so
    base::Endpoint outside;   // what the others see
    base::Prefix network, prefix;
    netlink::Space space{};  // where its routes are
    std::uint32_t table = 0;
    std::uint64_t life = 0;  // counts starts: what was on its way to an earlier life is lost
    bool alive = false, stopped = false, asleep = false;
    bool listens = false;  // to Babel
    bool is_awake() const { return alive && !asleep; }
    std::vector<netlink::Notice> untold;                // while it is asleep
    bool registry_waits = false, config_waits = false;  // likewise
    Instant unsettled_until{};  // a restart gives its prefixes two origins for a moment (RFC 8966 1.1)
    Instant refused_until{};    // what its kernel would not change may loop until it is asked again
    Instant trouble_until{};    // errors in its log are no wonder
    std::unique_ptr<base::Random> random;
    std::unique_ptr<overlay::Node> node;
    Kernel kernel;
    overlay::Actions actions;
    std::optional<Instant> tick_at;
    std::set<std::size_t> members;
    std::map<std::size_t, base::Address> known;  // where they are by the registry that it has
    bool finds(const Host& other) const {
        const auto where = known.find(other.number);
        return where != known.end() && where->second == other.address;
    }
    std::string answer;
    std::map<std::string, std::string> remembered;
    // What the kernel's generation, or count of turns, was when the invariants last held; nothing has to
    // hold anew until it grows.
    std::optional<std::uint64_t> links_checked, loops_checked;

    overlay::Config config() const {
        overlay::Config out;
        out.private_key = key.copy();
        out.public_key = public_key;
        out.organization = "sim";
        out.common_name = plan.name;
        out.network = network;
        out.prefixes = {prefix};
        out.mode = plan.mode;
        out.babel.hello_interval = std::chrono::seconds(2);
        out.babel.update_interval = std::chrono::seconds(8);
        out.ike.dpd_interval = std::chrono::seconds(5);
        out.ike.suspicion_time = plan.suspicion_time;
        out.tells_keys = plan.tells_keys;
        if (plan.changes_keys) {
            out.ike.child_lifetime = std::chrono::seconds(30);
            out.ike.ike_lifetime = std::chrono::seconds(50);
        }
        overlay::EndpointConfig endpoint;
        if (!plan.behind_nat) endpoint.address = address;
        endpoint.serial_number = "0";
        out.endpoints.push_back(endpoint);
        if (plan.configure) plan.configure(out);
        return out;
    }
};

}  // namespace aronet::sim
