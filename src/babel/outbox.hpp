#pragma once

// What waits to be sent on an interface or to one neighbour. Updates wait as the names of their destinations,
// in sets: what is sent is the state at the time of sending, once, however often it changed meanwhile.

#include "babel/tlv.hpp"

#include <optional>
#include <set>
#include <vector>

namespace aronet::babel {

struct Outbox {
    enum class Class : std::uint8_t { urgent, normal, repeat };  // repeat: second copies
    struct Queue {
        std::set<Destination> destinations;
        std::optional<Instant> due;
    };
    struct Dump {  // of the whole table, in portions
        Instant due;
        std::optional<Destination> after;
    };

    std::array<Queue, 3> queues;
    std::vector<Tlv> tlvs;  // requests and acknowledgments, urgent
    std::optional<Instant> tlvs_due;
    std::optional<Dump> dump;
    Instant dump_allowed_at{};
    Instant urgent_allowed_at{};

    Queue& of(Class c) { return queues[std::size_t(c)]; }

    void add(const Destination& about, Class c, Instant due) {
        Queue& queue = of(c);
        queue.destinations.insert(about);
        if (!queue.due || due < *queue.due) queue.due = due;
    }
    void add(const Tlv& tlv, Instant due) {
        if (std::find(tlvs.begin(), tlvs.end(), tlv) != tlvs.end() || tlvs.size() >= kRequestsQueuedMax)
            return;
        tlvs.push_back(tlv);
        if (!tlvs_due || due < *tlvs_due) tlvs_due = due;
    }
    std::optional<Instant> due() const {
        std::optional<Instant> first = tlvs_due;
        const auto consider = [&](Instant at) { first = first ? std::min(*first, at) : at; };
        for (const Queue& queue : queues) {
            if (queue.due) consider(*queue.due);
        }
        if (dump) consider(dump->due);
        return first;
    }
};

}  // namespace aronet::babel
