// Chance in what is said when (RFC 8966 3.1): routers that start together do not go on together.

#include "babel/constants.hpp"
#include "babel/desk.hpp"

using namespace aronet;
using namespace aronet::babel;

namespace {

const Address kA = ip("fe80::a");
const Destination kD = to("fd00::/64");

// When something of the kind was said on interface 2, from `start` on.
template <class T>
std::vector<Duration> times(const Desk& desk, Instant start) {
    std::vector<Duration> found;
    for (const Sent& s : desk.sent) {
        if (s.on == 2 && !s.all<T>().empty()) found.push_back(s.at - start);
    }
    return found;
}

struct Bounds {
    Duration low, high;
};

// What `delay` says for thirty seeds lies between the bounds, is not always the same, and uses them.
template <class F>
void expect_chance(const Bounds& bounds, const F& delay) {
    std::set<Duration> seen;
    for (std::uint64_t seed = 1; seed <= 30; ++seed) {
        Desk desk({.router_id = kUs, .seqno = 10}, seed);
        desk.plug(1, Desk::link("fe80::1"));
        desk.plug(2, Desk::link("fe80::2"));
        desk.befriend(1, kA);
        desk.befriend(2, ip("fe80::b"));
        desk.say(1, kA, Announce{"fd00::/64", 400, 0xaa, 1, 600s});
        desk.pass(40s);
        desk.forget();
        const Duration d = delay(desk);
        CAPTURE(seed, base::milliseconds(d));
        CHECK(d >= bounds.low);
        CHECK(d <= bounds.high);
        seen.insert(d);
    }
    CHECK(seen.size() >= 2);
    CHECK(*seen.rbegin() - *seen.begin() >= (bounds.high - bounds.low) / 3);
}

}  // namespace

TEST_CASE("a Hello comes up to a tenth of its interval, and a slot of others', before it is due") {
    expect_chance({3350ms, 4s}, [](Desk& desk) {
        desk.pass(20s);
        const auto at = times<Hello>(desk, desk.now);
        return at[2] - at[1];
    });
}

TEST_CASE("periodic updates come before they are due, each by another while") {
    expect_chance({10s, 16s}, [](Desk& desk) {
        desk.pass(60s);
        const auto at = times<Announcement>(desk, desk.now);
        return at[2] - at[1];
    });
}

TEST_CASE("a triggered update that is not urgent waits for half a second to one") {
    expect_chance({500ms, 1s}, [](Desk& desk) {
        const Instant start = desk.now;
        for (Metric metric = 400; times<Announcement>(desk, start).empty(); desk.pass(1ms)) {
            if (metric == 400) desk.say(1, kA, Announce{"fd00::/64", metric = 200, 0xaa, 1, 600s});
            REQUIRE(desk.now - start < 30s);
        }
        REQUIRE(desk.announced(2, kD)->metric == 296);
        return times<Announcement>(desk, start).front();
    });
}
