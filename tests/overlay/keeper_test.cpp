#include "overlay/keeper.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace aronet;
using namespace aronet::overlay;
using namespace std::chrono_literals;
using netlink::Space;

namespace {

netlink::Link vrf() {
    netlink::Link link;
    link.name = "ov";
    link.kind = netlink::Vrf{128};
    return link;
}

netlink::Link tunnel(const char* name, std::uint32_t if_id) {
    netlink::Link link;
    link.name = name;
    link.kind = netlink::Tunnel{if_id};
    link.mtu = 1400;
    link.multicast = true;
    link.keep_link_local = false;
    link.master = "ov";
    return link;
}

netlink::LinkAddress on(const char* link, const char* address) {
    return {Space::underlay, link, *Address::parse(address), 128, std::nullopt};
}

netlink::Route route(const char* destination, const char* link, const char* via = nullptr) {
    netlink::Route route;
    route.key.destination = *Prefix::parse(destination);
    route.link = link;
    if (via != nullptr) route.via = *Address::parse(via);
    return route;
}

Objects all() {
    Objects objects;
    objects.links = {tunnel("ov-1", 1), tunnel("ov-2", 2), vrf()};
    objects.addresses = {on("ov-1", "fe80::1"), on("ov", "fd66::1")};
    objects.routes = {route("fd01::/64", "ov", "fd66::2"), route("fd66::2/128", "ov")};
    return objects;
}

// A keeper and a kernel that does what it is told, but for what it refuses.
struct Desk {
    std::vector<std::string> ask() {
        std::vector<std::string> words;
        const auto give = [&](netlink::Wish wish) {
            words.push_back(netlink::describe(wish));
            asked.push_back(++last);
            return last;
        };
        keeper.ask_due(now, give, notes);
        return words;
    }
    void answer(int error = 0) {
        for (const netlink::ChangeId id : std::exchange(asked, {}))
            CHECK(keeper.answered({id, error, error == 0 ? "" : "no"}, now, notes));
    }
    // Until nothing more is due. What has these words in it is refused.
    std::vector<std::string> obey(const std::string& but = "\n") {
        std::vector<std::string> all;
        for (;;) {
            const auto words = ask();
            if (words.empty()) return all;
            all.insert(all.end(), words.begin(), words.end());
            const auto ids = std::exchange(asked, {});
            for (std::size_t i = 0; i < ids.size(); ++i) {
                const bool refused = words[i].find(but) != std::string::npos;
                CHECK(keeper.answered({ids[i], refused ? 17 : 0, refused ? "File exists" : ""}, now, notes));
            }
        }
    }
    // When what has just been lost or refused is asked for again.
    base::Duration wait() {
        const base::Instant began = now;
        for (;;) {
            REQUIRE(keeper.next());
            now = *keeper.next();
            if (!Desk(*this).ask().empty()) return now - began;
            ask();  // it had but a word to say
        }
    }
    // What there is to say by now of what was put back.
    void hear() {
        now += 1s;
        CHECK(ask().empty());
    }
    bool said(base::Level level, const std::string& part) const {
        return std::ranges::any_of(notes, [&](const base::Note& note) {
            return note.level == level && note.text.find(part) != std::string::npos;
        });
    }

    Keeper keeper;
    base::Instant now{1000s};
    std::vector<base::Note> notes;
    std::vector<netlink::ChangeId> asked;
    netlink::ChangeId last = 0;
};

struct Kept : Desk {
    Kept() {
        keeper.want(all(), now);
        REQUIRE(obey().size() == 7);
        REQUIRE_FALSE(keeper.next());
    }
};

// All, and an address of IPv4 with a route: what is kept from now on.
Objects also_ipv4(Kept& desk) {
    Objects more = all();
    more.addresses.push_back(on("ov", "10.99.0.1"));
    more.routes.push_back(route("10.1.0.0/16", "ov"));
    desk.keeper.want(more, desk.now);
    CHECK(desk.obey().size() == 2);
    return more;
}

std::string began(const std::vector<std::string>& words) {
    std::string text;
    for (const std::string& line : words) text += line.substr(0, line.find(' ', 14)) + "; ";
    return text;
}

}  // namespace

TEST_CASE("what needs another is asked for when that is there, and goes before it") {
    Desk desk;
    desk.keeper.want(all(), desk.now);
    const auto words = desk.obey();
    REQUIRE(words.size() == 7);
    CHECK(words[0] == "ip link add ov type vrf table 128");
    CHECK(words[1].starts_with("ip link add ov-1"));
    CHECK(words[2].starts_with("ip link add ov-2"));
    CHECK(words[3].starts_with("ip addr add fd66::1/128 dev ov"));
    CHECK(words[4].starts_with("ip -6 route replace fd66::2/128 dev ov"));
    CHECK(words[5].starts_with("ip -6 route replace fd01::/64 via"));
    CHECK(words[6].starts_with("ip addr add fe80::1/128 dev ov-1"));
    desk.keeper.want({}, desk.now);
    CHECK_FALSE(desk.keeper.all_gone());
    // Addresses and routes go with their links.
    CHECK(desk.obey() == std::vector<std::string>{"ip link del ov-1", "ip link del ov-2", "ip link del ov"});
    CHECK(desk.keeper.all_gone());
}

TEST_CASE("what is wanted still is not touched, and what is wanted anew in the meantime stays") {
    Kept desk;
    desk.keeper.want(all(), desk.now);
    CHECK(desk.ask().empty());
    Objects fewer = all();
    fewer.links.erase(fewer.links.begin());
    desk.keeper.want(fewer, desk.now);
    CHECK(desk.ask() == std::vector<std::string>{"ip link del ov-1"});
    desk.keeper.want(all(), desk.now);  // before that was answered
    CHECK(began(desk.ask()) == "ip link add ov-1; ");
    desk.answer();
    CHECK(began(desk.obey()) == "ip addr add fe80::1/128; ");
    CHECK(desk.keeper.all_gone());
    CHECK(desk.ask().empty());
    Objects other = all();
    other.routes[0].via = *Address::parse("fd66::3");
    desk.keeper.want(other, desk.now);
    CHECK(desk.obey().size() == 1);
}

TEST_CASE("with the last address of IPv4 that is wanted no more its link's routes go unsaid, and are put back"
) {
    Kept desk;
    Objects both = also_ipv4(desk);
    both.addresses.pop_back();
    desk.keeper.want(both, desk.now);
    const auto words = desk.ask();
    REQUIRE(words.size() == 1);
    CHECK(words.front().starts_with("ip addr del 10.99.0.1"));
    desk.answer();
    desk.wait();
    const auto again = desk.obey();
    REQUIRE(again.size() == 1);
    CHECK(again.front().starts_with("ip route replace 10.1.0.0/16"));
    CHECK(desk.notes.empty());
}

TEST_CASE("an address of IPv4 that follows another is there before that leaves, and routes are left alone") {
    Kept desk;
    Objects one = also_ipv4(desk);
    one.addresses.back() = on("ov", "10.99.0.2");
    desk.keeper.want(one, desk.now);
    CHECK(began(desk.obey()) == "ip addr add 10.99.0.2/128; ip addr del 10.99.0.1/128; ");
    desk.hear();
    CHECK_FALSE(desk.keeper.next());
    // With another length it is the same one to many: that cannot be there twice.
    one.addresses.back().prefix_length = 24;
    desk.keeper.want(one, desk.now);
    CHECK(began(desk.ask()).starts_with("ip addr del 10.99.0.2/128; ip addr add 10.99.0.2/24; "));
}

TEST_CASE("row 14: addresses of an earlier run go where they are wanted no more, those of others stay") {
    Desk desk;
    desk.keeper.want(all(), desk.now);
    Objects seen = all();
    seen.addresses.push_back(on("ov", "10.99.0.1"));  // by hand, or by a script
    seen.addresses.push_back(on("ov", "10.99.0.2"));
    seen.addresses.back().marked = true;
    seen.addresses.push_back(on("lo", "10.99.0.3"));  // of another daemon of ours
    seen.addresses.back().marked = true;
    desk.keeper.found(seen, 0, desk.now, true);
    CHECK(began(desk.obey()) == "ip addr del 10.99.0.2/128; ");
}

TEST_CASE("what somebody takes away is back at once, with a word of it; with a stubborn one it takes longer"
) {
    Kept desk;
    base::Duration waited{};
    for (int i = 0; i < 3; ++i) {
        desk.keeper.lost(all().routes[1].key, desk.now);
        waited = desk.wait();
        CHECK(waited < 100ms);
        CHECK(desk.obey().size() == 1);
    }
    CHECK(desk.notes.empty());
    desk.hear();
    REQUIRE(desk.notes.size() == 1);
    const std::string line = "taken away by somebody, put back: ip -6 route replace fd66::2/128";
    CHECK(desk.notes.back().text.starts_with(line));
    CHECK(desk.notes.back().text.ends_with(" and 2 more"));
    for (int i = 0; i < 15; ++i) {
        desk.keeper.lost(all().routes[1].key, desk.now);
        const base::Duration longer = desk.wait();
        CHECK((longer > waited || longer == 30s));
        waited = longer;
        desk.obey();
    }
    CHECK(waited == 30s);
    desk.now += 11s;
    desk.keeper.lost(all().routes[1].key, desk.now);
    CHECK(desk.wait() < 100ms);
}

TEST_CASE("a rule that somebody removes is back at once, though no link is its own") {
    Kept desk;
    Objects with_rule = all();
    netlink::Rule rule;
    rule.table = 7;
    with_rule.rules = {rule};
    desk.keeper.want(with_rule, desk.now);
    CHECK(desk.obey().size() == 1);
    netlink::Rule other = rule;
    other.table = 8;
    desk.keeper.lost(other, desk.now);
    desk.hear();
    CHECK_FALSE(desk.keeper.next());
    desk.keeper.lost(rule, desk.now);
    CHECK(desk.wait() < 100ms);
    CHECK(desk.obey() == std::vector<std::string>{"ip -6 rule add pref 0 lookup 7"});
    for (int i = 0; i < 15; ++i) {  // behind it are the guards: nobody's stubbornness keeps it away
        desk.keeper.lost(rule, desk.now);
        CHECK(desk.wait() <= 1s);
        CHECK(desk.obey().size() == 1);
    }
}

TEST_CASE("many that go together are one line in the log") {
    Kept desk;
    for (const auto& gone : all().routes) desk.keeper.lost(gone.key, desk.now);
    desk.keeper.lost_address(Space::underlay, "ov", *Address::parse("fd66::1"), desk.now);
    desk.wait();
    CHECK(desk.obey().size() == 3);
    desk.hear();
    REQUIRE(desk.notes.size() == 1);
    CHECK(desk.notes[0].text.ends_with(" and 2 more"));
}

TEST_CASE("with a link comes back what hung on it, and tunnels are put into their VRF again") {
    Kept desk;
    desk.keeper.lost_link(Space::underlay, "ov-1", desk.now);
    desk.wait();
    CHECK(began(desk.obey()) == "ip link add ov-1; ip addr add fe80::1/128; ");
    desk.keeper.lost_link(Space::underlay, "ov", desk.now);
    desk.wait();
    CHECK(desk.obey().size() == 6);  // all but the address of a tunnel
    desk.keeper.lost_link(Space::underlay, "somebody", desk.now);
    desk.hear();
    CHECK_FALSE(desk.keeper.next());
}

TEST_CASE(
    "a link that somebody altered is made as it was, one that differs where nothing was asked for is left"
) {
    Kept desk;
    netlink::Link link = tunnel("ov-1", 1);
    desk.keeper.altered({link}, desk.now);
    link = vrf();
    link.mtu = 9000;
    desk.keeper.altered({link}, desk.now);
    desk.hear();
    CHECK_FALSE(desk.keeper.next());
    const auto set = [&](auto change) {
        netlink::Link other = tunnel("ov-1", 1);
        change(other);
        desk.keeper.altered({other}, desk.now);
        desk.wait();
        CHECK(desk.obey().size() == 1);
    };
    set([](netlink::Link& l) { l.mtu = 1500; });
    set([](netlink::Link& l) { l.master = ""; });
    set([](netlink::Link& l) { l.multicast = false; });
}

TEST_CASE("what is refused is asked for again, ever more seldom, and shown until it is done") {
    Desk desk;
    desk.keeper.want(all(), desk.now);
    desk.obey("addr add fd66::1");
    CHECK(desk.said(base::Level::error, "File exists"));
    REQUIRE(desk.keeper.troubles().size() == 1);
    CHECK(desk.keeper.troubles()[0].ends_with(": File exists"));
    base::Duration before{};
    for (int i = 0; i < 12; ++i) {
        const base::Duration pause = desk.wait();
        CHECK((pause > before || pause == 30s));
        before = pause;
        CHECK(desk.obey("addr add fd66::1").size() == 1);
    }
    CHECK(desk.notes.size() == 1);
    desk.keeper.ask_refused(desk.now);  // what stood in the way may be gone
    CHECK(desk.wait() == 0s);
    desk.obey();
    CHECK(desk.keeper.troubles().empty());
    CHECK(desk.said(base::Level::info, "done at last"));
    desk.hear();
    CHECK_FALSE(desk.keeper.next());
}

TEST_CASE("nothing is put on a link that is somebody else's, and nothing of it is taken away") {
    Desk desk;
    desk.keeper.want(all(), desk.now);
    CHECK(desk.obey("link add ov ") == std::vector<std::string>{"ip link add ov type vrf table 128"});
    desk.wait();
    CHECK(desk.obey("link add ov ").size() == 1);
    desk.wait();
    CHECK(desk.obey().size() == 7);  // it has gone
}

TEST_CASE("what was refused is tried again as soon as its link is there again") {
    Kept desk;
    desk.keeper.lost_address(Space::underlay, "ov", *Address::parse("fd66::1"), desk.now);
    for (int i = 0; i < 8; ++i) {
        desk.wait();
        desk.obey("addr add");
    }
    desk.keeper.lost_link(Space::underlay, "ov", desk.now);
    CHECK(desk.wait() < 100ms);
    CHECK(desk.obey().size() == 6);
    desk.hear();
    CHECK_FALSE(desk.keeper.next());
}

TEST_CASE("what goes while it is being asked for is asked for once more") {
    Kept desk;
    desk.keeper.lost(all().routes[0].key, desk.now);
    desk.wait();
    REQUIRE(desk.ask().size() == 1);
    desk.keeper.lost(all().routes[0].key, desk.now);  // behind the change, before its answer
    desk.answer();
    desk.wait();
    CHECK(desk.obey().size() == 1);
    desk.hear();
    CHECK_FALSE(desk.keeper.next());
}

TEST_CASE("a look that was begun before something went does not bring it back to life") {
    Kept desk;
    desk.keeper.lost(all().routes[0].key, desk.now);
    desk.keeper.lost_link(Space::underlay, "ov-2", desk.now);
    desk.keeper.found(all(), desk.last, desk.now);
    desk.wait();
    CHECK(desk.obey().size() == 2);
    Objects seen = all();
    seen.links[0].up = false;  // nobody told of it
    desk.keeper.found(seen, desk.last, desk.now);
    desk.wait();
    CHECK(began(desk.obey()) == "ip link add ov-1; ");
}

TEST_CASE("a look at everything finds what is missing, what is other, and what is too much") {
    Kept desk;
    Objects seen = all();
    seen.routes[0].via = *Address::parse("fd66::9");   // another next hop
    seen.addresses.erase(seen.addresses.begin() + 1);  // gone
    seen.links.push_back(tunnel("ov-9", 9));           // of an earlier run
    seen.addresses.push_back(on("ov-2", "fe80::77"));  // the kernel's own
    seen.routes.push_back(route("fd09::/64", "ov", "fd66::2"));
    desk.keeper.found(seen, desk.last, desk.now);
    desk.now += 1s;
    CHECK(
        began(desk.obey()) ==
        "ip -6 route del; ip link del ov-9; ip addr add fd66::1/128; ip -6 route replace; "
    );
    desk.keeper.found(all(), desk.last, desk.now);
    desk.hear();
    CHECK_FALSE(desk.keeper.next());
}

TEST_CASE("a rule that nobody here has asked for is removed at the start, and never again") {
    Kept desk;
    Objects seen = all();
    seen.rules.push_back({Space::underlay, Family::v6, 32000, {}, {}, 7u, 12025, true});
    desk.keeper.found(seen, desk.last, desk.now);
    desk.hear();
    CHECK_FALSE(desk.keeper.next());  // another daemon's: it would come back for ever
    desk.keeper.found(seen, desk.last, desk.now, true);
    CHECK(
        desk.obey() ==
        std::vector<std::string>{"ip -6 rule del pref 32000 not fwmark 0x00000007 lookup 12025"}
    );
}

TEST_CASE("what hangs on a link is known by where it hangs now, and by both ends of a veth") {
    Objects objects = all();
    netlink::Link veth;
    veth.name = "pair";
    veth.kind = netlink::Veth{"pair", Space::overlay};
    objects.links.push_back(veth);
    objects.addresses.push_back({Space::overlay, "pair", *Address::parse("fd66::2"), 128, std::nullopt});
    Desk desk;
    desk.keeper.want(objects, desk.now);
    desk.obey();
    desk.keeper.lost_link(Space::overlay, "pair", desk.now);
    desk.wait();
    CHECK(desk.obey().size() == 2);
    objects.routes[0].link = "ov-1";  // away from the VRF
    desk.keeper.want(objects, desk.now);
    desk.obey();
    desk.keeper.lost_link(Space::underlay, "ov-1", desk.now);
    desk.wait();
    CHECK(desk.obey().size() == 3);  // with its address, and the route
}

TEST_CASE("what was asked for behind a look at everything is not missed in it") {
    Kept desk;
    const netlink::ChangeId looked = desk.last;
    Objects more = all();
    more.routes.push_back(route("fd02::/64", "ov"));
    desk.keeper.want(more, desk.now);
    REQUIRE(desk.obey().size() == 1);
    desk.keeper.found(all(), looked, desk.now);
    desk.hear();
    CHECK_FALSE(desk.keeper.next());
    desk.keeper.found(all(), desk.last, desk.now);
    CHECK(desk.keeper.next());
}

TEST_CASE("links of an earlier run are taken over, and asked for so that they say that they are up") {
    Desk desk;
    desk.keeper.want(all(), desk.now);
    desk.keeper.found(all(), 0, desk.now);
    CHECK(desk.ask().empty());
    desk.keeper.ask_for_links(desk.now);
    CHECK(desk.obey().size() == 3);
    CHECK(desk.notes.empty());
}
