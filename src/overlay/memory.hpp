#pragma once

// What the next process has to know in order to go on where this one ends without a word: words for the shell
// to keep (Remember), and what they say. The kernel remembers the rest.

#include "babel/speaker.hpp"
#include "netlink/change.hpp"

#include <map>
#include <string>

namespace aronet::overlay {

struct Memory {
    std::optional<babel::RouterId> router_id;
    babel::SeqNo seqno = 0;
    std::map<std::string, babel::SeqNo> hellos;  // by link: the next one's
    std::vector<babel::Distance> distances;
    std::map<std::uint32_t, std::string> tunnels;  // that carried traffic, by if_id: whose_sas() of them
    std::map<std::pair<netlink::Space, std::string>, std::string> sysctls;  // as they were before any of us
};

// Whatever makes no sense is as if it were not there.
Memory recall(const std::map<std::string, std::string>& remembered);

// A key and what is kept under it; nothing kept: it is to be forgotten; no key: everything is.
struct Remember {
    std::string key, value;
    bool operator==(const Remember&) const = default;
};
Remember remember_router_id(babel::RouterId router_id);
Remember forget_router_id();  // nobody is to go on from here
Remember remember_seqno(babel::SeqNo seqno);
Remember remember_hello(const std::string& link, babel::SeqNo next);
Remember forget_hello(const std::string& link);
Remember remember(const babel::Distance& distance);
Remember remember_tunnel(std::uint32_t if_id, const std::string& whose);
Remember forget_tunnel(std::uint32_t if_id);
Remember remember_sysctl(netlink::Space space, const std::string& key, const std::string& value);
Remember forget_sysctl(netlink::Space space, const std::string& key);
Remember forget_distance(const babel::Destination& about, babel::RouterId router_id);

}  // namespace aronet::overlay
