#pragma once

// What waits to be sent on an interface or to one neighbour, apart from the news in the journal. Updates wait
// as the names of their destinations: what is sent is the state at the time of sending, once, however often
// it changed meanwhile.

#include "babel/tlv.hpp"

#include <map>
#include <optional>
#include <vector>

namespace aronet::babel {

struct Outbox {
    struct Dump {  // of the whole table, in portions
        Instant due;
        std::optional<Destination> after;
        Duration pause = kPortionPause;
        bool spread = false;  // over the time there is, unasked and unacknowledged
        bool losses = false;  // also of what is gone, to who may not have heard of that
    };

    std::vector<Tlv> tlvs;                 // requests and acknowledgments, urgent
    std::map<Destination, unsigned> owed;  // updates, and how often each was sent in vain
    std::optional<Dump> dump;
    Instant owed_allowed_at{};
    Instant dump_allowed_at{};

    void add(const Tlv& tlv) {
        if (std::find(tlvs.begin(), tlvs.end(), tlv) != tlvs.end() || tlvs.size() >= kRequestsQueuedMax)
            return;
        tlvs.push_back(tlv);
    }
    void owe(const Destination& about, unsigned attempts) {
        const auto [it, added] = owed.try_emplace(about, attempts);
        if (!added) it->second = std::min(it->second, attempts);
    }
};

}  // namespace aronet::babel
