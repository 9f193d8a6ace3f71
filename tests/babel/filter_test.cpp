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

TEST_CASE("rules are picked by the peer of a tunnel; where there is none, no rule that asks for one is") {
    MetricRules rules{rule("10.0.0.0/8", 1), rule("10.0.0.0/8", 2), rule("10.0.0.0/8", 3)};
    rules[0].match.peer = "olive/*";
    rules[1].match.peer = "*";
    const MetricRules tunnel = rules_for(rules, "aronet-1", "olive/berlin");
    REQUIRE(tunnel.size() == 3);
    CHECK(first_match(tunnel, {.about = to("10.0.0.0/24")}) == &tunnel[0].verdict);
    CHECK(rules_for(rules, "aronet-2", "maple/cairo").size() == 2);
    REQUIRE(rules_for(rules, "lan").size() == 1);
    CHECK(rules_for(rules, "lan")[0].verdict == 3);
    const Destination about = to("10.0.0.0/24");
    CHECK(rules[0].match.accepts({.about = about, .peer = "olive/berlin"}));
    CHECK_FALSE(rules[0].match.accepts({.about = about, .peer = "maple/cairo"}));
    CHECK_FALSE(rules[1].match.accepts({.about = about}));
}

TEST_CASE("a prefix is his who was given the longest that holds it, or theirs") {
    Holders holders;
    give(holders, "olive", {"10.0.0.0/8", "fd01::/64"});
    give(holders, "maple", {"10.1.0.0/16", "fd01::/64"});
    CHECK(holders.of(net("10.1.2.0/24")) == std::vector<Holder>{{"maple", "node"}});
    CHECK(holders.of(net("10.2.0.0/16")) == std::vector<Holder>{{"olive", "node"}});
    CHECK(holders.of(net("fd01::/80")).size() == 2);
    CHECK(holders.of(net("11.0.0.0/8")).empty());
    CHECK(holders.of(net("10.0.0.0/7")).empty());
    CHECK(holders.has(net("10.1.0.0/16")));
    CHECK_FALSE(holders.has(net("10.1.2.0/24")));
    const Match of_olive{.organization = "ol*"};
    const auto accepts_of = [&](const char* prefix) {
        return of_olive.accepts({.about = to(prefix), .holders = &holders});
    };
    CHECK(accepts_of("10.2.0.0/16"));
    CHECK(accepts_of("fd01::/80"));
    CHECK_FALSE(accepts_of("10.1.2.0/24"));
    CHECK_FALSE(accepts_of("11.0.0.0/8"));
    CHECK_FALSE(of_olive.accepts({.about = to("10.2.0.0/16")}));
}

TEST_CASE("a rule asks for a range of metrics and for a table") {
    const Destination about = to("10.0.0.0/24");
    const Match cheap{.metrics = {10, 100}}, of_table{.table = 200u};
    for (const std::uint32_t metric : {10u, 100u}) CHECK(cheap.accepts({.about = about, .metric = metric}));
    for (const std::uint32_t metric : {9u, 101u})
        CHECK_FALSE(cheap.accepts({.about = about, .metric = metric}));
    const auto in_table = [&](std::uint32_t table) {
        return of_table.accepts({.about = about, .table = table, .protocol = std::uint8_t{4}});
    };
    CHECK(in_table(200));
    CHECK_FALSE(in_table(254));
    CHECK_FALSE(of_table.accepts({.about = about}));
}

TEST_CASE(
    "row 56: beyond the registry only a rule that says so lets anything in, and others have no say there"
) {
    Desk desk;
    InterfaceConfig config = Desk::link();
    Rule<Metric> exits = rule("::/0", 5), all{{}, 7};
    exits.match.lengths = {0, 0};
    exits.match.unregistered = true;
    config.imports = {all, exits};
    desk.plug(1, config);
    desk.befriend(1, kNeighbour);
    desk.speaker.accept_only(given({"10.0.0.0/8"}), desk.now, desk.actions);
    for (const char* prefix : {"::/0", "10.1.0.0/16", "11.0.0.0/8", "fd00::/8"})
        desk.say(1, kNeighbour, Announce{prefix});
    REQUIRE(desk.route(to("::/0"), kNeighbour));
    CHECK(desk.route(to("::/0"), kNeighbour)->received_metric == 105);
    REQUIRE(desk.route(to("10.1.0.0/16"), kNeighbour));
    CHECK(desk.route(to("10.1.0.0/16"), kNeighbour)->received_metric == 107);
    CHECK(desk.speaker.routes().size() == 2);
    CHECK(desk.dropped("update for a prefix that is not allowed") == 2);
    // Another registry does not shut it out.
    desk.speaker.accept_only(given({"12.0.0.0/8"}), desk.now, desk.actions);
    desk.pass(0s);
    CHECK(desk.route(to("::/0"), kNeighbour));
    CHECK_FALSE(desk.route(to("10.1.0.0/16"), kNeighbour));
}

TEST_CASE("an import filter goes by the metric as it was announced") {
    Desk desk;
    InterfaceConfig config = Desk::link();
    config.imports = {{{.metrics = {0, 99}}, 50}, {{.metrics = {1000, 65534}}, kInfinity}};
    desk.plug(1, config);
    desk.befriend(1, kNeighbour);
    const auto hear = [&](Metric metric, SeqNo seqno) {
        desk.say(1, kNeighbour, Announce{.prefix = "10.1.0.0/16", .metric = metric, .seqno = seqno});
        const auto route = desk.route(to("10.1.0.0/16"), kNeighbour);
        return route ? route->received_metric : kInfinity;
    };
    CHECK(hear(90, 1) == 140);
    CHECK(hear(100, 2) == 100);
    CHECK(hear(1000, 3) == kInfinity);
    CHECK(hear(99, 4) == 149);
}

TEST_CASE("an export filter that asks whose a prefix is follows the registry") {
    Desk desk;
    InterfaceConfig filtered = Desk::link("fe80::1");
    filtered.exports = {{{.organization = "maple"}, kInfinity}};
    desk.plug(1, filtered);
    desk.befriend(1, kNeighbour);
    Holders before = given({"10.2.0.0/16"}), after = before;
    give(after, "maple", {"10.1.0.0/16"});
    desk.speaker.accept_only(before, desk.now, desk.actions);
    for (const char* prefix : {"10.1.0.0/16", "10.2.0.0/16"})
        desk.speaker.announce(to(prefix), 0, desk.now, desk.actions);
    desk.pass(5s);
    REQUIRE(desk.announced(1, to("10.1.0.0/16")));
    CHECK(desk.announced(1, to("10.1.0.0/16"))->metric == 0);
    desk.forget();
    desk.speaker.accept_only(after, desk.now, desk.actions);
    desk.pass(1s);
    REQUIRE(desk.announced(1, to("10.1.0.0/16")));
    CHECK(desk.announced(1, to("10.1.0.0/16"))->metric == kInfinity);
    desk.forget();
    desk.speaker.accept_only(before, desk.now, desk.actions);
    desk.pass(1s);
    REQUIRE(desk.announced(1, to("10.1.0.0/16")));
    CHECK(desk.announced(1, to("10.1.0.0/16"))->metric == 0);
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
    desk.speaker.accept_only(given({"10.2.0.0/16"}), desk.now, desk.actions);
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
