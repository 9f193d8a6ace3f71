#pragma once

// The life of one tunnel: wanted → keyed → linked → routed. Which driver keys it is not known here.

#include "base/sa.hpp"
#include "netlink/change.hpp"
#include "overlay/metering.hpp"
#include "overlay/patience.hpp"
#include "overlay/topology.hpp"

#include <map>
#include <optional>

namespace aronet::overlay {

// wanted: no keys yet. keyed: SAs are being installed. linked: they carry traffic. routed: Babel runs on it.
enum class Stage : std::uint8_t { wanted, keyed, linked, routed };
const char* to_string(Stage stage);

struct Child {  // one pair of SAs
    base::SaId in, out;
    Address in_source, out_source;
    int unanswered = 0;  // of the kernel's two answers
    bool failed = false;
    bool lost = false;                 // somebody removed one of the two
    netlink::ChangeId changed_as = 0;  // the last change of one of them
    bool shares_link = false;          // as both sides agreed (ike::ChildUp)
};

struct Tunnel {
    Pairing pairing;
    bool link_up = false;  // the kernel said so
    bool carries = false;  // the policies of the current child are set
    bool on_babel = false;
    std::map<ike::ChildId, Child> children;
    std::optional<ike::ChildId> current;            // the one we send on
    base::Instant since;                            // of the present stage
    std::uint64_t came_up = 0;                      // times
    std::uint64_t rekeyings = 0;                    // of the child
    Traffic received, sent;                         // as of the last reading
    std::uint64_t arrived_on_link = 0;              // packets, as of the last look at the links
    std::optional<base::Instant> unanswered_since;  // traffic goes out, and nothing comes back
    ike::Trust trust = ike::Trust::full;
    Losses policy_losses, sa_losses;
    unsigned policy_refusals = 0;        // in a row
    std::optional<netlink::Pin> pinned;  // by the policies that were asked for last

    Stage stage() const;
    std::string peer_name() const;  // organization/common_name
    bool may_route() const { return link_up && carries; }
};

}  // namespace aronet::overlay
