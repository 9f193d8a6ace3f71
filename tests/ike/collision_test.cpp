// What both sides do at once (RFC 7296 2.8.1, 2.8.2), with nonces that decide who wins, and two engines whose
// wishes cross while messages are lost, doubled and late.

#include "rekeying.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <functional>
#include <set>

using namespace aronet;
using namespace aronet::ike;
using namespace aronet::ike::test;
using namespace std::chrono_literals;

namespace {

constexpr std::uint32_t kNewSpi = 0x22222222, kOther = 0x33333333;
constexpr std::size_t kFaultyMax = 16;  // messages of a crossing, each of which has a fault in turn

void drop(Dialogue& d, Side& side) {
    d.call(side, [&](Engine& engine, Actions& out) { engine.drop(1, d.now, out); });
}

// --- Two engines ---

struct Wish {
    const char* name;
    void (*make)(Dialogue&, Side&);
    bool gap = false;     // it leaves no tunnel for a moment
    bool closes = false;  // nor an IKE SA
};
const Wish kNothing{"nothing", [](Dialogue&, Side&) {}};
const Wish kChild{"rekey the child", [](Dialogue& d, Side& side) { rekey(d, side); }};
const Wish kIke{"rekey the IKE SA", [](Dialogue& d, Side& side) { renew(d, side); }};
const Wish kBoth{"rekey the child, then the IKE SA", [](Dialogue& d, Side& side) {
                     rekey(d, side);
                     renew(d, side);
                 }};
const Wish kBothReversed{"rekey the IKE SA, then the child", [](Dialogue& d, Side& side) {
                             renew(d, side);
                             rekey(d, side);
                         }};
const Wish kClose{
    "close and connect anew",
    [](Dialogue& d, Side& side) {
        drop(d, side);
        if (&side == &d.a) {
            d.a_connects();
        } else {
            d.b_connects();
        }
    },
    true,
    true};
// As when the data plane gives it up: DELETE of the child alone.
const Wish kDelete{
    "delete the child",
    [](Dialogue& d, Side& side) {
        const ChildId child = *side.sending;
        d.call(side, [&](Engine& engine, Actions& out) { engine.refused(child, d.now, out); });
    },
    true};

// And waits until a new one is asked for.
const Wish kCreate{
    "create a child",
    [](Dialogue& d, Side& side) {
        const bool by_a = &side == &d.a;
        kDelete.make(d, side);
        const std::size_t asked = d.count(kCreateChild, by_a);
        d.advance_until(10s, [&] { return d.count(kCreateChild, by_a) > asked; });
    },
    true};

const std::vector<std::pair<Wish, Wish>> kTable{
    {kChild, kChild},
    {kChild, kIke},
    {kIke, kIke},
    {kIke, kChild},
    {kBoth, kIke},
    {kBoth, kBothReversed},
    {kBothReversed, kBothReversed},
    {kBothReversed, kChild},
    {kIke, kClose},
    {kClose, kIke},
    {kChild, kClose},
    {kBoth, kClose},
    {kClose, kClose},
    {kNothing, kClose},
    {kChild, kDelete},
    {kDelete, kChild},
    {kDelete, kDelete},
    {kDelete, kIke},
    {kBoth, kDelete},
    {kDelete, kClose},
    {kCreate, kIke},
    {kCreate, kClose},
    {kIke, kCreate},
};

bool rekeys(const Wish& wish) { return !wish.gap && wish.make != kNothing.make; }

// Who made every exchange with a nonce that is lower than all of the other side's: of any two that collide
// that side's is one too many (2.8.1, 2.8.2).
enum class Lowest : std::uint8_t { mixed, of_a, of_b };

Lowest lowest_nonces(const Dialogue& d, std::size_t first) {
    std::map<std::pair<std::uint64_t, std::uint32_t>, Bytes> by_a, by_b;  // the lowest of each exchange
    for (std::size_t i = first; i < d.sent.size(); ++i) {
        const Passing& passing = d.sent[i];
        if (passing.exchange() != kCreateChild) continue;
        const RawMessage raw = *parse(passing.message());
        for (const KeysMade& keys : (passing.by_a ? d.a : d.b).keys) {
            if (keys.spi_i != raw.header.spi_i || keys.spi_r != raw.header.spi_r) continue;
            const bool initiator = raw.header.from_initiator();
            const auto message = open(
                raw,
                {&keys.suite,
                 initiator ? keys.ei.view() : keys.er.view(),
                 initiator ? keys.ai.view() : keys.ar.view()}
            );
            const auto* nonce = message ? message->find<NoncePayload>() : nullptr;
            if (nonce == nullptr) continue;
            auto& begun = passing.by_a != passing.response() ? by_a : by_b;
            Bytes& lowest = begun.try_emplace({keys.spi_i, passing.id()}, nonce->data).first->second;
            lowest = std::min(lowest, nonce->data);
        }
    }
    const auto below = [](const auto& ones, const auto& others) {
        return std::ranges::all_of(ones, [&](const auto& one) {
            return std::ranges::all_of(others, [&](const auto& other) { return one.second < other.second; });
        });
    };
    if (by_a.empty() || by_b.empty()) return Lowest::mixed;
    return below(by_a, by_b) ? Lowest::of_a : below(by_b, by_a) ? Lowest::of_b : Lowest::mixed;
}

// Both wish, b so much later than a; then one tunnel is left on one IKE SA, and there was one all the time.
// Tells of the nonces of the first seconds, before what was refused is asked for again, where keys are told.
Lowest cross(Dialogue& d, const std::pair<Wish, Wish>& row, Duration later) {
    INFO(
        "a: " << row.first.name << "; b, later by " << later.count() / 1000000 << " ms: " << row.second.name
    );
    const bool gap = row.first.gap || row.second.gap, closes = row.first.closes || row.second.closes;
    const std::size_t first = d.sent.size();
    row.first.make(d, d.a);
    d.advance(later);
    // What b wanted to rekey a may have closed already.
    if (d.b.sending || row.second.make == kIke.make || row.second.closes) row.second.make(d, d.b);
    const auto pass = [&](Duration time) { gap ? void(d.advance(time)) : advance_without_a_gap(d, time); };
    pass(5s);
    const Lowest lowest = lowest_nonces(d, first);
    pass(55s);
    d.advance_until(10s, [&] { return d.single(); }).expect_tunnel();
    CHECK(d.a.view().spi_i == d.b.view().spi_i);
    CHECK(d.a.view().spi_r == d.b.view().spi_r);
    if (!closes) CHECK(d.a.view().attempts + d.b.view().attempts == 1);
    for (const Side* side : {&d.a, &d.b}) CHECK(side->ups - side->downs == 1);
    d.advance(100s);  // a redundant SA whose DELETE was lost is forgotten
    CHECK(d.a.engine->sessions() == 1);
    CHECK(d.b.engine->sessions() == 1);
    d.expect_tunnel();
    return lowest;
}

std::size_t settle(Dialogue& d) {
    d.both_connect().advance(1s).expect_tunnel();
    return d.sent.size();
}

// Each of the first messages of a crossing in turn lost, doubled or overtaken by the next.
void cross_with_faults(std::uint64_t seed, const std::pair<Wish, Wish>& row, Duration later) {
    for (const Fate fault : {Fate::lost, Fate::doubled, Fate::late}) {
        for (std::size_t i = 0; i < kFaultyMax; ++i) {
            INFO("seed " << seed << ", message " << i << ", fate " << static_cast<int>(fault));
            Dialogue d(seed);
            const std::size_t first = settle(d);
            d.fate = [&](const Passing& passing) {
                return passing.number == first + i ? fault : Fate::arrives;
            };
            cross(d, row, later);
        }
    }
}

// As many seeds as it takes until either side has had the lowest nonces, the fault included.
void cross_with_either_lowest(
    const std::pair<Wish, Wish>& row, Duration later, Fate fault = Fate::arrives, std::size_t faulty = 0
) {
    EngineConfig config;
    config.tells_keys = true;
    INFO(row.first.name << "; b, later by " << later / 1ms << " ms: " << row.second.name);
    std::set<Lowest> seen;
    for (std::uint64_t seed = 1; seen.size() < 2; ++seed) {
        INFO("seed " << seed << ", message " << faulty << ", fate " << static_cast<int>(fault));
        REQUIRE(seed < 200);
        Dialogue d(seed, copy(config), copy(config));
        const std::size_t first = settle(d);
        d.fate = [&](const Passing& passing) {
            return passing.number == first + faulty ? fault : Fate::arrives;
        };
        const Lowest lowest = cross(d, row, later);
        if (lowest == Lowest::mixed) continue;
        seen.insert(lowest);
        if (later != 0ms || fault != Fate::arrives || row.first.make != row.second.make) continue;
        // Whose IKE SA is one too many does not go on with it; whose child is does not even install it.
        const bool a_won = row.first.make == kChild.make ? d.a.ups > d.b.ups : d.a.view().initiator;
        CHECK(a_won == (lowest == Lowest::of_b));
    }
}

}  // namespace

TEST_CASE("wishes of both sides that cross end with one tunnel, at any distance and whoever wins") {
    for (const auto& row : kTable) {
        std::set<bool> winners;
        for (std::uint64_t seed = 1; seed <= 6; ++seed) {
            for (const Duration later : {0ms, 5ms, 15ms, 25ms}) {
                INFO("seed " << seed);
                Dialogue d(seed);
                settle(d);
                cross(d, row, later);
                if (later == 0ms) winners.insert(d.a.view().initiator);
            }
        }
        if (row.first.make == kIke.make && row.second.make == kIke.make) CHECK(winners.size() == 2);
    }
}

TEST_CASE("wishes that cross end with one tunnel whichever message is lost, doubled or late") {
    for (const auto& row : kTable) {
        cross_with_faults(1, row, 0ms);
        cross_with_faults(2, row, 0ms);
        cross_with_faults(3, row, 15ms);
    }
}

TEST_CASE(
    "C6, row 42: rekeyings that cross end well with either side's nonces lower, whatever befalls a message"
) {
    for (const auto& row : kTable) {
        if (!rekeys(row.first) || !rekeys(row.second)) continue;
        for (const Duration later : {0ms, 5ms}) cross_with_either_lowest(row, later);
        for (const Fate fault : {Fate::lost, Fate::doubled, Fate::late}) {
            for (std::size_t faulty = 0; faulty < kFaultyMax; ++faulty)
                cross_with_either_lowest(row, 0ms, fault, faulty);
        }
    }
}

TEST_CASE("C7, row 42: of two rekeyings of the IKE SA the one with the lowest nonce is undone by its maker") {
    for (const bool b_wins : {true, false}) {
        Pair t;
        renew(t.d, t.d.b);
        Half theirs(t.s, b_wins ? 0 : 0xff), ours(t.s, b_wins ? 0xff : 0);
        REQUIRE(theirs.asks() == 0);
        CHECK(t.d.b.view().rekeyings == 0);  // not decided yet
        ours.answers();
        CHECK(t.d.b.view().rekeyings == 1);
        Half& winner = b_wins ? ours : theirs;
        CHECK(t.d.b.view().spi_i == winner.next().spi_i);
        if (b_wins) {
            CHECK(session_deleted_by_b(t.s));
            t.s.answer({});
            const auto answer = send_delete(t, {Protocol::ike, {}});
            CHECK_FALSE(answer.has_value());  // the old SA is gone
            CHECK(theirs.next().request(ExchangeType::informational, {DeletePayload{Protocol::ike, {}}}));
        } else {
            CHECK_FALSE(session_deleted_by_b(t.s));
            CHECK(ours.deleted_by_b());
            CHECK(outcome(send_delete(t, {Protocol::ike, {}})) == "empty");
        }
        CHECK(winner.alive());
        CHECK(t.d.b.downs == 0);
        t.d.advance(15s);
        CHECK(t.d.b.engine->sessions() == 1);
    }
}

TEST_CASE("C7, row 42: a peer that answered our rekeying of the IKE SA rekeys the old one in vain") {
    Pair t;
    renew(t.d, t.d.b);
    Half ours(t.s, 7), theirs(t.s, 0);
    ours.answers();
    CHECK(theirs.asks() == notify::temporary_failure);
    CHECK(ours.alive());
}

TEST_CASE("C7, row 42: a peer that did not notice our rekeying of the IKE SA takes us along") {
    using Goes = void (*)(Pair&, Half&);
    const std::vector<Goes> ways{
        [](Pair& t, Half&) { t.s.answer({make_notify(notify::temporary_failure)}); },
        [](Pair& t, Half&) {
            CHECK(outcome(send_delete(t, {Protocol::ike, {}})) == "empty");
        },
        [](Pair& t, Half& half) {  // it already rekeys the child there
            auto payloads = t.rekey_payloads(t.s.esp_spi, kNewSpi, 7);
            CHECK(outcome(half.next().request(ExchangeType::create_child_sa, payloads)) == "SA");
        },
        [](Pair& t, Half&) { t.d.advance(60s); },  // says nothing more
    };
    for (const Goes way : ways) {
        Pair t;
        renew(t.d, t.d.b);
        Half theirs(t.s, 0);
        REQUIRE(theirs.asks() == 0);
        way(t, theirs);
        CHECK(t.d.b.view().rekeyings == 1);
        CHECK(t.d.b.view().spi_i == theirs.next().spi_i);
        CHECK(t.d.b.downs == 0);
        CHECK(theirs.alive());
    }
}

TEST_CASE("C6: an answer that comes after the peer has rekeyed twice leaves it something to send on") {
    for (std::uint64_t seed = 1; seed <= 8; ++seed) {  // whoever has the lower nonce
        INFO("seed " << seed);
        Dialogue d(seed, without_dpd(), without_dpd());
        d.both_connect().advance(5s).expect_tunnel();
        d.fate = [](const Passing& message) {
            const bool answer = !message.by_a && message.exchange() == kCreateChild && message.response();
            return answer ? Fate::lost : Fate::arrives;
        };
        rekey(d, d.a);
        rekey(d, d.b);
        d.advance(3s);
        rekey(d, d.b);
        d.advance(100ms);
        d.fate = {};
        d.advance(4s);
        CHECK(d.tunnel());
        d.advance(10s).expect_tunnel();
    }
}

TEST_CASE("C7: our answer that comes after the peer went over to its own SA only costs a DELETE") {
    Pair t;
    renew(t.d, t.d.b);
    Half theirs(t.s, 0), ours(t.s, 0xff);
    REQUIRE(theirs.asks() == 0);
    REQUIRE(theirs.alive());
    ours.answers();
    CHECK(ours.deleted_by_b());
    CHECK(theirs.alive());
    CHECK(t.d.b.view().spi_i == theirs.next().spi_i);
}

TEST_CASE("C7: the peer's second rekeying of the IKE SA beside ours waits, and one taken back changes nothing"
) {
    Pair t;
    renew(t.d, t.d.b);
    Half first(t.s, 0xff), second(t.s, 0xff), ours(t.s, 0);
    REQUIRE(first.asks() == 0);
    CHECK(second.asks() == notify::temporary_failure);
    CHECK(first.next().request(ExchangeType::informational, {DeletePayload{Protocol::ike, {}}}));
    ours.answers();  // its nonce is lower, but there is no other SA any more
    CHECK(t.d.b.view().spi_i == ours.next().spi_i);
    CHECK(session_deleted_by_b(t.s));
    CHECK(ours.alive());
}

TEST_CASE("a peer that is dropped while both rekey the IKE SA keeps none of the three") {
    Pair t;
    renew(t.d, t.d.b);
    Half theirs(t.s, 0), ours(t.s, 0xff);
    REQUIRE(theirs.asks() == 0);
    drop(t.d, t.d.b);
    CHECK(theirs.deleted_by_b());
    ours.answers();
    CHECK(ours.deleted_by_b());
    CHECK(session_deleted_by_b(t.s));
    t.s.answer({});
    CHECK(t.d.b.engine->sessions() == 0);
}

// --- Seen in the field ---

TEST_CASE("a rekeying of the child that comes again after the DELETE that followed it makes nothing new") {
    Pair t;
    const Bytes request = t.s.seal_request(
        ExchangeType::create_child_sa, t.rekey_payloads(t.s.esp_spi, kNewSpi, 7), t.s.next_id++
    );
    REQUIRE(t.s.deliver(request).size() == 1);
    CHECK(t.deletes(t.s.esp_spi).size() == 1);
    CHECK(t.s.deliver(request).empty());
    CHECK(t.d.b.ups == 2);
    CHECK(t.sends_on() == kNewSpi);
}

TEST_CASE("of two rekeyings of the child one is refused: the other one's child is sent on") {
    for (const std::uint16_t error : {notify::ts_unacceptable, notify::no_proposal_chosen}) {
        Pair t;
        t.rekeys();
        REQUIRE(outcome(t.crosses(kNewSpi, 7)) == "SA");
        t.s.answer({make_notify(error)});
        CHECK(t.deletes(t.s.esp_spi).size() == 1);
        CHECK(t.sends_on() == kNewSpi);
        t.d.advance(20s);
        CHECK(t.d.b.children.size() == 1);
        CHECK(t.d.count(kCreateChild, false) == 2);  // its request and its answer, and none again
    }
}

TEST_CASE("a child that the peer deletes before its answer comes is not sent on") {
    Pair t;
    t.rekeys();
    CHECK(t.deletes(kOther).empty());
    t.agrees(kOther, 7);
    CHECK(t.sends_on() == t.s.esp_spi);
    CHECK(t.d.b.ups == 1);
    t.d.advance_until(16s, [&] { return t.d.count(kCreateChild, false) == 2; });
    REQUIRE(t.d.count(kCreateChild, false) == 2);
    t.agrees(kNewSpi, 7);
    CHECK(t.sends_on() == kNewSpi);
}

TEST_CASE("both sides closing the IKE SA while it is rekeyed leave nothing") {
    Pair t;
    renew(t.d, t.d.b);
    CHECK(outcome(send_delete(t, {Protocol::ike, {}})) == "empty");
    CHECK(t.d.b.children.empty());
    t.d.advance(15s);
    CHECK(t.d.b.engine->sessions() == 0);
}
