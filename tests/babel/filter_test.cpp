// The rules by themselves, and what a speaker makes of them.

#include "desk.hpp"

using namespace aronet;
using namespace aronet::babel;
using namespace std::chrono_literals;

namespace {

const Address kNeighbour = ip("fe80::2"), kOther = ip("fe80::3");

bool accepts(const Match& match, const Destination& about) { return match.accepts({.about = about}); }

Rule<Metric> rule(const char* prefix, Metric metric) { return {{.prefix = net(prefix)}, metric}; }

}  // namespace

TEST_CASE("a pattern of an interface fits as the shell's do") {
    for (const char* pattern : {"eth0", "eth*", "*", "e?h0", "*0", "e**0", "eth0*"})
        CHECK(fits(pattern, "eth0"));
    for (const char* pattern : {"", "eth", "eth?0", "*1", "e?h", "eth00", "?"})
        CHECK_FALSE(fits(pattern, "eth0"));
    CHECK(fits("a*b*c", "axxbyybzzc"));
    CHECK_FALSE(fits("a*b*c", "axxbyybzz"));
    CHECK(fits("", ""));
}

TEST_CASE("a rule matches what lies within its prefix and its range of lengths") {
    const Match match{.prefix = net("10.0.0.0/8"), .lengths = {16, 24}};
    CHECK(accepts(match, to("10.1.0.0/16")));
    CHECK(accepts(match, to("10.1.2.0/24")));
    CHECK_FALSE(accepts(match, to("10.0.0.0/8")));
    CHECK_FALSE(accepts(match, to("10.1.2.128/25")));
    CHECK_FALSE(accepts(match, to("11.1.0.0/16")));
    CHECK_FALSE(accepts(match, to("fd00::/16")));
    CHECK(accepts({}, to("fd00::/16")));
}

TEST_CASE("a rule with a source prefix matches source-specific routes only") {
    const Match match{.source = net("2001:db8::/32")};
    CHECK(accepts(match, {net("::/0"), net("2001:db8:1::/48")}));
    CHECK_FALSE(accepts(match, to("::/0")));
    CHECK_FALSE(accepts(match, {net("::/0"), net("2001:db9::/48")}));
    const Match none{.source_lengths = {0, 0}};
    CHECK(accepts(none, to("::/0")));
    CHECK_FALSE(accepts(none, {net("::/0"), net("2001:db8:1::/48")}));
}

TEST_CASE("a rule for routes of the kernel tells addresses, protocols and what was tried by hand apart") {
    const Destination about = to("10.0.0.0/24");
    const Subject address{.about = about, .local = true}, tried{.about = about, .protocol = std::uint8_t{3}},
        fixed{.about = about, .protocol = std::uint8_t{4}};
    const Match any{}, local{.local = true}, boot{.protocol = std::uint8_t{3}};
    CHECK(any.accepts(fixed));
    CHECK_FALSE(any.accepts(tried));
    CHECK_FALSE(any.accepts(address));
    CHECK(local.accepts(address));
    CHECK_FALSE(local.accepts(fixed));
    CHECK(boot.accepts(tried));
    CHECK_FALSE(boot.accepts(fixed));
}

TEST_CASE("the first rule that matches decides") {
    const MetricRules rules{rule("10.1.0.0/16", 7), rule("10.0.0.0/8", kInfinity)};
    const auto verdict = [&](const char* prefix) { return first_match(rules, {.about = to(prefix)}); };
    REQUIRE(verdict("10.1.1.0/24") != nullptr);
    CHECK(*verdict("10.1.1.0/24") == 7);
    CHECK(*verdict("10.2.0.0/16") == kInfinity);
    CHECK(verdict("11.0.0.0/8") == nullptr);
}

TEST_CASE("rules are picked by the interface they are for") {
    MetricRules rules{rule("10.0.0.0/8", 1), rule("10.0.0.0/8", 2), rule("10.0.0.0/8", 3)};
    rules[0].match.interface = "lan*";
    rules[1].match.interface = "wan";
    const MetricRules lan = rules_for(rules, "lan7");
    REQUIRE(lan.size() == 2);
    CHECK(lan[0].verdict == 1);
    CHECK(lan[1].verdict == 3);
    CHECK(first_match(lan, {.about = to("10.0.0.0/24")}) == &lan[0].verdict);
}

TEST_CASE("an import filter refuses, makes dearer and asks who said it") {
    Desk desk;
    InterfaceConfig config = Desk::link();
    Rule<Metric> by_other{{.prefix = net("10.3.0.0/16"), .neighbour = kOther}, kInfinity};
    config.imports = {by_other, rule("10.1.0.0/16", kInfinity), rule("10.2.0.0/16", 300)};
    desk.plug(1, config);
    desk.befriend(1, kNeighbour);
    desk.befriend(1, kOther);
    desk.say(1, kNeighbour, Announce{"10.1.1.0/24"});
    desk.say(1, kNeighbour, Announce{"10.2.1.0/24"});
    desk.say(1, kNeighbour, Announce{"10.3.1.0/24"});
    desk.say(1, kOther, Announce{"10.3.1.0/24"});
    CHECK_FALSE(desk.route(to("10.1.1.0/24"), kNeighbour));
    CHECK(desk.dropped("refused by an import filter") == 2);
    REQUIRE(desk.route(to("10.2.1.0/24"), kNeighbour));
    CHECK(desk.route(to("10.2.1.0/24"), kNeighbour)->received_metric == 400);
    CHECK(desk.route(to("10.2.1.0/24"), kNeighbour)->metric == 400 + 96);
    CHECK(desk.route(to("10.3.1.0/24"), kNeighbour));
    CHECK_FALSE(desk.route(to("10.3.1.0/24"), kOther));
    desk.retract(1, kNeighbour, "10.2.1.0/24");
    CHECK_FALSE(desk.forwarding.reaches(to("10.2.1.0/24"), kNeighbour));
}

TEST_CASE("a metric that an import filter raises to infinity retracts the route") {
    Desk desk;
    InterfaceConfig config = Desk::link();
    config.imports = {rule("10.0.0.0/8", 60000)};
    desk.plug(1, config);
    desk.befriend(1, kNeighbour);
    desk.say(1, kNeighbour, Announce{"10.1.0.0/16"});
    CHECK(desk.forwarding.reaches(to("10.1.0.0/16"), kNeighbour));
    desk.say(1, kNeighbour, Announce{.prefix = "10.1.0.0/16", .metric = 6000, .seqno = 2});
    CHECK_FALSE(desk.forwarding.reaches(to("10.1.0.0/16"), kNeighbour));
}

TEST_CASE("an export filter keeps silent on its interface alone, and makes dearer there") {
    Desk desk;
    InterfaceConfig filtered = Desk::link("fe80::1"), open = Desk::link("fe80::11");
    filtered.exports = {rule("10.1.0.0/16", kInfinity), rule("10.2.0.0/16", 100)};
    desk.plug(1, filtered);
    desk.plug(2, open);
    desk.befriend(1, kNeighbour);
    desk.befriend(2, kOther);
    for (const char* prefix : {"10.1.0.0/16", "10.2.0.0/16"}) {
        desk.speaker.announce(to(prefix), 0, desk.now, desk.actions);
    }
    desk.pass(5s);
    const auto metric = [&](InterfaceId on, const char* prefix) {
        const auto update = desk.announced(on, to(prefix));
        return update ? update->metric : kInfinity;
    };
    CHECK(metric(1, "10.1.0.0/16") == kInfinity);
    CHECK(metric(1, "10.2.0.0/16") == 100);
    CHECK(metric(2, "10.1.0.0/16") == 0);
    CHECK(metric(2, "10.2.0.0/16") == 0);
}

TEST_CASE("an interface that is not bounded learns what the others may not") {
    Desk desk;
    InterfaceConfig free = Desk::link("fe80::11");
    free.bounded = false;
    desk.plug(1, Desk::link("fe80::1"));
    desk.plug(2, free);
    desk.befriend(1, kNeighbour);
    desk.befriend(2, kOther);
    const auto tell_both = [&] {
        desk.say(1, kNeighbour, Announce{.prefix = "10.1.0.0/16", .metric = 10});
        desk.say(2, kOther, Announce{"10.1.0.0/16"});
    };
    tell_both();
    CHECK(desk.forwarding.reaches(to("10.1.0.0/16"), kNeighbour));
    desk.speaker.accept_only(std::vector<Prefix>{net("10.2.0.0/16")}, desk.now, desk.actions);
    desk.pass(10ms);
    CHECK(desk.forwarding.reaches(to("10.1.0.0/16"), kOther));
    CHECK_FALSE(desk.route(to("10.1.0.0/16"), kNeighbour));
    tell_both();
    CHECK_FALSE(desk.route(to("10.1.0.0/16"), kNeighbour));
}

TEST_CASE("an IPv4 address that comes or goes is told in the announcements of all IPv4 prefixes") {
    Desk desk;
    desk.plug(1, Desk::link());
    desk.befriend(1, kNeighbour);
    desk.speaker.announce(to("10.1.0.0/16"), 0, desk.now, desk.actions);
    desk.pass(5s);
    desk.forget();
    desk.speaker.change_interface(1, 1500, ip("192.0.2.1"), desk.now, desk.actions);
    desk.pass(1s);
    REQUIRE(desk.announced(1, to("10.1.0.0/16")));
    CHECK(desk.announced(1, to("10.1.0.0/16"))->next_hop == ip("192.0.2.1"));
    desk.forget();
    desk.speaker.change_interface(1, 1500, std::nullopt, desk.now, desk.actions);
    desk.pass(1s);
    REQUIRE(desk.announced(1, to("10.1.0.0/16")));
    CHECK(desk.announced(1, to("10.1.0.0/16"))->next_hop.is_v6());
}

// D10: babeld keeps a route where it was when only its next hop is another.
TEST_CASE(
    "IPv4 prefixes are retracted and announced anew, in one turn, when the address they go to is another"
) {
    Desk desk;
    desk.plug(1, Desk::link());
    desk.befriend(1, kNeighbour);
    for (const char* prefix : {"10.1.0.0/16", "10.2.0.0/16", "fd00::/64"})
        desk.speaker.announce(to(prefix), 0, desk.now, desk.actions);
    desk.speaker.change_interface(1, 1500, ip("192.0.2.1"), desk.now, desk.actions);
    desk.pass(5s);
    const auto told = [&](const char* prefix) {
        std::vector<Announcement> found;
        for (const Announcement& a : desk.said<Announcement>(1)) {
            if (a.about == to(prefix)) found.push_back(a);
        }
        return found;
    };
    for (const auto& [next, hop] :
         {std::pair(std::optional(ip("192.0.2.7")), ip("192.0.2.7")), {std::nullopt, ip("fe80::1")}}) {
        desk.forget();
        desk.speaker.change_interface(1, 1500, next, desk.now, desk.actions);
        desk.pass(0s);
        for (const char* prefix : {"10.1.0.0/16", "10.2.0.0/16"}) {
            const auto said = told(prefix);
            REQUIRE(said.size() == 2);
            CHECK(said[0].metric == kInfinity);
            CHECK(said[1].metric == 0);
            CHECK(said[1].next_hop == hop);
        }
        for (const Announcement& a : told("fd00::/64")) CHECK(a.metric == 0);
        desk.pass(10ms);
    }
}
