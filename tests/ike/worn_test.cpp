// An SA that carries traffic and cannot be rekeyed, or asked: another is made beside it before it goes. Who
// can do no more than drop IKE messages (ike.md 7) delays that, and cuts no tunnel.

#include "dialogue.hpp"
#include "off_path.hpp"

#include <catch2/catch.hpp>

using namespace aronet;
using namespace aronet::ike;
using namespace aronet::ike::test;
using namespace std::chrono_literals;

namespace {

Dialogue established() {
    Dialogue d;
    d.both_connect().advance(4s).expect_tunnel();
    return d;
}

// ESP flows both ways all the while. At every moment each side sends on what the other one holds, but for the
// time that a DELETE is under way: who does not know that an SA is worn may prefer it until then.
void flows(
    Dialogue& d, Duration time, const std::function<bool()>& enough = [] { return false; }
) {
    const Instant end = d.now + time;
    std::optional<Instant> broken;
    while (d.now < end && !enough()) {
        d.advance_until(500ms, [&] {
            const bool whole = d.tunnel();
            if (!whole && !broken) broken = d.now;
            if (broken) CHECK(d.now - *broken <= d.delay);
            if (whole) broken.reset();
            return false;
        });
        d.call(d.a, [&](Engine& engine, Actions&) { engine.traffic_seen(1, d.now); });
        d.call(d.b, [&](Engine& engine, Actions&) { engine.traffic_seen(1, d.now); });
    }
}

void drop(Dialogue& d, const std::function<bool(std::uint8_t exchange)>& which) {
    d.fate = [which](const Passing& message) {
        return which(message.exchange()) ? Fate::lost : Fate::arrives;
    };
}

}  // namespace

TEST_CASE("C18: whoever drops every CREATE_CHILD_SA delays a rekeying and cuts no tunnel") {
    for (unsigned bits = 0; bits < 8; ++bits) {
        const bool of_ike = (bits & 1) != 0, by_b = (bits & 2) != 0, begun_by_b = (bits & 4) != 0;
        CAPTURE(of_ike, by_b, begun_by_b);
        Dialogue d;
        begun_by_b ? d.b_connects() : d.a_connects();
        d.advance(1s).both_connect().advance(4s).expect_tunnel();
        Side& asks = by_b ? d.b : d.a;
        const ChildId before = *asks.sending;
        drop(d, [](std::uint8_t exchange) { return exchange == kCreateChild; });
        d.call(asks, [&](Engine& engine, Actions& out) {
            of_ike ? engine.renew(1, d.now, out) : engine.rekey(before, d.now, out);
        });
        flows(d, 120s, [&] { return *asks.sending != before; });
        CHECK(*asks.sending != before);  // by another IKE SA
        flows(d, 120s);
        d.fate = {};
        flows(d, 60s);
        CHECK(d.single());
        CHECK(asks.view().attempts <= 12);
    }
}

TEST_CASE("C18: whoever drops every message of IKE cuts no tunnel that carries traffic") {
    Dialogue d = established();
    drop(d, [](std::uint8_t) { return true; });
    flows(d, 10min);
    d.fate = {};
    flows(d, 60s);
    CHECK(d.single());
    d.advance(60s).expect_tunnel();
}

TEST_CASE("C18: who knows no address of its peer keeps what carries traffic, whoever drops its rekeyings") {
    for (const bool of_ike : {false, true}) {
        CAPTURE(of_ike);
        Dialogue d;
        d.a_unknown = true;
        d.both_connect().advance(4s).expect_tunnel();
        drop(d, [](std::uint8_t exchange) { return exchange == kCreateChild; });
        d.call(d.b, [&](Engine& engine, Actions& out) {
            of_ike ? engine.renew(1, d.now, out) : engine.rekey(*d.b.sending, d.now, out);
        });
        flows(d, 10min);
        CHECK(d.b.downs == 0);
        d.fate = {};
        flows(d, 60s);
        CHECK(d.single());
    }
}

TEST_CASE("C18: what the peer lets us neither rekey nor make anew is closed after nine refusals, not before"
) {
    Dialogue d = established();
    const ChildId before = *d.a.sending;
    OffPath refuses(d);
    d.b.refuses = true;                 // every CREATE_CHILD_SA, said on the SA itself
    d.middle = [&](Passing& message) {  // and every IKE SA beside it
        if (!message.by_a || message.response() || message.exchange() != kInit) return true;
        refuses.say_to_a(refuses.answer(message, {make_notify(notify::no_proposal_chosen)}));
        return false;
    };
    d.call(d.a, [&](Engine& engine, Actions& out) { engine.rekey(before, d.now, out); });
    d.advance_until(15min, [&] { return !d.a.children.contains(before); });
    CHECK_FALSE(d.a.children.contains(before));
    CHECK(d.a.view().attempts == 10);  // the first, and nine that were refused
    CHECK(d.a.view().reason == "the CHILD SA cannot be rekeyed");
    d.b.refuses = false;
    d.middle = nullptr;
    d.advance(60s).expect_tunnel();
}

TEST_CASE("C18: whoever drops IKE and refuses what is begun beside it in the peer's name cuts no tunnel") {
    Dialogue d = established();
    OffPath refuses(d);
    d.middle = [&](Passing& message) {
        if (message.by_a && !message.response() && message.exchange() == kInit)
            refuses.say_to_a(refuses.answer(message, {make_notify(notify::no_proposal_chosen)}));
        return false;
    };
    flows(d, 30min);
    CHECK(d.a.downs == 0);
    d.middle = nullptr;
    flows(d, 90s);
    CHECK(d.single());
}

TEST_CASE("what has no child takes the place of nothing that has one") {
    Dialogue d = established();
    const ChildId before = *d.a.sending;
    d.b.refuses = true;
    d.call(d.a, [&](Engine& engine, Actions& out) { engine.rekey(before, d.now, out); });
    flows(d, 5min);
    CHECK(d.a.view().attempts > 1);
    CHECK(*d.a.sending == before);
    d.b.refuses = false;
    flows(d, 2min);
    CHECK(d.single());
}

TEST_CASE("a child that the peer does not let us rekey is replaced by that of another IKE SA, without a gap"
) {
    Dialogue d = established();
    const ChildId before = *d.a.sending;
    d.fate = [&](const Passing& message) {  // b's data plane installs no child but those of IKE_AUTH
        if (message.by_a && !message.response()) d.b.refuses = message.exchange() == kCreateChild;
        return Fate::arrives;
    };
    d.call(d.a, [&](Engine& engine, Actions& out) { engine.rekey(before, d.now, out); });
    flows(d, 5min, [&] { return *d.a.sending != before; });
    CHECK(*d.a.sending != before);
    d.fate = {};
    flows(d, 30s);
    CHECK(d.single());
}
