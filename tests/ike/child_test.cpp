// What a CHILD SA is to be: selectors, mode, extended sequence numbers, replay windows (RFC
// 7296 1.3.1, 2.9, 3.3.3).

#include "ike/child.hpp"

#include "dialogue.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::ike;
using namespace aronet::ike::test;
using namespace std::chrono_literals;

namespace {

TrafficSelector range(
    const char* start,
    const char* end,
    std::uint8_t protocol = 0,
    std::uint16_t low = 0,
    std::uint16_t high = 65535
) {
    return {protocol, low, high, *Address::parse(start), *Address::parse(end)};
}

const TrafficSelector kOurs = range("10.1.0.0", "10.1.255.255"), kTheirs = range("10.2.0.0", "10.2.255.255"),
                      kWeb = range("10.1.2.0", "10.1.2.255", 6, 80, 80);

using Terms = std::function<void(ChildTerms&)>;

Dialogue& connect(Dialogue& d, const Terms& of_a, const Terms& of_b) {
    return d.connect([&](Peer& peer) { of_a(peer.child); }, [&](Peer& peer) { of_b(peer.child); });
}

Terms as_they_are() {
    return [](ChildTerms&) {};
}

Terms transport() {
    return [](ChildTerms& terms) { terms.mode = base::SaMode::transport; };
}

Terms between(
    std::vector<TrafficSelector> local, std::vector<TrafficSelector> remote, bool narrower = false
) {
    return [=](ChildTerms& terms) {
        terms.local = local;
        terms.remote = remote;
        terms.narrower = narrower;
    };
}

const std::pair<base::Sa, base::Sa>& sas(const Side& side) { return side.children.at(*side.sending); }

bool all_in_mode(const Dialogue& d, base::SaMode mode) {
    for (const Side* side : {&d.a, &d.b}) {
        for (const auto& [id, child] : side->children) {
            if (child.first.mode != mode || child.second.mode != mode) return false;
        }
    }
    return true;
}

// The child goes, comes and goes; never is there one that both sides use.
void expect_no_child(Dialogue& d, const char* why) {
    d.advance(500ms);
    CHECK(d.a.children.empty());
    CHECK(d.b.children.empty());
    CHECK(d.a.view().reason.find(why) != std::string::npos);
    CHECK_FALSE(d.a.sending.has_value());
}

}  // namespace

TEST_CASE("selectors are narrowed to what both sides have, whole ones or any part") {
    const std::vector<TrafficSelector> ours{kOurs, range("fd00::", "fd00::ffff")};
    const auto whole = [&](std::vector<TrafficSelector> offered) {
        return narrow({false, offered}, ours, false);
    };
    const auto parts = [&](std::vector<TrafficSelector> offered) {
        return narrow({false, offered}, ours, true);
    };
    CHECK(whole(any_selectors(false).selectors) == ours);
    CHECK(parts(any_selectors(false).selectors) == ours);
    CHECK(whole({TrafficSelector::any(base::Family::v4)}) == std::vector{kOurs});
    CHECK(whole({kWeb}).empty());
    CHECK(parts({kWeb}) == std::vector{kWeb});
    CHECK(parts({kTheirs}).empty());
    CHECK(parts({range("10.0.0.0", "10.1.0.9", 17)}) == std::vector{range("10.1.0.0", "10.1.0.9", 17)});
    CHECK(
        parts({range("10.1.9.0", "10.3.0.0"), kWeb, kWeb}) ==
        std::vector{range("10.1.9.0", "10.1.255.255"), kWeb}
    );
    CHECK(narrow({true, {range("10.1.2.3", "10.1.2.3", 17)}}, {kWeb}, true).empty());  // UDP is not TCP
    CHECK(narrow({true, {range("10.1.2.3", "10.1.2.3", 6, 81, 90)}}, {kWeb}, true).empty());  // other ports
    CHECK(
        narrow({true, {range("10.1.2.3", "10.1.2.3", 6, 70, 90)}}, {kWeb}, true).size() == 1
    );  // some of them
    CHECK(narrow({true, {range("10.1.2.3", "10.1.2.3", 0, 65535, 0)}}, {kOurs}, true).empty());  // OPAQUE
    CHECK(narrow(any_selectors(true), {}, false) == any_selectors(true).selectors);
    std::vector<TrafficSelector> many;
    for (int i = 0; i < 200; ++i) {
        const std::string address = "10.1.3." + std::to_string(i);
        many.push_back(range(address.c_str(), address.c_str()));
    }
    CHECK(parts(many).size() == 64);
}

TEST_CASE("both sides are told what they agreed on, each as its own local and remote, also after a rekeying"
) {
    EngineConfig config;
    config.child_lifetime = 5s;
    Dialogue d(1, copy(config), copy(config));
    connect(d, between({kOurs}, {kTheirs}), between({kTheirs}, {kOurs})).advance(1s).expect_tunnel();
    for (int i = 0; i < 2; ++i) {
        CHECK(d.a.selectors.at(*d.a.sending).first == std::vector{kOurs});
        CHECK(d.a.selectors.at(*d.a.sending).second == std::vector{kTheirs});
        CHECK(d.b.selectors.at(*d.b.sending).first == std::vector{kTheirs});
        CHECK(d.b.selectors.at(*d.b.sending).second == std::vector{kOurs});
        d.advance(12s);
    }
    CHECK(d.a.ups > 2);
}

TEST_CASE("with nothing said the child carries everything") {
    Dialogue d;
    d.both_connect().advance(1s).expect_tunnel();
    CHECK(d.a.selectors.at(*d.a.sending).first == any_selectors(false).selectors);
    CHECK(d.b.selectors.at(*d.b.sending).second == any_selectors(false).selectors);
    CHECK(all_in_mode(d, base::SaMode::tunnel));
    CHECK_FALSE(sas(d.a).first.esn);
    CHECK(sas(d.a).first.replay_window == 128);
}

TEST_CASE("a side that has less narrows the child, if the other one takes parts") {
    for (const bool takes_parts : {false, true}) {
        Dialogue d;
        connect(d, between({}, {}, takes_parts), between({kTheirs}, {kWeb}));
        if (!takes_parts) {
            expect_no_child(d, "not offered");
            continue;
        }
        d.advance(1s).expect_tunnel();
        CHECK(d.a.selectors.at(*d.a.sending).first == std::vector{kWeb});
        CHECK(d.a.selectors.at(*d.a.sending).second == std::vector{kTheirs});
    }
}

TEST_CASE("selectors without anything in common make no child, and the IKE SA stands") {
    Dialogue d;
    connect(d, between({kOurs}, {kTheirs}), between({kOurs}, {kTheirs}));
    expect_no_child(d, "TS_UNACCEPTABLE");
    CHECK(d.count(kInit, true) == 1);
    d.call(d.b, [&](Engine& engine, Actions& out) {
        Peer peer = d.peer_of_b();
        between({kTheirs}, {kOurs})(peer.child);
        engine.connect(peer, d.now, out);
    });
    d.advance(30s).expect_tunnel();
}

TEST_CASE("transport mode is agreed on and stays over rekeyings, whatever happens to a message") {
    EngineConfig config;
    config.child_lifetime = 5s;
    for_each_fault(
        [](Dialogue& d) {
            connect(d, transport(), transport()).advance(25s);
            CHECK(d.tunnel());
            CHECK(d.a.ups > 2);
            CHECK(all_in_mode(d, base::SaMode::transport));
        },
        1,
        config
    );
}

TEST_CASE("transport mode on one side alone makes no child") {
    Dialogue declined;
    connect(declined, transport(), as_they_are());
    expect_no_child(declined, "not offered");
    Dialogue demanded;
    connect(demanded, as_they_are(), transport());
    expect_no_child(demanded, "NO_PROPOSAL_CHOSEN");
}

TEST_CASE("extended sequence numbers come where both sides have them and one wants them") {
    struct Row {
        Esn of_a, of_b;
        std::optional<bool> extended;  // none: no child
    };
    for (const Row& row : {
             Row{Esn::no, Esn::no, false},
             Row{Esn::no, Esn::preferred, false},
             Row{Esn::no, Esn::required, std::nullopt},
             Row{Esn::preferred, Esn::no, false},
             Row{Esn::preferred, Esn::preferred, true},
             Row{Esn::preferred, Esn::required, true},
             Row{Esn::required, Esn::no, true},
             Row{Esn::required, Esn::preferred, true},
             Row{Esn::required, Esn::required, true},
         }) {
        INFO(static_cast<int>(row.of_a) << " " << static_cast<int>(row.of_b));
        Dialogue d;
        const auto wants = [](Esn esn) { return Terms([esn](ChildTerms& terms) { terms.esn = esn; }); };
        connect(d, wants(row.of_a), wants(row.of_b));
        if (!row.extended) {
            expect_no_child(d, "NO_PROPOSAL_CHOSEN");
            continue;
        }
        d.advance(1s).expect_tunnel();
        for (const Side* side : {&d.a, &d.b}) {
            CHECK(sas(*side).first.esn == *row.extended);
            CHECK(sas(*side).second.esn == *row.extended);
        }
    }
}

TEST_CASE("an answer that is silent on extended sequence numbers does not stand for them") {
    const SaPayload demanding = offer_esp(0x1000, std::nullopt, Esn::required);
    SaPayload answer{{choose_esp(demanding)->answer}};
    answer.proposals[0].spi = {0, 0, 0x20, 0};
    CHECK(accept_esp(demanding, answer)->esn);
    std::erase_if(answer.proposals[0].transforms, [](const Transform& transform) {
        return transform.type == TransformType::esn;
    });
    CHECK_FALSE(accept_esp(demanding, answer).has_value());
}

TEST_CASE("every side has the replay window that it wants") {
    Dialogue d;
    connect(
        d,
        [](ChildTerms& terms) { terms.replay_window = 32; },
        [](ChildTerms& terms) { terms.replay_window = 4096; }
    );
    d.advance(1s).expect_tunnel();
    CHECK(sas(d.a).first.replay_window == 32);
    CHECK(sas(d.b).first.replay_window == 4096);
}

TEST_CASE("other terms close the SA that was made by the old ones") {
    Dialogue d;
    d.both_connect().advance(1s).expect_tunnel();
    connect(d, transport(), transport()).advance(30s).expect_tunnel();
    CHECK(all_in_mode(d, base::SaMode::transport));
}

TEST_CASE("a peer removed while its child is asked for is removed in peace") {
    Dialogue d;
    d.b.refuses = true;
    d.both_connect().advance_until(10s, [&] { return d.count(kCreateChild, true) > 0; });
    REQUIRE(d.count(kCreateChild, true) > 0);
    d.b.refuses = false;
    d.call(d.a, [&](Engine& engine, Actions& out) { engine.drop(1, d.now, out); }).advance(2s);
    CHECK(d.a.children.empty());
    CHECK(d.b.children.empty());
}
