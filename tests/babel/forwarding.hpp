#pragma once

// The forwarding table that a Speaker's actions make.

#include "babel/speaker.hpp"

#include <map>
#include <stdexcept>

namespace aronet::babel {

// What no sequence of events may lead to: ends a test case as failed, and a fuzzer.
struct Broken : std::logic_error {
    using std::logic_error::logic_error;
};

// What the forwarding table holds after all actions so far.
struct Forwarding {
    struct Way {
        InterfaceId on = 0;
        Address next_hop;
        bool unreachable = false;
        bool operator==(const Way&) const = default;
    };
    std::map<Destination, Way> ways;
    std::size_t changes = 0;
    std::vector<Destination> changed;  // for who wants to know, and empties it

    void obey(const Action& action);
    Installed::Kind kind(const Destination& d) const {
        if (absent(d)) return Installed::Kind::nothing;
        return unreachable(d) ? Installed::Kind::unreachable : Installed::Kind::route;
    }
    bool reaches(const Destination& d, const Address& via) const {
        const auto it = ways.find(d);
        return it != ways.end() && !it->second.unreachable && it->second.next_hop == via;
    }
    bool unreachable(const Destination& d) const { return ways.count(d) > 0 && ways.at(d).unreachable; }
    bool absent(const Destination& d) const { return ways.count(d) == 0; }
};

}  // namespace aronet::babel
