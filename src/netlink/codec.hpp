#pragma once

// What each wish is in netlink's words, and what the kernel's words mean. Indexes of links are given and
// found by the session; nothing here remembers anything.

#include "netlink/change.hpp"
#include "netlink/wire.hpp"

namespace aronet::netlink {

// --- links (rtnetlink)
Bytes get_link(const std::string& name);
Bytes create_link(
    const Link& link, int peer_namespace_fd
);  // peer_namespace_fd: of a veth's other end, or -1
Bytes move_link(const std::string& name, int namespace_fd);
// `unfinished`: it leaves the group it was made in.
Bytes set_link_properties(const Link& link, std::uint32_t index, std::uint32_t master_index, bool unfinished);
Bytes set_no_link_local(std::uint32_t index);
Bytes set_link_up(std::uint32_t index, bool multicast);
Bytes set_link_up_by_name(const std::string& name);
Bytes delete_link(const std::string& name);
// All of them in one go; unanswered. Alone each takes the kernel about as long as hundreds do together.
Bytes delete_links(const std::vector<std::string>& names);

// --- addresses, routes, rules
Bytes add_address(const LinkAddress& address, std::uint32_t index);
Bytes remove_address(const LinkAddress& address, std::uint32_t index);
Bytes add_route(const Route& route, std::uint32_t index);  // index 0: no link
Bytes remove_route(const RouteKey& key);
Bytes add_rule(const Rule& rule);
Bytes remove_rule(const Rule& rule);

// --- XFRM
Bytes add_sa(const base::Sa& sa);
Bytes remove_sa(const base::SaId& id, const Address& source);
Bytes get_sa(const base::SaId& id);
// What makes the SA that the kernel has shown run between other endpoints, in this order. Empty: it cannot be
// done, for it is none, or its key is not shown.
std::vector<Bytes> move_sa(const nlmsghdr* shown, const MoveSa& wish);
// in, fwd and out of both families; a policy that is there is replaced.
std::vector<Bytes> set_policies(const Policies& policies);
std::vector<Bytes> remove_policies(std::uint32_t if_id, const std::optional<Pin>& pin = {});

// --- dumps; `type` is a RTM_GET* or XFRM_MSG_GET*
Bytes dump(std::uint16_t type, std::uint8_t family = 0);
Bytes dump_link_counters();

// --- what comes in
struct LinkState {
    std::uint32_t index = 0;
    bool up = false;  // administratively up with a carrier
    std::uint32_t master_index = 0;
    Link link;  // `master` is left to the session
    bool kind_known = false;
    std::string kind;         // in the kernel's word
    std::string mark;         // its alias
    bool unfinished = false;  // of a run that ended before it could mark what it had made
    bool is_ours() const { return mark == mark_of(link.name) || unfinished; }
};
std::optional<LinkState> read_link(const nlmsghdr* message);

struct LinkCount {
    std::uint32_t index = 0;
    std::uint64_t sent = 0, received = 0;  // packets
};
std::optional<LinkCount> read_link_count(const nlmsghdr* message);

struct AddressState {
    std::uint32_t index = 0;
    bool usable = true;   // not still, or for ever, in doubt by duplicate address detection
    LinkAddress address;  // `link` is left to the session
};
std::optional<AddressState> read_address(const nlmsghdr* message);

struct ParameterChange {
    std::uint32_t index = 0;  // of a link; 0: of all
};
// Of forwarding or rp_filter, one alone: of a link that is new all are told.
std::optional<ParameterChange> read_parameter_change(const nlmsghdr* message);

struct RouteState {
    std::uint32_t index = 0;
    std::uint8_t protocol = 0;
    bool leads_somewhere = false;  // no route to ourselves, to a group, or out of a cache
    Route route;                   // `link` is left to the session
};
std::optional<RouteState> read_route(const nlmsghdr* message);

struct RuleState {
    std::uint8_t protocol = 0;
    Rule rule;
};
std::optional<RuleState> read_rule(const nlmsghdr* message);

std::optional<Snapshot::KnownSa> read_sa(const nlmsghdr* message);
std::optional<Counters::Sa> read_counters(const nlmsghdr* message);
std::optional<std::uint32_t> read_policy_if_id(const nlmsghdr* message);
std::optional<Policies> read_policy(const nlmsghdr* message);  // the SPI only of one that is outbound
void join(const Policies& one, std::vector<Policies>& all);    // one entry for each if_id
std::optional<SaLost> read_lost_sa(const nlmsghdr* message);   // DELSA, FLUSHSA, UPDSA
std::optional<PoliciesLost> read_lost_policy(const nlmsghdr* message
);  // DELPOLICY, FLUSHPOLICY, a changed one
std::optional<SaExpiring> read_expire(const nlmsghdr* message);
std::optional<Mapping> read_mapping(const nlmsghdr* message);

struct Acknowledgement {
    int error = 0;     // errno
    std::string text;  // of the extended acknowledgement
};
std::optional<Acknowledgement> read_acknowledgement(const nlmsghdr* message);

// --- nftables: one batch, done as a whole or not at all; only errors are answered
Bytes clamp_segments(const ClampSegments& wish);
Bytes ask_for_filter_table(const std::string& name);  // answered by an error of 0 where there is one

}  // namespace aronet::netlink
