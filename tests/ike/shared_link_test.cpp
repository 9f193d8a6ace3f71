// A tunnel goes over one link with those of other peers where both sides say so in IKE_AUTH.

#include "dialogue.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::ike;
using namespace aronet::ike::test;
using namespace std::chrono_literals;

namespace {

EngineConfig with_link(bool has_one) {
    EngineConfig config;
    config.has_shared_link = has_one;
    return config;
}

bool all_share(const Side& side, bool shared) {
    return !side.children.empty() && std::ranges::all_of(side.children, [&](const auto& child) {
        return side.sharing.at(child.first) == shared;
    });
}

}  // namespace

TEST_CASE("a tunnel shares a link exactly where both sides have one and may, whoever initiates") {
    for (int row = 0; row < 32; ++row) {
        const bool has_a = row & 1, has_b = row & 2, may_a = row & 4, may_b = row & 8, by_a = row & 16;
        INFO("has " << has_a << has_b << ", may " << may_a << may_b << ", initiator " << (by_a ? "a" : "b"));
        Dialogue d(1, with_link(has_a), with_link(has_b));
        d.connect(
             [&](Peer& peer) { peer.may_share_link = may_a, peer.initiate_first = by_a; },
             [&](Peer& peer) { peer.may_share_link = may_b, peer.initiate_first = !by_a; }
        ).advance(20s);
        CHECK(d.tunnel());
        const bool shared = has_a && has_b && may_a && may_b;
        CHECK(all_share(d.a, shared));
        CHECK(all_share(d.b, shared));
    }
}

TEST_CASE("what was agreed on of the link lasts through rekeyings of the CHILD SA and of the IKE SA") {
    Dialogue d(1, with_link(true), with_link(true));
    const auto may = [](Peer& peer) { peer.may_share_link = true; };
    d.connect(may, may).advance(20s);
    const auto rekey = [&] {
        const unsigned before = d.a.ups;
        d.call(d.a, [&](Engine& engine, Actions& out) {
             engine.rekey(*d.a.sending, d.now, out);
         }).advance(10s);
        CHECK(d.a.ups > before);
        CHECK(all_share(d.a, true));
        CHECK(all_share(d.b, true));
    };
    rekey();
    d.call(d.a, [&](Engine& engine, Actions& out) { engine.renew(1, d.now, out); }).advance(10s);
    CHECK(d.a.view().rekeyings == 1);
    rekey();
}

TEST_CASE("of the link each side goes by what was said, whatever it would say by now") {
    Dialogue d(1, with_link(true), with_link(true));
    const auto may = [](Peer& peer) { peer.may_share_link = true; };
    d.connect(may, may);
    d.advance_until(20s, [&] { return d.count(35, true) + d.count(35, false) > 0; });
    for (Side* side : {&d.a, &d.b}) side->engine->configure(with_link(false));
    d.advance(20s);
    CHECK(d.tunnel());
    CHECK(all_share(d.a, true) == all_share(d.b, true));
}
