#pragma once

// Whether what leaves the overlay at this node gets on in the underlay, as far as this host can tell: the
// best default route of the main table leads somewhere, over a link that is up and not ours, and the host
// forwards. What policy routing, a firewall or a router further on make of it nobody here can see. Pure.

#include "netlink/change.hpp"
#include "overlay/config.hpp"

#include <map>
#include <set>

namespace aronet::overlay {

class WayOut {
public:
    explicit WayOut(const Config& config);

    // True where the answer may be another now.
    bool see(const netlink::ForeignRoute& notice);
    bool see(const netlink::ForeignRouteGone& notice);
    bool see(const netlink::LinkDown& notice);
    bool see(const netlink::SysctlValue& notice);
    // True where routes may have come back with it that nobody told of.
    bool see(const netlink::LinkUp& notice);

    // All routes are about to be told anew; those that are not are gone once it is over.
    void look_again() { fresh_.emplace(); }
    void looked_again();

    std::string obstacle(Family family) const;  // empty: none

private:
    struct Default {
        std::string link;  // empty: several
        bool leads_somewhere = false;
    };
    using Defaults = std::map<netlink::RouteKey, Default>;
    using SysctlName = std::pair<netlink::Space, std::string>;

    bool is_default(const netlink::RouteKey& key) const;

    std::string ifname_;
    std::map<SysctlName, Family> needed_;
    std::map<SysctlName, bool> forwards_;  // as far as known
    Defaults routes_;
    std::optional<Defaults> fresh_;
    std::set<std::string> up_;    // links of the underlay
    std::set<std::string> lost_;  // that took a default route along
};

}  // namespace aronet::overlay
