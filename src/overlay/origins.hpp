#pragma once

// Whether prefixes begin at the nodes that the registry gives them to, in one look at all that is announced.
// Who may be transit may announce anything, so a prefix that comes from somebody else is no sign of anything.
// But Babel says by its id at which router a prefix begins, and a router that says of itself that one begins
// there (metric 0) at the other end of a tunnel is the node that the tunnel was made with. Who takes another
// id for what is not its own, while the node whose prefix that is does not announce it, is not found out.
// Pure.

#include "babel/speaker.hpp"

#include <map>
#include <set>
#include <string>

namespace aronet::overlay {

class Origins {
public:
    Origins(const babel::Holders& holders, std::string self) : holders_(holders), self_(std::move(self)) {}

    // By destination; `peer`: who is at the other end of the claim's interface, or empty.
    void see(const babel::Claim& claim, const std::string& peer);
    std::set<std::string> disputes() const;  // in words; a few of them

private:
    struct Foreign {  // of one node, by one router
        babel::Prefix first;
        std::size_t count = 0;
    };
    struct Router {
        std::set<std::string> nodes;           // that say that they are it
        std::map<std::string, Foreign> holds;  // by the node it was given to
    };

    const babel::Holders& holders_;
    std::string self_;
    std::map<babel::RouterId, Router> routers_;
    std::map<babel::Prefix, std::set<babel::RouterId>> several_;  // of a prefix of one node
    // The present destination.
    std::optional<babel::Destination> about_;
    std::string holder_;  // empty: nobody, or several
    std::set<babel::RouterId> seen_;
};

std::string router_id_text(babel::RouterId id);  // as routers write it

}  // namespace aronet::overlay
