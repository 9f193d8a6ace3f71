#pragma once

// What passes through tunnels, from the counters of their SAs: SAs come and go, a tunnel's sums only grow.
// Knows no clock and asks for nothing.

#include "base/sa.hpp"
#include "netlink/change.hpp"

#include <map>

namespace aronet::overlay {

struct Traffic {
    std::uint64_t bytes = 0, packets = 0;
};

class Metering {
public:
    void begins(const base::SaId& id, std::uint32_t if_id, base::Direction direction);
    void moves(const base::SaId& from, const base::SaId& to);  // it is the same SA, and counts on
    // The SA is about to go: the next reading may still have it, the one after that will not.
    void ends(const base::SaId& id);

    // What has come to a tunnel since the last reading; nothing is said of SAs at rest.
    struct Growth {
        std::uint32_t if_id;
        base::Direction direction;
        Traffic by;
        std::optional<base::Instant> last_used;  // where the data plane knows
    };
    std::vector<Growth> read(const netlink::Counters& counters);

private:
    struct Meter {
        std::uint32_t if_id;
        base::Direction direction;
        Traffic last;
        bool ended = false;
    };
    std::map<base::SaId, Meter> meters_;
};

}  // namespace aronet::overlay
