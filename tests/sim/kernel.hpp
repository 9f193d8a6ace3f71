#pragma once

// A Linux of values: obeys the rules a node has to reckon with, so that a wish the real kernel would refuse
// is refused here too. Knows links, addresses, routes, SAs, policies and sysctls; knows no packets.

#include "fib.hpp"
#include "netlink/change.hpp"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace aronet::sim {

class Kernel {
public:
    // Performs one change; the notices, its Done last, in the order they happen.
    std::vector<netlink::Notice> perform(netlink::Change change);
    // One SA, after so many that are given.
    void refuse_sa(int error, unsigned after = 0) { refuse_sa_ = error, refuse_after_ = after; }
    // The n-th change that is asked for, counted from one, and those after it, `count` in all; 0: none.
    void fail_at(std::uint64_t n, int error, std::uint64_t count = 1) {
        fail_at_ = n, fail_with_ = error, fail_count_ = count;
    }
    std::uint64_t changes() const { return changes_; }
    std::uint64_t failures() const { return failures_; }  // of those that had to fail
    std::vector<netlink::Notice> suffer(netlink::Wish wish);
    // A link of somebody else's has this one's name, in its place, until that goes.
    std::vector<netlink::Notice> occupy(const netlink::Link& link);
    std::vector<netlink::Notice> vacate(const netlink::Link& link);
    std::string audit() const;  // all that there is, in words without SPIs: equal states, equal words
    bool is_empty() const;      // nothing of the node is left
    std::string what_is_left() const;

    // What a packet would meet.
    struct Outbound {
        base::SaId id;
        base::Endpoint destination;
        base::Bytes key;
    };
    // The SA that is sent on over this route, or to this neighbour on a link.
    std::optional<Outbound> outbound(const netlink::Route& route) const;
    std::optional<Outbound> outbound(const std::string& link, const netlink::Address& to) const;
    // The link it comes out of; of what is link-local, if that may come this way.
    std::optional<std::string> inbound(
        std::uint32_t spi, const base::Bytes& key, const std::optional<netlink::Pin>& link_local = {}
    ) const;
    void count_outbound(const base::SaId& id, std::size_t bytes);  // a packet went this way
    // An authentic packet came from there: it is counted, and told of where its sender was believed
    // elsewhere.
    std::optional<netlink::Mapping> count_inbound(
        std::uint32_t spi, const base::Bytes& key, std::size_t bytes, const base::Endpoint& from
    );
    std::uint64_t counters_read() const { return counters_read_; }  // times
    bool has_address(const std::string& link, const netlink::Address& address) const;
    const netlink::Route* lookup(netlink::Space space, std::uint32_t table, const netlink::Address& to)
        const {
        return fib_.lookup(space, table, to);
    }
    bool link_is_up(const std::string& name) const;
    // Grows with every change that may matter to packets.
    std::uint64_t generation() const { return generation_; }
    // Grows with those after which packets may take another way; other keys for the same way are none.
    std::uint64_t turns() const { return turns_; }

    const std::map<std::uint32_t, netlink::Policies>& policies() const { return policies_; }
    const std::set<netlink::LinkAddress>& addresses() const { return addresses_; }
    const std::set<netlink::Rule>& rules() const { return rules_; }
    std::vector<netlink::Link> links() const;
    const Fib::Routes& routes() const { return fib_.all(); }
    struct KnownSa {
        base::Direction direction;
        std::uint32_t if_id = 0;
        base::Endpoint source, destination;
        base::Bytes key;
        std::uint64_t number = 0;  // the how-manieth SA this kernel was given
        std::uint64_t bytes = 0, packets = 0;
        std::uint32_t mark = 0;
    };
    const std::map<base::SaId, KnownSa>& sas() const { return sas_; }

private:
    using Notices = std::vector<netlink::Notice>;
    using LinkName = std::pair<netlink::Space, std::string>;

    int apply(netlink::AddNamespace& wish, Notices& out);
    int apply(netlink::RemoveNamespace& wish, Notices& out);
    int apply(netlink::AddLink& wish, Notices& out);
    int apply(netlink::RemoveLink& wish, Notices& out);
    int apply(netlink::AddAddress& wish, Notices& out);
    int apply(netlink::RemoveAddress& wish, Notices& out);
    int apply(netlink::AddRoute& wish, Notices& out);
    int apply(netlink::RemoveRoute& wish, Notices& out);
    int apply(netlink::AddRule& wish, Notices& out);
    int apply(netlink::RemoveRule& wish, Notices& out);
    int apply(netlink::AddSa& wish, Notices& out);
    int apply(netlink::MoveSa& wish, Notices& out);
    int apply(netlink::RemoveSa& wish, Notices& out);
    int apply(netlink::SetPolicies& wish, Notices& out);
    int apply(netlink::RemovePolicies& wish, Notices& out);
    int apply(netlink::SetSysctl& wish, Notices& out);
    int apply(netlink::GetSysctl& wish, Notices& out);
    int apply(netlink::ClampSegments& wish, Notices& out);
    int apply(netlink::ReadCounters& wish, Notices& out);
    int apply(netlink::ReadLinkCounters& wish, Notices& out);
    int apply(netlink::TakeSnapshot& wish, Notices& out);
    void remove_link(const LinkName& name, Notices& out);
    bool is_rekeying(const netlink::Wish& wish) const;
    const netlink::Link* find(const std::string& link) const;
    const netlink::Link* external() const;

    bool has_namespace_ = false;
    std::uint32_t next_index_ = 2;
    std::uint64_t sas_given_ = 0, generation_ = 0, turns_ = 0, counters_read_ = 0;
    int refuse_sa_ = 0;
    unsigned refuse_after_ = 0;
    std::uint64_t changes_ = 0, fail_at_ = 0, fail_count_ = 0, failures_ = 0;
    int fail_with_ = 0;
    std::map<LinkName, std::pair<netlink::Link, std::uint32_t>> links_;
    std::set<LinkName> strangers_;               // somebody else's
    std::map<std::uint32_t, LinkName> tunnels_;  // by if_id
    std::set<netlink::LinkAddress> addresses_;
    Fib fib_;
    std::set<netlink::Rule> rules_;
    struct Carried {
        std::uint64_t sent = 0, received = 0;
    };
    std::map<std::uint32_t, Carried> carried_;  // packets, by if_id
    std::map<base::SaId, KnownSa> sas_;
    std::multimap<std::uint32_t, base::SaId> by_spi_;
    std::map<std::uint32_t, netlink::Policies> policies_;
    std::map<std::pair<netlink::Space, std::string>, std::string> sysctls_;
};

}  // namespace aronet::sim
