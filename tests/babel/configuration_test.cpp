// Another configuration of a speaker that runs.

#include "desk.hpp"

using namespace aronet;
using namespace aronet::babel;
using namespace std::chrono_literals;

namespace {

const Address kA = ip("fe80::a"), kB = ip("fe80::b");

// Two neighbours, one on each side; what the first says the second hears.
struct Running : Desk {
    Running() {
        plug(1, link("fe80::1"));
        plug(2, link("fe80::2"));
        befriend(1, kA);
        befriend(2, kB);
        speaker.announce(to("10.1.0.0/16"), 0, now, actions);
        say_all();
        pass(10s);
        forget();
    }
    void say_all() {
        say(1, kA, Announce{.prefix = "10.2.0.0/16", .interval = 600s});
        say(1, kA, Announce{.prefix = "10.3.0.0/16", .interval = 600s});
    }
    void configure(InterfaceId id, const InterfaceConfig& config) {
        speaker.configure(id, config, now, actions);
        pass(1s);
    }
    Metric told(InterfaceId on, const char* prefix) const { return announced(on, to(prefix)).value().metric; }
};

Rule<Metric> rule(const char* prefix, Metric metric) { return {{.prefix = net(prefix)}, metric}; }

}  // namespace

TEST_CASE("an interface with the configuration that it has says nothing and loses nothing") {
    Running desk;
    const auto since = desk.neighbour(kA).value().since;
    desk.speaker.configure(1, Desk::link("fe80::1"), desk.now, desk.actions);
    desk.pass(0s);
    CHECK(desk.sent.empty());
    CHECK(desk.neighbour(kA).value().since == since);
    CHECK(desk.forwarding.reaches(to("10.2.0.0/16"), kA));
}

TEST_CASE("what other import rules refuse goes, the rest is asked for, and neighbours stay") {
    Running desk;
    const auto since = desk.neighbour(kA).value().since;
    InterfaceConfig config = Desk::link("fe80::1");
    config.imports = {rule("10.2.0.0/16", kInfinity), rule("10.3.0.0/16", 500)};
    desk.configure(1, config);
    CHECK_FALSE(desk.forwarding.reaches(to("10.2.0.0/16"), kA));
    CHECK(desk.forwarding.reaches(to("10.3.0.0/16"), kA));
    CHECK(desk.told(2, "10.2.0.0/16") == kInfinity);
    CHECK_FALSE(desk.said<RouteRequest>(1, kA).empty());
    // A larger metric is unfeasible under the old sequence number, which it is asked to raise.
    desk.say(1, kA, Announce{.prefix = "10.3.0.0/16", .seqno = 2, .interval = 600s});
    CHECK(desk.route(to("10.3.0.0/16"), kA).value().received_metric == 600);
    CHECK(desk.neighbour(kA).value().since == since);
}

TEST_CASE("what other export rules refuse is retracted there, what they let out is told") {
    Running desk;
    InterfaceConfig config = Desk::link("fe80::2");
    config.exports = {rule("10.2.0.0/16", kInfinity)};
    desk.configure(2, config);
    CHECK(desk.told(2, "10.2.0.0/16") == kInfinity);
    CHECK(desk.told(2, "10.1.0.0/16") == 0);
    desk.forget();
    desk.configure(2, Desk::link("fe80::2"));
    CHECK(desk.told(2, "10.2.0.0/16") != kInfinity);
}

TEST_CASE("another cost of an interface is told its neighbours at once, and counts here") {
    Running desk;
    const unsigned before = desk.neighbour(kA).value().cost;
    InterfaceConfig config = Desk::link("fe80::1");
    config.rxcost = 1000;
    desk.configure(1, config);
    REQUIRE_FALSE(desk.said<Ihu>(1).empty());
    CHECK(desk.said<Ihu>(1).back().rxcost == 1000);
    CHECK(desk.neighbour(kA).value().rxcost == 1000);
    CHECK(desk.neighbour(kA).value().cost >= before);
}

TEST_CASE("another interval of Hellos is promised in the next one, which comes at once") {
    Running desk;
    InterfaceConfig config = Desk::link("fe80::1");
    config.hello_interval = 77s;
    desk.configure(1, config);
    REQUIRE_FALSE(desk.said<Hello>(1).empty());
    CHECK(desk.said<Hello>(1).front().interval.duration() == 77s);
}

TEST_CASE("who becomes a leaf takes back what others have, who becomes transit tells it") {
    Running desk;
    desk.speaker.set_transit(false, desk.now, desk.actions);
    desk.pass(1s);
    CHECK(desk.told(2, "10.2.0.0/16") == kInfinity);
    CHECK_FALSE(desk.announced(2, to("10.1.0.0/16")));
    desk.forget();
    desk.speaker.set_transit(true, desk.now, desk.actions);
    desk.pass(1s);
    CHECK(desk.told(2, "10.2.0.0/16") != kInfinity);
    CHECK(desk.forwarding.reaches(to("10.2.0.0/16"), kA));
}
