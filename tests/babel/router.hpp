#pragma once

// The fixture of most tests of routes: a Speaker with three links and a neighbour on each.

#include "babel/constants.hpp"
#include "babel/desk.hpp"

namespace aronet::babel {

const Address kA = ip("fe80::a");
const Address kB = ip("fe80::b");
const Address kC = ip("fe80::c");
const Destination kD = to("fd00::/64");

struct Router : Desk {  // kA on interface 1, kB on 2, kC on 3
    explicit Router(LinkType type = LinkType::wired) {
        plug(1, link("fe80::1", type));
        plug(2, link("fe80::2", type));
        plug(3, link("fe80::3", type));
        befriend(1, kA);
        befriend(2, kB);
        befriend(3, kC);
        pass(2s);
        forget();
    }
    std::size_t retractions(InterfaceId on, const Destination& d) const {
        std::size_t count = 0;
        for (const auto& a : said<Announcement>(on)) count += (a.about == d && a.metric == kInfinity) ? 1 : 0;
        return count;
    }
};

}  // namespace aronet::babel
