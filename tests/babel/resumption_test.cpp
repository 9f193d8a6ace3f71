// A speaker that goes on in the place of one that ended without a word.

#include "babel/router.hpp"

namespace aronet::babel {
namespace {

const Destination kTheirs = to("fd02::/64"), kGone = to("fd03::/64");

struct Successor : Desk {
    Successor() {
        speaker.resume({{kTheirs, 0xaa, 1, 196}, {kGone, 0xaa, 1, 196}}, 20s, now);
        for (const InterfaceId id : {1, 2}) {
            InterfaceConfig config = link();
            config.next_hello = 40;
            plug(id, config);
        }
        befriend(1, kA);
    }
};

}  // namespace

TEST_CASE("what an earlier process announced is not retracted while it may be learned anew") {
    Successor desk;
    SECTION("whoever comes, and asks for it") { desk.say(1, kA, {RouteRequest{kTheirs}, RouteRequest{}}); }
    SECTION("what is allowed becomes known later") {
        desk.speaker.accept_only(Holders(), desk.now, desk.actions);
    }
    SECTION("whose it is decides about what is announced") {
        InterfaceConfig config = Desk::link();
        config.exports = {{Match{.organization = "acme"}, Metric{0}}};
        desk.speaker.configure(1, config, desk.now, desk.actions);
        desk.speaker.accept_only(given({"fd02::/64", "fd03::/64"}), desk.now, desk.actions);
    }
    desk.pass(2s);
    for (const Announcement& said : desk.said<Announcement>()) CHECK(said.metric != kInfinity);
}

TEST_CASE("what is our own and taken back is retracted at once, also by who goes on for another") {
    Successor desk;
    const Destination own = to("fd09::/64");
    desk.speaker.announce(own, 0, desk.now, desk.actions);
    desk.pass(2s);
    desk.forget();
    desk.speaker.withdraw(own, desk.now, desk.actions);
    desk.pass(100ms);
    REQUIRE(desk.announced(1, own));
    CHECK(desk.announced(1, own)->metric == kInfinity);
}

TEST_CASE("what is learned anew is told at once, and what is not is retracted in the end") {
    Successor desk;
    desk.befriend(2, kB);
    desk.pass(2s);
    desk.forget();
    desk.say(2, kB, Announce{"fd02::/64"});
    desk.pass(100ms);
    REQUIRE(desk.announced(1, kTheirs));
    CHECK(desk.announced(1, kTheirs)->metric == 196);
    CHECK_FALSE(desk.announced(1, kGone));
    REQUIRE(desk.announced(2, kTheirs));  // it may have been told there before
    CHECK(desk.announced(2, kTheirs)->metric == kInfinity);
    desk.forget();
    desk.pass(20s);
    REQUIRE(desk.announced(1, kGone));
    CHECK(desk.announced(1, kGone)->metric == kInfinity);
    CHECK_FALSE(desk.said<SeqnoRequest>().empty());
}

}  // namespace aronet::babel
