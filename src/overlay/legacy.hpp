#pragma once

// Of SAs and policies that are in the kernel when a daemon starts: which carry traffic, and which are
// rubbish.

#include "overlay/desired.hpp"

namespace aronet::overlay {

// What an earlier process left of a tunnel: SAs that carry its traffic.
struct Legacy {
    netlink::Policies policies;
    base::SaId out;
    std::uint16_t port = 0;  // where the peer was last
    std::vector<base::SaId> in;
};
// Of those pairings whose tunnels are whole, by if_id.
std::map<std::uint32_t, Legacy> legacies(
    const netlink::Snapshot& snapshot, const std::vector<Pairing>& pairings
);

// What carries them: that their packets are pinned to addresses tells a shared link.
void adopt_carriers(
    const std::map<std::uint32_t, Legacy>& kept, const Config& config, std::vector<Pairing>& pairings
);

// With whom the SAs of a tunnel are made: the two ends, and the keys that are believed of the other one;
// words for the next process. No secret is among them.
std::string whose_sas(const Pairing& pairing);
// Whether SAs of `then` may go on: between the same two, and no key was taken back since.
bool may_go_on(const std::string& then, const Pairing& pairing);

// SAs and policies of an earlier run that nothing speaks for any more: those of the pairings and of links
// named as ours.
std::vector<netlink::Wish> clean_up(
    const netlink::Snapshot& snapshot,
    const Config& config,
    const std::vector<Pairing>& pairings,
    const std::map<std::uint32_t, Legacy>& kept
);

}  // namespace aronet::overlay
